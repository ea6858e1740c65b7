"""Turns a `SkeletonModel` into the arrays that the compiled kernels walk.

Dimensions: B bodies = J joints, Q coordinates, P polynomials, S splines, C couplers. Ground is body -1.
"""

from __future__ import annotations

import numpy as np

from .functions import Function, Polynomial
from .kernels import LINE, POLYNOMIAL, SPLINE, IntArray, Tree
from .model import GROUND, FloatArray, SkeletonModel, coupler_stretch


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
    stretches = [coupler_stretch(model, c) for c in model.couplers]
    couplers = [(c.dependent, c.independent) for c in model.couplers]
    coupler_function = [tables.add(c.function) for c in model.couplers]
    joints = model.joints
    return Tree(
        parent=np.array([j.parent for j in joints], np.int64),
        child=np.array([j.child for j in joints], np.int64),
        parent_position=np.array([j.parent_frame.position for j in joints], float),
        parent_rotation=np.array([j.parent_frame.rotation for j in joints], float),
        parent_spread=np.array([j.parent_frame.spread_matrix() for j in joints], float),
        child_position=np.array([j.child_frame.position for j in joints], float),
        child_spread=np.array([j.child_frame.spread_matrix() for j in joints], float),
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
        coupler_parent=np.array([body for body, _ in stretches], np.int64),
        coupler_scales=np.array([weights for _, weights in stretches], float).reshape(-1, 3),
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
