"""A run's private directory: sockets and the children's logs, readable by this user only, removed at the end.

It lies under $XDG_RUNTIME_DIR or the temporary directory.  Its lock is held for as long as the run's parent lives, so
what a killed run left behind can be told from a living run's and is removed by the next start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

PREFIX = "biopose-live-"
SOCKET_PATH_LIMIT = 100  # bytes; sockaddr_un holds 104 (macOS) or 108 (Linux)
LONGEST_NAME = 16
_LOCK = "lock"
_RING = "ring"


def runtime_base() -> Path:
    """-> where run directories are made: short enough for socket addresses, writable, private or sticky."""
    candidates = [Path(tempfile.gettempdir()), Path("/tmp")]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        candidates.insert(0, Path(runtime))
    for base in candidates:
        room = SOCKET_PATH_LIMIT - len(os.fsencode(base)) - len(PREFIX) - 10 - LONGEST_NAME
        if room >= 0 and base.is_dir() and os.access(base, os.W_OK | os.X_OK):
            return base
    raise OSError(f"no directory for sockets: tried {', '.join(map(str, candidates))}")


class SessionDirectory:
    """Made on construction; `remove()` takes everything away again."""

    def __init__(self, ring: str) -> None:
        base = runtime_base()
        sweep(base)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        (self.path / _RING).write_text(ring)
        # Locked before it gets its name: a sweep never sees an unlocked lock of a living run.
        unlocked = self.path / f"{_LOCK}.new"
        self._lock = unlocked.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unlocked.rename(self.path / _LOCK)

    def log(self, stage: str) -> Path:
        """-> the file that takes a stage's standard output and error."""
        return self.path / f"{stage}.log"

    def keep_logs(self) -> Path:
        """-> where the logs were copied to, out of this directory's way; replaces those of the failure before."""
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        kept = state / "biopose-live" / "last-failure"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True, exist_ok=True)
        for log in self.path.glob("*.log"):
            shutil.copyfile(log, kept / log.name)
        return kept

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def sweep(base: Path) -> None:
    """Removes what killed runs of this user left in `base`, with their shared memory."""
    for left in base.glob(f"{PREFIX}*"):
        try:
            if left.stat().st_uid != os.getuid():
                continue
            with (left / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.suppress(FileNotFoundError):
                    memory = SharedMemory((left / _RING).read_text())
                    memory.close()
                    memory.unlink()
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # in use by a living run, removed by another sweep, or not ours
