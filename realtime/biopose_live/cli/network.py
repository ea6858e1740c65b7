"""What has to be done for `--network` before a run starts: is it a network at all, and are TensorRT's engines built?

Building takes minutes, which no supervised stage is given, and a GPU's memory, which a run needs: so a process of its
own does it here, and what it says is shown.  PyTorch is not imported in this process.
"""

from __future__ import annotations

import subprocess
import sys
import time

from rich.console import Console

from biopose_live.mqhmr.network.network_file import check_live
from biopose_live.settings import Settings

BUILDER = "biopose_live.mqhmr.network.tensorrt_encoder"
REPORT_S = 15.0
POLL_S = 0.5


def prepare(console: Console, settings: Settings) -> None:
    """Does nothing without --network.  Raises UserError for a file that is none."""
    if settings.network is None:
        return
    header = check_live(settings.network)
    console.print(f"Image network {settings.network.name}: {header.described}.", soft_wrap=True, markup=False)
    if settings.engine == "tensorrt" and settings.device != "cpu":
        command = [sys.executable, "-P", "-m", BUILDER, "--network", str(settings.network.absolute())]
        command += ["--max-people", str(settings.max_people)]
        command += [] if settings.body is None else ["--body", str(settings.body.absolute())]
        watch(console, command)


def watch(console: Console, command: list[str]) -> bool:
    """Runs a builder, whose lines go to the terminal, and tells while it is at it for how long; -> whether it did well.
    If it did not, its reason is shown, and the run takes the next best engine."""
    began = told = time.monotonic()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            while True:
                try:
                    _, errors = process.communicate(timeout=POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    if time.monotonic() - told >= REPORT_S:
                        told = time.monotonic()
                        console.print(f"Still building TensorRT's engine: {told - began:.0f} s.", soft_wrap=True)
        except BaseException:
            process.kill()  # Ctrl-C: nobody waits for it any more
            raise
    if process.returncode:
        reason = (errors.strip().splitlines() or [f"it ended with code {process.returncode}"])[-1]
        console.print(f"TensorRT's engine was not built: {reason}.", soft_wrap=True, markup=False)
    return process.returncode == 0
