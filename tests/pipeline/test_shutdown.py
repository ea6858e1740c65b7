"""Signals to the whole program: everybody gone in time, files complete, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from background_run import events, leftovers, stage_pids, wait_for

from biopose_live.errors import EXIT_INTERRUPTED

PROGRAM = """
import sys
from pathlib import Path
from background_run import table
from biopose_live.pipeline.live import run_live
from biopose_live.settings import Settings
summary = run_live(Settings(demo=True, record=Path(sys.argv[1])), table(mqhmr=sys.argv[2]))
print(summary.end_reason)
sys.exit(summary.exit_code)
"""


def listen_to_signals() -> None:
    """The tests may run under `nohup` or in the background of a shell, whose ignored signals are inherited."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def start(path: Path, mqhmr: str = "Mqhmr") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), mqhmr],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=listen_to_signals,
    )


def session_of(base: Path) -> str:
    """-> the id of the run whose directory lies under `base`."""
    (ring,) = base.glob("biopose-live-*/ring")
    return ring.read_text().removeprefix("biopose_")


def gone(pids: dict[str, int]) -> bool:
    """-> whether none runs any more; orphans may wait as zombies until the system's first process collects them."""
    for pid in pids.values():
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return False
        except psutil.NoSuchProcess:
            continue
    return True


@pytest.mark.parametrize(
    ("number", "to_group", "mqhmr", "exit_code", "reason"),
    [
        (signal.SIGINT, True, "Mqhmr", EXIT_INTERRUPTED, "interrupted"),
        (signal.SIGINT, False, "SleepyMqhmr", EXIT_INTERRUPTED, "interrupted"),
        (signal.SIGTERM, False, "Mqhmr", 143, "ended by SIGTERM"),
        (signal.SIGHUP, True, "Mqhmr", 129, "ended by SIGHUP"),
    ],
)
def test_a_signal_ends_everything_in_order(
    runtime: Path, number: signal.Signals, to_group: bool, mqhmr: str, exit_code: int, reason: str
) -> None:
    path = runtime / "events"
    program = start(path, mqhmr)
    wait_for(lambda: len(events(path, "pose")) >= 3)
    pids = stage_pids(program.pid)
    assert len(pids) == 5
    session = session_of(runtime)
    assert leftovers(runtime, session) != []
    sent = time.monotonic()
    (os.killpg if to_group else os.kill)(program.pid, number)
    out, errors = program.communicate(timeout=20)
    seconds = time.monotonic() - sent
    print(f"{number.name}: gone after {seconds:.2f} s")
    assert gone(pids)
    assert seconds < 5
    assert program.returncode == exit_code, errors
    assert out.strip() == reason
    assert errors == ""
    (end,) = events(path, "summary")
    assert end["end_reason"] == reason
    assert end["processed"] == len(events(path, "pose"))
    assert leftovers(runtime, session) == []


def test_ctrl_c_while_stages_still_start_ends_them_too(runtime: Path) -> None:
    program = start(runtime / "events")
    wait_for(lambda: len(stage_pids(program.pid)) >= 3)
    pids, session = stage_pids(program.pid), session_of(runtime)
    sent = time.monotonic()
    os.killpg(program.pid, signal.SIGINT)
    out, _ = program.communicate(timeout=20)
    assert time.monotonic() - sent < 5
    assert out.strip() == "interrupted"
    assert program.returncode == EXIT_INTERRUPTED
    assert gone(pids)
    assert leftovers(runtime, session) == []


def test_a_killed_program_takes_its_stages_along_and_the_next_start_cleans_up(runtime: Path) -> None:
    path = runtime / "events"
    program = start(path)
    wait_for(lambda: len(events(path, "pose")) >= 3)
    pids, session = stage_pids(program.pid), session_of(runtime)
    program.kill()
    program.communicate()
    print(f"stages gone {wait_for(lambda: gone(pids), 5):.2f} s after the program was killed")
    (end,) = events(path, "summary")  # orphaned sinks complete their files all the same
    assert end["end_reason"] == "the program was ended"

    again = start(path)
    count = len(events(path, "pose"))
    wait_for(lambda: len(events(path, "pose")) > count)
    os.kill(again.pid, signal.SIGINT)
    again.communicate(timeout=20)
    assert leftovers(runtime, session) == []


def test_a_program_that_was_suspended_goes_on_with_the_same_stages(runtime: Path) -> None:
    path = runtime / "events"
    program = start(path)
    wait_for(lambda: len(events(path, "pose")) >= 3)
    pids = stage_pids(program.pid)
    os.killpg(program.pid, signal.SIGSTOP)  # Ctrl-Z
    time.sleep(4)
    os.killpg(program.pid, signal.SIGCONT)
    count = len(events(path, "pose"))
    wait_for(lambda: len(events(path, "pose")) > count + 5)
    assert stage_pids(program.pid) == pids
    os.kill(program.pid, signal.SIGINT)
    program.communicate(timeout=20)
