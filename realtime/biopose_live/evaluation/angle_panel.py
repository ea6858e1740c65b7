"""The panel under a tile of the overlay: the main joint angles as numbers, hip and knee over the last seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from biopose_client.schema import Meta, Person, Pose
from biopose_live.evaluation.palette import DIM, GRID, LEFT, RIGHT, WHITE, Colour

Picture = NDArray[np.uint8]

PANEL_HEIGHT = 184  # px
_NUMBERS = (
    ("hip flexion", "hip_flexion"), ("knee", "knee_angle"), ("ankle", "ankle_angle"),
    ("shoulder", "arm_flex"), ("elbow", "elbow_flex"),
)  # fmt: skip
_PLOTS = (("hip flexion", "hip_flexion"), ("knee flexion", "knee_angle"))
_PLOT_LEFT, _PLOT_RIGHT = 216, 10  # px: where the plots begin, and what is left free at the right
_LOWEST, _HIGHEST, _GRID_STEP = -30.0, 150.0, 60.0  # degrees
_SIDES: tuple[tuple[str, Colour], ...] = (("l", LEFT), ("r", RIGHT))


def draw_panel(
    panel: Picture, history: Sequence[Pose], meta: Meta, person: Person | None, seconds: float, scale: int
) -> None:
    """Draws into `panel` (PANEL_HEIGHT * scale, any width, 3) the angles of `person` in the last pose of `history`.

    The plots' right edge is that pose's time, their left edge `seconds` earlier; frames in which this person is
    missing leave a gap.
    """
    brush = _Brush(panel, scale)
    index = {name: i for i, name in enumerate(meta.coordinate_names)}
    brush.text("degrees", 14, 24, DIM)
    brush.text("left", 152, 24, LEFT, right=True)
    brush.text("right", 202, 24, RIGHT, right=True)
    for row, (label, coordinate) in enumerate(_NUMBERS):
        y = 54 + 28 * row
        brush.text(label, 14, y, WHITE)
        for (side, _), x in zip(_SIDES, (152, 202), strict=True):
            i = index.get(f"{coordinate}_{side}")
            value = "-" if person is None or i is None else f"{math.degrees(person.q[i]):.0f}"
            brush.text(value, x, y, WHITE, right=True)
    width = panel.shape[1] / scale
    for row, (label, coordinate) in enumerate(_PLOTS):
        top = 24.0 + row * 86.0
        brush.plot(_PLOT_LEFT + 28, top, width - _PLOT_RIGHT, top + 66.0)
        for side, colour in _SIDES:
            i = index.get(f"{coordinate}_{side}")
            if person is not None and i is not None:
                brush.curve(_course(history, person.id, i), seconds, colour)
        brush.text(label, _PLOT_LEFT + 28, top - 4, DIM, small=True)


def _course(history: Sequence[Pose], person: int, coordinate: int) -> list[tuple[float, float]]:
    """-> (s before the last pose, degrees; NaN where the person is missing)."""
    now = history[-1].t_capture
    course = []
    for pose in history:
        found = next((p for p in pose.people if p.id == person), None)
        value = math.nan if found is None else math.degrees(found.q[coordinate])
        course.append(((now - pose.t_capture) * 1e-9, value))
    return course


class _Brush:
    """Draws in the panel's own pixels, whatever the supersampling."""

    def __init__(self, panel: Picture, scale: int) -> None:
        self._panel = panel
        self._scale = scale
        self._area = (0.0, 0.0, 1.0, 1.0)

    def text(self, text: str, x: float, y: float, colour: Colour, right: bool = False, small: bool = False) -> None:
        """`y` is the base line; `x` the text's left end, or its right end."""
        font, size, weight = cv2.FONT_HERSHEY_SIMPLEX, (0.40 if small else 0.47) * self._scale, max(1, self._scale // 2)
        if right:
            x -= cv2.getTextSize(text, font, size, weight)[0][0] / self._scale
        cv2.putText(self._panel, text, self._at(x, y), font, size, colour, weight, cv2.LINE_AA)

    def plot(self, left: float, top: float, right: float, bottom: float) -> None:
        """Begins a plot: its grid and the degrees at its left side."""
        self._area = (left, top, right, bottom)
        for degrees in np.arange(0.0, _HIGHEST, _GRID_STEP):
            y = self._height(degrees)
            cv2.line(self._panel, self._at(left, y), self._at(right, y), GRID, max(1, self._scale // 2), cv2.LINE_AA)
            self.text(f"{degrees:.0f}", left - 5, y + 4, DIM, right=True, small=True)

    def curve(self, course: Sequence[tuple[float, float]], seconds: float, colour: Colour) -> None:
        """Draws (s ago, degrees) as a line that ends in a dot at the plot's right edge."""
        left, _, right, _ = self._area
        points = [(right - 5 - (right - left - 5) * ago / seconds, self._height(value)) for ago, value in course]
        whole = [None if math.isnan(y) else self._at(x, y) for x, y in points]
        for a, b in pairwise(whole):
            if a is not None and b is not None:
                cv2.line(self._panel, a, b, colour, self._scale, cv2.LINE_AA)
        if whole and whole[-1] is not None:
            cv2.circle(self._panel, whole[-1], 3 * self._scale, colour, cv2.FILLED, cv2.LINE_AA)

    def _height(self, degrees: float) -> float:
        _, top, _, bottom = self._area
        share = (min(max(degrees, _LOWEST), _HIGHEST) - _LOWEST) / (_HIGHEST - _LOWEST)
        return math.nan if math.isnan(degrees) else bottom - share * (bottom - top)

    def _at(self, x: float, y: float) -> tuple[int, int]:
        return round(x * self._scale), round(y * self._scale)
