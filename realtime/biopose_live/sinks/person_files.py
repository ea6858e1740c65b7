"""One person's OpenSim files in a recording: coordinates (.mot), skeleton markers (.trc) and the scaled model (.osim).

Rows are written as the frames come.  Markers are those of the skeleton, posed by the recorded coordinates and bone
scales, in the world frame (x forward, y up, z right; m).  The first person's files carry the plain names, another
person's its id (`angles_2.mot`).
"""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from biopose_client.schema import Person
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.opensim_formats import MotionWriter, TrajectoryWriter
from biopose_live.skeleton.osim_writer import write_scaled_osim

RATE_ROWS = 8  # rows that wait until the frame rate, which the header of a .trc states, is known
FALLBACK_RATE = 30.0  # Hz, when there is one row only


class PersonReport(msgspec.Struct):
    """What was written for one person, for `session.json`."""

    id: int
    angles: str
    markers: str
    skeleton: str
    rows: int
    skipped: int  # frames whose coordinates were not finite or whose time did not advance


class PersonFiles:
    """The set of one person; `append` and `close` raise OSError or UserError when the disk fails."""

    def __init__(self, folder: Path, person_id: int, plain: bool, kinematics: Kinematics) -> None:
        suffix = _free_suffix(folder, "" if plain else f"_{person_id}")
        self.id = person_id
        self._kinematics = kinematics
        self._angles_path = folder / f"angles{suffix}.mot"
        self._markers_path = folder / f"markers{suffix}.trc"
        self._skeleton_path = folder / f"skeleton{suffix}.osim"
        self._waiting: list[tuple[float, NDArray[np.float64], NDArray[np.float64]]] = []
        self._angles: MotionWriter | None = None
        self._markers: TrajectoryWriter | None = None
        self._last_time = -np.inf
        self._scales: NDArray[np.float64] | None = None
        self._written_scales: NDArray[np.float64] | None = None
        self._skipped = 0

    def append(self, time_s: float, person: Person) -> None:
        """Takes one frame's coordinates and scales; `time_s` counts from the recording's first frame."""
        q, scales = np.asarray(person.q, float), np.asarray(person.scales, float)
        if time_s <= self._last_time or not (np.isfinite(q).all() and np.isfinite(scales).all()):
            self._skipped += 1
            return
        self._last_time = time_s
        self._scales = scales
        if person.settled and self._written_scales is None:
            self._write_skeleton(scales)  # early, so that a run that is killed has one
        if self._angles is not None:
            self._write_row(time_s, q, scales)
            return
        self._waiting.append((time_s, q, scales))
        if len(self._waiting) >= RATE_ROWS:
            self._open()

    def _open(self) -> None:
        times = [row[0] for row in self._waiting]
        steps = [after - before for before, after in itertools.pairwise(times)]
        rate = round(1.0 / statistics.median(steps), 2) if steps else FALLBACK_RATE
        model = self._kinematics.model
        self._angles = MotionWriter.for_model(self._angles_path, model)
        self._markers = TrajectoryWriter(self._markers_path, model.marker_names, max(rate, 0.01))
        for row in self._waiting:
            self._write_row(*row)
        self._waiting.clear()

    def _write_row(self, time_s: float, q: NDArray[np.float64], scales: NDArray[np.float64]) -> None:
        assert self._angles is not None
        assert self._markers is not None
        self._angles.append(time_s, q)
        self._markers.append(time_s, self._kinematics.markers(q, scales))

    def _write_skeleton(self, scales: NDArray[np.float64]) -> None:
        write_scaled_osim(self._kinematics.model, scales, None, self._skeleton_path)
        self._written_scales = scales

    def complete(self) -> None:
        """Writes what is still missing; call `close` in any case."""
        if self._waiting:
            self._open()
        written = self._written_scales
        if self._scales is not None and (written is None or not np.array_equal(self._scales, written)):
            self._write_skeleton(self._scales)

    def close(self) -> PersonReport:
        """Closes the files; -> what is in them."""
        for writer in (self._angles, self._markers):
            if writer is not None:
                writer.close()
        return PersonReport(
            id=self.id,
            angles=self._angles_path.name,
            markers=self._markers_path.name,
            skeleton=self._skeleton_path.name,
            rows=0 if self._angles is None else self._angles.rows,
            skipped=self._skipped,
        )


def _free_suffix(folder: Path, suffix: str) -> str:
    """-> a suffix that no file has yet: a restarted process goes on in a new part, it overwrites nothing."""
    part = 1
    found = suffix
    while (folder / f"angles{found}.mot").exists() or (folder / f"skeleton{found}.osim").exists():
        part += 1
        found = f"{suffix}_part{part}"
    return found
