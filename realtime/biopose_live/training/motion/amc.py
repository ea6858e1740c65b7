"""ASF/AMC reader (Acclaim's skeleton and motion files, as the CMU motion capture laboratory writes them).

A bone's local rotation is C M C^-1: C its axis, M its degrees of freedom, each applied x, then y, then z.  Bones start
where their parent ends, so "the joint of a bone" is its start.  AMC states no frame rate; the caller does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.training.motion.motion import Motion, canonical, forward
from biopose_live.training.motion.rotation import Array, axis_rotation

CMU_FPS = 120.0  # the laboratory's own files

ANATOMY = {
    "pelvis": "root",
    "spine3": "thorax",
    "neck": "lowerneck",
    "head": "head",
    **{
        f"{side}_{joint}": f"{side[0]}{bone}"
        for side in ("left", "right")
        for joint, bone in {
            "hip": "femur",
            "knee": "tibia",
            "ankle": "foot",
            "foot": "toes",
            "collar": "clavicle",
            "shoulder": "humerus",
            "elbow": "radius",
            # the distal third of the forearm, which pronates, is a bone of its own ("wrist") before the hand
            "wrist": "hand",
            "hand": "fingers",
        }.items()
    },
}

# The zero pose of these skeletons has the legs 20 degrees apart, feet rolled with them, and the face lifted.  These
# turns (degrees, about the zero pose's axes) make it a T-pose on flat feet that looks ahead; the neck's are those of
# the T-pose frame that the laboratory's BVH conversion puts before each clip.
T_POSE = {
    "lfemur": ("z", -20.0),
    "rfemur": ("z", 20.0),
    "lowerneck": ("x", -16.0),
    "upperneck": ("x", 21.0),
    "head": ("x", 11.0),
}


@dataclass(frozen=True)
class Bone:
    """A bone of an ASF file: direction (3,), length (file unit), axis C (3, 3), degrees of freedom such as "rx"."""

    name: str
    direction: Array
    length: float
    axis: Array
    dof: tuple[str, ...]


@dataclass(frozen=True)
class Skeleton:
    """Bones in an order in which parents come first; bone 0 is the root.  `degrees`: angles are in degrees."""

    bones: tuple[Bone, ...]
    parents: tuple[int, ...]
    degrees: bool

    def offsets(self) -> Array:
        """Start of each bone relative to the start of its parent (J, 3), file unit, zero pose."""
        ends = np.array([bone.direction * bone.length for bone in self.bones])
        return np.array([ends[parent] if parent >= 0 else np.zeros(3) for parent in self.parents])


def _fail(name: str, line: int, wanted: str, found: str, kind: str) -> UserError:
    return UserError(
        f'{name}: not a readable {kind} file: expected {wanted} in line {line}, found "{found[:40]}"; fetch it again.',
        EXIT_SOURCE,
    )


def _floats(words: list[str], name: str, line: int, kind: str) -> Array:
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError:
        raise _fail(name, line, "numbers", " ".join(words), kind) from None
    if not np.isfinite(values).all():
        raise _fail(name, line, "finite numbers", " ".join(words), kind)
    return values


def _euler(order: str, angles: Array, degrees: bool) -> Array:
    """Rotation (..., 3, 3) from angles (..., N) applied in `order`, first letter first, about fixed axes."""
    turn = np.broadcast_to(np.eye(3), (*angles.shape[:-1], 3, 3))
    values = np.radians(angles) if degrees else angles
    for index, letter in enumerate(order):
        turn = axis_rotation(letter, values[..., index]) @ turn
    return turn


def parse_skeleton(text: str, name: str) -> Skeleton:
    """Skeleton of an ASF text.  Raises UserError where it is not one."""
    section = ""
    degrees = True
    root_order: tuple[str, ...] = ("tx", "ty", "tz", "rx", "ry", "rz")
    root_axis = ("xyz", np.zeros(3))
    found: dict[str, Bone] = {}
    children: list[tuple[str, str]] = []
    record: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        key = words[0].lower()
        if key.startswith(":"):
            section = key
        elif section == ":units" and key == "angle" and len(words) > 1:
            degrees = words[1].lower().startswith("deg")
        elif section == ":root" and key == "order":
            root_order = tuple(word.lower() for word in words[1:])
        elif section == ":root" and key == "axis" and len(words) == 2:
            root_axis = (words[1].lower(), root_axis[1])
        elif section == ":root" and key == "orientation":
            root_axis = (root_axis[0], _floats(words[1:], name, number, "ASF"))
        elif section == ":bonedata" and key == "begin":
            record = {}
        elif section == ":bonedata" and key == "end":
            bone = _bone(record, name, number, degrees)
            found[bone.name] = bone
        elif section == ":bonedata":
            record[key] = words[1:]
        elif section == ":hierarchy" and key not in ("begin", "end"):
            children += [(words[0], child) for child in words[1:]]
    if root_axis[1].shape != (3,) or sorted(root_axis[0]) != ["x", "y", "z"]:
        raise UserError(f"{name}: the ASF root's axis is not three angles in an order such as XYZ.", EXIT_SOURCE)
    axis = _euler(root_axis[0], root_axis[1], degrees)
    bones, parents = [Bone("root", np.zeros(3), 0.0, axis, root_order)], [-1]
    # children are listed under their parent, but parents need not be listed in order
    pending, order = children, {"root": 0}
    while pending:
        ready = [(parent, child) for parent, child in pending if parent in order]
        if not ready or any(child in order or child not in found for _, child in ready):
            raise UserError(
                f"{name}: the ASF hierarchy does not join its bones to the root; fetch it again.", EXIT_SOURCE
            )
        pending = [pair for pair in pending if pair[0] not in order]
        for parent, child in ready:
            if child in order:
                raise UserError(f'{name}: the ASF hierarchy lists "{child}" twice; fetch it again.', EXIT_SOURCE)
            order[child] = len(bones)
            bones.append(found[child])
            parents.append(order[parent])
    if len(bones) < 2:
        raise UserError(f"{name}: not a readable ASF file: no bones found; fetch it again.", EXIT_SOURCE)
    return Skeleton(tuple(bones), tuple(parents), degrees)


def _bone(record: dict[str, list[str]], name: str, line: int, degrees: bool) -> Bone:
    axis = record.get("axis", [])
    dof = tuple(word.lower() for word in record.get("dof", []))
    order = axis[3].lower() if len(axis) == 4 else ""
    if sorted(order) != ["x", "y", "z"] or not record.get("name") or not set(dof) <= {"rx", "ry", "rz"}:
        raise _fail(
            name, line, "a bone with a name, three axis angles with their order, and rx ry rz", str(record), "ASF"
        )
    direction = _floats(record.get("direction", []), name, line, "ASF")
    length = _floats(record.get("length", []), name, line, "ASF")
    if direction.shape != (3,) or length.shape != (1,) or np.linalg.norm(direction) < 1e-6:
        raise _fail(name, line, "a bone with a direction and a length", record["name"][0], "ASF")
    turn = _euler(order, _floats(axis[:3], name, line, "ASF"), degrees)
    return Bone(record["name"][0], direction / np.linalg.norm(direction), float(length[0]), turn, dof)


def parse_motion(text: str, name: str, skeleton: Skeleton) -> tuple[Array, Array]:
    """Local rotations (T, J, 3, 3) and root positions (T, 3), file unit, of an AMC text for `skeleton`.

    Raises UserError on unknown bones, a wrong number of values, values that are not finite, and no frames.
    """
    index = {bone.name: number for number, bone in enumerate(skeleton.bones)}
    widths = [len(bone.dof) for bone in skeleton.bones]
    starts = np.concatenate([[0], np.cumsum(widths)])
    frames: list[Array] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words or words[0].startswith(":"):
            continue
        if len(words) == 1 and words[0].isascii() and words[0].isdigit():
            frames.append(np.zeros(starts[-1]))
            continue
        bone = index.get(words[0], -1)
        if not frames or bone < 0 or len(words) - 1 != widths[bone]:
            raise _fail(name, number, "a frame number, or a bone of the skeleton and its values", line.strip(), "AMC")
        frames[-1][starts[bone] : starts[bone + 1]] = _floats(words[1:], name, number, "AMC")
    if not frames:
        raise UserError(f"{name}: not a readable AMC file: no frames found; fetch it again.", EXIT_SOURCE)
    values = np.array(frames)
    local = np.empty((len(frames), len(skeleton.bones), 3, 3))
    root = np.zeros((len(frames), 3))
    for joint, bone_ in enumerate(skeleton.bones):
        part = values[:, starts[joint] : starts[joint + 1]]
        turns = [column for column, dof in enumerate(bone_.dof) if dof in ("rx", "ry", "rz")]
        turn = _euler("".join(bone_.dof[column][1] for column in turns), part[:, turns], skeleton.degrees)
        local[:, joint] = bone_.axis @ turn @ bone_.axis.T
        for column, dof in enumerate(bone_.dof):
            if joint == 0 and dof in ("tx", "ty", "tz"):
                root[:, "xyz".index(dof[1])] = part[:, column]
    return local, root


def read(text: str, skeleton_text: str, name: str, subject: str, fps: float = CMU_FPS) -> Motion:
    """The clip in an AMC text, with its ASF text, as a Motion.  Raises UserError where either cannot be read."""
    skeleton = parse_skeleton(skeleton_text, f"{name} (its ASF skeleton)")
    local, root = parse_motion(text, name, skeleton)
    offsets, names = skeleton.offsets(), [bone.name for bone in skeleton.bones]
    moving = forward(local, offsets, skeleton.parents, root)
    zero = np.tile(np.eye(3), (1, len(names), 1, 1))
    for turned, (axis, angle) in T_POSE.items():
        if turned in names:
            zero[0, names.index(turned)] = axis_rotation(axis, np.radians(angle))
    rest = forward(zero, offsets, skeleton.parents, np.zeros((1, 3)))
    reference = rest[0][0], rest[1][0]
    hinges = {}
    for joint in ("left_knee", "right_knee", "left_elbow", "right_elbow"):
        if ANATOMY[joint] in names:
            bone = names.index(ANATOMY[joint])
            if skeleton.bones[bone].dof == ("rx",):
                hinges[joint] = reference[0][bone] @ skeleton.bones[bone].axis[:, 0]
    anatomy = {joint: bone for joint, bone in ANATOMY.items() if bone in names}
    return canonical(name, subject, names, skeleton.parents, reference, moving, fps, anatomy, hinges)
