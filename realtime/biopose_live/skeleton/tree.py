"""The compiled form of a `SkeletonModel`: arrays in place of objects, and the numba kernels that pose it.

Dimensions: B bodies = J joints, Q coordinates, P polynomials, S splines, C couplers. A joint's six motions are three
body-fixed rotations and three translations along axes of its parent frame (OpenSim's CustomJoint). Ground is body -1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .functions import Function, Polynomial
from .model import GROUND, FloatArray, SkeletonModel

IntArray = NDArray[np.int64]
LINE, POLYNOMIAL, SPLINE = 0, 1, 2
# Reordered and fused arithmetic is welcome, but NaN and infinity keep their meaning.
FAST = {"contract", "reassoc", "arcp", "nsz"}


class Tree(NamedTuple):
    """Arrays of one skeleton. Positions in m, in unscaled body frames."""

    parent: IntArray  # (J,) parent body
    child: IntArray  # (J,) child body
    parent_position: FloatArray  # (J, 3)
    parent_rotation: FloatArray  # (J, 3, 3)
    child_position: FloatArray  # (J, 3)
    child_rotation: FloatArray  # (J, 3, 3), transposed: joint frame to body frame
    axis: FloatArray  # (J, 6, 3)
    coordinate: IntArray  # (J, 6), -1 for a constant
    function: FloatArray  # (J, 6, 4): kind, slope and offset of a line, or table row of another function
    scales: FloatArray  # (J, 3): 1 where a translation stretches with the parent body, 0 where it is a coordinate
    polynomials: FloatArray  # (P, n), highest power first, padded with leading zeros
    spline_breaks: FloatArray  # (S, n), padded with infinity
    spline_origins: FloatArray  # (S, n + 1)
    spline_cubics: FloatArray  # (S, n + 1, 4), lowest power first
    coupler_coordinates: IntArray  # (C, 2): dependent, independent
    coupler_function: FloatArray  # (C, 4)


def compile_tree(model: SkeletonModel) -> Tree:
    """The arrays of ``model``."""
    tables = _Tables()
    count = len(model.joints)
    coordinate = np.full((count, 6), -1, np.int64)
    function = np.zeros((count, 6, 4))
    scales = np.ones((count, 3))
    for j, joint in enumerate(model.joints):
        for k, axis in enumerate(joint.axes):
            coordinate[j, k] = -1 if axis.coordinate is None else axis.coordinate
            function[j, k] = tables.add(axis.function)
            if k >= 3 and axis.function.is_identity:
                scales[j, k - 3] = 0.0
    couplers = [(c.dependent, c.independent) for c in model.couplers]
    coupler_function = [tables.add(c.function) for c in model.couplers]
    joints = model.joints
    return Tree(
        parent=np.array([j.parent for j in joints], np.int64),
        child=np.array([j.child for j in joints], np.int64),
        parent_position=np.array([j.parent_frame.position for j in joints], float),
        parent_rotation=np.array([j.parent_frame.rotation for j in joints], float),
        child_position=np.array([j.child_frame.position for j in joints], float),
        child_rotation=np.ascontiguousarray([j.child_frame.rotation.T for j in joints], float),
        axis=np.array([[axis.direction for axis in j.axes] for j in joints], float),
        coordinate=coordinate,
        function=function,
        scales=scales,
        polynomials=tables.polynomial_array(),
        spline_breaks=tables.spline_array(0),
        spline_origins=tables.spline_array(1),
        spline_cubics=tables.spline_array(2),
        coupler_coordinates=np.array(couplers, np.int64).reshape(-1, 2),
        coupler_function=np.array(coupler_function, float).reshape(-1, 4),
    )


class _Tables:
    """Collects the functions that are more than a straight line."""

    def __init__(self) -> None:
        self.polynomials: list[tuple[float, ...]] = []
        self.splines: list[tuple[FloatArray, FloatArray, FloatArray]] = []

    def add(self, function: Function) -> tuple[float, float, float, float]:
        if not isinstance(function, Polynomial):
            self.splines.append(function.table())
            return SPLINE, 0.0, 0.0, len(self.splines) - 1
        coefficients = function.coefficients
        if len(coefficients) <= 2:
            slope = coefficients[0] if len(coefficients) == 2 else 0.0
            return LINE, slope, coefficients[-1] if coefficients else 0.0, 0
        self.polynomials.append(coefficients)
        return POLYNOMIAL, 0.0, 0.0, len(self.polynomials) - 1

    def polynomial_array(self) -> FloatArray:
        width = max((len(p) for p in self.polynomials), default=1)
        rows = np.zeros((max(len(self.polynomials), 1), width))
        for row, coefficients in zip(rows, self.polynomials, strict=False):
            row[width - len(coefficients) :] = coefficients
        return rows

    def spline_array(self, part: int) -> FloatArray:
        knots = max((len(s[0]) for s in self.splines), default=1)
        shape = [(knots,), (knots + 1,), (knots + 1, 4)][part]
        rows = np.full((max(len(self.splines), 1), *shape), np.inf if part == 0 else 0.0)
        for row, spline in zip(rows, self.splines, strict=False):
            row[: len(spline[part])] = spline[part]
        return rows


@njit(cache=True)
def evaluate(tree: Tree, function: FloatArray, x: float) -> tuple[float, float]:
    """Value and derivative at ``x`` of the function that ``function`` (4,) describes."""
    kind = int(function[0])
    if kind == LINE:
        return function[1] * x + function[2], function[1]
    row = int(function[3])
    if kind == POLYNOMIAL:
        value = 0.0
        slope = 0.0
        for i in range(tree.polynomials.shape[1]):
            slope = slope * x + value
            value = value * x + tree.polynomials[row, i]
        return value, slope
    i = 0
    while i < tree.spline_breaks.shape[1] and x >= tree.spline_breaks[row, i]:
        i += 1
    dx = x - tree.spline_origins[row, i]
    c = tree.spline_cubics[row, i]
    return c[0] + dx * (c[1] + dx * (c[2] + dx * c[3])), c[1] + dx * (2.0 * c[2] + 3.0 * dx * c[3])


@njit(cache=True)
def couple(tree: Tree, q: FloatArray) -> None:
    """Set the coupled coordinates of ``q`` (Q,) in place from those that they follow."""
    for i in range(tree.coupler_coordinates.shape[0]):
        dependent, independent = tree.coupler_coordinates[i]
        q[dependent] = evaluate(tree, tree.coupler_function[i], q[independent])[0]


@njit(cache=True)
def stretch(
    tree: Tree, scales: FloatArray, parent_position: FloatArray, child_position: FloatArray, factor: FloatArray
) -> None:
    """Joint frames (J, 3) and translation factors (J, 3) under body scales (B, 3): OpenSim's Model::scale.

    A translation that is a function of a coordinate stretches with its parent body along its axis, read in the joint's
    frame; a translation that is itself a coordinate does not.
    """
    for j in range(tree.parent.shape[0]):
        parent = tree.parent[j]
        child = tree.child[j]
        for i in range(3):
            along = 1.0 if parent < 0 else scales[parent, i]
            parent_position[j, i] = tree.parent_position[j, i] * along
            child_position[j, i] = tree.child_position[j, i] * scales[child, i]
            factor[j, i] = 1.0
        if parent >= 0:
            for k in range(3):
                if tree.scales[j, k] != 0.0:
                    axis = tree.axis[j, 3 + k]
                    factor[j, k] = (
                        axis[0] * scales[parent, 0] + axis[1] * scales[parent, 1] + axis[2] * scales[parent, 2]
                    )


@njit(cache=True, inline="always")
def _multiply(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    for r in range(3):
        for c in range(3):
            out[r, c] = a[r, 0] * b[0, c] + a[r, 1] * b[1, c] + a[r, 2] * b[2, c]


@njit(cache=True, inline="always")
def _turn(a: FloatArray, v: FloatArray, out: FloatArray) -> None:
    for r in range(3):
        out[r] = a[r, 0] * v[0] + a[r, 1] * v[1] + a[r, 2] * v[2]


@njit(cache=True, fastmath=FAST)
def pose_tree(
    tree: Tree,
    q: FloatArray,
    parent_position: FloatArray,
    child_position: FloatArray,
    factor: FloatArray,
    rotation: FloatArray,
    position: FloatArray,
    direction: FloatArray,
    pivot: FloatArray,
    rate: FloatArray,
) -> None:
    """Pose every body and say how each motion moves it.

    Fills, in ground: ``rotation`` (B, 3, 3) and ``position`` (B, 3) of the bodies, ``direction`` (J, 6, 3) of each
    motion's axis, ``pivot`` (J, 3), the point about which a joint's rotations turn; and ``rate`` (J, 6), the
    derivative of each motion by its coordinate.
    """
    frame = np.empty((3, 3))
    turned = np.empty((3, 3))
    step = np.empty((3, 3))
    local = np.empty(3)
    offset = np.empty(3)
    identity = np.eye(3)
    for j in range(tree.parent.shape[0]):
        parent = tree.parent[j]
        child = tree.child[j]
        base = identity if parent < 0 else rotation[parent]
        _multiply(base, tree.parent_rotation[j], frame)
        _turn(base, parent_position[j], offset)
        for i in range(3):
            pivot[j, i] = offset[i] if parent < 0 else position[parent, i] + offset[i]
            local[i] = 0.0
        turned[:] = frame
        for k in range(6):
            coordinate = tree.coordinate[j, k]
            value, rate[j, k] = evaluate(tree, tree.function[j, k], q[coordinate] if coordinate >= 0 else 0.0)
            axis = tree.axis[j, k]
            if k >= 3:
                _turn(frame, axis, direction[j, k])
                value *= factor[j, k - 3]
                rate[j, k] *= factor[j, k - 3]
                for i in range(3):
                    local[i] += value * axis[i]
                continue
            _turn(turned, axis, direction[j, k])
            if value != 0.0:
                # Rodrigues' rotation by value about axis.
                cosine = np.cos(value)
                sine = np.sin(value)
                rest = 1.0 - cosine
                x, y, z = axis
                step[0, 0] = cosine + x * x * rest
                step[0, 1] = x * y * rest - z * sine
                step[0, 2] = x * z * rest + y * sine
                step[1, 0] = y * x * rest + z * sine
                step[1, 1] = cosine + y * y * rest
                step[1, 2] = y * z * rest - x * sine
                step[2, 0] = z * x * rest - y * sine
                step[2, 1] = z * y * rest + x * sine
                step[2, 2] = cosine + z * z * rest
                _multiply(turned, step, rotation[child])
                turned[:] = rotation[child]
        _turn(frame, local, offset)
        for i in range(3):
            pivot[j, i] += offset[i]
        _multiply(turned, tree.child_rotation[j], rotation[child])
        _turn(rotation[child], child_position[j], offset)
        for i in range(3):
            position[child, i] = pivot[j, i] - offset[i]


def check_scales(model: SkeletonModel, scales: FloatArray | None) -> FloatArray:
    """``scales`` as a (B, 3) float array, ones when None. Raises ValueError for another shape or values <= 0."""
    if scales is None:
        return np.ones((len(model.bodies), 3))
    scales = np.ascontiguousarray(scales, float)
    if scales.shape != (len(model.bodies), 3):
        raise ValueError(f"scales have shape {scales.shape}, expected ({len(model.bodies)}, 3)")
    if not np.all(scales > 0.0):
        raise ValueError("every scale must be above zero")
    return scales


def check_bodies(model: SkeletonModel, bodies: object) -> IntArray:
    """Body indices as an int array. Raises ValueError for one that is neither a body nor GROUND."""
    indices = np.ascontiguousarray(bodies, np.int64)
    if indices.ndim != 1 or np.any(indices < GROUND) or np.any(indices >= len(model.bodies)):
        raise ValueError(f"body indices must be a list of numbers from {GROUND} to {len(model.bodies) - 1}")
    return indices
