"""What a benchmark ran on, stated in every result file since a figure without its machine says little; and where its
tables go.
"""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import psutil
from rich.console import Console

PACKAGES = ("biopose-live", "mediapipe", "torch", "numpy", "numba", "av", "pyzmq")
PIPE_WIDTH = 170


class Machine(msgspec.Struct):
    """`cores` are those this process may use; `load` is the one-minute load average before the run began."""

    date: str
    cpu: str
    cores: int
    memory_gb: float
    system: str
    load: float
    versions: dict[str, str]


def describe() -> Machine:
    """-> this machine, now."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu=cpu_model(),
        cores=usable,
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        system=platform.platform(terse=True),
        load=round(psutil.getloadavg()[0], 2),
        versions={"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    )


def table_console() -> Console:
    """-> where tables go: as wide as the terminal, or wide enough for them in a file or pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


def cpu_model() -> str:
    """-> the processor's own name for itself, or what Python knows."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
