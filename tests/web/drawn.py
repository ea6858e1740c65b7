"""Reads back what the page has drawn: dots of a colour on the picture's canvas, and the number on the picture."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from barcode import read
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Page

KEYPOINT = (0x5C, 0xFF, 0xC4)
JOINT = (0xFF, 0xFF, 0xFF)
WINDOW = 9  # px of the frame around where a dot is looked for
DISTINCT = 25  # of colour, sum over channels: bones of the trunk are nearly as white as joints


class Drawn:
    """One look at the canvas: `pixels` (height, width, 3), `zoom` and `origin` of the frame of `size` in it."""

    def __init__(self, page: Page, size: tuple[int, int]) -> None:
        url = page.evaluate("document.getElementById('picture').toDataURL('image/png')")
        self.pixels: NDArray[np.uint8] = np.asarray(
            Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")
        )
        height, width = self.pixels.shape[:2]
        self.zoom = min(width / size[0], height / size[1])
        self.origin = ((width - size[0] * self.zoom) / 2, (height - size[1] * self.zoom) / 2)
        left, top = round(self.origin[0]), round(self.origin[1])
        self.picture = self.pixels[top : round(top + size[1] * self.zoom), left : round(left + size[0] * self.zoom)]

    @property
    def number(self) -> int:
        """The number on the picture, see `barcode`."""
        return read(self.picture)

    def dot_near(self, x: float, y: float, colour: tuple[int, int, int]) -> tuple[float, float] | None:
        """-> px of the frame: the middle of what has `colour` within a window around (x, y), None when nothing has."""
        scale = self.zoom
        cx, cy = self.origin[0] + x * scale, self.origin[1] + y * scale
        reach = WINDOW * scale
        left, top = max(int(cx - reach), 0), max(int(cy - reach), 0)
        part = self.pixels[top : int(cy + reach) + 1, left : int(cx + reach) + 1].astype(int)
        rows, columns = np.nonzero(np.abs(part - np.array(colour)).sum(axis=2) < DISTINCT)
        if len(rows) < 4:
            return None
        return (
            (left + columns.mean() + 0.5 - self.origin[0]) / scale,
            (top + rows.mean() + 0.5 - self.origin[1]) / scale,
        )


def apart(points: NDArray[np.float64], distance: float) -> NDArray[np.bool_]:
    """-> for each of (N, 2) points whether no other is within `distance`."""
    between = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(between, np.inf)
    return between.min(axis=1) > distance
