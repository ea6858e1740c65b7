"""The compiled code of the skeleton: numba kernels that pose it, differentiate it and solve for it.

All kernels stand in this one file because numba's cache watches only the file of the function that it compiled: a
kernel changed in another file would leave its callers stale.

A joint's six motions are three body-fixed rotations and three translations along axes of its parent frame (OpenSim's
CustomJoint). The solver treats markers as point masses: the Gauss-Newton matrix ``J^T W J`` is then the skeleton's
joint-space inertia matrix, built from sums over whole subtrees (composite rigid bodies) and factored from the leaves
inwards, which leaves the zeros between branches zero (Featherstone 2008, Rigid Body Dynamics Algorithms, sections 6.2
and 6.3). Only the lower triangle is kept. Views of arrays are avoided in loops: each costs two reference counts.

Dimensions: B bodies = J joints, Q coordinates, F free coordinates, M markers (sorted by body), P polynomials,
S splines, C couplers. Ground is body -1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .model import BoolArray, FloatArray

IntArray = NDArray[np.int64]
LINE, POLYNOMIAL, SPLINE = 0, 1, 2
# Reordered and fused arithmetic is welcome, but NaN and infinity keep their meaning.
FAST = {"contract", "reassoc", "arcp", "nsz"}
FLOOR = 1e-8  # damping (m^2 / rad^2) that keeps coordinates still which no marker sees
SMALLEST_GAIN = 1e-9  # of the cost, in one accepted step: below it nothing is left to gain
SMALLEST_STEP = 1e-9  # rad or m: below it nothing is left to gain


class Tree(NamedTuple):
    """Arrays of one skeleton. Positions in m, in unscaled body frames."""

    parent: IntArray  # (J,) parent body
    child: IntArray  # (J,) child body
    parent_position: FloatArray  # (J, 3)
    parent_rotation: FloatArray  # (J, 3, 3)
    parent_spread: FloatArray  # (J, 3, 3): what the parent's scales multiply to give the position
    child_position: FloatArray  # (J, 3)
    child_spread: FloatArray  # (J, 3, 3)
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
    coupler_parent: IntArray  # (C,): the body whose scales stretch what the coupler dictates, -1 for none
    coupler_scales: FloatArray  # (C, 3): the weights of those scales
    coupler_function: FloatArray  # (C, 4)


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
def couple_scaled(tree: Tree, q: FloatArray, scales: FloatArray) -> None:
    """Like `couple`, under body scales (B, 3), which a coupled translation follows."""
    for i in range(tree.coupler_coordinates.shape[0]):
        dependent, independent = tree.coupler_coordinates[i]
        value = evaluate(tree, tree.coupler_function[i], q[independent])[0]
        body = tree.coupler_parent[i]
        if body >= 0:
            factor = 0.0
            for k in range(3):
                factor += tree.coupler_scales[i, k] * scales[body, k]
            value *= factor
        q[dependent] = value


@njit(cache=True)
def stretch(
    tree: Tree, scales: FloatArray, parent_position: FloatArray, child_position: FloatArray, factor: FloatArray
) -> None:
    """Joint frames (J, 3) and translation factors (J, 3) under body scales (B, 3): OpenSim's Model::scale.

    A translation that is a function of a coordinate stretches with its parent body along its axis, read in the joint's
    frame; a translation that is itself a coordinate does not. For an axis ``n`` oblique to the frame this takes
    ``n . diag(s) n``; OpenSim takes ``|n| . s``, which is not one at ``s = 1`` and jumps there.
    """
    for j in range(tree.parent.shape[0]):
        parent = tree.parent[j]
        child = tree.child[j]
        for i in range(3):
            before = tree.parent_position[j, i]
            if parent >= 0:
                before = 0.0
                for k in range(3):
                    before += tree.parent_spread[j, i, k] * scales[parent, k]
            after = 0.0
            for k in range(3):
                after += tree.child_spread[j, i, k] * scales[child, k]
            parent_position[j, i] = before
            child_position[j, i] = after
            factor[j, i] = 1.0
        if parent >= 0:
            for k in range(3):
                if tree.scales[j, k] != 0.0:
                    axis = tree.axis[j, 3 + k]
                    factor[j, k] = 0.0
                    for i in range(3):
                        factor[j, k] += axis[i] * axis[i] * scales[parent, i]


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
    product = np.empty((3, 3))
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
            if tree.function[j, k, 0] == LINE:
                slope = tree.function[j, k, 1]
                value = tree.function[j, k, 2]
                if coordinate >= 0:
                    value += slope * q[coordinate]
            else:
                value, slope = evaluate(tree, tree.function[j, k], q[coordinate] if coordinate >= 0 else 0.0)
            rate[j, k] = slope
            if coordinate < 0 and value == 0.0:
                continue  # still: nobody asks for its direction
            x = tree.axis[j, k, 0]
            y = tree.axis[j, k, 1]
            z = tree.axis[j, k, 2]
            if k >= 3:
                value *= factor[j, k - 3]
                rate[j, k] *= factor[j, k - 3]
                for i in range(3):
                    direction[j, k, i] = frame[i, 0] * x + frame[i, 1] * y + frame[i, 2] * z
                    local[i] += value * tree.axis[j, k, i]
                continue
            for i in range(3):
                direction[j, k, i] = turned[i, 0] * x + turned[i, 1] * y + turned[i, 2] * z
            if value != 0.0:
                # Rodrigues' rotation by value about axis.
                cosine = np.cos(value)
                sine = np.sin(value)
                rest = 1.0 - cosine
                step[0, 0] = cosine + x * x * rest
                step[0, 1] = x * y * rest - z * sine
                step[0, 2] = x * z * rest + y * sine
                step[1, 0] = y * x * rest + z * sine
                step[1, 1] = cosine + y * y * rest
                step[1, 2] = y * z * rest - x * sine
                step[2, 0] = z * x * rest - y * sine
                step[2, 1] = z * y * rest + x * sine
                step[2, 2] = cosine + z * z * rest
                _multiply(turned, step, product)
                turned, product = product, turned
        _turn(frame, local, offset)
        for i in range(3):
            pivot[j, i] += offset[i]
        _multiply(turned, tree.child_rotation[j], rotation[child])
        _turn(rotation[child], child_position[j], offset)
        for i in range(3):
            position[child, i] = pivot[j, i] - offset[i]


@njit(cache=True)
def forward_tree(tree: Tree, q: FloatArray, scales: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Rotations (B, 3, 3), origins (B, 3) and joint pivots (J, 3) in ground under body scales (B, 3)."""
    count = tree.parent.shape[0]
    parent_position = np.empty((count, 3))
    child_position = np.empty((count, 3))
    factor = np.empty((count, 3))
    rotation = np.empty((count, 3, 3))
    position = np.empty((count, 3))
    direction = np.empty((count, 6, 3))
    pivot = np.empty((count, 3))
    rate = np.empty((count, 6))
    stretch(tree, scales, parent_position, child_position, factor)
    pose_tree(tree, q, parent_position, child_position, factor, rotation, position, direction, pivot, rate)
    return rotation, position, pivot


class Problem(NamedTuple):
    """One skeleton with its markers. ``tree`` already carries the bone scales."""

    tree: Tree
    free: IntArray  # (F,) coordinate of each column
    lower: FloatArray  # (F,)
    upper: FloatArray  # (F,)
    marker_order: IntArray  # (M,) the caller's index of each sorted marker
    marker_body: IntArray  # (M,) sorted
    marker_location: FloatArray  # (M, 3) m in the scaled body frame
    motion: IntArray  # (N, 3): joint, motion 0..5, place among the body's own columns
    motion_start: IntArray  # (B + 1,)
    column: IntArray  # columns that move each body, rising
    column_start: IntArray  # (B + 1,)
    widest: int  # most columns of any body


class _Work(NamedTuple):
    """Arrays that one solve reuses over its iterations."""

    rotation: FloatArray
    position: FloatArray
    direction: FloatArray
    pivot: FloatArray
    rate: FloatArray
    factor: FloatArray
    gain: FloatArray
    derivative: FloatArray
    mass: FloatArray  # (B, 16), see `_gather`
    motion: FloatArray  # (J, 6, 6): angular and linear rate of each motion that a free coordinate drives


@njit(cache=True)
def _work(problem: Problem, coordinates: int) -> _Work:
    count = problem.tree.parent.shape[0]
    return _Work(
        np.empty((count, 3, 3)),
        np.empty((count, 3)),
        np.empty((count, 6, 3)),
        np.empty((count, 3)),
        np.empty((count, 6)),
        np.ones((count, 3)),
        np.ones(coordinates),
        np.empty((problem.widest, 3)),
        np.empty((count, 16)),
        np.empty((count, 6, 6)),
    )


@njit(cache=True)
def _pose(problem: Problem, q: FloatArray, work: _Work) -> None:
    """Pose the tree at ``q``; chain each motion's rate to the free coordinate that drives it."""
    tree = problem.tree
    couple(tree, q)
    pose_tree(
        tree,
        q,
        tree.parent_position,
        tree.child_position,
        work.factor,
        work.rotation,
        work.position,
        work.direction,
        work.pivot,
        work.rate,
    )
    couplers = tree.coupler_coordinates.shape[0]
    if couplers == 0:
        return
    work.gain[:] = 1.0
    for i in range(couplers):
        dependent, independent = tree.coupler_coordinates[i]
        slope = evaluate(tree, tree.coupler_function[i], q[independent])[1]
        work.gain[dependent] = work.gain[independent] * slope
    for j in range(tree.parent.shape[0]):
        for k in range(6):
            if tree.coordinate[j, k] >= 0:
                work.rate[j, k] *= work.gain[tree.coordinate[j, k]]


@njit(cache=True, inline="always")
def _place(problem: Problem, m: int, work: _Work, point: FloatArray) -> None:
    """Marker ``m`` in ground."""
    body = problem.marker_body[m]
    local = problem.marker_location[m]
    for i in range(3):
        turn = work.rotation[body, i]
        point[i] = work.position[body, i] + turn[0] * local[0] + turn[1] * local[1] + turn[2] * local[2]


@njit(cache=True, inline="always")
def _differentiate(problem: Problem, body: int, point: FloatArray, work: _Work) -> None:
    """Derivative of a point of ``body`` by each of the body's own columns, into ``work.derivative``."""
    derivative = work.derivative
    for c in range(problem.column_start[body + 1] - problem.column_start[body]):
        derivative[c, 0] = 0.0
        derivative[c, 1] = 0.0
        derivative[c, 2] = 0.0
    for row in range(problem.motion_start[body], problem.motion_start[body + 1]):
        j = problem.motion[row, 0]
        k = problem.motion[row, 1]
        c = problem.motion[row, 2]
        rate = work.rate[j, k]
        x, y, z = work.direction[j, k]
        if k < 3:
            ax = point[0] - work.pivot[j, 0]
            ay = point[1] - work.pivot[j, 1]
            az = point[2] - work.pivot[j, 2]
            derivative[c, 0] += rate * (y * az - z * ay)
            derivative[c, 1] += rate * (z * ax - x * az)
            derivative[c, 2] += rate * (x * ay - y * ax)
        else:
            derivative[c, 0] += rate * x
            derivative[c, 1] += rate * y
            derivative[c, 2] += rate * z


@njit(cache=True, fastmath=FAST)
def _gather(problem: Problem, targets: FloatArray, weights: FloatArray, origin: FloatArray, work: _Work) -> float:
    """Sums over the markers of each body and all bodies beyond it, about ``origin``; returns the markers' cost.

    Sixteen a body, for markers at ``x`` with weight ``w`` and residual ``r``: w; w x (3); w (|x|^2 1 - x x^T), lower
    triangle (6); w x cross r (3); w r (3).
    """
    tree = problem.tree
    mass = work.mass
    mass[:] = 0.0
    cost = 0.0
    for m in range(problem.marker_body.shape[0]):
        source = problem.marker_order[m]
        w = weights[source]
        if not w > 0.0:
            continue
        b = problem.marker_body[m]
        u = problem.marker_location[m, 0]
        v = problem.marker_location[m, 1]
        t = problem.marker_location[m, 2]
        gx = work.position[b, 0] + work.rotation[b, 0, 0] * u + work.rotation[b, 0, 1] * v + work.rotation[b, 0, 2] * t
        gy = work.position[b, 1] + work.rotation[b, 1, 0] * u + work.rotation[b, 1, 1] * v + work.rotation[b, 1, 2] * t
        gz = work.position[b, 2] + work.rotation[b, 2, 0] * u + work.rotation[b, 2, 1] * v + work.rotation[b, 2, 2] * t
        rx = targets[source, 0] - gx
        ry = targets[source, 1] - gy
        rz = targets[source, 2] - gz
        cost += w * (rx * rx + ry * ry + rz * rz)
        x = gx - origin[0]
        y = gy - origin[1]
        z = gz - origin[2]
        mass[b, 0] += w
        mass[b, 1] += w * x
        mass[b, 2] += w * y
        mass[b, 3] += w * z
        mass[b, 4] += w * (y * y + z * z)
        mass[b, 5] -= w * x * y
        mass[b, 6] += w * (x * x + z * z)
        mass[b, 7] -= w * x * z
        mass[b, 8] -= w * y * z
        mass[b, 9] += w * (x * x + y * y)
        mass[b, 10] += w * (y * rz - z * ry)
        mass[b, 11] += w * (z * rx - x * rz)
        mass[b, 12] += w * (x * ry - y * rx)
        mass[b, 13] += w * rx
        mass[b, 14] += w * ry
        mass[b, 15] += w * rz
    for j in range(tree.parent.shape[0] - 1, -1, -1):
        parent = tree.parent[j]
        if parent >= 0:
            child = tree.child[j]
            for i in range(16):
                mass[parent, i] += mass[child, i]
    return cost


@njit(cache=True, fastmath=FAST)
def _normal_equations(
    problem: Problem,
    q: FloatArray,
    targets: FloatArray,
    weights: FloatArray,
    prior: FloatArray,
    pull: FloatArray,
    work: _Work,
    matrix: FloatArray,
    gradient: FloatArray,
) -> tuple[float, float]:
    """Gauss-Newton matrix (lower triangle) and descent direction at ``q``; cost of the markers, cost of the prior."""
    _pose(problem, q, work)
    matrix[:] = 0.0
    gradient[:] = 0.0
    origin = np.zeros(3)
    for i in range(3):
        origin[i] = work.position[problem.tree.child[0], i]
    cost = _gather(problem, targets, weights, origin, work)
    mass = work.mass
    motion = work.motion
    for joint in range(problem.tree.parent.shape[0]):
        body = problem.tree.child[joint]
        if not mass[body, 0] > 0.0:
            continue  # no marker on it or beyond it
        first = problem.motion_start[body]
        last = problem.motion_start[body + 1]
        start = problem.column_start[body]
        # The joint's own motions come first, then those of the joints between it and the ground.
        px = work.pivot[joint, 0] - origin[0]
        py = work.pivot[joint, 1] - origin[1]
        pz = work.pivot[joint, 2] - origin[2]
        for row in range(first, last):
            if problem.motion[row, 0] != joint:
                break
            k = problem.motion[row, 1]
            rate = work.rate[joint, k]
            x = rate * work.direction[joint, k, 0]
            y = rate * work.direction[joint, k, 1]
            z = rate * work.direction[joint, k, 2]
            if k < 3:
                motion[joint, k, 0] = x
                motion[joint, k, 1] = y
                motion[joint, k, 2] = z
                motion[joint, k, 3] = py * z - pz * y
                motion[joint, k, 4] = pz * x - px * z
                motion[joint, k, 5] = px * y - py * x
            else:
                motion[joint, k, 0] = 0.0
                motion[joint, k, 1] = 0.0
                motion[joint, k, 2] = 0.0
                motion[joint, k, 3] = x
                motion[joint, k, 4] = y
                motion[joint, k, 5] = z
        for row in range(first, last):
            if problem.motion[row, 0] != joint:
                break
            k = problem.motion[row, 1]
            column = problem.column[start + problem.motion[row, 2]]
            ax, ay, az = motion[joint, k, 0], motion[joint, k, 1], motion[joint, k, 2]
            vx, vy, vz = motion[joint, k, 3], motion[joint, k, 4], motion[joint, k, 5]
            hx, hy, hz = mass[body, 1], mass[body, 2], mass[body, 3]
            gradient[column] += (
                ax * mass[body, 10]
                + ay * mass[body, 11]
                + az * mass[body, 12]
                + vx * mass[body, 13]
                + vy * mass[body, 14]
                + vz * mass[body, 15]
            )
            fx = mass[body, 0] * vx + ay * hz - az * hy
            fy = mass[body, 0] * vy + az * hx - ax * hz
            fz = mass[body, 0] * vz + ax * hy - ay * hx
            tx = hy * vz - hz * vy + mass[body, 4] * ax + mass[body, 5] * ay + mass[body, 7] * az
            ty = hz * vx - hx * vz + mass[body, 5] * ax + mass[body, 6] * ay + mass[body, 8] * az
            tz = hx * vy - hy * vx + mass[body, 7] * ax + mass[body, 8] * ay + mass[body, 9] * az
            for other in range(row, last):
                j = problem.motion[other, 0]
                i = problem.motion[other, 1]
                d = problem.column[start + problem.motion[other, 2]]
                value = (
                    tx * motion[j, i, 0]
                    + ty * motion[j, i, 1]
                    + tz * motion[j, i, 2]
                    + fx * motion[j, i, 3]
                    + fy * motion[j, i, 4]
                    + fz * motion[j, i, 5]
                )
                if d == column and other != row:
                    value *= 2.0  # two motions of one coordinate: both orders fall on the diagonal
                if d <= column:
                    matrix[column, d] += value
                else:
                    matrix[d, column] += value
    prior_cost = 0.0
    for f in range(problem.free.shape[0]):
        c = problem.free[f]
        if pull[c] > 0.0:
            away = prior[c] - q[c]
            prior_cost += pull[c] * away * away
            matrix[f, f] += pull[c]
            gradient[f] += pull[c] * away
    return cost, prior_cost


@njit(cache=True, fastmath=FAST)
def cholesky_solve(matrix: FloatArray, right: FloatArray) -> bool:
    """Solve in place the symmetric system whose lower triangle is ``matrix``; False when it is not positive.

    Factored as ``L^T D L`` from the last row upwards: rows of a tree ordered from the root then fill no zeros in.
    """
    n = right.shape[0]
    for k in range(n - 1, -1, -1):
        diagonal = matrix[k, k]
        if not diagonal > 0.0:
            return False
        for i in range(k - 1, -1, -1):
            if matrix[k, i] != 0.0:
                share = matrix[k, i] / diagonal
                for j in range(i + 1):
                    matrix[i, j] -= share * matrix[k, j]
                matrix[k, i] = share
                right[i] -= share * right[k]
    for k in range(n):
        total = right[k] / matrix[k, k]
        for i in range(k):
            total -= matrix[k, i] * right[i]
        right[k] = total
    return True


@njit(cache=True)
def _bounded_step(
    problem: Problem,
    q: FloatArray,
    matrix: FloatArray,
    gradient: FloatArray,
    held: BoolArray,
    damping: float,
    system: FloatArray,
    step: FloatArray,
) -> bool:
    """The damped Gauss-Newton step that stays within the limits; False when the system could not be solved.

    Coordinates that would cross a limit are put on it and the rest is solved again, a few times over.
    """
    n = gradient.shape[0]
    still = held.copy()
    amount = np.zeros(n)
    for f in range(n):
        value = q[problem.free[f]]
        if (value <= problem.lower[f] and gradient[f] < 0.0) or (value >= problem.upper[f] and gradient[f] > 0.0):
            still[f] = True
    for _ in range(4):
        for a in range(n):
            for b in range(a):
                system[a, b] = matrix[a, b]
            system[a, a] = matrix[a, a] * (1.0 + damping) + FLOOR
            step[a] = gradient[a]
        for a in range(n):
            if still[a]:
                for b in range(n):
                    coupling = matrix[a, b] if b <= a else matrix[b, a]
                    if b != a and amount[a] != 0.0:
                        step[b] -= coupling * amount[a]
                    if b < a:
                        system[a, b] = 0.0
                    elif b > a:
                        system[b, a] = 0.0
                system[a, a] = 1.0
        for a in range(n):
            if still[a]:
                step[a] = amount[a]
        if not cholesky_solve(system, step):
            return False
        crossed = False
        for f in range(n):
            if still[f]:
                continue
            value = q[problem.free[f]]
            if value + step[f] < problem.lower[f]:
                still[f] = True
                amount[f] = problem.lower[f] - value
                crossed = True
            elif value + step[f] > problem.upper[f]:
                still[f] = True
                amount[f] = problem.upper[f] - value
                crossed = True
        if not crossed:
            break
    return True


@njit(cache=True)
def solve_frame(
    problem: Problem,
    q: FloatArray,
    targets: FloatArray,
    weights: FloatArray,
    prior: FloatArray,
    pull: FloatArray,
    held: BoolArray,
    iterations: int,
    damping: float,
) -> tuple[int, float, FloatArray]:
    """Levenberg-Marquardt from ``q`` (Q,), which it overwrites with the best pose found.

    ``targets`` (M, 3) and ``weights`` (M,) in the caller's order, weight 0 for a missing marker; ``prior`` and ``pull``
    (Q,); ``held`` (F,) bool. Returns the steps taken, the markers' part of the cost there, and the whole symmetric
    Gauss-Newton matrix (F, F).
    """
    n = problem.free.shape[0]
    work = _work(problem, q.shape[0])
    matrix = np.zeros((n, n))
    gradient = np.zeros(n)
    new_matrix = np.zeros((n, n))
    new_gradient = np.zeros(n)
    system = np.empty((n, n))
    step = np.empty(n)
    if iterations > 0:
        for f in range(n):
            c = problem.free[f]
            q[c] = min(max(q[c], problem.lower[f]), problem.upper[f])
    cost, extra = _normal_equations(problem, q, targets, weights, prior, pull, work, matrix, gradient)
    trial = q.copy()
    taken = 0
    while taken < iterations:
        taken += 1
        if not _bounded_step(problem, q, matrix, gradient, held, damping, system, step):
            damping *= 10.0
            continue
        largest = 0.0
        for f in range(n):
            c = problem.free[f]
            trial[c] = min(max(q[c] + step[f], problem.lower[f]), problem.upper[f])
            largest = max(largest, abs(trial[c] - q[c]))
        if largest < SMALLEST_STEP:
            break
        new_cost, new_extra = _normal_equations(
            problem, trial, targets, weights, prior, pull, work, new_matrix, new_gradient
        )
        if new_cost + new_extra < cost + extra:
            small = cost + extra - new_cost - new_extra < SMALLEST_GAIN * (cost + extra)
            cost, extra = new_cost, new_extra
            q[:] = trial
            matrix, new_matrix = new_matrix, matrix
            gradient, new_gradient = new_gradient, gradient
            damping = max(damping * 0.3, 1e-9)
            if small:
                break
        else:
            trial[:] = q
            damping = damping * 10.0
    for a in range(n):
        for b in range(a):
            matrix[b, a] = matrix[a, b]
    return taken, cost, matrix


@njit(cache=True)
def residual_jacobian(problem: Problem, q: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Markers (M, 3) m in ground at ``q`` and their derivatives (M, 3, F), in the caller's order."""
    work = _work(problem, q.shape[0])
    _pose(problem, q, work)
    count = problem.marker_body.shape[0]
    points = np.empty((count, 3))
    jacobian = np.zeros((count, 3, problem.free.shape[0]))
    for m in range(count):
        body = problem.marker_body[m]
        source = problem.marker_order[m]
        _place(problem, m, work, points[source])
        _differentiate(problem, body, points[source], work)
        first = problem.column_start[body]
        for c in range(problem.column_start[body + 1] - first):
            for i in range(3):
                jacobian[source, i, problem.column[first + c]] = work.derivative[c, i]
    return points, jacobian
