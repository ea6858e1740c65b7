"""A person's crop for training: upright, augmented, with its labels and its exact camera.

Upright: where the direction of gravity is known, the picture is turned about its principal point until gravity points
down it (`network.crop_camera`); labels stay in the true camera's frame, so turning, shifting and scaling the crop
change nothing but the crop.  Mirroring is about the vertical line through the principal point, which mirrors the
camera's x.

Letters: K = 44 keypoints, D dense points (markers, then joints), h and w the crop in px.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from biopose_live.body.joints import JOINT_NAMES
from biopose_live.training.mqhmr.keypoints44 import FLIP
from biopose_live.training.mqhmr.records import Floats, Labels, Record

SMALLEST_BOX_PX = 8.0


@dataclass(frozen=True)
class Augmentation:
    """Standard deviations (of a normal distribution cut at twice that) and shares.

    scale: of the box; shift: of its centre, in boxes; turn: rad about upright; mirrored, erased (a rectangle), blurred:
    shares of the pictures; colour: of each channel's gain.
    """

    scale: float = 0.2
    shift: float = 0.06
    turn: float = 0.15
    mirrored: float = 0.5
    erased: float = 0.3
    blurred: float = 0.15
    colour: float = 0.15


NONE = Augmentation(0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Crop:
    """image (h, w, 3) uint8 RGB; labels, mirrored with the picture, with focal and centre; the crop's camera: roll rad,
    box_centre (2,) and box_size (2,) px of the turned picture (`network.crop_camera.CropCamera`)."""

    image: NDArray[np.uint8]
    labels: Labels
    focal: float
    centre: Floats
    roll: float
    box_centre: Floats
    box_size: Floats


def cut(
    record: Record,
    height: int,
    width: int,
    marker_names: Sequence[str],
    augmentation: Augmentation = NONE,
    rng: np.random.Generator | None = None,
) -> Crop:
    """The crop of a record's person; rng: of the augmentation, which is off without it."""
    rng, given = rng or np.random.default_rng(0), augmentation if rng is not None else NONE

    def drawn(sigma: float) -> float:
        return sigma * float(np.clip(rng.normal(), -2.0, 2.0))

    labels = record.labels
    tall, wide = record.image.shape[:2]
    # Without known intrinsics, the focal length is the diagonal, as CLIFF assumes (Li et al. 2022).
    focal = labels.focal or math.hypot(tall, wide)
    centre = np.array([wide / 2, tall / 2]) if labels.centre is None else np.asarray(labels.centre, float)
    mirror = bool(rng.random() < given.mirrored)
    if mirror:
        labels = mirrored(labels, centre, marker_names)
    roll = drawn(given.turn)
    if labels.up is not None:
        roll += math.atan2(-labels.up[0], -labels.up[1])
    c, s = math.cos(roll), math.sin(roll)
    turn = np.array([[c, -s], [s, c]])
    size = labels.box_size * (1.0 + drawn(given.scale))
    tallness = max(size[1], size[0] * height / width, SMALLEST_BOX_PX)
    box_size = np.array([tallness * width / height, tallness])
    box_centre = turn @ (labels.box_centre - centre) + centre
    box_centre = box_centre + box_size * [drawn(given.shift), drawn(given.shift)]
    # One map from the picture's pixels to the crop's: mirror, turn, cut, scale.  OpenCV counts from pixel centres.
    scale = height / box_size[1]
    linear = scale * turn @ np.diag([-1.0 if mirror else 1.0, 1.0])
    offset = np.array([width / 2, height / 2]) + scale * (centre - box_centre) - linear @ centre
    offset = offset + linear @ [0.5, 0.5] - 0.5
    image = _warped(record.image, np.column_stack([linear, offset]), scale, (width, height))
    image = _coloured(image, given, rng)
    return Crop(image, labels, focal, centre, roll, box_centre, box_size)


def mirrored(labels: Labels, centre: Floats, marker_names: Sequence[str]) -> Labels:
    """The labels of the picture mirrored about the vertical line through `centre` (2,) px."""

    def across(points: Floats) -> Floats:
        points = points.copy()
        points[..., 0] = 2 * centre[0] - points[..., 0]
        return points

    keypoints_3d = labels.keypoints_3d[list(FLIP)] * [-1.0, 1.0, 1.0, 1.0]
    joints = [JOINT_NAMES.index(_other_side(name)) for name in JOINT_NAMES]
    dense = labels.dense
    if dense is not None:
        names = list(marker_names)
        order = [names.index(_other_marker(name, names)) for name in names] + [len(names) + j for j in joints]
        dense = across(dense[order])
    return replace(
        labels,
        box_centre=across(labels.box_centre),
        keypoints_2d=across(labels.keypoints_2d[list(FLIP)]),
        keypoints_3d=keypoints_3d,
        theta=labels.theta[joints] * [1.0, -1.0, -1.0],
        up=None if labels.up is None else labels.up * [-1.0, 1.0, 1.0],
        dense=dense,
    )


def _other_side(name: str) -> str:
    for side, other in (("left_", "right_"), ("right_", "left_")):
        if name.startswith(side):
            return other + name.removeprefix(side)
    return name


def _other_marker(name: str, names: Sequence[str]) -> str:
    other = {"L": "R", "R": "L"}.get(name[0], "") + name[1:]
    return other if other in names else name


def _warped(image: NDArray[np.uint8], matrix: Floats, scale: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture under an affine map, smoothed before it is made smaller, so that nothing aliases."""
    if scale < 0.5:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 / scale), np.uint8)
    warped = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    result: NDArray[np.uint8] = np.asarray(warped, np.uint8)
    return result


def _coloured(image: NDArray[np.uint8], given: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    if given.colour:
        gain = 1.0 + given.colour * np.clip(rng.normal(size=3), -2.0, 2.0)
        image = np.clip(image * gain, 0, 255).astype(np.uint8)
    if rng.random() < given.blurred:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.0)), np.uint8)
    if rng.random() < given.erased:
        image = image.copy()
        h, w = (int(side * rng.uniform(0.1, 0.4)) for side in (height, width))
        y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
        image[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return image
