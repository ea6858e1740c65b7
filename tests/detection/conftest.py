"""A person to look at: drawn, so that no photograph is needed, and drawn well enough for MediaPipe to recognise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

SKIN, SHIRT, TROUSERS, SHOE, HAIR = (224, 172, 140), (180, 40, 40), (40, 50, 90), (30, 30, 30), (60, 40, 30)
TALL = 1.75  # m, of the figure below, whose hips are the origin; x right, y down

# (from, to, radius from, radius to, colour), m; drawn in this order.  Those of SIDED are drawn on both sides.
SIDED = [
    ((0.10, 0.00), (0.12, 0.42), 0.085, 0.060, TROUSERS),
    ((0.12, 0.42), (0.13, 0.84), 0.058, 0.040, TROUSERS),
    ((0.13, 0.86), (0.20, 0.90), 0.040, 0.030, SHOE),
    ((0.19, -0.50), (0.30, -0.25), 0.055, 0.045, SHIRT),
    ((0.30, -0.25), (0.36, 0.00), 0.042, 0.030, SKIN),
    ((0.36, 0.00), (0.38, 0.08), 0.035, 0.025, SKIN),
]
MIDDLE = [
    *(((x, -0.48), (0.85 * x, 0.0), 0.09, 0.09, SHIRT) for x in (-0.12, -0.06, 0.0, 0.06, 0.12)),
    ((0.0, -0.60), (0.0, -0.52), 0.055, 0.060, SKIN),
    ((0.0, -0.79), (0.0, -0.77), 0.100, 0.100, HAIR),
    ((0.0, -0.72), (0.0, -0.66), 0.085, 0.075, SKIN),
    ((-0.035, -0.71), (-0.034, -0.71), 0.013, 0.013, (20, 20, 20)),
    ((0.035, -0.71), (0.036, -0.71), 0.013, 0.013, (20, 20, 20)),
    ((0.0, -0.69), (0.0, -0.665), 0.012, 0.016, (200, 140, 110)),
    ((-0.025, -0.625), (0.025, -0.625), 0.008, 0.008, (150, 60, 60)),
]
# MediaPipe's left is the person's own, on the right of the picture.
JOINTS = {
    11: (0.19, -0.50),
    12: (-0.19, -0.50),
    13: (0.30, -0.25),
    14: (-0.30, -0.25),
    15: (0.36, 0.0),
    16: (-0.36, 0.0),
    23: (0.10, 0.0),
    24: (-0.10, 0.0),
    25: (0.12, 0.42),
    26: (-0.12, 0.42),
    27: (0.13, 0.84),
    28: (-0.13, 0.84),
}


class Drawing:
    """The picture and where its joints lie: {keypoint: (x, y) px}."""

    def __init__(self, shift: float, width: int, height: int) -> None:
        self.scale = 0.85 * height / TALL  # px/m
        self.origin = np.array([width / 2 + shift, 0.52 * height])
        self.joints = {k: self.origin + self.scale * np.array(p) for k, p in JOINTS.items()}
        self._y, self._x = np.mgrid[0:height, 0:width].astype(np.float32)
        canvas = np.stack([150 + 0 * self._x, 155 + 0 * self._x, 160 + 0.08 * self._y], axis=-1)
        for a, b, start, end, colour in SIDED:
            for side in (1, -1):
                self._capsule(canvas, (side * a[0], a[1]), (side * b[0], b[1]), start, end, colour)
        for piece in MIDDLE:
            self._capsule(canvas, *piece)
        self.image: NDArray[np.uint8] = canvas.clip(0, 255).astype(np.uint8)

    def _capsule(self, canvas, a, b, start, end, colour) -> None:
        """A shaded limb: round ends, brightest along its middle, edges blended over a pixel."""
        a, b = self.origin + self.scale * np.array(a), self.origin + self.scale * np.array(b)
        along = b - a
        x, y = self._x - a[0], self._y - a[1]
        share = np.clip((x * along[0] + y * along[1]) / (along @ along), 0, 1)
        radius = (start + (end - start) * share) * self.scale
        off = np.hypot(x - share * along[0], y - share * along[1]) / radius
        light = np.sqrt(np.clip(1 - off**2, 0, 1))[..., None]
        cover = np.clip((1 - off) * radius, 0, 1)[..., None]
        canvas[:] = canvas * (1 - cover) + cover * np.array(colour) * (0.45 + 0.55 * light)


@pytest.fixture(scope="session")
def draw_person() -> Callable[..., Drawing]:
    """-> draw(shift=0, width=640, height=480): a standing person in red, moved by `shift` px."""
    made: dict[tuple[float, int, int], Drawing] = {}

    def draw(shift: float = 0.0, width: int = 640, height: int = 480) -> Drawing:
        key = (shift, width, height)
        if key not in made:
            made[key] = Drawing(*key)
        return made[key]

    return draw
