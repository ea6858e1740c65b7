"""A live run in the background of a test, and what it has written so far."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil

from biopose_client.schema import Health
from biopose_live.pipeline.live import run_live
from biopose_live.pipeline.metrics import Summary
from biopose_live.pipeline.stage_table import STAGES, StageTable
from biopose_live.settings import Settings

SHARED_MEMORY = Path("/dev/shm")


def table(**stages: str) -> StageTable:
    """-> the fakes, with some replaced."""
    names = {
        "capture": "Capture",
        "detection": "Detection",
        "mqhmr": "Mqhmr",
        "neurik": "Neurik",
        "sinks": "FileSinks",
    } | stages
    return StageTable(**{stage: f"pipeline_fakes:{name}" for stage, name in names.items()})


def events(path: Path, kind: str) -> list[dict[str, Any]]:
    """-> what FileSinks has written, whole lines only."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [event["value"] for event in map(msgspec.json.decode, lines) if event["kind"] == kind]


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> float:
    """-> seconds until the condition held; fails after `seconds`."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "waited in vain"
        time.sleep(0.02)
    return time.monotonic() - start


def stage_pids(parent: int | None = None) -> dict[str, int]:
    """-> stage -> pid of the children of a process (this one)."""
    found = {}
    for child in psutil.Process(parent).children():
        try:
            command = child.cmdline()
        except psutil.Error:
            continue
        if command and command[-1] in STAGES:
            found[command[-1]] = child.pid
    return found


def leftovers(base: Path, *sessions: str) -> list[str]:
    """-> run directories under `base` and shared memory of these sessions (others may be running beside the tests)."""
    assert all(sessions)
    rings = [SHARED_MEMORY / f"biopose_{session}" for session in sessions]
    return sorted(str(path) for path in [*base.glob("biopose-live-*"), *rings] if path.exists())


class LiveRun:
    """`with LiveRun(table(...)) as run:` runs until the block ends, or until the run ends by itself (`join`)."""

    def __init__(self, stages: StageTable, **settings: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(dir="/tmp")
        self.path = Path(self._folder.name) / "events.jsonl"
        self.stop = threading.Event()
        self.health: list[Health] = []
        self.summary: Summary | None = None
        self._error: BaseException | None = None
        self._settings = Settings(demo=True, record=self.path, **settings)
        self._stages = stages
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.summary = run_live(self._settings, self._stages, self.health.append, self.stop)
        except BaseException as error:
            self._error = error

    def __enter__(self) -> LiveRun:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop.set()
        self._thread.join()
        self._folder.cleanup()

    def join(self, seconds: float = 60.0) -> Summary:
        """-> the summary of a run that ends by itself."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the run did not end"
        if self._error is not None:
            raise self._error
        assert self.summary is not None
        return self.summary

    def finish(self) -> Summary:
        self.stop.set()
        return self.join()

    def poses(self) -> list[dict[str, Any]]:
        return events(self.path, "pose")

    def wait_for_poses(self, more: int = 1, seconds: float = 20.0) -> float:
        """-> seconds until that many poses more than now have been written."""
        goal = len(self.poses()) + more
        return wait_for(lambda: len(self.poses()) >= goal, seconds)
