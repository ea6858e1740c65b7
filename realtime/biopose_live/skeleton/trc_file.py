"""Reads marker trajectories (``.trc``, Motion Analysis' format) as OpenSim, Cortex, Vicon and Pose2Sim write them.

Layout: a line that begins with PathFileType; a line of keys and a line of their values; the marker names, three columns
each; a line of axis labels (X1 Y1 Z1 ...); perhaps an empty line; one row per frame: number, time (s), positions.
Accepted beyond what OpenSim 4.6 reads: empty cells for a marker that was not seen, trailing tabs, blanks for tabs.

Dimensions: T frames, M markers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biopose_live.errors import EXIT_SOURCE, UserError

from .model import FloatArray
from .text_table import Lines, read_text, shown

# What the Units cell may say (in lower case) -> metres.
UNITS = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 0.01),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 0.001),
}


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Marker ``positions`` (T, M, 3) m at ``times`` (T,) s, NaN for a marker that was not seen; ``rate`` in Hz.

    ``units`` is the file's own word. ``damage`` says what was left out of a file that was cut short, else None.
    """

    names: tuple[str, ...]
    times: FloatArray
    positions: FloatArray
    rate: float
    units: str
    damage: str | None = None


def read_trc(path: str | Path, whole: bool = True) -> Trajectories:
    """The trajectories in a ``.trc`` file. Raises UserError (source), see `parse_trc`."""
    return parse_trc(read_text(path), Path(path).name, whole)


def parse_trc(text: str, name: str, whole: bool = True) -> Trajectories:
    """The trajectories in the text of a ``.trc`` file called ``name``.

    ``whole`` refuses a file that holds another number of rows than it announces; else rows up to a last one that was
    cut short are given and `Trajectories.damage` says so. Raises UserError (source), one sentence with the line, for
    anything that is not such a file.
    """
    lines = Lines(text, name, ".trc")
    facts = _facts(lines)
    frames, markers = (lines.whole(2, facts[key], key) for key in ("NumFrames", "NumMarkers"))
    factor = UNITS.get(facts["Units"].lower())
    if factor is None:
        lines.fail(2, f"gives the units as {shown(facts['Units'])}, expected m, cm or mm")
    rate = lines.numbers(2, [facts["DataRate"]], ["DataRate"])[0]
    if not rate > 0.0:
        lines.fail(2, f"gives the data rate as {shown(facts['DataRate'])}, expected a number above zero")
    names = _names(lines, markers)
    lines.get(4, "the axis labels (X1, Y1, Z1, ...)")
    axes = lines.cells(4)
    if not any(cell.upper().startswith("X") for cell in axes) or any(_plain_number(cell) for cell in axes):
        lines.fail(4, "is no line of axis labels (X1, Y1, Z1, ...)")
    times, rows, damage = _rows(lines, names, whole)
    if len(times) != frames:
        found = f"{name} announces {frames} frames and holds {len(times)}"
        if whole:
            raise UserError(f"{found}: it was cut short or damaged; export it again.", EXIT_SOURCE)
        damage = damage or found
    positions = np.array(rows).reshape(len(rows), markers, 3) * factor
    positions[np.isnan(positions).any(axis=2)] = np.nan
    return Trajectories(names, np.array(times), positions, rate, facts["Units"], damage)


def _facts(lines: Lines) -> dict[str, str]:
    """The header's keys and values; the four that matter here are present."""
    if not lines.lines[0].lstrip().startswith("PathFileType"):
        lines.fail(0, f"begins with {shown(lines.lines[0][:20])}, expected PathFileType")
    keys, values = lines.get(1, "the header's keys").split(), lines.get(2, "the header's values").split()
    if len(keys) != len(values):
        lines.fail(2, f"holds {len(values)} values for the {len(keys)} keys before it")
    facts = dict(zip(keys, values, strict=True))
    for key in ("DataRate", "NumFrames", "NumMarkers", "Units"):
        if key not in facts:
            lines.fail(1, f"lacks the key {key}")
    return facts


def _names(lines: Lines, markers: int) -> tuple[str, ...]:
    line = lines.get(3, "the marker names")
    cells = lines.cells(3) if "\t" in line else line.split()
    if len(cells) < 2 or cells[0].rstrip("#").lower() != "frame" or cells[1].lower() != "time":
        lines.fail(3, f"begins with {shown(line[:20])}, expected Frame# and Time")
    names = tuple(cell for cell in cells[2:] if cell)
    if len(names) != markers or not names:
        lines.fail(3, f"holds {len(names)} marker names, but NumMarkers is {markers}")
    lines.distinct(3, names, "marker")
    return names


def _plain_number(cell: str) -> bool:
    return bool(cell) and cell.lstrip("+-").replace(".", "", 1).isdigit()


def _rows(lines: Lines, names: tuple[str, ...], whole: bool) -> tuple[list[float], list[list[float]], str | None]:
    """Times, coordinates, and what a last row that was cut short says."""
    columns = ["Frame#", "Time", *(f"{axis} of {marker}" for marker in names for axis in "XYZ")]
    last = max((number for number, line in enumerate(lines.lines) if line.strip()), default=0)
    times: list[float] = []
    rows: list[list[float]] = []
    for number in range(5, last + 1):
        if not lines.lines[number].strip():
            continue
        try:
            time, values = _row(lines, number, columns)
        except UserError as error:
            if whole or number < last:
                raise
            return times, rows, str(error)
        if times and time <= times[-1]:
            lines.fail(number, f"has the time {time:g} s, which does not follow {times[-1]:g} s")
        times.append(time)
        rows.append(values)
    return times, rows, None


def _row(lines: Lines, number: int, columns: list[str]) -> tuple[float, list[float]]:
    cells = lines.cells(number)
    missing = len(columns) - len(cells)
    # Cells of the last markers may be empty: the tabs are there, or nothing is.
    if missing > 0 and lines.lines[number].count("\t") >= len(columns) - 1:
        cells += [""] * missing
    if len(cells) != len(columns):
        lines.fail(number, f"holds {len(cells)} cells, expected {len(columns)}")
    values = lines.numbers(number, cells, columns, skip=1)
    if math.isnan(values[0]):
        lines.fail(number, "has no time")
    return values[0], values[1:]
