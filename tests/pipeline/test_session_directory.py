"""The run's private directory: private, short enough for sockets, and gone afterwards, also after a killed run."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from biopose_live.pipeline.session_directory import PREFIX, SessionDirectory, runtime_base, sweep

KILLED = """
import os, signal, sys
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from biopose_live.pipeline.session_directory import SessionDirectory
memory = SharedMemory(create=True, size=4096)
resource_tracker.unregister(memory._name, "shared_memory")  # as if the tracker had been killed as well
directory = SessionDirectory(memory.name)
print(directory.path, memory.name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        monkeypatch.setenv("XDG_RUNTIME_DIR", path)
        yield Path(path)


def test_it_is_private_and_goes_away(base: Path) -> None:
    directory = SessionDirectory("ring")
    assert directory.path.parent == base
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    directory.remove()
    assert list(base.iterdir()) == []


def test_a_sweep_takes_what_a_killed_run_left_and_spares_the_living(base: Path) -> None:
    living = SessionDirectory("ring")
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    left, memory = done.stdout.split()
    assert Path(left).exists()
    (base / f"{PREFIX}foreign").mkdir()  # no lock: not understood, not touched
    sweep(base)
    assert not Path(left).exists()
    assert living.path.exists()
    assert (base / f"{PREFIX}foreign").exists()
    with pytest.raises(FileNotFoundError):
        SharedMemory(memory)
    living.remove()


def test_a_base_that_is_too_long_for_socket_addresses_is_passed_over(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = base / ("d" * 80)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    assert runtime_base() != deep
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "missing"))
    assert runtime_base() != base / "missing"


def test_logs_are_kept_outside(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(base / "state"))
    directory = SessionDirectory("ring")
    directory.log("mqhmr").write_text("it broke\n")
    kept = directory.keep_logs()
    directory.remove()
    assert (kept / "mqhmr.log").read_text() == "it broke\n"
