"""Measuring a person from the page: what a viewer wishes, how far it is, and where the person's file goes.

The measuring itself is the mqhmr stage's (`pipeline.live_calibration`); wishes and news travel through the supervisor.
"""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from biopose_live.errors import EXIT_SINK, UserError
from biopose_live.pipeline.live_calibration import CalibrationState, CalibrationWish
from biopose_live.settings import HEIGHTS

SILENCE_S = 8.0  # without news: the process that measured is gone
LONGEST_NAME = 40
_NO_FILE_NAME = re.compile(r"[^\w-]+")


class CalibrationRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What the page asks for; `person` None: whoever is seen first; `height` in m."""

    person: int | None = None
    height: float | None = None
    name: str = ""


def people_folder() -> Path:
    """-> where people's calibrations are kept (XDG Base Directory Specification)."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "biopose-live" / "people"


def file_for(name: str, folder: Path) -> Path:
    """-> a file that does not exist yet, named after a person as far as a file's name can be."""
    plain = _NO_FILE_NAME.sub("-", name).strip("-_")[:LONGEST_NAME] or "person"
    path, number = folder / f"{plain}.json", 1
    while path.exists() or path.with_suffix(".osim").exists():
        number += 1
        path = folder / f"{plain}-{number}.json"
    return path


class CalibrationDesk:
    """One measurement at a time; `wish` and `update` are the sinks' thread's, the rest the server's."""

    def __init__(self, settings: dict[str, Any], folder: Path | None = None) -> None:
        self.wish: CalibrationWish | None = None
        self._folder = folder or people_folder()
        self._source = _source_of(settings)
        self._state: CalibrationState | None = None
        self._lock = threading.Lock()
        # Numbers go on after a restart of this process, so that an old wish is not taken for a new one.
        self._number = time.monotonic_ns()
        self._heard = 0.0

    def start(self, asked: CalibrationRequest) -> None:
        """Raises UserError when somebody is being measured, or the height is none."""
        with self._lock:
            if self._running() is not None:
                raise UserError("Somebody is being measured already: wait, or cancel that first.", EXIT_SINK)
            if asked.height is not None and not HEIGHTS[0] <= asked.height <= HEIGHTS[1]:
                raise UserError(
                    f"A height of {asked.height:g} m cannot be used: it must be from {HEIGHTS[0]:g} to {HEIGHTS[1]:g} "
                    f"m.",
                    EXIT_SINK,
                )
            self._number += 1
            out = file_for(asked.name, self._folder)
            self.wish = CalibrationWish(self._number, str(out), asked.person, asked.height)
            self._state = CalibrationState(self._number, "measuring")
            self._heard = time.monotonic()

    def cancel(self) -> None:
        """Ends a measurement that goes on."""
        with self._lock:
            if self._running() is None:
                return
            self._state = CalibrationState(self._number, "cancelled")
            self._number += 1
            self.wish = CalibrationWish(self._number)

    def update(self, state: CalibrationState) -> None:
        """Takes news of a measurement."""
        with self._lock:
            if self._state is not None and state.number == self._state.number:
                self._state = state
                self._heard = time.monotonic()

    def told(self) -> dict[str, Any]:
        """-> what the page is told; `moves` are the instructions, in order, with their seconds."""
        from biopose_live.pipeline.moves import MOVES

        with self._lock:
            self._running()
            state = self._state
        told: dict[str, Any] = {"phase": "idle"} if state is None else msgspec.to_builtins(state)
        told["moves"] = [{"instruction": move.instruction, "seconds": move.seconds} for move in MOVES]
        if state is not None and state.phase == "done":
            told["command"] = f"biopose-live {self._source} --calibration {state.file}"
        return told

    def _running(self) -> CalibrationState | None:
        state = self._state
        if state is None or state.phase not in ("measuring", "computing"):
            return None
        if time.monotonic() - self._heard > SILENCE_S:
            sentence = "The measurement was interrupted, since its process was started anew: begin again."
            self._state = CalibrationState(state.number, "failed", sentences=[sentence])
            return None
        return state


def _source_of(settings: dict[str, Any]) -> str:
    """-> the option that names the run's source; an address may hold a password."""
    if settings.get("camera") is not None:
        return f"--camera {settings['camera']}"
    if settings.get("video") is not None:
        return f"--video {settings['video']}"
    return "--demo" if settings.get("demo") else "--url …"
