"""The upright square of a frame that shows one person: what the image encoder looks at.

BlazePose's landmark network was taught on squares around the hips' midpoint, turned so that the trunk points up
(Bazarevsky et al. 2020, section 3.1); its feature maps are best on such squares, so the crop is one.  It is made from
the keypoints of the very frame it is cut from, hence needs no prediction.

Pixels count from the left upper edge of the picture: the first pixel's centre is at 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

SIDE = 256  # px of the crop
MARGIN = 1.25  # of the farthest keypoint's distance from the hips' midpoint
SMALLEST_PX = 16.0
_FACE_OUTLINE = frozenset(range(1, 7)) | {9, 10}
_HANDS = frozenset(range(17, 23))
REACH = tuple(k for k in range(33) if k not in _FACE_OUTLINE | _HANDS)  # keypoints that the square must hold


@dataclass(frozen=True, slots=True)
class Crop:
    """centre (2,) px of the frame; size px: a side of the square; angle rad by which the square is turned in the frame,
    x towards y (0: the trunk is upright in the frame)."""

    centre: Floats
    size: float
    angle: float

    @property
    def affine(self) -> Floats:
        """(2, 3): px of the frame -> px of the crop."""
        scale = SIDE / self.size
        c, s = scale * math.cos(self.angle), scale * math.sin(self.angle)
        turn = np.array([[c, s], [-s, c]])
        return np.concatenate([turn, (SIDE / 2 - turn @ self.centre)[:, None]], 1)

    def into(self, points: Floats) -> NDArray[np.float64]:
        """(..., 2) px of the frame -> px of the crop."""
        m = self.affine
        return np.asarray(points @ m[:, :2].T + m[:, 2], np.float64)

    def out_of(self, points: Floats) -> NDArray[np.float64]:
        """(..., 2) px of the crop -> px of the frame."""
        m = self.affine
        return np.asarray((points - m[:, 2]) @ np.linalg.inv(m[:, :2]).T, np.float64)

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) frame -> (SIDE, SIDE, 3); black where the frame ends."""
        m = self.affine
        # OpenCV counts from the first pixel's centre.
        shifted = m.copy()
        shifted[:, 2] += m[:, :2] @ [0.5, 0.5] - 0.5
        return np.asarray(cv2.warpAffine(image, shifted, (SIDE, SIDE), flags=cv2.INTER_LINEAR), np.uint8)


def person_crop(keypoints: Floats) -> Crop:
    """keypoints (33, 2) px, MediaPipe's order, those outside of the frame included -> the person's crop."""
    hips, shoulders = keypoints[[23, 24]].mean(0), keypoints[[11, 12]].mean(0)
    trunk = shoulders - hips
    reach = float(np.linalg.norm(keypoints[list(REACH)] - hips, axis=1).max())
    angle = math.atan2(trunk[0], -trunk[1]) if np.linalg.norm(trunk) > 1e-3 else 0.0
    return Crop(np.asarray(hips, np.float64), max(2.0 * MARGIN * reach, SMALLEST_PX), angle)
