"""What capture gets wrong, put right after retargeting: a standing knee bend, and frames in which a segment flips.

Optical capture skeletons often place the hip joints too far forward and the legs too long, so that a subject who
stands straight is recorded with knees bent by 10 to 20 degrees, through every clip (seen in several subjects of the
CMU library).  The offset is read off as the bend that a subject hardly ever goes below, and removed about the body's
knee hinge with the line from hip to ankle and the feet kept.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.joints import JOINT_INDEX, PARENTS
from biopose_live.training.motion.retarget import (
    RestBody,
    hinge_axis,
    joint_positions,
    local_rotations,
    sole_height,
)
from biopose_live.training.motion.rotation import Array, axis_angle_to_matrix, matrix_to_axis_angle

STANDING_BEND = np.radians(4.0)  # what a straight standing leg may show
LARGEST_OFFSET = np.radians(20.0)
FLIP = np.radians(60.0)  # per frame at 30 fps: 1800 degrees per second, beyond any joint of the body
SHORTEST_RUN = 15  # frames; flipped stretches between two jumps are shorter
RARELY_BELOW = 2.0  # percentile of a subject's knee bend taken as the straight leg


def knee_bend(theta: NDArray[np.float32], body: RestBody) -> Array:
    """Signed bend (T, 2) of left and right knee, radians: thigh to shank about the body's hinge, flexion positive."""
    bends = []
    for side in ("left", "right"):
        u, v = body.bone(f"{side}_hip", f"{side}_knee"), body.bone(f"{side}_knee", f"{side}_ankle")
        shank = axis_angle_to_matrix(theta[:, JOINT_INDEX[f"{side}_knee"]].astype(np.float64)) @ v
        axis = hinge_axis(f"{side}_knee", u, v)
        bends.append(np.arctan2(np.cross(u, shank) @ axis, shank @ u))
    return np.stack(bends, axis=-1)


def standing_offset(bend: Array) -> float:
    """The offset (radians) that a subject's knee bends (T, 2) carry: 0 where the legs do get straight."""
    lowest = float(np.percentile(bend, RARELY_BELOW, axis=0).mean())
    return float(np.clip(lowest - STANDING_BEND, 0.0, LARGEST_OFFSET))


def global_from_local(theta: NDArray[np.float32]) -> Array:
    """Global rotations (T, 24, 3, 3) of local axis-angle ones (T, 24, 3)."""
    rotations = axis_angle_to_matrix(theta.astype(np.float64))
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            rotations[:, joint] = rotations[:, parent] @ rotations[:, joint]
    return rotations


def straighten_knees(
    theta: NDArray[np.float32], trans: NDArray[np.float32], body: RestBody, offset: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Poses (T, 24, 3) and root translations (T, 3) with `offset` radians taken from each knee's bend.

    Half the turn goes to the thigh and half to the shank; feet keep their attitude; a leg already straight stays so.
    The pelvis is lifted by what the sole nearest to the ground sinks.
    """
    if offset <= 0:
        return theta, trans
    rotations = global_from_local(theta)
    pelvis = trans.astype(np.float64) + body.joints[0]
    before = sole_height(rotations, joint_positions(rotations, body.joints, pelvis), body)
    bend = np.maximum(knee_bend(theta, body), 0.0)
    taken = offset * np.tanh(bend / offset)  # never past straight, and without a kink
    for number, side in enumerate(("left", "right")):
        u, v = body.bone(f"{side}_hip", f"{side}_knee"), body.bone(f"{side}_knee", f"{side}_ankle")
        half = axis_angle_to_matrix(0.5 * taken[:, number, None] * hinge_axis(f"{side}_knee", u, v))
        hip, knee = JOINT_INDEX[f"{side}_hip"], JOINT_INDEX[f"{side}_knee"]
        rotations[:, hip] = rotations[:, hip] @ half
        rotations[:, knee] = rotations[:, knee] @ np.swapaxes(half, -1, -2)
    after = sole_height(rotations, joint_positions(rotations, body.joints, pelvis), body)
    moved = trans.astype(np.float64)
    moved[:, 1] += before - after
    return matrix_to_axis_angle(local_rotations(rotations)).astype(np.float32), moved.astype(np.float32)


def steady_runs(theta: NDArray[np.float32]) -> list[slice]:
    """Stretches of a 30 fps clip (T, 24, 3) in which no joint jumps, in order; the whole clip where none does.

    Euler-angle captures flip a segment by half a turn for some frames now and then.  A clip is cut where a joint turns
    by more than `FLIP` from one frame to the next, and pieces of fewer than `SHORTEST_RUN` frames are dropped.
    """
    rotations = axis_angle_to_matrix(theta.astype(np.float64))
    steps = np.swapaxes(rotations[:-1], -1, -2) @ rotations[1:]
    jumps = np.linalg.norm(matrix_to_axis_angle(steps), axis=-1).max(axis=-1, initial=0.0) > FLIP
    cuts = [0, *(np.flatnonzero(jumps) + 1).tolist(), len(theta)]
    if len(cuts) == 2:
        return [slice(0, len(theta))]
    pieces = (slice(start, end) for start, end in pairwise(cuts))
    return [piece for piece in pieces if piece.stop - piece.start >= SHORTEST_RUN]
