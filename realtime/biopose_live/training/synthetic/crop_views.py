"""Random cameras on one person, as live cameras stand: any height, tilt and roll, near and far, the person sometimes
cut by the frame; and the upright crop around the person with the jitter that a live tracker's crops have.

Frames: world has y up and the floor at y = 0; camera as in `camera`.
"""

from __future__ import annotations

import numpy as np

from biopose_live.mqhmr.person_crop import Crop, person_crop
from biopose_live.training.synthetic.camera import Camera, place_camera

HEIGHTS_PX = (240, 360, 480, 480, 720, 720, 1080)
ASPECTS = ((4, 3), (4, 3), (16, 9), (16, 9), (16, 9), (3, 4), (9, 16))
SMALLEST_PX, LARGEST_PX = 100.0, 900.0  # the longer side of the box around the joints
NEAREST_M = 0.45
CUT_SHARE = 0.25  # of the cameras do not try to hold the whole person
INSIDE, INSIDE_CUT = 0.98, 0.55  # of the joints that the frame must hold
CENTRE_SIGMA, SIZE_SIGMA, ANGLE_SIGMA = 0.03, 0.06, np.radians(5.0)


def draw_camera(rng: np.random.Generator, joints: np.ndarray) -> Camera:
    """A camera that sees the person with joints [24, 3] m (world): 30 to 90 degrees wide, 1.2 to 8 m away, 0.3 to 3 m
    high."""
    middle = 0.5 * (joints.min(axis=0) + joints.max(axis=0))
    cut = rng.random() < CUT_SHARE
    fallback: Camera | None = None
    for _ in range(80):
        height = HEIGHTS_PX[int(rng.integers(len(HEIGHTS_PX)))]
        across, down = ASPECTS[int(rng.integers(len(ASPECTS)))]
        size = (8 * round(height * across / down / 8), height)
        fov = rng.uniform(*np.radians([30.0, 90.0]))
        distance = float(np.exp(rng.uniform(np.log(1.2), np.log(8.0))))
        azimuth = rng.normal(0.0, 0.2)
        position = middle + distance * np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])
        position[1] = rng.uniform(0.3, 3.0) if rng.random() < 0.5 else rng.normal(1.3, 0.3)
        pitch = np.arctan2(position[1] - middle[1], distance)
        wander = fov * (0.35 if cut else 0.16)
        kind = rng.random()
        roll = rng.normal(0.0, np.radians(4.0)) if kind < 0.9 else rng.uniform(-0.6, 0.6)
        camera = place_camera(
            position, azimuth + rng.normal(0.0, wander), pitch + rng.normal(0.0, wander), roll, fov, size
        )
        local = camera.to_camera(joints)
        if local[:, 2].min() < NEAREST_M:
            continue
        seen = local[:, :2] / local[:, 2:] * camera.focal + camera.centre
        inside = ((seen > 0.0) & (seen < np.array(size))).all(axis=1).mean()
        large = np.ptp(seen, axis=0).max()
        fallback = camera
        if inside >= (INSIDE_CUT if cut else INSIDE) and SMALLEST_PX < large < LARGEST_PX:
            return camera
    if fallback is not None and inside_share(fallback, joints) > INSIDE_CUT:
        return fallback
    position = middle + np.array([0.0, 0.0, 4.0])
    return place_camera(position, 0.0, 0.0, 0.0, np.radians(60.0), (640, 480))


def inside_share(camera: Camera, joints: np.ndarray) -> float:
    """The share of joints [24, 3] m (world) in the frame."""
    local = camera.to_camera(joints)
    seen = local[:, :2] / np.maximum(local[:, 2:], 1e-3) * camera.focal + camera.centre
    return float(((seen > 0.0) & (seen < np.array(camera.size)) & (local[:, 2:] > 0.0)).all(axis=1).mean())


def draw_crop(rng: np.random.Generator, keypoints: np.ndarray) -> Crop:
    """The crop of keypoints [33, 2] px with jitter."""
    exact = person_crop(keypoints)
    centre = exact.centre + rng.normal(0.0, CENTRE_SIGMA * exact.size, 2)
    return Crop(
        centre, exact.size * float(np.exp(rng.normal(0.0, SIZE_SIGMA))), exact.angle + rng.normal(0.0, ANGLE_SIGMA)
    )
