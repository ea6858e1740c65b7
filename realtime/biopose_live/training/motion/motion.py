"""The one form every motion-capture reader returns: joints, a reference pose, and global rotations relative to it.

T frames, J joints.  World: y up, metres, right-handed.  In the reference pose every global rotation is the identity,
the subject stands upright, faces +z and has its left at +x; the legs point down and the arms to the sides (a T- or
A-pose).  So `rotations[t, j] @ (offset of a child of j)` is that bone's vector in frame t, whatever the file's own
conventions for axes, Euler orders and joint frames were.  Readers may leave out joints that move no segment of the
body (fingers, face, twist bones); a bone of `offsets` may then span several of the file's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.training.motion.rotation import Array, interpolate, normalise

# Without these a skeleton cannot be retargeted; feet, collars and hand tips may be missing.
REQUIRED = (
    "pelvis",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "spine3",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
)

# Metres per unit seen in files: metres, decimetres (MakeHuman), centimetres, millimetres, inches, and the CMU
# laboratory's ASF unit (1 / 0.45 inch).  Files seldom say; the leg's length tells them apart.
UNITS = (1.0, 0.1, 0.01, 0.001, 0.0254, 0.0254 / 0.45)
TYPICAL_LEG = 0.82  # thigh and shank of an adult of average stature, metres


@dataclass(frozen=True)
class Motion:
    """One clip of motion capture.

    `joint_names`: J names.  `parents`: (J,), -1 for the root, a parent precedes its children.
    `offsets`: (J, 3) metres, from the parent to the joint in the reference pose (the root's is its place there).
    `rotations`: (T, J, 3, 3) global, relative to the reference pose.  `positions`: (T, J, 3) metres.
    `anatomy`: a body joint's name -> the name of the joint here that moves that segment.
    `hinges`: a body joint's name (knees, elbows) -> its flexion axis (3,) in the reference pose, where the format
    states one; flexion is a positive turn about it.
    """

    name: str
    subject: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Array
    rotations: Array
    positions: Array
    fps: float
    anatomy: Mapping[str, str]
    hinges: Mapping[str, Array] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        return len(self.rotations)

    def index(self, body_joint: str) -> int:
        """Index of the joint that plays the part of `body_joint`; -1 where the skeleton has none."""
        name = self.anatomy.get(body_joint)
        return -1 if name is None else self.joint_names.index(name)

    def reference_positions(self) -> Array:
        """Joint positions (J, 3) of the reference pose, metres."""
        return accumulate(self.offsets, self.parents)

    def resampled(self, fps: float) -> Motion:
        """The same clip at `fps`, rotations by geodesic and positions by linear interpolation.

        A rate within 1 % of `fps` is taken as equal: capture files round their frame times.
        """
        if abs(self.fps / fps - 1) < 0.01 or self.frames < 2:
            return replace(self, fps=fps)
        count = int(np.floor((self.frames - 1) * fps / self.fps)) + 1
        at = np.arange(count) * self.fps / fps
        low = np.minimum(np.floor(at).astype(int), self.frames - 2)
        part = at - low
        rotations = interpolate(self.rotations[low], self.rotations[low + 1], part[:, None])
        weight = part[:, None, None]
        positions = (1 - weight) * self.positions[low] + weight * self.positions[low + 1]
        return replace(self, rotations=rotations, positions=positions, fps=fps)


def accumulate(offsets: Array, parents: Sequence[int]) -> Array:
    """Positions (J, 3) of joints whose offsets (J, 3) from their parents are given along the world's axes."""
    positions = np.array(offsets, dtype=np.float64)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            positions[joint] += positions[parent]
    return positions


def forward(local: Array, offsets: Array, parents: Sequence[int], root: Array) -> tuple[Array, Array]:
    """Global rotations (T, J, 3, 3) and positions (T, J, 3) from local rotations, fixed offsets (J, 3), root (T, 3)."""
    rotations = np.empty_like(local)
    positions = np.empty((*local.shape[:2], 3))
    for joint, parent in enumerate(parents):
        if parent < 0:
            rotations[:, joint], positions[:, joint] = local[:, joint], root
        else:
            rotations[:, joint] = rotations[:, parent] @ local[:, joint]
            positions[:, joint] = positions[:, parent] + rotations[:, parent] @ offsets[joint]
    return rotations, positions


def reference_fault(points: Mapping[str, Array], *, arms_level: bool) -> str | None:
    """Why `points` (body joint -> (3,), y up, left +x) cannot be a reference pose; None when they can.

    A reference pose has straight legs that point down and arms that point to their own side
    (`arms_level`: within 25 degrees of the horizontal, as in a T-pose); elbows may be relaxed, as MakeHuman's are.
    """
    if points["head"][1] < max(points["left_hip"][1], points["right_hip"][1]):
        return "the head is not above the hips"
    for side, sign in (("left", 1.0), ("right", -1.0)):
        thigh = normalise(points[f"{side}_knee"] - points[f"{side}_hip"])
        shank = normalise(points[f"{side}_ankle"] - points[f"{side}_knee"])
        if min(-thigh[1], -shank[1]) < np.cos(np.radians(30)):
            return f"the {side} leg does not point down"
        arm = normalise(points[f"{side}_elbow"] - points[f"{side}_shoulder"])
        forearm = normalise(points[f"{side}_wrist"] - points[f"{side}_elbow"])
        if arm @ forearm < np.cos(np.radians(60)):
            return f"the {side} elbow is bent"
        if arms_level and sign * arm[0] < np.cos(np.radians(25)):
            return f"the {side} arm is not level"
        if arm[1] > np.sin(np.radians(30)) or abs(arm[2]) > np.sin(np.radians(45)):
            return f"the {side} arm does not point to its side"
    return None


def upright(reference: Array, where: Mapping[str, int]) -> tuple[Array, Array]:
    """World turn Q (3, 3) to y up and heading turn Y (3, 3) to facing +z, from reference positions (J, 3).

    Q brings the file's up axis to +y and acts on everything; Y then brings the subject's left to +x and acts on the
    reference pose only.
    """
    ankles = 0.5 * (reference[where["left_ankle"]] + reference[where["right_ankle"]])
    rise = reference[where["head"]] - ankles
    axis = int(np.abs(rise).argmax())
    sign = 1.0 if rise[axis] >= 0 else -1.0
    # a cyclic permutation is a proper rotation; a half turn follows for an axis that points down
    world = np.roll(np.eye(3), 1 - axis, axis=0)
    if sign < 0:
        world = np.diag([-1.0, -1.0, 1.0]) @ world
    left = world @ (reference[where["left_hip"]] - reference[where["right_hip"]])
    left = normalise(left * np.array([1.0, 0.0, 1.0]))
    heading = np.stack([left, np.array([0.0, 1.0, 0.0]), np.cross(left, np.array([0.0, 1.0, 0.0]))])
    return world, heading


def canonical(
    name: str,
    subject: str,
    joint_names: Sequence[str],
    parents: Sequence[int],
    reference: tuple[Array, Array],
    moving: tuple[Array, Array],
    fps: float,
    anatomy: Mapping[str, str],
    hinges: Mapping[str, Array] | None = None,
) -> Motion:
    """Bring a reader's own frames into a `Motion`'s: y up, metres, identity in a reference pose that faces +z.

    `reference`: global rotations (J, 3, 3) and positions (J, 3) of the reference pose in the file's frames and units.
    `moving`: the same for the clip, (T, J, 3, 3) and (T, J, 3).  `hinges`: axes in the file's world frame.
    Raises UserError where the skeleton lacks a joint, or its reference pose is not a T- or A-pose.
    """
    missing = [joint for joint in REQUIRED if joint not in anatomy]
    if missing:
        raise UserError(
            f"{name}: no joint found for {', '.join(missing)} among {', '.join(list(joint_names)[:8])}, ...; "
            "use a full-body skeleton with one of the joint namings listed in the documentation.",
            EXIT_SOURCE,
        )
    names = list(joint_names)
    where = {joint: names.index(source) for joint, source in anatomy.items()}
    rotations0, positions0 = reference
    rotations, positions = moving
    leg = np.linalg.norm(positions0[where["left_knee"]] - positions0[where["left_hip"]])
    leg += np.linalg.norm(positions0[where["left_ankle"]] - positions0[where["left_knee"]])
    if not np.isfinite(leg) or leg <= 0:
        raise UserError(f"{name}: the legs of the skeleton have no length; use a file with bone offsets.", EXIT_SOURCE)
    unit = min(UNITS, key=lambda metres: abs(float(np.log(leg * metres / TYPICAL_LEG))))
    world, heading = upright(positions0, where)
    positions0 = (positions0 * unit) @ world.T @ heading.T
    fault = reference_fault({joint: positions0[index] for joint, index in where.items()}, arms_level=False)
    if fault:
        raise UserError(
            f"{name}: no T- or A-pose to start from ({fault}); add one as the first frame of the file.", EXIT_SOURCE
        )
    offsets = positions0.copy()
    for joint, parent in enumerate(parents):
        if parent >= 0:
            offsets[joint] -= positions0[parent]
    relative = rotations @ np.swapaxes(rotations0, -1, -2)
    return Motion(
        name=name,
        subject=subject,
        joint_names=tuple(names),
        parents=tuple(int(parent) for parent in parents),
        offsets=offsets,
        rotations=world @ relative @ world.T @ heading.T,
        positions=(positions * unit) @ world.T,
        fps=float(fps),
        anatomy=dict(anatomy),
        hinges={joint: heading @ world @ np.asarray(axis) for joint, axis in (hinges or {}).items()},
    )
