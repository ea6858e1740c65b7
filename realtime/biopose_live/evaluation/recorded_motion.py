"""A recording as arrays over frames: the joints and coordinates of its most confident person.

Dimension letters: F frames (by capture number, so dropped frames are gaps), J joints, C coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biopose_client.schema import Person
from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.sinks.recording import Recording

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RecordedMotion:
    """One recording; `people[k]` is who was found in captured frame k, None where nobody was."""

    folder: Path
    joint_names: Sequence[str]
    coordinate_names: Sequence[str]
    people: Sequence[Person | None]

    def joints(self, names: Sequence[str]) -> Floats:
        """-> (F, J, 3) m in the camera frame, NaN where nobody was found; raises UserError for an unknown joint."""
        index = self._indices(names, self.joint_names, "joint")
        empty = [[np.nan] * 3] * len(index)
        return np.array([empty if p is None else [p.joints[i] for i in index] for p in self.people], np.float64)

    def coordinates(self, names: Sequence[str]) -> Floats:
        """-> (F, C) rad or m; frames with nobody repeat the last one before them, or the first at the beginning.

        Raises UserError for an unknown coordinate, and when nobody was found in any frame.
        """
        index = self._indices(names, self.coordinate_names, "coordinate")
        first = next((p for p in self.people if p is not None), None)
        if first is None:
            raise UserError(f"{self.folder} holds nobody in any frame: there is nothing to score.", EXIT_SOURCE)
        rows, last = [], first
        for person in self.people:
            last = person or last
            rows.append([last.q[i] for i in index])
        return np.array(rows, np.float64)

    def _indices(self, names: Sequence[str], known: Sequence[str], kind: str) -> list[int]:
        missing = [name for name in names if name not in known]
        if missing:
            raise UserError(
                f"{self.folder} has no {kind} {missing[0]}: it was recorded with another skeleton.", EXIT_SOURCE
            )
        return [known.index(name) for name in names]


def read_motion(folder: Path | str) -> RecordedMotion:
    """-> a recording folder's motion; raises UserError when it is no recording or holds no frame."""
    recording = Recording(folder)
    found: dict[int, Person | None] = {}
    for pose in recording:
        found[pose.seq] = max(pose.people, key=lambda person: person.confidence) if pose.people else None
    if not found:
        raise UserError(f"The recording {folder} holds no frame: record again.", EXIT_SOURCE)
    people = [found.get(seq) for seq in range(max(found) + 1)]
    return RecordedMotion(recording.folder, recording.meta.joint_names, recording.meta.coordinate_names, people)
