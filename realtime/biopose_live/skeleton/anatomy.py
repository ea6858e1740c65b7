"""Which body of a model is which segment of a person, for models that other people built.

Segments are the 24 bodies of `bsk24`, by name.  A model may name a body otherwise (`torso`, `thigh_r`, `foot_l`), lack
it, or hold it rigidly against its neighbour (a hand welded to the radius, locked toes); `SPELLINGS` and `FALLBACKS` say
what then happens.  Only the pelvis, the thighs and the shanks must be there.

The anatomical position is the model's zero pose: rotations zero (or the nearest value of their range), locked
coordinates and translations at their defaults.  Where that does not stand upright, the default pose is tried.

Dimensions: B bodies, Q coordinates.  Ground: x forward, y up, z right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biopose_live.errors import EXIT_MODEL, UserError

from .model import GROUND, FloatArray, SkeletonModel

# Joint-centre name -> the segment that the joint carries.
JOINT_POINTS: dict[str, str] = {
    "lumbar": "lumbar",
    "thorax": "thorax",
    "neck": "head",
    **{
        f"{joint}_{side}": f"{segment}_{side}"
        for side in "rl"
        for joint, segment in (
            ("hip", "femur"),
            ("knee", "tibia"),
            ("ankle", "talus"),
            ("heel", "calcn"),
            ("mtp", "toes"),
            ("sternoclavicular", "scapula"),
            ("shoulder", "humerus"),
            ("elbow", "ulna"),
            ("wrist", "hand"),
        )
    },
}

# Segment -> names that models give to it, the preferred one first; case, underscores and the side's spelling are free.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "pelvis": ("pelvis", "hips"),
    "lumbar": ("lumbar", "lumbarspine", "abdomen", "lumbar3"),
    "thorax": ("thorax", "torso", "trunk", "chest", "ribcage", "hat"),
    "head": ("head", "skull", "headneck", "headandneck"),
    "femur": ("femur", "thigh", "upperleg"),
    "tibia": ("tibia", "shank", "lowerleg", "shin"),
    "talus": ("talus",),
    "calcn": ("calcn", "calcaneus", "hindfoot", "foot"),
    "toes": ("toes", "toe", "forefoot"),
    "scapula": ("scapula", "clavicle"),
    "humerus": ("humerus", "upperarm"),
    "ulna": ("ulna", "forearm", "lowerarm"),
    "radius": ("radius",),
    "hand": ("hand",),
}
MIDLINE = ("pelvis", "lumbar", "thorax", "head")
REQUIRED = {"pelvis": "the pelvis", "femur": "the thigh", "tibia": "the shank"}
# One body that is two segments: joint centres are still found.
SHARED = {"radius": "ulna", "ulna": "radius", "talus": "calcn", "calcn": "talus"}


class Carrier(NamedTuple):
    """What carries a segment's markers: a body, and how far they are trusted on it (weight, 0 to 1)."""

    body: int
    weight: float


# Segment that the model lacks or holds rigidly -> the one that carries its markers, and their weight there: nothing
# where the segment moves freely against it (a turned head must not bend the trunk), little where it moves somewhat.
FALLBACKS: dict[str, tuple[str, float]] = {
    "lumbar": ("thorax", 0.2),
    "scapula": ("thorax", 0.2),
    "head": ("thorax", 0.0),
    "thorax": ("pelvis", 0.0),
    "humerus": ("thorax", 0.0),
    "ulna": ("humerus", 0.0),
    "radius": ("ulna", 0.5),
    "hand": ("radius", 0.0),
    "toes": ("calcn", 0.0),
    "calcn": ("talus", 1.0),
    "talus": ("tibia", 0.0),
}
ABOVE_THE_PELVIS = ("thorax", "head", "scapula", "humerus", "ulna", "radius", "hand")
UPRIGHT = 0.7  # cosine: how far the zero pose may be from standing upright and facing x


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A model's `bodies`: segment (`femur_r`, `thorax`, ...) -> body index, for the segments that it has.

    `axes` (B, 3): for each of the ground's axes the body's own axis that lies nearest to it in the anatomical position.
    `standing` (Q,): the coordinates of the anatomical position.
    """

    model: SkeletonModel
    bodies: Mapping[str, int]
    axes: NDArray[np.int64]
    standing: FloatArray

    @cached_property
    def centres(self) -> dict[str, int]:
        """Joint-centre name (`JOINT_POINTS`) -> the body whose joint lies there."""
        return {name: self.bodies[segment] for name, segment in JOINT_POINTS.items() if segment in self.bodies}

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Right and left bodies of the same segment."""
        sides = [(name, name[:-1] + "l") for name in self.bodies if name.endswith("_r")]
        return [(self.bodies[right], self.bodies[left]) for right, left in sides if left in self.bodies]

    @cached_property
    def leaders(self) -> dict[int, int]:
        """Body that is no segment (patella, vertebrae, ...) -> the segment's body whose size it takes.

        Between pelvis and thorax that is the thorax; elsewhere the nearest body above that is a segment.
        """
        named, parents = set(self.bodies.values()), self.model.body_parents
        spine: set[int] = set()
        walker = self.bodies.get("thorax", GROUND)
        while walker not in (GROUND, self.bodies["pelvis"]):
            spine.add(walker)
            walker = parents[walker]
        leaders: dict[int, int] = {}
        for body in set(range(len(self.model.bodies))) - named:
            above = body
            while above not in named and above != GROUND:
                above = parents[above]
            leaders[body] = self.bodies["pelvis"] if above == GROUND else above
            if body in spine:
                leaders[body] = self.bodies["thorax"]
        return leaders

    def carrier(self, segment: str) -> Carrier:
        """What carries the markers of `segment`."""
        weight, wanted = 1.0, segment
        while wanted not in self.bodies:
            wanted, share = _fallback(wanted)
            weight *= share
        part = wanted
        while weight > 0.0 and _sided(part)[0] in FALLBACKS:
            other, share = _fallback(part)
            while other not in self.bodies:
                other, _ = _fallback(other)
            if self._rigid_root(self.bodies[part]) != self._rigid_root(self.bodies[other]):
                break
            weight, part = weight * share, other
        if _sided(segment)[0] in ABOVE_THE_PELVIS and not self._trunk_moves:
            weight = 0.0
        return Carrier(self.bodies[wanted], weight)

    @cached_property
    def _trunk_moves(self) -> bool:
        thorax = self.bodies.get("thorax")
        return thorax is not None and self._rigid_root(thorax) != self._rigid_root(self.bodies["pelvis"])

    @cached_property
    def _moved(self) -> set[int]:
        """Joints that some free coordinate moves."""
        model = self.model
        driven = {coupler.dependent: coupler.independent for coupler in model.couplers}

        def free(number: int) -> bool:
            while number in driven:
                number = driven[number]
            return not model.coordinates[number].locked

        return {
            number
            for number, joint in enumerate(model.joints)
            if any(axis.coordinate is not None and free(axis.coordinate) for axis in joint.axes)
        }

    def _rigid_root(self, body: int) -> int:
        """The uppermost body that `body` cannot move against."""
        joint_of = {joint.child: number for number, joint in enumerate(self.model.joints)}
        while body != GROUND and joint_of[body] not in self._moved:
            body = self.model.joints[joint_of[body]].parent
        return body

    def forearm_turn(self, side: str) -> int | None:
        """The coordinate that turns the radius about the ulna on `side` ("r", "l"); None when nothing does."""
        radius, ulna = self.bodies.get(f"radius_{side}"), self.bodies.get(f"ulna_{side}")
        if radius is None or radius == ulna or ulna is None:
            return None
        number = next(n for n, joint in enumerate(self.model.joints) if joint.child == radius)
        own = [
            index
            for index, coordinate in enumerate(self.model.coordinates)
            if coordinate.joint == number and coordinate.rotational and not coordinate.locked
        ]
        return own[0] if len(own) == 1 and number in self._moved else None


def plain_anatomy(model: SkeletonModel) -> Anatomy:
    """The anatomy of a model whose segments carry their own names and whose zero pose is the anatomical position."""
    axes = np.tile(np.arange(3), (len(model.bodies), 1))
    bodies = {name: number for number, name in enumerate(model.body_names)}
    return Anatomy(model, bodies, axes, np.zeros(len(model.coordinates)))


def segments_of(model: SkeletonModel) -> dict[str, int]:
    """Segment -> body index, by the names of the bodies.  Raises UserError naming a segment that must be there."""
    spelt: dict[tuple[str, str], int] = {}
    for body, name in enumerate(model.body_names):
        spelt.setdefault(_spelling(name), body)
    found: dict[str, int] = {}
    for stem, spellings in SPELLINGS.items():
        for side in ("",) if stem in MIDLINE else ("r", "l"):
            number = next((spelt[word, side] for word in spellings if (word, side) in spelt), None)
            segment = f"{stem}_{side}" if side else stem
            if number is not None:
                found[segment] = number
            elif stem in REQUIRED:
                raise UserError(
                    f"The skeleton {model.name!r} has no body {segment}, which the markers of {REQUIRED[stem]} need "
                    f"(names understood: {', '.join(spellings)}; it has {_listed(model.body_names)}): give another "
                    f"one with --skeleton, or rename its bodies.",
                    EXIT_MODEL,
                )
    for stem, other in SHARED.items():
        for side in "rl":
            if f"{other}_{side}" in found:
                found.setdefault(f"{stem}_{side}", found[f"{other}_{side}"])
    return found


def anatomy_of(model: SkeletonModel) -> Anatomy:
    """The anatomy of any model.

    Raises UserError when a segment that must be there is missing, or when neither the zero pose nor the default pose
    stands upright, facing x.
    """
    from .kinematics import Kinematics  # compiled code, which a mere look at the names does not need

    bodies = segments_of(model)
    root = model.joint_of_body(bodies["pelvis"])
    moving = [c for c in model.coordinates if c.joint == 0 and not (c.rotational or c.locked)]
    if root.parent != GROUND or model.joints[0] is not root or len(moving) != 3:
        raise UserError(
            f"The pelvis of the skeleton {model.name!r} does not move freely against the ground (three translations, "
            f"none locked; it has {len(moving)}): give a model with a free pelvis with --skeleton.",
            EXIT_MODEL,
        )
    kinematics = Kinematics(model)
    for pose in (_zero_pose(model), model.default_pose()):
        turns, _ = kinematics.forward(pose)
        centres = kinematics.joint_centres(pose)
        if _stands(bodies, centres):
            return Anatomy(model, bodies, _nearest_axes(turns), pose)
    raise UserError(
        f"The skeleton {model.name!r} stands neither in its zero pose nor in its default pose (thighs down, the right "
        f"hip at +z, y up): give a model whose zero is the anatomical position with --skeleton.",
        EXIT_MODEL,
    )


def _zero_pose(model: SkeletonModel) -> FloatArray:
    root = {number for number, joint in enumerate(model.joints) if joint.parent == GROUND}
    pose = model.default_pose()
    for number, coordinate in enumerate(model.coordinates):
        if coordinate.locked or not (coordinate.rotational or coordinate.joint in root):
            continue
        pose[number] = min(max(0.0, coordinate.range[0]), coordinate.range[1]) if coordinate.clamped else 0.0
    return pose


def _stands(bodies: Mapping[str, int], centres: FloatArray) -> bool:
    checks = [(bodies["femur_l"], bodies["femur_r"], np.array([0.0, 0.0, 1.0]))]
    checks += [(bodies[f"femur_{side}"], bodies[f"tibia_{side}"], np.array([0.0, -1.0, 0.0])) for side in "rl"]
    for start, end, wanted in checks:
        line = centres[end] - centres[start]
        if not line @ wanted > UPRIGHT * np.linalg.norm(line):
            return False
    return True


def _nearest_axes(turns: FloatArray) -> NDArray[np.int64]:
    """(B, 3, 3) rotations of upright bodies -> (B, 3): the three own axes that lie along the ground's, each once."""
    orders = np.array([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
    along = np.abs(turns)
    fit = np.stack([along[:, np.arange(3), order].sum(axis=1) for order in orders], axis=1)
    result: NDArray[np.int64] = orders[np.argmax(fit, axis=1)]
    return result


def _spelling(name: str) -> tuple[str, str]:
    """`Thigh_R`, `r_thigh`, `RightThigh` -> ("thigh", "r"); ("pelvis", "") for the midline."""
    text = name.strip().lower()
    for pattern in (r"(?P<stem>.+)[_.\- ](?P<side>right|left|r|l)", r"(?P<side>right|left|r|l)[_.\- ](?P<stem>.+)",
                    r"(?P<side>right|left)(?P<stem>.+)", r"(?P<stem>.+)(?P<side>right|left)"):  # fmt: skip
        match = re.fullmatch(pattern, text)
        if match:
            return re.sub(r"[^a-z0-9]", "", match["stem"]), match["side"][0]
    return re.sub(r"[^a-z0-9]", "", text), ""


def _sided(segment: str) -> tuple[str, str]:
    stem, _, side = segment.partition("_")
    return stem, side


def _fallback(segment: str) -> tuple[str, float]:
    stem, side = _sided(segment)
    other, weight = FALLBACKS[stem]
    return (other if other in MIDLINE else f"{other}_{side}"), weight


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
