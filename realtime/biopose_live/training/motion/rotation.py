"""Rotation algebra for motion capture: axis-angle, quaternion, Euler and matrix forms in NumPy, double precision.

Matrices act on column vectors.  Axis-angle vectors are radians.  Every function is batched over leading dimensions.
Follows the usual closed forms: Rodrigues' formula, Shepperd's method (1978) for matrix to quaternion, and spherical
linear interpolation (Shoemake 1985).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def axis_angle_to_matrix(vector: Array) -> Array:
    """Rodrigues' formula: axis-angle (..., 3), radians, to matrices (..., 3, 3)."""
    v = np.asarray(vector, dtype=np.float64)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    # sin(a)/a and (1-cos a)/a^2, both through sinc, which is smooth at zero
    s = np.sinc(angle / np.pi)
    c = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    k = np.zeros((*v.shape[:-1], 3, 3))
    k[..., 0, 1], k[..., 0, 2], k[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    k = k - np.swapaxes(k, -1, -2)
    return np.eye(3) + s * k + c * (k @ k)


def quaternion_to_matrix(wxyz: Array) -> Array:
    """Quaternions (..., 4), scalar first, any non-zero length, to matrices (..., 3, 3)."""
    q = np.asarray(wxyz, dtype=np.float64)
    w, x, y, z = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_quaternion(matrix: Array) -> Array:
    """Matrices (..., 3, 3) to unit quaternions (..., 4), scalar first and non-negative (Shepperd's method)."""
    m = np.asarray(matrix, dtype=np.float64)
    d = np.diagonal(m, axis1=-2, axis2=-1)
    trace = d.sum(axis=-1)
    # Four ways to write the same quaternion; the one with the largest pivot is the well-conditioned one.
    pivots = np.concatenate([trace[..., None], d], axis=-1)
    choice = pivots.argmax(axis=-1)
    x = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    p = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    forms = np.stack(
        [
            np.stack([1 + trace, x[0], x[1], x[2]], axis=-1),
            np.stack([x[0], 1 + 2 * d[..., 0] - trace, p[0], p[1]], axis=-1),
            np.stack([x[1], p[0], 1 + 2 * d[..., 1] - trace, p[2]], axis=-1),
            np.stack([x[2], p[1], p[2], 1 + 2 * d[..., 2] - trace], axis=-1),
        ],
        axis=-2,
    )
    q = np.take_along_axis(forms, choice[..., None, None], axis=-2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return np.where(q[..., :1] < 0, -q, q)


def matrix_to_axis_angle(matrix: Array) -> Array:
    """Matrices (..., 3, 3) to axis-angle vectors (..., 3), radians, of length at most pi."""
    q = matrix_to_quaternion(matrix)
    vector, w = q[..., 1:], q[..., :1]
    sine = np.linalg.norm(vector, axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, w)
    return vector * np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0)


def axis_rotation(axis: str, angle: Array) -> Array:
    """Rotation by `angle` (...,), radians, about the coordinate axis "x", "y" or "z": (..., 3, 3)."""
    unit = np.eye(3)["xyz".index(axis)]
    return axis_angle_to_matrix(np.asarray(angle, dtype=np.float64)[..., None] * unit)


def normalise(vector: Array) -> Array:
    """Unit vectors along the last axis; a zero vector stays zero."""
    v = np.asarray(vector, dtype=np.float64)
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def orthogonal_part(vector: Array, to: Array) -> Array:
    """Unit vector (..., 3) along what is left of `vector` once its part along the unit vector `to` is taken away."""
    return normalise(vector - (vector * to).sum(axis=-1, keepdims=True) * to)


def frame(first: Array, second: Array) -> Array:
    """Right-handed orthonormal frame (..., 3, 3): column 0 along `first`, column 1 in the plane of both vectors."""
    a = normalise(first)
    b = orthogonal_part(np.asarray(second, dtype=np.float64), a)
    a, b = np.broadcast_arrays(a, b)
    return np.stack([a, b, np.cross(a, b)], axis=-1)


def twist_angle(rotation: Array, axis: Array) -> Array:
    """Signed twist (...,), radians in (-pi, pi], of matrices (..., 3, 3) about the unit vector `axis` (3,)."""
    q = matrix_to_quaternion(rotation)
    return 2 * np.arctan2((q[..., 1:] * axis).sum(axis=-1), q[..., 0] + 1e-300)


def interpolate(start: Array, end: Array, fraction: Array) -> Array:
    """Geodesic from `start` to `end`, both (..., 3, 3), at `fraction` (broadcast over the leading dimensions)."""
    step = matrix_to_axis_angle(np.swapaxes(start, -1, -2) @ end)
    return start @ axis_angle_to_matrix(np.asarray(fraction)[..., None] * step)
