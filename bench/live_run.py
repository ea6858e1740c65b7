"""Starts `biopose-live` the way a user does, listens with the public client, and measures.

Nothing of the pipeline is imported: the figures come from the published messages, from this process's own clock and
from the operating system.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import psutil

from biopose_client import NothingReceived, connect
from biopose_client.schema import Health
from figures import Figures, Sample, figures, sample_of

LONGEST_START_S = 180.0  # the first start compiles for the kinematics
LONGEST_SILENCE_S = 20.0
LONGEST_END_S = 20.0
TOO_SHORT = "The video ended before the measurement did: give one of more than {seconds:g} s, or fewer --seconds."


class RunFailed(RuntimeError):
    """The pipeline gave no figures; the message says why."""


class VideoTooShort(RunFailed):
    """Everything went well, but not for long enough."""


def measure_live(video: Path, options: Sequence[str], warm_up_s: float, seconds: float) -> Figures:
    """-> figures of `biopose-live --video VIDEO *options` over `seconds` that begin `warm_up_s` after the first pose.

    Raises RunFailed when it ends early, says nothing or gives too few frames.
    """
    address = f"tcp://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "biopose_live.cli", "--video", str(video), "--publish", address, "--headless"]
    with tempfile.TemporaryFile("w+") as output:
        started = time.monotonic_ns()
        process = subprocess.Popen([*command, *options], stdout=output, stderr=subprocess.STDOUT)
        try:
            samples, healths, parent, startup_s = _listen(process, address, warm_up_s, seconds, started)
            process.send_signal(signal.SIGINT)
            exit_code = process.wait(LONGEST_END_S)
        except subprocess.TimeoutExpired:
            raise RunFailed(f"biopose-live did not end within {LONGEST_END_S:g} s of Ctrl-C") from None
        except VideoTooShort:
            raise
        except RunFailed as failure:
            raise RunFailed(f"{failure}; it said: {tail(output)}") from failure
        finally:
            end(process)
        if exit_code != 0:
            raise RunFailed(f"biopose-live ended with exit code {exit_code}; it said: {tail(output)}")
    try:
        return figures(samples, healths, {"supervisor": parent}, startup_s)
    except ValueError as error:
        raise RunFailed(f"biopose-live was too slow to be measured in {seconds:g} s: {error}") from error


def _listen(
    process: subprocess.Popen[bytes], address: str, warm_up_s: float, seconds: float, started: int
) -> tuple[list[Sample], list[Health], tuple[float, float], float]:
    """-> samples and healths inside the window, (CPU share, MB) of the parent process, start-up time."""
    samples: list[Sample] = []
    healths: list[Health] = []
    begin = end = 0  # not yet
    heard = started
    usage = psutil.Process(process.pid)
    with connect(address, newest=False, timeout=0.5) as stream:
        while True:
            try:
                frame = next(stream)
            except NothingReceived:
                if process.poll() is not None:
                    if samples and process.returncode == 0:
                        raise VideoTooShort(TOO_SHORT.format(seconds=warm_up_s + seconds)) from None
                    raise RunFailed(f"biopose-live ended with exit code {process.returncode}") from None
                silence = (time.monotonic_ns() - heard) * 1e-9
                if silence > (LONGEST_START_S if not begin else LONGEST_SILENCE_S):
                    raise RunFailed(f"no pose came for {silence:.0f} s") from None
                continue
            at = heard = time.monotonic_ns()
            if not begin:
                startup_s = (at - started) * 1e-9
                begin = at + round(warm_up_s * 1e9)
                end = begin + round(seconds * 1e9)
            if at < begin:
                usage.cpu_percent(None)  # each call starts its own interval anew
                stream.health = None
                continue
            if at >= end:
                break
            samples.append(sample_of(frame.pose, at))
            if stream.health is not None and (not healths or stream.health.t != healths[-1].t):
                healths.append(stream.health)
        parent = usage.cpu_percent(None) / 100, usage.memory_info().rss / 1e6
    if not healths:
        raise RunFailed("no health message came")
    return samples, healths, parent, startup_s


def end(process: subprocess.Popen[bytes]) -> None:
    """In order if it can, so that it leaves no shared memory behind; by force if it does not answer."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(LONGEST_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tail(output: IO[str]) -> str:
    output.seek(0)
    return " | ".join(output.read().splitlines()[-4:]) or "nothing"
