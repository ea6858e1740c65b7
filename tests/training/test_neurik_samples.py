"""Samples depend on their seed alone; a stopped run goes on; parts together make the whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biopose_live.training.neurik import samples
from biopose_live.training.neurik.samples import SampleMaker, main


@pytest.fixture(scope="module")
def poses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects who swing their right leg."""
    theta = np.zeros((120, 24, 3), np.float32)
    theta[:, 2, 0] = 0.4 * np.sin(np.arange(120) / 10)
    path = tmp_path_factory.mktemp("poses") / "poses.npz"
    np.savez(
        path,
        theta=theta,
        trans=np.zeros((120, 3), np.float32),
        clip_index=np.repeat(np.arange(2, dtype=np.int32), 60),
        clip_names=np.array(["a/one", "b/two"]),
        subject=np.array(["anna", "ben"]),
        fps=np.float32(30.0),
    )
    return path


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "FRAMES", 8)
    monkeypatch.setattr(samples, "PER_FILE", 1)


def test_a_seed_gives_the_same_sequence(poses: Path) -> None:
    maker = SampleMaker(poses, frozenset({"ben"}), False, None)
    one, again, other = maker.make((1, 3)), maker.make((1, 3)), maker.make((1, 4))
    assert set(one) == {"times", "seen", "true", "origin", "q", "scales", "betas", "betas_seen", "good"}
    for name, value in one.items():
        np.testing.assert_array_equal(again[name], value)
    assert np.abs(one["betas"] - other["betas"]).max() > 0.01


def test_a_sequence_is_what_its_file_says(poses: Path) -> None:
    made = SampleMaker(poses, frozenset({"ben"}), True, None).make((2, 0))
    assert made["times"].shape == (8,)
    assert (np.diff(made["times"]) > 0).all()
    assert made["seen"].shape == made["true"].shape == (8, 89, 3)
    assert np.abs(made["seen"].astype(float)).max() < 2.5  # told from the pelvis
    assert made["origin"].shape == (8, 3)
    assert made["good"].all()
    assert made["q"].dtype == np.float32


def test_clocks_run_forward_at_a_cameras_rate() -> None:
    for seed in range(20):
        steps = np.diff(samples._clock(np.random.default_rng(seed)))
        assert (steps > 0.8 / 60).all()
        assert (steps < 5 / 15).all()


def test_a_run_goes_on_and_parts_make_the_whole(poses: Path, tmp_path: Path) -> None:
    options = ["--poses", str(poses), "--count", "3", "--hold-out", "ben", "--seed", "7"]
    assert main([*options, "--out", str(tmp_path / "whole")]) == 0
    files = sorted((tmp_path / "whole").glob("*.npz"))
    assert [file.name for file in files] == ["00000.npz", "00001.npz", "00002.npz"]
    assert json.loads((tmp_path / "whole" / "settings.json").read_text())["hold_out"] == ["ben"]
    before = [(file.stat().st_mtime_ns, file.read_bytes()) for file in files]
    files[1].unlink()
    assert main([*options, "--out", str(tmp_path / "whole")]) == 0
    with np.load(files[1]) as again, np.load(files[0]) as first:
        assert files[0].stat().st_mtime_ns == before[0][0]  # was not made again
        assert again["seen"].shape == first["seen"].shape == (1, 8, 89, 3)
    assert files[1].read_bytes() == before[1][1]
    assert main([*options, "--out", str(tmp_path / "part"), "--part", "1", "2"]) == 0
    assert [file.name for file in sorted((tmp_path / "part").glob("*.npz"))] == ["00001.npz"]
    assert (tmp_path / "part" / "00001.npz").read_bytes() == before[1][1]


def test_poses_that_are_missing_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--poses", str(tmp_path / "none.npz"), "--out", str(tmp_path / "out")]) == 3
    assert "is not a pose data set" in capsys.readouterr().out
