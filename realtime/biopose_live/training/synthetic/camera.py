"""A pinhole camera in a world with y up and the floor at y = 0.

World axes agree with the body's rest frame (x to the person's left, y up, z forward); the camera frame is OpenCV's
(x right, y down, z forward). Pixel (i, j) has its centre at i + 0.5, j + 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# A camera in front of a person who faces it: its x is the world's x, its z runs against the world's z.
FACING = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Camera:
    """rotation [3, 3] world -> camera, position [3] m in the world, focal px, centre px, size (width, height) px."""

    rotation: np.ndarray
    position: np.ndarray
    focal: float
    centre: tuple[float, float]
    size: tuple[int, int]

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """[..., 3] world points (m) in the camera frame."""
        return (points - self.position) @ self.rotation.T

    @property
    def up(self) -> np.ndarray:
        """[3] unit vector against gravity, camera frame."""
        return self.rotation[:, 1].copy()

    def enlarged(self, factor: int) -> Camera:
        """The same view with `factor` times as many pixels each way."""
        centre = (self.centre[0] * factor, self.centre[1] * factor)
        size = (self.size[0] * factor, self.size[1] * factor)
        return Camera(self.rotation, self.position, self.focal * factor, centre, size)


def place_camera(
    position: np.ndarray, yaw: float, pitch: float, roll: float, fov: float, size: tuple[int, int]
) -> Camera:
    """A camera at `position` [3] m. yaw turns it about the vertical (0 looks along -z), positive pitch looks down,
    roll turns the picture; fov is the angle across the longer side. All angles in radians."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    about_y = np.array([[cy, 0.0, -sy], [0.0, 1.0, 0.0], [sy, 0.0, cy]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cp, -sp], [0.0, sp, cp]])
    about_z = np.array([[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]])
    focal = 0.5 * max(size) / math.tan(0.5 * fov)
    return Camera(
        about_z @ about_x @ FACING @ about_y, np.asarray(position, float), focal, (size[0] / 2, size[1] / 2), size
    )
