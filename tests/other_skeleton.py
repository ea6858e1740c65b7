"""A small full-body model as other people build them: other names, other bodies, other frames.

One trunk and no head; `thigh_r`, `shank_r`, `foot_r`; thigh frames that are not aligned with the ground; a knee that
slides on a spline with a coupled kneecap and has a free translation; an ankle without a subtalar joint; locked toes; a
one-piece forearm; a welded hand; other names of coordinates; pelvis angles in another order; no markers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biopose_live.skeleton.functions import IDENTITY, ZERO, Polynomial, Spline
from biopose_live.skeleton.model import (
    GROUND,
    Axis,
    Body,
    Coordinate,
    Coupler,
    Frame,
    Joint,
    SkeletonModel,
    complete_rotations,
    rotation_from_xyz,
)

X, Y, Z = np.eye(3)
STRAIGHT = np.eye(3)
THIGH_FRAME = rotation_from_xyz([0.0, 0.0, np.pi / 2])  # its own y points backwards, its x up


class Builder:
    """Collects bodies from the root outwards."""

    def __init__(self) -> None:
        self.bodies: list[Body] = []
        self.joints: list[Joint] = []
        self.coordinates: list[Coordinate] = []
        self.couplers: list[Coupler] = []

    def coordinate(self, name: str, low: float, high: float, **more: object) -> int:
        """Adds one to the joint that is added next; -> its number."""
        options = {"rotational": True, "default": 0.0, "clamped": True, "locked": False, **more}
        joint = len(self.joints)
        self.coordinates.append(Coordinate(name=name, joint=joint, range=(low, high), **options))  # type: ignore[arg-type]
        return len(self.coordinates) - 1

    def add(
        self,
        name: str,
        parent: str | None,
        at: Sequence[float],
        axes: Sequence[Axis],
        moves: Sequence[Axis] = (),
        turned: tuple[np.ndarray, np.ndarray] = (STRAIGHT, STRAIGHT),
        mass: float = 5.0,
    ) -> None:
        """`at` in the parent's frame; `turned`: orientations of the joint in the parent's and in the body's frame."""
        above = GROUND if parent is None else [body.name for body in self.bodies].index(parent)
        self.bodies.append(Body(name, mass, np.array([0.0, -0.1, 0.0]), np.array([0.1, 0.1, 0.1, 0, 0, 0])))
        self.joints.append(
            Joint(
                f"to_{name}",
                above,
                len(self.bodies) - 1,
                Frame(np.array(at, float), turned[0]),
                Frame(np.zeros(3), turned[1]),
                (*complete_rotations(axes), *(moves or [Axis(unit, ZERO, None) for unit in np.eye(3)])),
            )
        )


def _turns(build: Builder, names: Sequence[str], axes: Sequence[np.ndarray], limit: float = 2.8) -> list[Axis]:
    return [Axis(axis, IDENTITY, build.coordinate(name, -limit, limit)) for name, axis in zip(names, axes, strict=True)]


def build(without: Sequence[str] = ()) -> SkeletonModel:
    """-> the model; `without` the bodies named (leaves only)."""
    b = Builder()
    turns = _turns(b, ("tilt", "list", "heading"), (Z, X, Y), 6.0)
    moves = [
        Axis(unit, IDENTITY, b.coordinate(f"move_{axis}", -9.0, 9.0, rotational=False, clamped=False))
        for axis, unit in zip("xyz", np.eye(3), strict=True)
    ]
    b.add("Pelvis", None, (0, 0, 0), turns, moves, mass=12.0)
    b.add(
        "Torso", "Pelvis", (-0.1, 0.08, 0), _turns(b, ("trunk_bow", "trunk_lean", "trunk_turn"), (Z, X, Y)), mass=30.0
    )
    for side, sign in (("r", 1.0), ("l", -1.0)):
        b.add(
            f"thigh_{side}", "Pelvis", (-0.06, -0.08, 0.08 * sign),
            _turns(b, (f"hip_bend_{side}", f"hip_spread_{side}", f"hip_twist_{side}"), (Z, -sign * X, -sign * Y)),
            turned=(STRAIGHT, THIGH_FRAME.T), mass=9.0,
        )  # fmt: skip
        bend = b.coordinate(f"knee_bend_{side}", 0.0, 2.6)
        slide = b.coordinate(f"knee_slide_{side}", -0.05, 0.05, rotational=False)
        roll = Spline(np.array([0.0, 1.0, 2.6]), np.array([0.0, 0.004, 0.002]))
        b.add(
            f"shank_{side}", f"thigh_{side}", THIGH_FRAME.T @ np.array([0.0, -0.4, 0.0]), [Axis(-Z, IDENTITY, bend)],
            [Axis(X, roll, bend), Axis(Y, IDENTITY, slide), Axis(Z, ZERO, None)], turned=(THIGH_FRAME.T, STRAIGHT),
        )  # fmt: skip
        beta = b.coordinate(f"kneecap_{side}", -9.0, 9.0, clamped=False)
        b.couplers.append(Coupler(f"kneecap_{side}", beta, bend, Polynomial((0.8, 0.0))))
        b.add(
            f"kneecap_{side}", f"thigh_{side}", THIGH_FRAME.T @ np.array([0.04, -0.38, 0.0]),
            [Axis(-Z, IDENTITY, beta)], turned=(THIGH_FRAME.T, STRAIGHT), mass=0.1,
        )  # fmt: skip
        b.add(f"foot_{side}", f"shank_{side}", (0, -0.4, 0), _turns(b, (f"ankle_{side}",), (Z,)), mass=1.0)
        toes = b.coordinate(f"toes_{side}", -0.5, 0.5, locked=True)
        b.add(f"toes_{side}", f"foot_{side}", (0.13, -0.04, 0), [Axis(Z, IDENTITY, toes)], mass=0.2)
        b.add(
            f"upperarm_{side}", "Torso", (0.0, 0.36, 0.17 * sign),
            _turns(b, (f"arm_flex_{side}", f"arm_add_{side}", f"arm_rot_{side}"), (Z, sign * X, sign * Y)), mass=2.0,
        )  # fmt: skip
        elbow = b.coordinate(f"elbow_flex_{side}", 0.0, 2.6)
        b.add(f"forearm_{side}", f"upperarm_{side}", (0.01, -0.28, 0), [Axis(Z, IDENTITY, elbow)], mass=1.2)
        b.add(f"hand_{side}", f"forearm_{side}", (0, -0.25, 0), [], mass=0.5)
    keep = [number for number, body in enumerate(b.bodies) if body.name not in without]
    if len(keep) < len(b.bodies):
        return _subset(b, keep)
    return SkeletonModel("other", tuple(b.bodies), tuple(b.joints), tuple(b.coordinates), tuple(b.couplers))


def _subset(b: Builder, keep: list[int]) -> SkeletonModel:
    from dataclasses import replace

    bodies = {old: new for new, old in enumerate(keep)} | {GROUND: GROUND}
    joints = {old: new for new, old in enumerate(keep)}  # joint n carries body n
    numbers = [n for n, c in enumerate(b.coordinates) if c.joint in joints]
    coordinates = {old: new for new, old in enumerate(numbers)}

    def axis(old: Axis) -> Axis:
        return old if old.coordinate is None else replace(old, coordinate=coordinates[old.coordinate])

    return SkeletonModel(
        "other",
        tuple(b.bodies[n] for n in keep),
        tuple(
            replace(
                b.joints[n], parent=bodies[b.joints[n].parent], child=bodies[n], axes=tuple(map(axis, b.joints[n].axes))
            )
            for n in keep
        ),
        tuple(replace(b.coordinates[n], joint=joints[b.coordinates[n].joint]) for n in numbers),
        tuple(
            replace(c, dependent=coordinates[c.dependent], independent=coordinates[c.independent])
            for c in b.couplers
            if c.dependent in coordinates and c.independent in coordinates
        ),
    )
