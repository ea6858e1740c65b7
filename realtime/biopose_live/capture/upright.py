"""Decoded frame -> upright RGB pixels, at most 1920 px on the long side, in one libswscale pass.

One reformatter is kept for all frames: a new scaling context per frame costs eight times the conversion itself
(2.3 ms instead of 0.3 ms for 720p).  Orientation follows the display matrix of the container (ISO/IEC 14496-12, 6.2.2):
turned or mirrored pictures are views, not copies.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

LONGEST_SIDE = 1920


class UprightRGB:
    """Converts the frames of one source."""

    def __init__(self, longest_side: int = LONGEST_SIDE) -> None:
        self._longest_side = longest_side
        self._reformatter = VideoReformatter()

    def pixels(self, picture: Any) -> NDArray[np.uint8]:
        """-> (height, width, 3) uint8 RGB view of the av.VideoFrame `picture`, upright."""
        width, height = fitted(picture.width, picture.height, self._longest_side)
        rgb = self._reformatter.reformat(
            picture, width, height, "rgb24", interpolation=Interpolation.FAST_BILINEAR, threads=1
        )
        plane = rgb.planes[0]
        flat: NDArray[np.uint8] = np.ndarray(
            (rgb.height, rgb.width, 3), np.uint8, buffer=memoryview(plane), strides=(plane.line_size, 3, 1)
        )
        matrix = display_matrix(picture)
        return flat if matrix is None else oriented(flat, matrix)


def fitted(width: int, height: int, longest_side: int) -> tuple[int, int]:
    """-> (width, height) px with the same shape and a long side of at most `longest_side`."""
    longest = max(width, height)
    if longest <= longest_side:
        return width, height
    return max(1, round(width * longest_side / longest)), max(1, round(height * longest_side / longest))


def display_matrix(picture: Any) -> tuple[int, int, int, int] | None:
    """-> (a, b, c, d) of the display matrix, x' = a x + c y and y' = b x + d y; None when the frame carries none."""
    for side in picture.side_data:
        if side.type == SideDataType.DISPLAYMATRIX:
            a, b, _, c, d = struct.unpack_from("=5i", bytes(side))
            return a, b, c, d
    return None


def oriented(pixels: NDArray[np.uint8], matrix: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """-> view of `pixels` (height, width, 3), turned by the nearest quarter turn and mirrored as `matrix` says."""
    a, b, c, d = matrix
    if abs(a) >= abs(b):
        x_back, y_back = a < 0, d < 0
    else:
        pixels = pixels.transpose(1, 0, 2)
        x_back, y_back = c < 0, b < 0
    return pixels[:: -1 if y_back else 1, :: -1 if x_back else 1]
