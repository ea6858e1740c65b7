"""Rotation vectors and matrices: the exponential and logarithm of SO(3), for one rotation (compiled) or many (NumPy).

A rotation vector's direction is the axis, its length the angle in radians (Rodrigues 1840).  Matrices act on columns.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@nb.njit(cache=True)
def exp_into(x: float, y: float, z: float, out: Floats) -> None:
    """Writes the matrix of rotation vector (x, y, z) into out (3, 3)."""
    square = x * x + y * y + z * z
    angle = math.sqrt(square)
    if angle < 1e-8:
        a, b = 1.0 - square / 6.0, 0.5 - square / 24.0
    else:
        a, b = math.sin(angle) / angle, (1.0 - math.cos(angle)) / square
    out[0, 0] = 1.0 - b * (y * y + z * z)
    out[0, 1] = b * x * y - a * z
    out[0, 2] = b * x * z + a * y
    out[1, 0] = b * x * y + a * z
    out[1, 1] = 1.0 - b * (x * x + z * z)
    out[1, 2] = b * y * z - a * x
    out[2, 0] = b * x * z - a * y
    out[2, 1] = b * y * z + a * x
    out[2, 2] = 1.0 - b * (x * x + y * y)


@nb.njit(cache=True)
def log_into(r: Floats, out: Floats) -> None:
    """Writes the rotation vector of matrix r (3, 3) into out (3,); angles lie in [0, pi]."""
    x, y, z = r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    sine = 0.5 * math.sqrt(x * x + y * y + z * z)
    cosine = 0.5 * (r[0, 0] + r[1, 1] + r[2, 2] - 1.0)
    angle = math.atan2(sine, cosine)
    if sine > 1e-6:
        k = 0.5 * angle / sine
        out[0], out[1], out[2] = k * x, k * y, k * z
    elif cosine > 0.0:
        out[0], out[1], out[2] = 0.5 * x, 0.5 * y, 0.5 * z
    else:
        # Half a turn: the antisymmetric part vanishes, so the axis comes from the symmetric part's largest column.
        i = 0
        if r[1, 1] > r[0, 0]:
            i = 1
        if r[2, 2] > r[i, i]:
            i = 2
        axis = np.empty(3)
        for j in range(3):
            axis[j] = 0.5 * (r[i, j] + r[j, i]) + (1.0 if i == j else 0.0)
        k = angle / math.sqrt(axis[0] ** 2 + axis[1] ** 2 + axis[2] ** 2)
        out[0], out[1], out[2] = k * axis[0], k * axis[1], k * axis[2]


@nb.njit(cache=True)
def _exp_rows(vectors: Floats, out: Floats) -> None:
    for i in range(len(vectors)):
        exp_into(vectors[i, 0], vectors[i, 1], vectors[i, 2], out[i])


@nb.njit(cache=True)
def _log_rows(matrices: Floats, out: Floats) -> None:
    for i in range(len(matrices)):
        log_into(matrices[i], out[i])


def to_matrix(vectors: Floats) -> NDArray[np.float64]:
    """(..., 3) rotation vectors, rad -> (..., 3, 3) matrices."""
    rows = np.ascontiguousarray(vectors, np.float64).reshape(-1, 3)
    out = np.empty((len(rows), 3, 3))
    _exp_rows(rows, out)
    return out.reshape(*np.shape(vectors), 3)


def to_vector(matrices: Floats) -> NDArray[np.float64]:
    """(..., 3, 3) rotation matrices -> (..., 3) rotation vectors of at most pi, rad."""
    rows = np.ascontiguousarray(matrices, np.float64).reshape(-1, 3, 3)
    out = np.empty((len(rows), 3))
    _log_rows(rows, out)
    return out.reshape(np.shape(matrices)[:-1])


def from_six(six: Floats) -> NDArray[np.float64]:
    """(..., 6) first two columns, not yet orthonormal -> (..., 3, 3) (Zhou et al. 2019, Gram-Schmidt)."""
    a, b = np.asarray(six, np.float64)[..., :3], np.asarray(six, np.float64)[..., 3:]
    x = a / np.linalg.norm(a, axis=-1, keepdims=True)
    y = b - (x * b).sum(-1, keepdims=True) * x
    y /= np.linalg.norm(y, axis=-1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], -1)
