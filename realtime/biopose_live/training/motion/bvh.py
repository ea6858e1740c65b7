"""BVH reader (Biovision hierarchical data; Meredith and Maddock, "Motion Capture File Formats Explained", 2001).

Euler angles are degrees, applied to the joint's frame in the order in which the channels are listed.  The reference
pose is the first frame where that is a T-pose (as conversions of the CMU library put there), which is then left out of
the motion; else the T-pose of another clip of the same rig, where the caller knows one; else the skeleton's zero pose
(MakeHuman).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.training.motion.motion import REQUIRED, Motion, canonical, forward, reference_fault, upright
from biopose_live.training.motion.naming import match
from biopose_live.training.motion.rotation import Array, axis_rotation

_CHANNELS = {f"{axis}{kind}" for axis in "XYZ" for kind in ("position", "rotation")}
MAX_JOINTS = 1024
MAX_VALUE = 1e7  # in the file's unit or degrees; more is no person's motion, and would overflow further on
MAX_POSES = 10_000_000  # joints times frames: what fits into memory when every joint is posed

_WORD, _BLANK = re.compile(r"\S+"), re.compile(r"\s")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_PIECE = 1 << 20  # characters

# Character Creator conversions of the CMU library carry over its zero pose, whose face is lifted; the library's own
# T-pose, which looks ahead, is this much (radians) further down (see `amc.T_POSE`).
CHARACTER_CREATOR_HEAD = np.radians(16.0)


@dataclass(frozen=True)
class Skeleton:
    """The HIERARCHY part: J names, parents (-1: root), offsets (J, 3) in the file's unit, and each joint's channels."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Array
    channels: tuple[tuple[str, ...], ...]


class _Tokens:
    """Walks a BVH file's words, none held but the next, and says where and what went wrong in one sentence."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.at = 0  # words taken
        self.name = name
        self._words = _WORD.finditer(text)
        self._next = next(self._words, None)

    def fail(self, wanted: str, found: str | None = None, at: int | None = None) -> UserError:
        word = (self.peek() if found is None else found)[:40]
        shown = "".join(character if character.isprintable() else "?" for character in word)
        what = f'"{shown}"' if word else "the end of the file"
        place = (self.at if at is None else at) + 1
        return UserError(
            f"{self.name}: not a readable BVH file: expected {wanted} at word {place}, found {what}; "
            "export it again as BVH.",
            EXIT_SOURCE,
        )

    def peek(self) -> str:
        return "" if self._next is None else self._next[0]

    def take(self, wanted: str | None = None) -> str:
        word = self.peek()
        if not word or (wanted is not None and word.upper() != wanted.upper()):
            raise self.fail(f'"{wanted}"' if wanted else "a word")
        self._next = next(self._words, None)
        self.at += 1
        return word

    def numbers(self, count: int, what: str) -> Array:
        values = np.empty(count)
        for number in range(count):
            values[number] = self._values([self.peek()], what)[0]
            self.take()
        return values

    def integer(self, what: str) -> int:
        word = self.peek()
        if not word.isascii() or not word.isdigit() or len(word) > 9:
            raise self.fail(f"a whole number ({what})")
        self.take()
        return int(word)

    def rest(self, what: str) -> Array:
        """Every number that is left, read piece by piece: a list of all words would take ten times the file's size."""
        parts = [np.empty(0)]
        start = len(self.text) if self._next is None else self._next.start()
        while start < len(self.text):
            blank = _BLANK.search(self.text, min(start + _PIECE, len(self.text)))
            end = len(self.text) if blank is None else blank.start()
            parts.append(self._values(self.text[start:end].split(), what))
            self.at += len(parts[-1])
            start = end
        return np.concatenate(parts)

    def _values(self, words: list[str], what: str) -> Array:
        try:
            values = np.array(words, dtype=np.float64)
        except ValueError:
            values = np.full(len(words), np.nan)
        joined = "".join(words)
        # Python's numbers include 1_0 and other scripts' digits; a file's do not.
        if joined.isascii() and "_" not in joined and (np.abs(values) <= MAX_VALUE).all():
            return values
        for number, word in enumerate(words):
            if not _NUMBER.fullmatch(word) or abs(float(word)) > MAX_VALUE:
                raise self.fail(f"a number up to ten million ({what})", word, self.at + number)
        return np.array(words, dtype=np.float64)


def _hierarchy(tokens: _Tokens) -> Skeleton:
    names: list[str] = []
    known: set[str] = set()
    parents: list[int] = []
    offsets: list[Array] = []
    channels: list[tuple[str, ...]] = []
    open_joints: list[int] = []  # -2 marks an end site
    tokens.take("HIERARCHY")
    while True:
        word = tokens.peek().upper()
        if word in ("ROOT", "JOINT") and (word == "JOINT") == bool(open_joints):
            if len(names) >= MAX_JOINTS or (word == "ROOT" and names) or (open_joints and open_joints[-1] < 0):
                raise tokens.fail("one root and at most 1024 joints, none inside an end site")
            tokens.take()
            if tokens.peek() in known:
                raise tokens.fail("a joint name that was not there before")
            known.add(tokens.peek())
            names.append(tokens.take())
            parents.append(open_joints[-1] if open_joints else -1)
            tokens.take("{")
            tokens.take("OFFSET")
            offsets.append(tokens.numbers(3, "OFFSET"))
            channels.append(())
            open_joints.append(len(names) - 1)
        elif word == "CHANNELS" and open_joints and open_joints[-1] >= 0 and not channels[open_joints[-1]]:
            tokens.take()
            listed = tuple(tokens.take() for _ in range(min(tokens.integer("channels"), 7)))
            if len(listed) > 6 or not set(listed) <= _CHANNELS:
                raise tokens.fail("at most six position and rotation channels before it")
            channels[open_joints[-1]] = listed
        elif word == "END" and open_joints and open_joints[-1] >= 0:
            tokens.take()
            tokens.take()
            tokens.take("{")
            tokens.take("OFFSET")
            tokens.numbers(3, "OFFSET")
            open_joints.append(-2)
        elif word == "}" and open_joints:
            tokens.take()
            open_joints.pop()
            if not open_joints:
                break
        else:
            raise tokens.fail("ROOT, JOINT, CHANNELS, End Site or }")
    return Skeleton(tuple(names), tuple(parents), np.array(offsets), tuple(channels))


def parse(text: str, name: str) -> tuple[Skeleton, Array, float]:
    """Skeleton, channel values (T, sum of channels; degrees and the file's unit) and frame rate (Hz) of a BVH text.

    Raises UserError on anything that is not BVH, on a value that is not finite, and on a count that does not fit.
    """
    tokens = _Tokens(text, name)
    skeleton = _hierarchy(tokens)
    tokens.take("MOTION")
    tokens.take("Frames:")
    frames = tokens.integer("frames")
    tokens.take("Frame")
    tokens.take("Time:")
    interval = float(tokens.numbers(1, "frame time")[0])
    if not 1e-4 <= interval <= 10:
        raise tokens.fail("a frame time between 0.0001 and 10 seconds", f"{interval:g}", tokens.at - 1)
    width = sum(len(listed) for listed in skeleton.channels)
    values = tokens.rest("motion")
    left = len(values)
    if frames < 1 or width < 1 or left != frames * width:
        raise UserError(
            f"{name}: the BVH file announces {frames} frames of {width} channels but holds {left} numbers; "
            "it was cut short or damaged: fetch it again.",
            EXIT_SOURCE,
        )
    if frames * len(skeleton.names) > MAX_POSES:
        raise UserError(
            f"{name}: {frames} frames of {len(skeleton.names)} joints are more than fit into memory at once "
            f"({MAX_POSES:,} joint poses): cut the clip into shorter ones.",
            EXIT_SOURCE,
        )
    return skeleton, values.reshape(frames, width), 1 / interval


def pose(skeleton: Skeleton, values: Array) -> tuple[Array, Array]:
    """Global rotations (T, J, 3, 3) and positions (T, J, 3), in the file's axes and unit, of channel values (T, C).

    Only the root moves: bones are rigid, so position channels further down (which MakeHuman writes as zeros) are
    read past.
    """
    local = np.tile(np.eye(3), (len(values), len(skeleton.names), 1, 1))
    root = np.tile(skeleton.offsets[0], (len(values), 1))
    column = 0
    for joint, listed in enumerate(skeleton.channels):
        for channel in listed:
            if channel.endswith("rotation"):
                turn = axis_rotation(channel[0].lower(), np.radians(values[:, column]))
                local[:, joint] = local[:, joint] @ turn
            elif joint == 0:
                root[:, "XYZ".index(channel[0])] = values[:, column]
            column += 1
    return forward(local, skeleton.offsets, skeleton.parents, root)


@dataclass(frozen=True)
class TPose:
    """A rig's T-pose: `key` tells rigs apart, joint name -> global rotation (3, 3) and position (3,), file's axes."""

    key: tuple[object, ...]
    rotations: dict[str, Array]
    positions: dict[str, Array]


def _key(skeleton: Skeleton, anatomy: dict[str, str]) -> tuple[object, ...]:
    """What two files of one rig share: the joints that move the body, and their offsets (the pelvis' aside)."""
    names = sorted(set(anatomy.values()) - {anatomy.get("pelvis")})
    at = [skeleton.names.index(name) for name in names]
    return (*names, *np.round(skeleton.offsets[at], 2).ravel().tolist())


@dataclass(frozen=True)
class Clip:
    """A parsed BVH text: its skeleton, the poses of the joints that move the body, and its own T-pose if any."""

    name: str
    skeleton: Skeleton
    anatomy: dict[str, str]
    kept: list[int]
    rotations: Array
    positions: Array
    rest: tuple[Array, Array]
    fps: float
    t_pose: TPose | None

    @property
    def key(self) -> tuple[object, ...]:
        return _key(self.skeleton, self.anatomy)


def load(text: str, name: str) -> Clip:
    """Parse a BVH text and pose its skeleton.  Raises UserError where it is not BVH (see `parse`)."""
    skeleton, values, fps = parse(text, name)
    anatomy = match(skeleton.names)
    kept = sorted({skeleton.names.index(joint) for joint in anatomy.values()})
    rotations, positions = (part[:, kept] for part in pose(skeleton, values))
    rest = pose(skeleton, np.zeros((1, values.shape[1])))
    names = [skeleton.names[joint] for joint in kept]
    t_pose = None
    if set(REQUIRED) <= set(anatomy) and _is_t_pose(positions[0], names, anatomy):
        first = (dict(zip(names, part[0], strict=True)) for part in (rotations, positions))
        t_pose = TPose(_key(skeleton, anatomy), *first)
        if len(values) > 1:
            rotations, positions = rotations[1:], positions[1:]
    return Clip(name, skeleton, anatomy, kept, rotations, positions, (rest[0][0, kept], rest[1][0, kept]), fps, t_pose)


def _is_t_pose(positions: Array, names: list[str], anatomy: dict[str, str]) -> bool:
    world, heading = _upright(positions, names, anatomy)
    points = {joint: heading @ world @ positions[names.index(source)] for joint, source in anatomy.items()}
    return reference_fault(points, arms_level=True) is None


def _upright(positions: Array, names: list[str], anatomy: dict[str, str]) -> tuple[Array, Array]:
    return upright(positions, {joint: names.index(source) for joint, source in anatomy.items()})


def to_motion(clip: Clip, subject: str, t_pose: TPose | None = None) -> Motion:
    """A clip as a Motion; `t_pose` serves clips of the same rig that bring none of their own.

    Raises UserError where there is no T-pose and the zero pose cannot stand in for one (see `motion.canonical`).
    """
    names = [clip.skeleton.names[joint] for joint in clip.kept]
    own = clip.t_pose or (t_pose if t_pose is not None and t_pose.key == clip.key else None)
    if own is None:
        reference = clip.rest
    else:
        stacked = [np.stack([part[name] for name in names]) for part in (own.rotations, own.positions)]
        reference = stacked[0], stacked[1]
        if clip.anatomy["head"].startswith("CC_Base"):
            head, (world, heading) = names.index(clip.anatomy["head"]), _upright(reference[1], names, clip.anatomy)
            ahead = (heading @ world).T @ axis_rotation("x", np.array(CHARACTER_CREATOR_HEAD)) @ heading @ world
            reference[0][head] = ahead @ reference[0][head]
    return canonical(
        clip.name,
        subject,
        names,
        _parents(clip.skeleton.parents, clip.kept),
        reference,
        (clip.rotations, clip.positions),
        clip.fps,
        clip.anatomy,
    )


def _parents(parents: tuple[int, ...], kept: list[int]) -> list[int]:
    """Index, among the kept joints, of each kept joint's nearest kept ancestor."""
    found = []
    for joint in kept:
        above = parents[joint]
        while above >= 0 and above not in kept:
            above = parents[above]
        found.append(kept.index(above) if above >= 0 else -1)
    return found


def read(text: str, name: str, subject: str) -> Motion:
    """The clip in a BVH text as a Motion.  Raises UserError (see `load` and `to_motion`)."""
    return to_motion(load(text, name), subject)
