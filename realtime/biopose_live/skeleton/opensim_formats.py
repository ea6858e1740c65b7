"""OpenSim's motion (``.mot``) and marker trajectory (``.trc``) files, written row by row while recording.

Each row goes to the file in one write, and then the row count in the header is set right in place. A file whose writer
died is therefore complete up to its last row and opens as it is; a row that a full disk cut short is taken back.

``.mot``: OpenSim Storage, version 1, angles in degrees, translations in metres, tab separated, ``time`` first.
``.trc``: Motion Analysis' format as OpenSim reads it, ``NaN`` for a marker that was not seen.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from biopose_live.errors import EXIT_SINK, UserError

from .model import FloatArray, SkeletonModel

COUNT_WIDTH = 10


class _RowFile:
    """A text file that grows by whole rows and knows where in its header the row count stands."""

    def __init__(self, path: str | Path, header: str) -> None:
        """Create ``path``. ``header`` holds ``{count}`` wherever the number of rows belongs. Raises UserError."""
        self.path = Path(path)
        self.rows = 0
        self.last_time = -math.inf
        self._places: list[int] = []
        text = b""
        for number, part in enumerate(header.encode().split(b"{count}")):
            if number:
                self._places.append(len(text))
                text += self._count()
            text += part
        try:
            self._file: int | None = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o644)
        except OSError as error:
            raise self._fault(error) from None
        self._length = 0
        self._write(text)

    def _count(self) -> bytes:
        return str(self.rows).rjust(COUNT_WIDTH, "0").encode()

    def _fault(self, error: OSError) -> UserError:
        kept = f"its first {self.rows} rows are kept; " if self.rows else ""
        return UserError(
            f"Cannot write {self.path}: {error.strerror or error}; {kept}free some space or choose another folder.",
            EXIT_SINK,
        )

    def _write(self, data: bytes) -> None:
        if self._file is None:
            raise ValueError(f"{self.path} is closed")
        start = self._length
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            # Take back the part of a row that was written: half a row would make the whole file unreadable.
            os.ftruncate(self._file, start)
            os.lseek(self._file, start, os.SEEK_SET)
            raise self._fault(error) from None
        self._length = start + len(data)

    def _append(self, time: float, cells: Sequence[str]) -> None:
        if not math.isfinite(time) or time <= self.last_time:
            raise ValueError(f"row times must rise: {time} s follows {self.last_time} s")
        self._write(("\t".join(cells) + "\n").encode())
        self.last_time = time
        self.rows += 1
        self._set_count()

    def _set_count(self) -> None:
        if self._file is None:
            raise ValueError(f"{self.path} is closed")
        try:
            for place in self._places:
                os.lseek(self._file, place, os.SEEK_SET)
                os.write(self._file, self._count())
            os.lseek(self._file, self._length, os.SEEK_SET)
        except OSError as error:
            raise self._fault(error) from None

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_BINARY = getattr(os, "O_BINARY", 0)


class MotionWriter(_RowFile):
    """Writes joint angles to a ``.mot`` file, one `append` per frame."""

    def __init__(self, path: str | Path, names: Sequence[str], rotational: Sequence[bool]) -> None:
        """Columns ``names`` (Q); those where ``rotational`` is true are given in rad and written in degrees.

        Raises UserError when the file cannot be created, ValueError for names that the format cannot hold.
        """
        _check_names(names, "coordinate")
        if len(rotational) != len(names):
            raise ValueError(f"{len(names)} names but {len(rotational)} kinds")
        self._factors = np.where(np.asarray(rotational, bool), 180.0 / np.pi, 1.0)
        lines = [
            "Coordinates",
            "version=1",
            "nRows={count}",
            f"nColumns={len(names) + 1}",
            "inDegrees=yes",
            "endheader",
            "\t".join(["time", *names]),
            "",
        ]
        super().__init__(path, "\n".join(lines))

    @classmethod
    def for_model(cls, path: str | Path, model: SkeletonModel) -> Self:
        """A writer with every coordinate of ``model``, in its order."""
        return cls(path, model.coordinate_names, [c.in_degrees for c in model.coordinates])

    def append(self, time: float, q: FloatArray) -> None:
        """Add the row of ``time`` (s, later than the last) with coordinates ``q`` (Q,) rad or m.

        Raises UserError when the disk is full, ValueError for a wrong shape, a value not finite, or an old time.
        """
        values = np.asarray(q, float)
        if values.shape != self._factors.shape or not np.all(np.isfinite(values)):
            raise ValueError(f"q must be {len(self._factors)} finite numbers, got shape {values.shape}")
        self._append(time, [f"{time:.6f}", *(f"{value:.8f}" for value in values * self._factors)])


class TrajectoryWriter(_RowFile):
    """Writes marker positions to a ``.trc`` file, one `append` per frame."""

    def __init__(self, path: str | Path, names: Sequence[str], rate: float, units: str = "m") -> None:
        """Markers ``names`` (M) at a nominal ``rate`` (Hz); positions are written in ``units``, ``m`` or ``mm``.

        Raises UserError when the file cannot be created, ValueError for other units, rates or names.
        """
        _check_names(names, "marker")
        if units not in ("m", "mm"):
            raise ValueError(f"units are {units!r}, expected m or mm")
        if not (math.isfinite(rate) and rate > 0.0):
            raise ValueError(f"the rate is {rate} Hz, expected a number above zero")
        self._names = len(names)
        self._factor, self._format = (1.0, "%.7f") if units == "m" else (1000.0, "%.4f")
        keys = [
            "DataRate",
            "CameraRate",
            "NumFrames",
            "NumMarkers",
            "Units",
            "OrigDataRate",
            "OrigDataStartFrame",
            "OrigNumFrames",
        ]
        frequency = f"{rate:g}"
        facts = [frequency, frequency, "{count}", str(len(names)), units, frequency, "1", "{count}"]
        axes = [f"{axis}{number}" for number in range(1, len(names) + 1) for axis in "XYZ"]
        lines = [
            f"PathFileType\t4\t(X/Y/Z)\t{Path(path).name}".replace("{", "(").replace("}", ")"),
            "\t".join(keys),
            "\t".join(facts),
            "\t".join(["Frame#", "Time", *(f"{name}\t\t" for name in names)]),
            "\t".join(["", "", *axes]),
            "",
            "",
        ]
        super().__init__(path, "\n".join(lines))

    def append(self, time: float, markers: FloatArray) -> None:
        """Add the row of ``time`` (s, later than the last) with ``markers`` (M, 3) m; NaN for one that was not seen.

        Raises UserError when the disk is full, ValueError for a wrong shape or an old time.
        """
        points = np.asarray(markers, float)
        if points.shape != (self._names, 3):
            raise ValueError(f"markers have shape {points.shape}, expected ({self._names}, 3)")
        seen = np.isfinite(points).all(axis=1)
        cells = [str(self.rows + 1), f"{time:.6f}"]
        for point, visible in zip(points * self._factor, seen, strict=True):
            cells += [self._format % value for value in point] if visible else ["NaN", "NaN", "NaN"]
        self._append(time, cells)


def _check_names(names: Sequence[str], kind: str) -> None:
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{kind} names must be given and differ")
    for name in names:
        if not name or any(character.isspace() or character in "{}" for character in name):
            raise ValueError(f"the {kind} name {name!r} cannot stand in a tab-separated header")
