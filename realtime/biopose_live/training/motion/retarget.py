"""Retargeting: a captured Motion to the body's 24 joint rotations, limb directions kept exactly.

T frames.  The body's rest pose: x to the subject's left, y up, z forward, metres, an A-pose.  Each segment takes the
source's global rotation since its reference pose, composed with the fixed turn between the two resting bones:

- pelvis, chest, head: both references stand upright and look ahead, so no turn; spine1-3 share the bend evenly;
- thigh, shank, upper arm, forearm: frames of (bone, hinge).  When a knee or elbow is clearly bent, the twist of the
  thigh or upper arm is set so that the body's own hinge axis carries the bend, as in the joint itself (knee: Churchill
  et al. 1998; elbow: An and Morrey 1985); when it is straight that twist cannot be seen, and the source's own is kept;
- foot and toes: the turn of the foot about the vertical only, so that flat stays flat;
- hand: the turn between the resting hands; half of the forearm's pronation goes to the forearm, as skinning expects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.joints import JOINT_INDEX, N_JOINTS, PARENTS
from biopose_live.training.motion.motion import Motion
from biopose_live.training.motion.rotation import (
    Array,
    axis_angle_to_matrix,
    frame,
    interpolate,
    matrix_to_axis_angle,
    normalise,
    orthogonal_part,
    twist_angle,
)

FPS = 30.0
# Bend (radians) at which the hinge's plane starts to be trusted and is trusted fully.
BEND_FROM, BEND_FULL = np.radians(15.0), np.radians(40.0)
# A limb bent by this much in the rest pose shows its hinge's axis.
BENT_AT_REST = np.radians(20.0)
# A slight bend whose plane is further than this from the source's own hinge is hyperextension, not twist.
TWIST_LIMIT = np.radians(75.0)
PRONATION_SHARE = 0.5
_X, _Y, _Z = np.eye(3)
_SWAP = [i for pair in ((0,), (2, 1), (3,), (5, 4), (6,), (8, 7), (9,), (11, 10), (12,), (14, 13), (15,)) for i in pair]
_SWAP += [17, 16, 19, 18, 21, 20, 23, 22]


@dataclass(frozen=True)
class Retargeted:
    """`theta` (T, 24, 3) float32 axis-angle, local, radians; `trans` (T, 3) float32, metres, pelvis joint minus its
    rest place; `hinge_residual` (T, 4) float32, radians, out-of-hinge part of left knee, right knee, left elbow, right
    elbow where bent by 40 degrees or more, NaN elsewhere; `twist_correction` (T, 4), radians, how far the source's own
    hinge was from the bend's plane there, beyond what is the same all through the clip."""

    theta: NDArray[np.float32]
    trans: NDArray[np.float32]
    hinge_residual: NDArray[np.float32]
    twist_correction: NDArray[np.float32]


@dataclass(frozen=True)
class RestBody:
    """What retargeting needs of the body: rest joints (24, 3), metres, and the height of the ground under its soles."""

    joints: Array
    ground: float

    def bone(self, start: str, end: str) -> Array:
        """Unit vector (3,) from one rest joint to another."""
        return normalise(self.joints[JOINT_INDEX[end]] - self.joints[JOINT_INDEX[start]])


def hinge_axis(joint: str, upper: Array, lower: Array) -> Array:
    """Flexion axis (3,) of a knee or elbow for a resting limb whose bones point along `upper` and `lower` (3,).

    Where the resting limb is clearly bent, its plane tells.  A straight one is taken as it is in an A- or T-pose
    without axial rotation: the shank flexes backwards about the mediolateral axis, the forearm forwards about the
    normal to the upper arm in the frontal plane.  Positive turns flex.
    """
    if upper @ lower < np.cos(BENT_AT_REST):
        return normalise(np.cross(upper, lower))
    if joint.endswith("knee"):
        return orthogonal_part(_X, upper)
    return normalise(np.cross(upper, _Z))


@dataclass(frozen=True)
class _Limb:
    """Global rotations (T, 3, 3) of a limb's two bones, and the hinge's two reports (T,), radians."""

    upper: Array
    lower: Array
    residual: Array
    correction: Array


def _limb(motion: Motion, body: RestBody, start: str, middle: str, end: str) -> _Limb:
    u_rest, v_rest = body.bone(start, middle), body.bone(middle, end)
    h_rest = hinge_axis(middle, u_rest, v_rest)
    reference = motion.reference_positions()
    at = [motion.index(joint) for joint in (start, middle, end)]
    u_source = normalise(reference[at[1]] - reference[at[0]])
    v_source = normalise(reference[at[2]] - reference[at[1]])
    stated = motion.hinges.get(middle)
    h_source = orthogonal_part(hinge_axis(middle, u_source, v_source) if stated is None else stated, u_source)

    u = motion.rotations[:, at[0]] @ u_source
    v = motion.rotations[:, at[1]] @ v_source
    hinge = motion.rotations[:, at[0]] @ h_source

    # The hinge that carries the bend: normal to u, and at the rest pose's angle to the lower bone (carrying angle).
    slant = float(h_rest @ v_rest)
    along = (u * v).sum(axis=-1)
    out = v - along[:, None] * u
    sine = np.linalg.norm(out, axis=-1)
    bend = np.arctan2(sine, along)
    out = normalise(out)
    cosine = np.clip(slant / np.maximum(sine, 1e-6), -0.9, 0.9)[:, None]
    wanted = cosine * out + np.sqrt(1 - cosine**2) * np.cross(u, out)
    twist = np.arctan2((np.cross(hinge, wanted) * u).sum(axis=-1), (hinge * wanted).sum(axis=-1))
    trust = np.clip((bend - BEND_FROM) / (BEND_FULL - BEND_FROM), 0.0, 1.0)
    trust = trust * trust * (3 - 2 * trust) * ((np.abs(twist) < TWIST_LIMIT) | (bend >= BEND_FULL))
    # What is the same all through the clip is the source's convention for its hinge: it holds for straight limbs too.
    total = trust.sum()
    constant = float(np.arctan2((trust * np.sin(twist)).sum(), (trust * np.cos(twist)).sum())) if total > 5 else 0.0
    correction = constant + trust * (twist - constant)
    hinge = (axis_angle_to_matrix(correction[:, None] * u) @ hinge[..., None])[..., 0]

    upper = frame(u, hinge) @ frame(u_rest, h_rest).T
    h_lower = orthogonal_part(h_rest, v_rest)
    lower = frame(v, hinge) @ frame(v_rest, h_lower).T
    local = np.swapaxes(upper, -1, -2) @ lower
    off = np.arcsin(np.clip((local @ v_rest) @ h_rest, -1, 1)) - np.arcsin(slant)
    bent = bend >= BEND_FULL
    left = np.abs(np.angle(np.exp(1j * (twist - constant))))
    return _Limb(upper, lower, np.where(bent, np.abs(off), np.nan), np.where(bent, left, np.nan))


def _heading_turn(source: Array, rest: Array) -> Array:
    """Turn (3, 3) about the vertical that brings the heading of `rest` to that of `source`."""
    return frame(_Y, source) @ frame(_Y, rest).T


def _hand(motion: Motion, body: RestBody, side: str, forearm: Array) -> tuple[Array, Array]:
    """Global rotations (T, 3, 3) of forearm (with its share of pronation) and hand."""
    wrist, tip, elbow = (motion.index(f"{side}_{part}") for part in ("wrist", "hand", "elbow"))
    if tip < 0:  # no hand in the source: it goes straight on from the forearm
        return forearm, forearm
    reference = motion.reference_positions()
    d_source = normalise(reference[tip] - reference[wrist])
    if np.linalg.norm(d_source) < 0.5:
        d_source = normalise(reference[wrist] - reference[elbow])
    d_rest = body.bone(f"{side}_wrist", f"{side}_hand")
    turn = frame(d_source, np.cross(d_source, _Z)) @ frame(d_rest, np.cross(d_rest, _Z)).T
    hand = motion.rotations[:, wrist] @ turn
    axis = body.bone(f"{side}_elbow", f"{side}_wrist")
    pronation = twist_angle(np.swapaxes(forearm, -1, -2) @ hand, axis)
    share = np.clip(PRONATION_SHARE * pronation, -np.pi / 3, np.pi / 3)
    return forearm @ axis_angle_to_matrix(share[:, None] * axis), hand


def global_rotations(motion: Motion, body: RestBody) -> tuple[Array, Array, Array]:
    """The body's global rotations (T, 24, 3, 3) for each frame of `motion`, and the two reports (T, 4) of
    `Retargeted`."""
    out = np.empty((motion.frames, N_JOINTS, 3, 3))
    reference = motion.reference_positions()

    def source(joint: str) -> Array:
        return motion.rotations[:, motion.index(joint)]

    def put(joint: str, rotations: Array) -> None:
        out[:, JOINT_INDEX[joint]] = rotations

    pelvis, chest, head = source("pelvis"), source("spine3"), source("head")
    put("pelvis", pelvis)
    put("spine1", interpolate(pelvis, chest, np.full(motion.frames, 1 / 3)))
    put("spine2", interpolate(pelvis, chest, np.full(motion.frames, 2 / 3)))
    put("spine3", chest)
    put("neck", interpolate(chest, head, np.full(motion.frames, 0.5)))
    put("head", head)
    limbs = []
    for side in ("left", "right"):
        leg = _limb(motion, body, f"{side}_hip", f"{side}_knee", f"{side}_ankle")
        put(f"{side}_hip", leg.upper)
        put(f"{side}_knee", leg.lower)
        limbs.append(leg)
        ankle, toe = motion.index(f"{side}_ankle"), motion.index(f"{side}_foot")
        turn = np.eye(3)
        if toe >= 0:
            turn = _heading_turn(reference[toe] - reference[ankle], body.bone(f"{side}_ankle", f"{side}_foot"))
        put(f"{side}_ankle", motion.rotations[:, ankle] @ turn)
        put(f"{side}_foot", motion.rotations[:, toe if toe >= 0 else ankle] @ turn)
    for side in ("left", "right"):
        arm = _limb(motion, body, f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist")
        collar = motion.index(f"{side}_collar")
        put(f"{side}_collar", motion.rotations[:, collar] if collar >= 0 else chest)
        put(f"{side}_shoulder", arm.upper)
        limbs.append(arm)
        forearm, hand = _hand(motion, body, side, arm.lower)
        put(f"{side}_elbow", forearm)
        put(f"{side}_wrist", hand)
        put(f"{side}_hand", hand)
    return (
        out,
        np.stack([limb.residual for limb in limbs], axis=-1),
        np.stack([limb.correction for limb in limbs], axis=-1),
    )


def local_rotations(rotations: Array) -> Array:
    """Local rotations (T, 24, 3, 3) of global ones."""
    local = rotations.copy()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            local[:, joint] = np.swapaxes(rotations[:, parent], -1, -2) @ rotations[:, joint]
    return local


def joint_positions(rotations: Array, rest: Array, pelvis: Array) -> Array:
    """Joint positions (T, 24, 3), metres, from global rotations (T, 24, 3, 3), rest joints (24, 3), pelvis (T, 3)."""
    positions = np.empty((*rotations.shape[:2], 3))
    positions[:, 0] = pelvis
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            positions[:, joint] = positions[:, parent] + rotations[:, parent] @ (rest[joint] - rest[parent])
    return positions


def sole_height(rotations: Array, positions: Array, body: RestBody) -> Array:
    """Height (T,) of the lowest of four sole points: under each ankle and each toe joint, moving with the foot."""
    heights = []
    for side in ("left", "right"):
        ankle, foot = JOINT_INDEX[f"{side}_ankle"], JOINT_INDEX[f"{side}_foot"]
        for over in (ankle, foot):
            point = body.joints[over] - body.joints[ankle]
            point = np.array([point[0], body.ground - body.joints[ankle, 1], point[2]])
            heights.append((positions[:, ankle] + rotations[:, ankle] @ point)[:, 1])
    return np.min(heights, axis=0)


def retarget(motion: Motion, body: RestBody, fps: float = FPS) -> Retargeted:
    """`motion` on the body, at `fps`.

    The pelvis follows the source's hip centre, scaled by leg length; the clip is then lifted as a whole so that the
    soles' fifth percentile of height is at y = 0, and moved so that its first pelvis stands over x = z = 0.
    """
    motion = motion.resampled(fps)
    rotations, residual, correction = global_rotations(motion, body)
    reference = motion.reference_positions()

    def leg(points: Array, at: list[int]) -> float:
        return float(np.linalg.norm(points[at[1]] - points[at[0]]) + np.linalg.norm(points[at[2]] - points[at[1]]))

    names = [[f"{side}_{part}" for part in ("hip", "knee", "ankle")] for side in ("left", "right")]
    ours = sum(leg(body.joints, [JOINT_INDEX[name] for name in side]) for side in names)
    theirs = sum(leg(reference, [motion.index(name) for name in side]) for side in names)
    hips = 0.5 * (motion.positions[:, motion.index("left_hip")] + motion.positions[:, motion.index("right_hip")])
    centre = 0.5 * (body.joints[JOINT_INDEX["left_hip"]] + body.joints[JOINT_INDEX["right_hip"]]) - body.joints[0]
    pelvis = hips * (ours / theirs) - rotations[:, 0] @ centre
    pelvis -= pelvis[0] * np.array([1.0, 0.0, 1.0])
    positions = joint_positions(rotations, body.joints, pelvis)
    pelvis[:, 1] -= np.percentile(sole_height(rotations, positions, body), 5)
    return Retargeted(
        theta=matrix_to_axis_angle(local_rotations(rotations)).astype(np.float32),
        trans=(pelvis - body.joints[0]).astype(np.float32),
        hinge_residual=residual.astype(np.float32),
        twist_correction=correction.astype(np.float32),
    )


def mirror(theta: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same poses (..., 24, 3), axis-angle, seen in a mirror: left and right change places, x is reflected.

    A reflection S = diag(-1, 1, 1) turns R into S R S, which keeps the axis' x and changes the sign of its y and z.
    """
    return theta[..., _SWAP, :] * np.array([1.0, -1.0, -1.0], dtype=theta.dtype)


def mirror_translation(trans: NDArray[np.float32]) -> NDArray[np.float32]:
    """Root translations (..., 3) that go with `mirror`."""
    return trans * np.array([-1.0, 1.0, 1.0], dtype=trans.dtype)
