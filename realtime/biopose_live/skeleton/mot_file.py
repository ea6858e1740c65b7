"""Reads motion files (``.mot``, ``.sto``: OpenSim Storage; also SIMM's older header) into named columns.

Layout: header lines, some of them ``key=value`` (``nRows``, ``nColumns``, ``inDegrees``; SIMM: ``datarows 10``), then
``endheader``, the column names with ``time`` first, and one row per frame.  OpenSim takes a file without ``inDegrees``
to be in radians, and so does this reader.

Dimensions: T frames, C columns beside time.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biopose_live.errors import EXIT_SOURCE, UserError

from .model import FloatArray, SkeletonModel
from .text_table import Lines, read_text, shown

MAX_HEADER_LINES = 200
_FACT = re.compile(r"\s*(nRows|nColumns|datarows|datacolumns|inDegrees)\s*[=\s]\s*(\S.*)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Motion:
    """``values`` (T, C) of the columns ``names`` at ``times`` (T,) s, in the file's own units (see ``in_degrees``).

    Values that the file gives as NaN are NaN. ``damage`` says what was left out of a file that was cut short.
    """

    names: tuple[str, ...]
    times: FloatArray
    values: FloatArray
    in_degrees: bool
    damage: str | None = None

    def coordinates(self, model: SkeletonModel) -> FloatArray:
        """The coordinates (T, Q) rad or m of ``model``; those without a column have their default.

        OpenSim's state names (``/jointset/hip_r/hip_flexion_r/value``) count as the coordinate's. Raises UserError
        (source) when no column belongs to the model.
        """
        columns = {name.removesuffix("/value").rsplit("/", 1)[-1]: at for at, name in enumerate(self.names)}
        q = np.tile(model.default_pose(), (len(self.times), 1))
        found = 0
        for number, coordinate in enumerate(model.coordinates):
            at = columns.get(coordinate.name)
            if at is not None:
                found += 1
                q[:, number] = self.values[:, at]
                if coordinate.in_degrees and self.in_degrees:
                    q[:, number] = np.radians(q[:, number])
        if not found:
            raise UserError(
                f"The motion file has no column for any coordinate of the skeleton {model.name}: it belongs to another "
                f"skeleton.",
                EXIT_SOURCE,
            )
        return q


def read_mot(path: str | Path, whole: bool = True) -> Motion:
    """The motion in a ``.mot`` or ``.sto`` file. Raises UserError (source), see `parse_mot`."""
    return parse_mot(read_text(path), Path(path).name, whole)


def parse_mot(text: str, name: str, whole: bool = True) -> Motion:
    """The motion in the text of a ``.mot`` file called ``name``.

    ``whole`` refuses a file that holds another number of rows than it announces; else rows up to a last one that was
    cut short are given and `Motion.damage` says so. Raises UserError (source), one sentence with the line, for
    anything that is not such a file.
    """
    lines = Lines(text, name, ".mot")
    facts, labels_at = _header(lines)
    labels = lines.get(labels_at, "the column names").split()
    if not labels or labels[0].lower() != "time" or len(labels) < 2:
        lines.fail(labels_at, f"begins with {shown(labels[0] if labels else '')}, expected time and column names")
    lines.distinct(labels_at, labels, "column")
    if "columns" in facts and facts["columns"] != len(labels):
        lines.fail(labels_at, f"holds {len(labels)} column names, but the header announces {facts['columns']}")
    rows, damage = _rows(lines, labels_at + 1, labels, whole)
    if "rows" in facts and facts["rows"] != len(rows):
        found = f"{name} announces {facts['rows']} rows and holds {len(rows)}"
        if whole:
            raise UserError(f"{found}: it was cut short or damaged; export it again.", EXIT_SOURCE)
        damage = damage or found
    table = np.array(rows).reshape(len(rows), len(labels))
    return Motion(tuple(labels[1:]), table[:, 0].copy(), table[:, 1:].copy(), bool(facts.get("degrees")), damage)


def _header(lines: Lines) -> tuple[dict[str, int], int]:
    """What the header says (``rows``, ``columns``, ``degrees``), and the number of the line after it."""
    facts: dict[str, int] = {}
    for number, line in enumerate(lines.lines[:MAX_HEADER_LINES]):
        if line.strip().lower() == "endheader":
            after = number + 1
            while after < len(lines.lines) and not lines.lines[after].strip():
                after += 1
            return facts, after
        match = _FACT.fullmatch(line.rstrip())
        if match is None:
            continue
        key, value = match[1].lower(), match[2].strip()
        if key == "indegrees":
            if value.lower() not in ("yes", "no"):
                lines.fail(number, f"gives inDegrees as {shown(value)}, expected yes or no")
            facts["degrees"] = value.lower() == "yes"
        else:
            facts["rows" if key.endswith("rows") else "columns"] = lines.whole(number, value, match[1])
    raise lines.fault(min(len(lines.lines), MAX_HEADER_LINES) - 1, "is reached without endheader")


def _rows(lines: Lines, start: int, labels: list[str], whole: bool) -> tuple[list[list[float]], str | None]:
    """Rows with their time, and what a last row that was cut short says."""
    last = max((number for number, line in enumerate(lines.lines) if line.strip()), default=0)
    rows: list[list[float]] = []
    for number in range(start, last + 1):
        cells = lines.lines[number].split()
        if not cells:
            continue
        try:
            if len(cells) != len(labels):
                lines.fail(number, f"holds {len(cells)} cells, expected {len(labels)}")
            row = lines.numbers(number, cells, labels)
            if math.isnan(row[0]):
                lines.fail(number, "has no time")
        except UserError as error:
            if whole or number < last:
                raise
            return rows, str(error)
        if rows and row[0] <= rows[-1][0]:
            lines.fail(number, f"has the time {row[0]:g} s, which does not follow {rows[-1][0]:g} s")
        rows.append(row)
    return rows, None
