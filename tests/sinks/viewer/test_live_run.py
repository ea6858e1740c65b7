"""The viewer at the end of a supervised run: pixels from the shared ring, and a killed process that comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import numpy as np
import psutil
import pytest
from watching import until

from biopose_live.pipeline.live import run_live
from biopose_live.pipeline.metrics import Summary
from biopose_live.pipeline.ring import FrameRing
from biopose_live.pipeline.stage_table import SINKS, StageTable
from biopose_live.settings import Settings
from biopose_live.sinks.viewer.access import ViewAccess, reserve

FAKES = str(Path(__file__).parents[2] / "pipeline")


class Run:
    """A live run of the pipeline tests' small stages with the real outputs, in the background."""

    def __init__(self, access: ViewAccess) -> None:
        self.access = access
        self.stop = threading.Event()
        self.summary: Summary | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        fakes = {name: f"pipeline_fakes:{name.capitalize()}" for name in ("capture", "detection", "mqhmr", "neurik")}
        self.summary = run_live(
            Settings(demo=True, publish="off"), StageTable(**fakes), stop=self.stop, view=self.access
        )

    def finish(self) -> Summary:
        self.stop.set()
        self._thread.join()
        assert self.summary is not None
        return self.summary


def sinks_pid() -> int | None:
    """-> the sinks' process among this one's children."""
    for child in psutil.Process().children():
        try:
            if child.cmdline()[-1:] == [SINKS]:
                return child.pid
        except psutil.Error:  # it has just ended
            continue
    return None


@pytest.fixture
def run(free_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setattr(sys, "path", [FAKES, *sys.path])
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        made = Run(reserve("127.0.0.1", free_port))
        yield made
        made.finish()


async def watch(access: ViewAccess) -> set[str]:
    """-> the topics that came, once pictures and poses have; keeps trying while nothing listens."""
    topics: set[str] = set()
    url = f"http://{access.host}:{access.port}/ws?token={access.token}"
    async with aiohttp.ClientSession() as web:
        for _ in range(300):
            try:
                async with web.ws_connect(url) as socket:
                    while not {"pose", "jpeg"} <= topics:
                        topics.add((await socket.receive_bytes(timeout=10)).partition(b" ")[0].decode())
                    return topics
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
    raise AssertionError("the viewer does not answer")


def test_the_viewer_comes_back_at_the_same_address_with_the_same_token(run: Run) -> None:
    assert asyncio.run(watch(run.access)) >= {"meta", "pose", "jpeg"}
    before = sinks_pid()
    assert before is not None
    os.kill(before, signal.SIGKILL)
    asyncio.run(until(lambda: sinks_pid() not in (None, before)))
    assert asyncio.run(watch(run.access)) >= {"meta", "pose", "jpeg"}
    summary = run.finish()
    assert summary.problems == []
    assert summary.stages[SINKS].restarts == 1


def test_a_port_that_was_taken_meanwhile_costs_the_viewer_alone(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr(sys, "path", [FAKES, *sys.path])
    access = reserve("127.0.0.1", free_port)
    with socket.create_server(("127.0.0.1", access.port)), tempfile.TemporaryDirectory(dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        run = Run(access)
        time.sleep(6.0)  # it tries for three seconds
        summary = run.finish()
    assert summary.processed > 20
    (problem,) = summary.problems
    assert f"cannot listen on 127.0.0.1:{access.port}" in problem


def test_frames_are_found_by_their_number() -> None:
    ring = FrameRing.create(f"viewertest_find_{os.getpid()}", slots=3, capacity=64)
    try:
        assert ring.find(0, 0) is None
        for seq in range(5):
            written = ring.write(seq, 100 + seq, np.full((2, 2, 3), seq, np.uint8), 0)
            found = ring.find(seq, 100 + seq)
            assert found is not None
            assert (found.slot, found.generation) == (written.slot, written.generation)
            pixels = ring.pixels(found)
            assert pixels is not None
            assert (pixels == seq).all()
        assert ring.find(4, 999) is None
        assert ring.find(1, 101) is None  # overwritten
        assert ring.find(2, 102) is not None
    finally:
        ring.close()
