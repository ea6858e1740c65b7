"""A number in a picture that survives compression: sixteen bright or dark blocks along the upper edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = 16
HEIGHT = 24  # px
DARK, BRIGHT = 20, 235

Picture = NDArray[np.uint8]


def stamp(picture: Picture, number: int) -> None:
    """Writes `number` (0 … 65535) into `picture` (height, width, 3), whose width is a multiple of 16."""
    width = picture.shape[1] // BITS
    for bit in range(BITS):
        picture[:HEIGHT, bit * width : (bit + 1) * width] = BRIGHT if number >> bit & 1 else DARK


def read(picture: Picture) -> int:
    """-> the number; `picture` may have been scaled."""
    height, width = picture.shape[:2]
    y = max(round(height * 10 / 480), 1)
    centres = [round((bit + 0.5) * width / BITS) for bit in range(BITS)]
    return sum(1 << bit for bit, x in enumerate(centres) if picture[y, x].mean() > 128)
