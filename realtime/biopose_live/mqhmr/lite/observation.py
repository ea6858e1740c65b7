"""What the network is told beside the feature maps: the crop, the keypoints and the keypoints-only estimate.

Everything is expressed in the crop's own view: the camera turned so that its z axis is the ray through the crop's
centre and its x axis runs along the crop's rows.  So neither where a person is in the frame nor how the camera is
rolled changes what the network sees, but by perspective.

Letters: K = 33 keypoints, J = 24 joints, P dense points.  Crop places are in 0..1, x right and y down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biopose_live.messages import Intrinsics
from biopose_live.mqhmr.person_crop import SIDE, Crop
from biopose_live.mqhmr.view import view_rotation
from biopose_live.rotations import to_matrix

Floats = NDArray[np.floating]

WORLD_UNIT_M = 0.4
FARTHEST = 1.5  # half crops from the centre; whatever is told of a place stays within
LEVEL = np.array([0.0, -1.0, 0.0])
WHOLE = 2 * 33 + 33 + 3 * 33 + 1 + 24 * 6 + 24 * 3 + 3 + 3
OWN = 3


@dataclass(frozen=True, slots=True)
class Estimate:
    """The keypoints-only estimate: rotations (J, 3, 3), row 0 into the camera frame; sigma (J, 3) rad; translation (3,)
    m; betas (S,)."""

    rotations: NDArray[np.float64]
    sigma: NDArray[np.float64]
    translation: NDArray[np.float64]
    betas: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Observation:
    """whole (WHOLE,): what all tokens are told; own (P, OWN): what each is told of its point; places (P, 2): the
    points' reference places in the crop."""

    whole: NDArray[np.float32]
    own: NDArray[np.float32]
    places: NDArray[np.float32]


def view_of(crop: Crop, camera: Intrinsics) -> NDArray[np.float64]:
    """-> (3, 3): camera frame to the crop's view."""
    ray = np.array([*(crop.centre - np.array(camera.centre)), camera.focal])
    z = ray / np.linalg.norm(ray)
    along = np.array([math.cos(crop.angle), math.sin(crop.angle), 0.0])
    x = along - (along @ z) * z
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def places_of(points: Floats, crop: Crop, camera: Intrinsics) -> NDArray[np.float64]:
    """points (..., 3) m, camera frame -> places (..., 2) in the crop."""
    pixels = points[..., :2] / np.maximum(points[..., 2:], 0.1) * camera.focal + np.array(camera.centre)
    return np.asarray(crop.into(pixels) / SIDE, np.float64)


def observe(
    crop: Crop,
    camera: Intrinsics,
    keypoints: Floats,
    scores: Floats,
    world: Floats | None,
    estimate: Estimate,
    up: Floats,
    points: Floats,
) -> Observation:
    """keypoints (K, 2) px of the frame, scores (K,), `world` (K, 3) m the detector's own 3D or None, `up` (3,) against
    gravity and the estimate's dense points (P, 3) m in the camera frame -> Observation."""
    view = view_of(crop, camera)
    seen = ((crop.into(keypoints) / SIDE - 0.5) * 2.0).clip(-FARTHEST, FARTHEST)
    own_3d = np.zeros(3 * 33 + 1)
    if world is not None:
        hips = keypoints[[23, 24]].mean(0)
        hip_ray = np.array([*(hips - np.array(camera.centre)), camera.focal]) / camera.focal
        turned = world @ (view @ view_rotation(hip_ray, LEVEL).T).T
        own_3d[:-1] = (turned / WORLD_UNIT_M).clip(-5.0, 5.0).reshape(-1)
        own_3d[-1] = 1.0
    rotations = estimate.rotations.copy()
    rotations[0] = view @ rotations[0]
    told = np.array([*(crop.centre - np.array(camera.centre)), crop.size]) / camera.focal
    whole = np.concatenate(
        [
            seen.reshape(-1),
            scores,
            own_3d,
            np.swapaxes(rotations[:, :, :2], 1, 2).reshape(-1),
            np.log(estimate.sigma.clip(0.01, 2.0)).reshape(-1) + 2.0,
            told,
            view @ up,
        ]
    ).astype(np.float32)
    places = places_of(points, crop, camera)
    depth = (points - estimate.translation) @ view[2]
    centred = ((places - 0.5) * 2.0).clip(-FARTHEST, FARTHEST)
    own = np.concatenate([centred, (depth / WORLD_UNIT_M).clip(-5.0, 5.0)[:, None]], 1)
    return Observation(whole, own.astype(np.float32), places.clip(-0.25, 1.25).astype(np.float32))


def corrected(estimate: Estimate, corrections: Floats) -> NDArray[np.float64]:
    """(J, 3, 3): the estimate's rotations, each turned by its correction (J, 3) rad in the joint's own frame."""
    return np.asarray(estimate.rotations @ to_matrix(corrections), np.float64)
