"""Kills and freezes stages of a running `biopose-live` and measures how long a subscriber then waits for a pose.

Nothing of the pipeline is imported: processes are found by the stage's name at the end of their command line, and poses
are what the public client receives.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

import av
import msgspec
import psutil

from biopose_client import NothingReceived, connect
from biopose_live.capture.demo import demo_clip
from live_run import LONGEST_START_S, RunFailed, end, free_port, tail

STAGES = ("capture", "detection", "mqhmr", "neurik", "sinks")
BLOWS = {"kill -9": signal.SIGKILL, "SIGSTOP": signal.SIGSTOP}
LIMIT_S = 3.0  # what is asked for, on a machine with nothing else to do
PATIENCE_S = 60.0
POLL_S = 0.02
REST_S = 1.0  # between two blows: of poses as usual


class Outage(msgspec.Struct):
    """What one blow cost."""

    stage: str
    blow: str
    replaced_s: float  # until the stage's new process is there
    recovered_s: float  # until a pose arrives whose frame was caught after that: it has passed the new process
    only_it: bool  # no other process of the run has changed


def write_loop(path: Path, seconds: float) -> None:
    """Writes the demo clip again and again, its packets copied; raises UserError when the installation lacks it."""
    with av.open(str(demo_clip())) as source, av.open(str(path), "w") as target:
        template = source.streams.video[0]
        stream = target.add_stream_from_template(template)
        length = int(template.duration)
        for turn in range(max(1, round(seconds / float(length * template.time_base)))):
            source.seek(0)
            for packet in source.demux(template):
                if packet.dts is None:
                    continue  # the end of the file
                packet.stream = stream
                packet.pts += turn * length
                packet.dts += turn * length
                target.mux(packet)


class StruckRun:
    """`with StruckRun(video) as run: run.strike("mqhmr", "kill -9")`: a live run of the default settings.

    Raises RunFailed when it does not start, ends, or no pose comes again in PATIENCE_S.
    """

    def __init__(self, video: Path) -> None:
        self._address = f"tcp://127.0.0.1:{free_port()}"
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed when the run is left
        command = [sys.executable, "-m", "biopose_live.cli", "--video", str(video), "--headless"]
        self._process = subprocess.Popen(
            [*command, "--publish", self._address], stdout=self._output, stderr=subprocess.STDOUT
        )
        self._stream = connect(self._address, newest=False, timeout=POLL_S)

    def __enter__(self) -> StruckRun:
        try:
            self._receive_after(0, LONGEST_START_S)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self._stream.close()
        end(self._process)
        self._output.close()

    def pids(self) -> dict[str, int]:
        """-> stage -> pid of its process now."""
        found = {}
        for child in psutil.Process(self._process.pid).children():
            try:
                command = child.cmdline()
            except psutil.Error:
                continue
            if command and command[-1] in STAGES:
                found[command[-1]] = child.pid
        return found

    def rest(self) -> None:
        """Takes poses for REST_S."""
        self._receive_after(time.monotonic_ns() + round(REST_S * 1e9), PATIENCE_S)

    def strike(self, stage: str, blow: str) -> Outage:
        """Sends one of BLOWS to a stage; -> what it cost."""
        before = self.pids()
        struck = time.monotonic_ns()
        os.kill(before[stage], BLOWS[blow])
        while (now := self.pids()).get(stage, before[stage]) == before[stage]:
            self._receive_after(0, POLL_S, must=False)
            if time.monotonic_ns() - struck > PATIENCE_S * 1e9:
                raise RunFailed(f"{stage} was not replaced within {PATIENCE_S:g} s of {blow}")
        replaced = time.monotonic_ns()
        recovered = self._receive_after(replaced, PATIENCE_S)
        now = self.pids()
        others = {name: pid for name, pid in before.items() if name != stage}
        return Outage(
            stage,
            blow,
            (replaced - struck) * 1e-9,
            (recovered - struck) * 1e-9,
            now.keys() == before.keys() and {name: now[name] for name in others} == others,
        )

    def _receive_after(self, caught: int, patience_s: float, must: bool = True) -> int:
        """-> when a pose came whose frame was caught after `caught` (ns, monotonic), or 0 when none did and none must.

        Frames caught earlier may have been past the stage already.
        """
        until = time.monotonic_ns() + round(patience_s * 1e9)
        while time.monotonic_ns() < until:
            try:
                frame = next(self._stream)
            except NothingReceived:
                if self._process.poll() is not None:
                    break
                continue
            if frame.pose.t_capture > caught:
                return time.monotonic_ns()
        if not must:
            return 0
        code = self._process.poll()
        what = f"no pose came for {patience_s:g} s" if code is None else f"biopose-live ended with exit code {code}"
        raise RunFailed(f"{what}; it said: {tail(self._output)}")
