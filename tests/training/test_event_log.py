"""Event files: read back with TensorBoard's own reader; nothing is imported or written unless asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from biopose_live.errors import EXIT_SINK, EXIT_USAGE, UserError
from biopose_live.training.event_log import EventLog, summary_writer
from biopose_live.training.main import main as biopose_train
from event_files import scalars


def test_figures_are_read_back(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with EventLog(tmp_path / "new" / "log") as log:
        log.scalars(10, {"loss": 2.5, "no_number": float("nan")}, "train")
        log.scalars(20, {"loss": 1.25}, "train")
        log.scalars(20, {"mm": 60.0}, "test")
        # Whoever looks on while it trains sees all of that.
        assert scalars(tmp_path / "new" / "log") == {"train/loss": [(10, 2.5), (20, 1.25)], "test/mm": [(20, 60.0)]}


def test_without_a_folder_nothing_is_written_or_imported() -> None:
    code = (
        "import sys; from biopose_live.training.event_log import EventLog\n"
        "with EventLog(None) as log: log.scalars(1, {'loss': 1.0}, 'train')\n"
        "sys.exit(any(name.split('.')[0] in ('tensorboard', 'torch') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_package_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="pip install") as refused:
        summary_writer()
    assert refused.value.exit_code == EXIT_USAGE
    more = ["--work", str(tmp_path), "--out", str(tmp_path / "x.safetensors"), "--tensorboard", str(tmp_path / "log")]
    assert biopose_train(["lite", "--count", "0", "--test", "0", *more]) == EXIT_USAGE
    assert biopose_train(
        ["neurik", "--motion", str(tmp_path), "--out", str(tmp_path / "n"), "--tensorboard", str(tmp_path / "log")]
    ) == EXIT_USAGE  # fmt: skip
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert all("--tensorboard needs the package tensorboard" in sentence for sentence in told)
    assert not (tmp_path / "log").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match="cannot be written") as refused:
        EventLog(tmp_path / "file" / "log")
    assert refused.value.exit_code == EXIT_SINK
