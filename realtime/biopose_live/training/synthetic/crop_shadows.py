"""Shadow look-ups for crops: on people and objects while they are shaded, and on the floor of a photograph.

A shadow map holds depths towards the lamp (larger is nearer to it; Williams 1978), read with the bilinear weights of
its four nearest comparisons (Reeves et al. 1987).

Dimension letters: N side of a picture, S side of a shadow map.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np


@nb.njit(cache=True, fastmath=True, nogil=True)
def lit_share(x: float, y: float, z: float, shadow_from: np.ndarray, shadow: np.ndarray, bias: float) -> float:
    """The share of the lamp that reaches a point (camera frame, m): shadow_from [3, 4] carries it to column, row and
    depth of shadow [S, S]; bias m."""
    side = shadow.shape[0]
    u = shadow_from[0, 0] * x + shadow_from[0, 1] * y + shadow_from[0, 2] * z + shadow_from[0, 3] - 0.5
    v = shadow_from[1, 0] * x + shadow_from[1, 1] * y + shadow_from[1, 2] * z + shadow_from[1, 3] - 0.5
    edge = shadow_from[2, 0] * x + shadow_from[2, 1] * y + shadow_from[2, 2] * z + shadow_from[2, 3] + bias
    column, row = math.floor(u), math.floor(v)
    if column < 0 or row < 0 or column >= side - 1 or row >= side - 1:
        return 1.0
    fu, fv = u - column, v - row
    dark = 0.0
    if shadow[row, column] > edge:
        dark += (1.0 - fu) * (1.0 - fv)
    if shadow[row, column + 1] > edge:
        dark += fu * (1.0 - fv)
    if shadow[row + 1, column] > edge:
        dark += (1.0 - fu) * fv
    if shadow[row + 1, column + 1] > edge:
        dark += fu * fv
    return 1.0 - dark


@nb.njit(cache=True, fastmath=True, nogil=True)
def darken_floor(
    picture: np.ndarray,
    to_ray: np.ndarray,
    up: np.ndarray,
    height: float,
    depth_of_shadow: float,
    shadow_from: np.ndarray,
    shadow: np.ndarray,
) -> None:
    """Darken picture [N, N, 3] (linear RGB) by up to depth_of_shadow where the floor, `height` m below the camera, lies
    in the shadow. to_ray [2, 3]: px of the picture -> ray x, y (z = 1), camera frame; up [3], camera frame."""
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            x = to_ray[0, 0] * (column + 0.5) + to_ray[0, 1] * (row + 0.5) + to_ray[0, 2]
            y = to_ray[1, 0] * (column + 0.5) + to_ray[1, 1] * (row + 0.5) + to_ray[1, 2]
            falling = -(up[0] * x + up[1] * y + up[2])
            if falling < 0.01:
                continue
            z = height / falling
            share = lit_share(x * z, y * z, z, shadow_from, shadow, 0.01)
            if share < 1.0:
                factor = 1.0 - depth_of_shadow * (1.0 - share)
                for i in range(3):
                    picture[row, column, i] *= factor
