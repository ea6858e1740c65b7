"""The virtual camera that a person is seen from: centred on the hips' ray and level, so that where a person stands in
the picture, and how the camera is tilted, change what the network sees as little as they can.

Frames: camera is OpenCV's (x right, y down, z forward).  The view shares its origin; its z axis is the ray through the
hips' midpoint, its x axis is level.  `up` is the unit vector against gravity, in the camera frame.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biopose_live.messages import Intrinsics

Floats = NDArray[np.float64]

LAGS_S = (0.0, 0.067, 0.15, 0.27, 0.43)  # the frames the network sees, seconds before now
MIN_SCORE = 0.2  # below it MediaPipe's keypoint is a guess; the network is told that it was not seen

# The MediaPipe landmarks that the network reads: nose, ears, then limbs left and right.
KEYPOINTS = (0, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32)
LEFT_HIP, RIGHT_HIP = KEYPOINTS.index(23), KEYPOINTS.index(24)
IMAGE_FEATURES = len(LAGS_S) * len(KEYPOINTS) * 3 + 3
FEATURES = IMAGE_FEATURES + 3 * len(KEYPOINTS) + 1
WORLD_UNIT_M = 0.4


def rays(keypoints: Floats, camera: Intrinsics) -> Floats:
    """(..., 2) px -> (..., 3) rays with z = 1, camera frame."""
    x = (keypoints[..., 0] - camera.centre[0]) / camera.focal
    y = (keypoints[..., 1] - camera.centre[1]) / camera.focal
    return np.stack([x, y, np.ones_like(x)], -1)


def view_rotation(hip_ray: Floats, up: Floats) -> Floats:
    """-> (3, 3): camera frame to view frame, from the ray through the hips and the direction against gravity."""
    z = hip_ray / np.linalg.norm(hip_ray)
    x = np.cross(z, up)
    if np.linalg.norm(x) < 0.1:  # looking straight up or down: gravity says nothing about the view's x axis
        x = np.array([1.0, 0.0, 0.0]) - z[0] * z
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def elevation(view: Floats, up: Floats) -> float:
    """Angle of the hips' ray above the horizon, rad (negative when the camera looks down at the person)."""
    return float(np.arcsin(np.clip(view[2] @ up, -1.0, 1.0)))


@dataclass(slots=True)
class Seen:
    """One frame of one person: time (s), keypoints (K, 2) px, scores (K,) 0..1."""

    t: float
    keypoints: Floats
    scores: Floats


class History:
    """The last half second of one person's keypoints (causal window)."""

    def __init__(self) -> None:
        self._frames: deque[Seen] = deque()

    def add(self, seen: Seen) -> None:
        """Frames must come in order of time; a gap longer than the window empties it."""
        if self._frames and seen.t - self._frames[-1].t > LAGS_S[-1]:
            self._frames.clear()
        self._frames.append(seen)
        while len(self._frames) > 2 and self._frames[1].t <= seen.t - LAGS_S[-1]:
            self._frames.popleft()

    def at_lags(self) -> tuple[Floats, Floats]:
        """-> keypoints (L, K, 2) px, scores (L, K) at LAGS_S before the newest; the first frame holds."""
        times = np.array([f.t for f in self._frames])
        keypoints = np.stack([f.keypoints for f in self._frames])
        scores = np.stack([f.scores for f in self._frames])
        wanted = times[-1] - np.array(LAGS_S)
        after = np.clip(np.searchsorted(times, wanted, side="left"), 0, len(times) - 1)
        before = np.maximum(after - 1, 0)
        span = times[after] - times[before]
        share = np.where(span > 0, (wanted - times[before]) / np.maximum(span, 1e-9), 1.0).clip(0.0, 1.0)
        mix = share[:, None, None]
        return (
            (1 - mix) * keypoints[before] + mix * keypoints[after],
            np.minimum(scores[before], scores[after]),
        )


def features(points: Floats, seen: NDArray[np.bool_], elevation_rad: float, up_sigma: float) -> NDArray[np.float32]:
    """The part (IMAGE_FEATURES,) of the network's input that comes from image-plane points of the view.

    points (L, K, 2): x/z, y/z in the view frame, K as in KEYPOINTS; seen (L, K); `up_sigma` how well the direction of
    gravity is known, rad.  Everything is relative to the hips' midpoint now, in units of the person's size now.
    """
    centre = points[0, [LEFT_HIP, RIGHT_HIP]].mean(0)
    relative = points - centre
    size = max(float(np.sqrt((relative[0] ** 2).sum(-1).mean())), 1e-4)
    scaled = np.clip(relative / size, -6.0, 6.0)
    mask = seen[..., None].astype(np.float64)
    body = np.concatenate([scaled * mask, mask], -1).reshape(-1)
    return np.concatenate([body, [3.0 * size, 3.0 * elevation_rad, 4.0 * up_sigma]]).astype(np.float32)


def world_features(world: Floats | None, hip_ray: Floats, to_view: Floats) -> NDArray[np.float32]:
    """The part of the network's input that is the detector's own 3D guess, which has seen the picture.

    world (33, 3) m: hip-centred, as if the camera looked straight at the hips and were level with itself; None when it
    is not to be had.  It is turned into the view (`to_view`, camera to view), in which the network's answer is given.
    """
    if world is None:
        return np.zeros(3 * len(KEYPOINTS) + 1, np.float32)
    turn = to_view @ view_rotation(hip_ray, np.array([0.0, -1.0, 0.0])).T
    points = world[list(KEYPOINTS)] @ turn.T
    points = points - points[[LEFT_HIP, RIGHT_HIP]].mean(0)
    return np.concatenate([np.clip(points / WORLD_UNIT_M, -5.0, 5.0).reshape(-1), [1.0]]).astype(np.float32)
