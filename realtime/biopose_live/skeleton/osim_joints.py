"""Reads the joints of a model file: every class in CustomJoint form, with its coordinates, in tree order.

OpenSim's BallJoint, FreeJoint and GimbalJoint all turn by body-fixed X, Y, Z angles, so they fit that form exactly. An
EllipsoidJoint (whose place depends on two angles at once) does not.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .functions import IDENTITY, ZERO, Polynomial
from .model import GROUND, Axis, Body, Coordinate, FloatArray, Joint, complete_rotations, direct_slot
from .osim_frames import Frames
from .osim_functions import function_in, still_value
from .osim_values import Source
from .xml_tree import Element

MAX_JOINTS = 1000
_X, _Y, _Z = np.eye(3)
# Joint class -> for each of its coordinates in order: (rotation or translation slot 0..5, axis).
SIMPLE_JOINTS: dict[str, tuple[tuple[int, FloatArray], ...]] = {
    "WeldJoint": (),
    "PinJoint": ((0, _Z),),
    "SliderJoint": ((3, _X),),
    "UniversalJoint": ((0, _X), (1, _Y)),
    "BallJoint": ((0, _X), (1, _Y), (2, _Z)),
    "GimbalJoint": ((0, _X), (1, _Y), (2, _Z)),
    "PlanarJoint": ((0, _Z), (3, _X), (4, _Y)),
    "FreeJoint": ((0, _X), (1, _Y), (2, _Z), (3, _X), (4, _Y), (5, _Z)),
}
AXIS_NAMES = ("rotation1", "rotation2", "rotation3", "translation1", "translation2", "translation3")


class Joints:
    """The joints and coordinates of one model."""

    def __init__(self, source: Source, frames: Frames, bodies: list[Body], defaults: Element | None) -> None:
        """``defaults`` is the file's template of a Coordinate, if it has one."""
        self.source = source
        self.frames = frames
        self.bodies = bodies
        self.defaults = list(defaults) if defaults is not None else []
        self.coordinates: list[Coordinate] = []

    def read(self, elements: list[Element]) -> list[Joint]:
        """The joints, parents before children; fills ``coordinates``, in the file's order. Raises UserError."""
        joints: list[Joint] = []
        for number, element in enumerate(self.source.bounded(elements, MAX_JOINTS, "/jointset")):
            name = self.source.title(element, "/jointset")
            home = f"/jointset/{name}"
            where = self.source.path(element, home)
            first = len(self.coordinates)
            axes = self._axes(element, number, where)
            ends = []
            for socket in ("socket_parent_frame", "socket_child_frame"):
                text = self.source.text(element, socket)
                if not text:
                    raise self.source.fail(where, f"has no <{socket}>")
                ends.append(self.frames.resolve(text, home, where))
            (parent, parent_frame), (child, child_frame) = ends
            if child == GROUND:
                raise self.source.fail(where, "has the ground as its child", "swap the joint's parent and child")
            joints.append(Joint(name, parent, child, parent_frame, child_frame, axes))
            self._classify(first, axes)
        self._check_names()
        return self._in_tree_order(joints)

    def _classify(self, first: int, axes: tuple[Axis, ...]) -> None:
        """Say which of the joint's coordinates are rotations, translations or, like OpenSim, coupled."""
        turning = {axis.coordinate for axis in axes[:3]}
        moving = {axis.coordinate for axis in axes[3:]}
        for number in range(first, len(self.coordinates)):
            slot = direct_slot(axes, number)
            rotational = slot < 3 if slot is not None else number in turning or number not in moving
            self.coordinates[number] = replace(self.coordinates[number], rotational=rotational, coupled=slot is None)

    def _check_names(self) -> None:
        names: set[str] = set()
        for coordinate in self.coordinates:
            if coordinate.name in names:
                found = f"has two coordinates named {coordinate.name[:80]!r}"
                raise self.source.fail("the model", found, "give each its own name")
            names.add(coordinate.name)

    def _in_tree_order(self, joints: list[Joint]) -> list[Joint]:
        owners: dict[int, list[int]] = {}
        for number, joint in enumerate(joints):
            owners.setdefault(joint.child, []).append(number)
        for number, body in enumerate(self.bodies):
            count = len(owners.get(number, []))
            if count != 1:
                raise self.source.fail(f"/bodyset/{body.name}", f"is the child of {count} joints, expected 1")
        order: list[int] = []
        placed = {GROUND}
        waiting = list(range(len(joints)))
        while waiting:
            ready = next((number for number in waiting if joints[number].parent in placed), None)
            if ready is None:
                where = f"/jointset/{joints[waiting[0]].name}"
                raise self.source.fail(where, "is part of a loop that never reaches the ground")
            order.append(ready)
            placed.add(joints[ready].child)
            waiting.remove(ready)
        position = {number: place for place, number in enumerate(order)}
        self.coordinates = [replace(c, joint=position[c.joint]) for c in self.coordinates]
        return [joints[number] for number in order]

    def _axes(self, element: Element, joint: int, where: str) -> tuple[Axis, ...]:
        first = len(self.coordinates)
        own: dict[str, int] = {}
        items = self.source.bounded(element.findall("coordinates/Coordinate"), 6, f"{where}/coordinates")
        # OpenSim numbers a CustomJoint's coordinates in the order in which its axes use them.
        used = [self.source.text(axis, "coordinates") for axis in element.findall("SpatialTransform/TransformAxis")]
        for item in sorted(items, key=lambda i: used.index(str(i.get("name"))) if i.get("name") in used else len(used)):
            coordinate = self._coordinate(item, joint, where)
            own[coordinate.name] = len(self.coordinates)
            self.coordinates.append(coordinate)
        axes = [Axis(np.eye(3)[slot % 3], ZERO, None) for slot in range(6)]
        if element.tag in SIMPLE_JOINTS:
            layout = SIMPLE_JOINTS[element.tag]
            if len(self.coordinates) - first != len(layout):
                found = f"has {len(self.coordinates) - first} coordinates, a {element.tag} has {len(layout)}"
                raise self.source.fail(where, found)
            for offset, (slot, direction) in enumerate(layout):
                axes[slot] = Axis(direction, IDENTITY, first + offset)
            axes[:3] = complete_rotations([axis for axis in axes[:3] if axis.coordinate is not None])
        elif element.tag == "CustomJoint":
            for item in element.findall("SpatialTransform/TransformAxis"):
                label = item.get("name") or ""
                if label not in AXIS_NAMES:
                    raise self.source.fail(f"{where}/SpatialTransform", f"has an axis named {label[:40]!r}")
                axes[AXIS_NAMES.index(label)] = self._axis(item, own, f"{where}/SpatialTransform/{label}")
        else:
            advice = "replace it by one of " + ", ".join(["CustomJoint", *SIMPLE_JOINTS])
            raise self.source.fail(where, f"is a {element.tag[:40]}, which is not supported", advice)
        return tuple(axes)

    def _axis(self, element: Element, own: dict[str, int], where: str) -> Axis:
        direction = self.source.numbers(element, "axis", 3, where, None)
        length = float(np.linalg.norm(direction))
        if length < 1e-9:
            raise self.source.fail(where, "has an axis of zero length")
        direction = direction / length
        names = self.source.text(element, "coordinates").split()
        if not names:
            return Axis(direction, Polynomial((still_value(self.source, element, where),)), None)
        if len(names) > 1:
            found = f"is a function of {len(names)} coordinates, which is not supported"
            raise self.source.fail(where, found, "use one")
        if names[0] not in own:
            raise self.source.fail(where, f"depends on {names[0][:80]!r}, which is not a coordinate of this joint")
        # OpenSim does not move an axis that has a coordinate but no function.
        function = function_in(self.source, element, where)
        return Axis(direction, function or ZERO, own[names[0]])

    def _coordinate(self, element: Element, joint: int, where: str) -> Coordinate:
        name = self.source.title(element, where)
        where = f"{where}/{name}"
        for default in self.defaults:
            if element.find(default.tag) is None:
                element.append(default)
        if self.source.flag(element, "prescribed", where, False):
            raise self.source.fail(where, "has a prescribed motion, which is not supported", "set prescribed to false")
        low, high = self.source.numbers(element, "range", 2, where, "-10 10")
        if low > high:
            raise self.source.fail(where, f"has the empty range {low:g} to {high:g}")
        return Coordinate(
            name,
            joint,
            True,
            self.source.number(element, "default_value", where, "0"),
            (float(low), float(high)),
            self.source.flag(element, "clamped", where, False),
            self.source.flag(element, "locked", where, False),
        )
