"""The crop of a live frame that the image network looks at: upright, around the keypoints of that very frame.

Training cuts its crops in the same way (`training.mqhmr.crops.cut`, here without augmentation): the picture is turned
about its principal point until gravity points down it, and the box has the network's shape and some room around the
person.

Pixels count from the left upper edge of the picture: the first pixel's centre is at 0.5.  Letters: K = 33 keypoints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from biopose_live.messages import Intrinsics

Floats = NDArray[np.floating]

# Of the keypoints' extent.  In training it is 1.2 of the markers', which reach 1.07 times as far: to the crown.
PADDING = 1.28
SMALLEST_PX = 8.0
WIDEST_BLUR_PX = 10.0  # of boxes that no person fills: a wider blur would hold up the run


@dataclass(frozen=True, slots=True)
class PersonBox:
    """The crop of `crop_camera`: the picture is turned about the camera's centre by `roll` rad, x towards y; centre
    (2,) and size (2,) px of the box in the turned picture."""

    roll: float
    centre: Floats
    size: Floats

    @property
    def turn(self) -> Floats:
        """(2, 2): directions in the picture -> in the turned picture."""
        c, s = math.cos(self.roll), math.sin(self.roll)
        return np.array([[c, -s], [s, c]])

    def cut(self, image: NDArray[np.uint8], camera: Intrinsics, height: int, width: int) -> NDArray[np.uint8]:
        """image (H, W, 3) RGB -> the crop (height, width, 3); black where the frame ends."""
        scale = height / self.size[1]
        linear = scale * self.turn
        centre = np.array(camera.centre)
        offset = np.array([width / 2, height / 2]) + scale * (centre - self.centre) - linear @ centre
        offset = offset + linear @ [0.5, 0.5] - 0.5  # OpenCV counts from the first pixel's centre
        if scale < 0.5:  # or what is smaller than a pixel of the crop would alias
            sigma = min(0.4 / scale, WIDEST_BLUR_PX)
            image, first = _part(image, linear, offset, (height, width), 4 * math.ceil(sigma) + 4)
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
            offset = offset + linear @ first
        matrix = np.column_stack([linear, offset])
        warped = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        result: NDArray[np.uint8] = np.asarray(warped, np.uint8)
        return result


def person_box(keypoints: Floats, camera: Intrinsics, up: Floats, aspect: float) -> PersonBox:
    """keypoints (K, 2) px, those outside of the frame included; up (3,) against gravity in the camera frame; aspect:
    the crop's width over its height."""
    # A camera that looks straight up or down sees no upright.
    roll = math.atan2(-up[0], -up[1]) if math.hypot(up[0], up[1]) > 1e-3 else 0.0
    box = PersonBox(roll, np.zeros(2), np.zeros(2))
    turned = (keypoints - np.array(camera.centre)) @ box.turn.T + np.array(camera.centre)
    low, high = turned.min(0), turned.max(0)
    width, height = PADDING * (high - low)
    tall = max(height, width / aspect, SMALLEST_PX)
    return PersonBox(roll, 0.5 * (low + high), np.array([tall * aspect, tall]))


def _part(
    image: NDArray[np.uint8], linear: Floats, offset: Floats, size: tuple[int, int], margin: int
) -> tuple[NDArray[np.uint8], Floats]:
    """-> the upright part of the picture that the crop and `margin` px around it lie in, and its first pixel (2,): a
    blur of the whole picture would take longer than all the rest."""
    height, width = size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
    places = (corners - offset) @ np.linalg.inv(linear).T
    limits = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(places.min(0)) - margin, 0, limits - 1).astype(int)
    high = np.clip(np.ceil(places.max(0)) + margin, low + 1, limits).astype(int)
    return image[low[1] : high[1], low[0] : high[0]], low.astype(float)
