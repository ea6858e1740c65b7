"""2D-informed refinement (paper section 3.4) as Gauss-Newton on the body's pose, with a fixed budget.

The paper lowers |projected joints - 2D keypoints|^2 + lambda * (distance to theta') by gradient steps.  The same cost
is lowered here by Levenberg-Marquardt steps on the joint rotations, the translation and, while the shape settles, the
shape: two steps from a warm start do what tens of gradient steps do.  Exactly `iterations` steps are made, never fewer
or more; the best pose seen is returned, so the cost never ends above its start.

The cost is a sum of squares of independent one-sigma residuals:
  2D      L^T (projected point - observed point), px, where L L^T is the observation's inverse covariance, with
          Geman-McClure's robust weight
  theta'  the rotation from the network's rotation, in the joint's own frame, over the network's one-sigma
  motion  the rotation from the constant-velocity prediction, over how far a joint may stray from it in one frame
  foot    the sole of a foot that stands from level, about the two level axes
  depth   the translation from its prediction;   shape   beta from its running estimate, in that estimate's information

Letters: J = 24 body joints (SMPL order), K keypoints, S = 10 shape.  Frames: OpenCV camera; metres; pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from biopose_live.rotations import exp_into, log_into
from biopose_live.skeleton.kernels import cholesky_solve

Floats = NDArray[np.float64]

ROOT = 6  # rows of the root's rotation and of the translation
MAX_TURN = 0.5  # rad, largest change of a joint in one step
FEET = (7, 8)  # the ankles, left and right, whose frames the feet are
ROBUST_SIGMAS = 3.0  # Geman-McClure: a point this many sigmas off pulls at a quarter of its weight


class BodyPoints(NamedTuple):
    """The parts of a body that keypoints ride on; positions are affine in the shape."""

    parents: NDArray[np.int64]  # (J,)
    joint_template: Floats  # (J, 3) m
    joint_dirs: Floats  # (J, 3, S)
    keypoint_joint: NDArray[np.int64]  # (K,) the joint each keypoint moves with
    keypoint_template: Floats  # (K, 3) m, rest pose
    keypoint_dirs: Floats  # (K, 3, S)


class Priors(NamedTuple):
    """What the cost knows besides the image; precisions are 1 / sigma^2."""

    rotations: Floats  # (J, 3, 3) the network's theta'
    rotation_precision: Floats  # (J, 3), 1 / rad^2, in the joint's own frame; row 0 is the root's
    predicted: Floats  # (J, 3, 3) from the frames before
    predicted_precision: Floats  # (J, 3)
    translation: Floats  # (3,) m
    translation_precision: Floats  # (3,)
    betas: Floats  # (S,)
    betas_precision: Floats  # (S, S)
    up: Floats  # (3,) unit vector against gravity, camera frame
    foot_precision: Floats  # (2,) 1 / rad^2, left and right: how surely that foot stands flat


class Refined(NamedTuple):
    """rotations (J, 3, 3), translation (3,) m, betas (S,), the cost's Hessian / 2 over [root rotation 3, translation 3,
    joints 1.. 3 each, betas S], the cost, and the keypoints' one-sigma residuals (K,)."""

    rotations: Floats
    translation: Floats
    betas: Floats
    information: Floats
    cost: float
    residuals: Floats


def isotropic(precision: Floats) -> Floats:
    """(K,) 1 / px^2, the same in all directions -> (K, 3): entries xx, xy, yy."""
    return np.stack([precision, np.zeros_like(precision), precision], 1)


@nb.njit(cache=True)
def _place(
    body: BodyPoints,
    rotations: Floats,
    translation: Floats,
    betas: Floats,
    rest: Floats,
    turn: Floats,
    at: Floats,
    points: Floats,
) -> None:
    """Forward kinematics: fills rest (J, 3), turn (J, 3, 3) global, at (J, 3) and points (K, 3)."""
    shape_size = betas.shape[0]
    for j in range(rest.shape[0]):
        for i in range(3):
            value = body.joint_template[j, i]
            for s in range(shape_size):
                value += body.joint_dirs[j, i, s] * betas[s]
            rest[j, i] = value
        parent = body.parents[j]
        if parent < 0:
            for i in range(3):
                at[j, i] = rest[j, i] + translation[i]
                for k in range(3):
                    turn[j, i, k] = rotations[j, i, k]
            continue
        for i in range(3):
            value = at[parent, i]
            for k in range(3):
                value += turn[parent, i, k] * (rest[j, k] - rest[parent, k])
            at[j, i] = value
            for k in range(3):
                turn[j, i, k] = (
                    turn[parent, i, 0] * rotations[j, 0, k]
                    + turn[parent, i, 1] * rotations[j, 1, k]
                    + turn[parent, i, 2] * rotations[j, 2, k]
                )
    local = np.empty(3)
    for n in range(points.shape[0]):
        j = body.keypoint_joint[n]
        for i in range(3):
            value = body.keypoint_template[n, i] - rest[j, i]
            for s in range(shape_size):
                value += body.keypoint_dirs[n, i, s] * betas[s]
            local[i] = value
        for i in range(3):
            points[n, i] = at[j, i] + turn[j, i, 0] * local[0] + turn[j, i, 1] * local[1] + turn[j, i, 2] * local[2]


@nb.njit(cache=True)
def place(body: BodyPoints, rotations: Floats, translation: Floats, betas: Floats) -> tuple[Floats, Floats, Floats]:
    """-> keypoints (K, 3) m, joints (J, 3) m, global rotations (J, 3, 3) of the posed body."""
    joints = rotations.shape[0]
    rest, at, turn = np.empty((joints, 3)), np.empty((joints, 3)), np.empty((joints, 3, 3))
    points = np.empty((body.keypoint_joint.shape[0], 3))
    _place(body, rotations, translation, betas, rest, turn, at, points)
    return points, at, turn


@nb.njit(cache=True)
def _point_jacobian(
    body: BodyPoints,
    n: int,
    turn: Floats,
    at: Floats,
    points: Floats,
    shape_at: int,
    with_shape: bool,
    columns: NDArray[np.int64],
    rows: Floats,
) -> int:
    """d point n / d state as `rows` (3, count) over the state entries named in `columns`; -> count."""
    count = 0
    joint = body.keypoint_joint[n]
    j = joint
    while j > 0:
        for a in range(3):
            y0, y1, y2 = points[n, 0] - at[j, 0], points[n, 1] - at[j, 1], points[n, 2] - at[j, 2]
            w0, w1, w2 = turn[j, 0, a], turn[j, 1, a], turn[j, 2, a]
            columns[count] = ROOT + 3 * (j - 1) + a
            rows[0, count] = w1 * y2 - w2 * y1
            rows[1, count] = w2 * y0 - w0 * y2
            rows[2, count] = w0 * y1 - w1 * y0
            count += 1
        j = body.parents[j]
    for a in range(3):
        y0, y1, y2 = points[n, 0] - at[0, 0], points[n, 1] - at[0, 1], points[n, 2] - at[0, 2]
        w0, w1, w2 = turn[0, 0, a], turn[0, 1, a], turn[0, 2, a]
        columns[count] = a
        rows[0, count] = w1 * y2 - w2 * y1
        rows[1, count] = w2 * y0 - w0 * y2
        rows[2, count] = w0 * y1 - w1 * y0
        count += 1
    for a in range(3):
        columns[count] = 3 + a
        for i in range(3):
            rows[i, count] = 1.0 if i == a else 0.0
        count += 1
    if with_shape:
        for s in range(body.joint_dirs.shape[2]):
            columns[count] = shape_at + s
            for i in range(3):
                value = 0.0
                for k in range(3):
                    value += turn[joint, i, k] * (body.keypoint_dirs[n, k, s] - body.joint_dirs[joint, k, s])
                j = joint
                while j > 0:
                    parent = body.parents[j]
                    for k in range(3):
                        value += turn[parent, i, k] * (body.joint_dirs[j, k, s] - body.joint_dirs[parent, k, s])
                    j = parent
                rows[i, count] = value + body.joint_dirs[0, i, s]
            count += 1
    return count


@nb.njit(cache=True)
def _rotation_prior(
    start: int,
    rotation: Floats,
    mean: Floats,
    precision: Floats,
    information: Floats,
    gradient: Floats,
    error: Floats,
) -> float:
    """Adds one joint's pull towards `mean`; -> its cost.  The error is log(mean^T rotation), in the joint's frame."""
    relative = np.zeros((3, 3))
    for i in range(3):
        for k in range(3):
            for m in range(3):
                relative[i, k] += mean[m, i] * rotation[m, k]
    log_into(relative, error)
    cost = 0.0
    for a in range(3):
        # Cauchy's weight: where the network is off by many of its own sigmas, it was overconfident.
        weight = precision[a] / (1.0 + error[a] * error[a] * precision[a] / 9.0)
        information[start + a, start + a] += weight
        gradient[start + a] -= weight * error[a]
        cost += 9.0 * np.log(1.0 + error[a] * error[a] * precision[a] / 9.0)
    return cost


@nb.njit(cache=True)
def _flat_foot(
    body: BodyPoints,
    foot: int,
    turn: Floats,
    up: Floats,
    precision: float,
    columns: NDArray[np.int64],
    rows: Floats,
    information: Floats,
    gradient: Floats,
) -> float:
    """Adds the pull of a foot's y axis (upright in the rest pose) towards `up`; -> its cost."""
    local = np.empty(3)
    for a in range(3):
        local[a] = turn[foot, 0, a] * up[0] + turn[foot, 1, a] * up[1] + turn[foot, 2, a] * up[2]
    # Turning the foot by y x local = (z, 0, -x) of local brings its y axis upright; a turn d moves local by -d x local.
    error_x, error_z = local[2], -local[0]
    across = np.empty(3)
    count = 0
    j = foot
    while j >= 0:
        for b in range(3):
            columns[count] = b if j == 0 else ROOT + 3 * (j - 1) + b
            for a in range(3):
                across[a] = (
                    turn[foot, 0, a] * turn[j, 0, b]
                    + turn[foot, 1, a] * turn[j, 1, b]
                    + turn[foot, 2, a] * turn[j, 2, b]
                )
            rows[0, count] = local[1] * across[0] - local[0] * across[1]
            rows[1, count] = local[1] * across[2] - local[2] * across[1]
            count += 1
        j = body.parents[j]
    square = (error_x * error_x + error_z * error_z) * precision
    weight = precision / (1.0 + square / 9.0)
    for c in range(count):
        gradient[columns[c]] += weight * (rows[0, c] * error_x + rows[1, c] * error_z)
        for d in range(count):
            information[columns[c], columns[d]] += weight * (rows[0, c] * rows[0, d] + rows[1, c] * rows[1, d])
    return 9.0 * np.log(1.0 + square / 9.0)


@nb.njit(cache=True)
def refine(
    body: BodyPoints,
    rotations: Floats,
    translation: Floats,
    betas: Floats,
    observed: Floats,
    precision: Floats,
    focal: float,
    centre_x: float,
    centre_y: float,
    priors: Priors,
    free_shape: bool,
    iterations: int,
    damping: float,
) -> tuple[Floats, Floats, Floats, Floats, float, Floats]:
    """Makes exactly `iterations` steps from (rotations, translation, betas).

    observed (K, 2) px; precision (K, 3) 1 / px^2: the inverse covariance's entries xx, xy, yy, all 0 for a keypoint
    that was not seen.  -> the fields of `Refined`.
    """
    joints = rotations.shape[0]
    shape_size = betas.shape[0]
    shape_at = ROOT + 3 * (joints - 1)
    size = shape_at + shape_size
    count_keypoints = observed.shape[0]
    rest, at = np.empty((joints, 3)), np.empty((joints, 3))
    turn, points = np.empty((joints, 3, 3)), np.empty((count_keypoints, 3))
    information, gradient = np.zeros((size, size)), np.zeros(size)
    columns, rows, error = np.empty(size, np.int64), np.empty((3, size)), np.empty(3)
    image_rows = np.empty((2, size))
    residuals = np.zeros(count_keypoints)
    rotations, translation, betas = rotations.copy(), translation.copy(), betas.copy()
    best_rotations, best_translation, best_betas = rotations.copy(), translation.copy(), betas.copy()
    best_information, best_gradient, best_residuals = information.copy(), gradient.copy(), residuals.copy()
    best = np.inf
    step_rotation, product, move = np.empty((3, 3)), np.empty((3, 3)), np.empty(size)
    robust = ROBUST_SIGMAS * ROBUST_SIGMAS

    for step in range(iterations + 1):
        _place(body, rotations, translation, betas, rest, turn, at, points)
        information[:] = 0.0
        gradient[:] = 0.0
        cost = 0.0
        for n in range(count_keypoints):
            across, mixed, along = precision[n, 0], precision[n, 1], precision[n, 2]
            if across <= 0.0 or points[n, 2] < 0.1:
                residuals[n] = 0.0
                continue
            inverse_depth = 1.0 / points[n, 2]
            x, y = focal * points[n, 0] * inverse_depth, focal * points[n, 1] * inverse_depth
            dx, dy = observed[n, 0] - centre_x - x, observed[n, 1] - centre_y - y
            square = across * dx * dx + 2.0 * mixed * dx * dy + along * dy * dy
            residuals[n] = np.sqrt(square)
            cost += square / (1.0 + square / robust)
            pull = 1.0 / (1.0 + square / robust)
            pull *= pull
            count = _point_jacobian(body, n, turn, at, points, shape_at, free_shape, columns, rows)
            for c in range(count):
                image_rows[0, c] = (focal * rows[0, c] - x * rows[2, c]) * inverse_depth
                image_rows[1, c] = (focal * rows[1, c] - y * rows[2, c]) * inverse_depth
            for c in range(count):
                a = pull * (across * image_rows[0, c] + mixed * image_rows[1, c])
                b = pull * (mixed * image_rows[0, c] + along * image_rows[1, c])
                gradient[columns[c]] += a * dx + b * dy
                for d in range(count):
                    information[columns[c], columns[d]] += a * image_rows[0, d] + b * image_rows[1, d]
        for j in range(joints):
            start = 0 if j == 0 else ROOT + 3 * (j - 1)
            cost += _rotation_prior(
                start, rotations[j], priors.rotations[j], priors.rotation_precision[j], information, gradient, error
            )
            cost += _rotation_prior(
                start, rotations[j], priors.predicted[j], priors.predicted_precision[j], information, gradient, error
            )
        for side in range(2):
            if priors.foot_precision[side] > 0.0:
                cost += _flat_foot(
                    body,
                    FEET[side],
                    turn,
                    priors.up,
                    priors.foot_precision[side],
                    columns,
                    rows,
                    information,
                    gradient,
                )
        for i in range(3):
            off = priors.translation[i] - translation[i]
            information[3 + i, 3 + i] += priors.translation_precision[i]
            gradient[3 + i] += priors.translation_precision[i] * off
            cost += priors.translation_precision[i] * off * off
        if free_shape:
            for s in range(shape_size):
                pull = 0.0
                for u in range(shape_size):
                    information[shape_at + s, shape_at + u] += priors.betas_precision[s, u]
                    pull += priors.betas_precision[s, u] * (priors.betas[u] - betas[u])
                gradient[shape_at + s] += pull
                cost += pull * (priors.betas[s] - betas[s])
        else:
            for s in range(shape_size):
                information[shape_at + s, shape_at + s] = 1.0
        if cost < best:
            best = cost
            best_rotations[:], best_translation[:], best_betas[:] = rotations, translation, betas
            best_information[:], best_gradient[:], best_residuals[:] = information, gradient, residuals
            damping = max(damping * 0.3, 1e-6)
        else:
            damping *= 10.0
        if step == iterations:
            break
        system = best_information.copy()
        for i in range(size):
            system[i, i] += damping * best_information[i, i] + 1e-9
        move[:] = best_gradient
        if not cholesky_solve(system, move):
            damping *= 10.0  # not positive definite to working precision: a shorter step next time
            move[:] = 0.0
        for j in range(joints):
            start = 0 if j == 0 else ROOT + 3 * (j - 1)
            length = np.sqrt(move[start] ** 2 + move[start + 1] ** 2 + move[start + 2] ** 2)
            shrink = min(1.0, MAX_TURN / max(length, 1e-12))
            exp_into(shrink * move[start], shrink * move[start + 1], shrink * move[start + 2], step_rotation)
            for i in range(3):
                for k in range(3):
                    product[i, k] = (
                        best_rotations[j, i, 0] * step_rotation[0, k]
                        + best_rotations[j, i, 1] * step_rotation[1, k]
                        + best_rotations[j, i, 2] * step_rotation[2, k]
                    )
            rotations[j] = product
        for i in range(3):
            translation[i] = best_translation[i] + move[3 + i]
        for s in range(shape_size):
            betas[s] = best_betas[s] + move[shape_at + s]
    return best_rotations, best_translation, best_betas, best_information, best, best_residuals
