"""Reads OpenSim 4.x model files (``.osim``) into a `SkeletonModel`.

Only kinematics, masses and markers are read; muscles, contacts, geometry and the like are passed over and listed in
``SkeletonModel.ignored``. Whatever would change the kinematics and is not supported (another joint, function or
constraint) is refused by name with the element's path. The format is OpenSim's own serialisation of its classes
(OpenSim 4.0 and later, ``Version`` 40000 and up).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from biopose_live.errors import EXIT_MODEL, UserError

from .functions import IDENTITY, ZERO, Function, Polynomial, Spline
from .model import (
    GROUND,
    Axis,
    Body,
    Coordinate,
    Coupler,
    FloatArray,
    Frame,
    Joint,
    Marker,
    SkeletonModel,
    complete_rotations,
    rotation_from_xyz,
)
from .osim_writer import write_osim, write_scaled_osim
from .xml_tree import Element, parse_xml, read_xml

__all__ = ["parse_osim", "read_osim", "write_osim", "write_scaled_osim"]

FUNCTIONS = (
    "Constant",
    "LinearFunction",
    "PolynomialFunction",
    "SimmSpline",
    "PiecewiseLinearFunction",
    "MultiplierFunction",
)
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
_IGNORED_SETS = ("ForceSet", "ControllerSet", "ContactGeometrySet", "ProbeSet")


def read_osim(path: str | Path) -> SkeletonModel:
    """The model in the OpenSim 4.x file at ``path``. Raises UserError for a file that cannot be read or used."""
    path = Path(path)
    return _Reader(str(path)).model(read_xml(path))


def parse_osim(data: bytes, name: str = "the model") -> SkeletonModel:
    """The model in an OpenSim 4.x document given as bytes; ``name`` is used in errors. Raises UserError."""
    return _Reader(name).model(parse_xml(data, name))


class _Reader:
    """Walks one document; holds what is needed to resolve names and to say where a fault lies."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.body_numbers: dict[str, int] = {}
        self.frames: dict[str, tuple[Element, str]] = {}
        self.coordinates: list[Coordinate] = []
        self.coordinate_defaults: Element | None = None

    def fail(self, where: str, found: str, advice: str = "edit the model in OpenSim and save it again") -> UserError:
        return UserError(f"{self.source}: {where} {found}; {advice}.", EXIT_MODEL)

    # --- values ---------------------------------------------------------------------------------------------------

    def numbers(self, element: Element, tag: str, count: int | None, where: str, default: str | None) -> FloatArray:
        text = (element.findtext(tag) or "").strip() or default
        if text is None:
            raise self.fail(where, f"has no <{tag}>")
        try:
            values = np.array([float(word) for word in text.split()])
        except ValueError:
            raise self.fail(where, f"has <{tag}> {text[:40]!r}, which is not a list of numbers") from None
        if count is not None and len(values) != count:
            raise self.fail(where, f"has {len(values)} numbers in <{tag}>, expected {count}")
        if not np.all(np.isfinite(values)) or np.any(np.abs(values) > 1e12):
            raise self.fail(where, f"has a number in <{tag}> that is not finite or not sensible")
        return values

    def number(self, element: Element, tag: str, where: str, default: str) -> float:
        return float(self.numbers(element, tag, 1, where, default)[0])

    def flag(self, element: Element, tag: str, where: str, default: bool) -> bool:
        text = (element.findtext(tag) or "").strip().lower()
        if text not in ("", "true", "false"):
            raise self.fail(where, f"has <{tag}> {text[:20]!r}, expected true or false")
        return default if not text else text == "true"

    def name(self, element: Element, where: str) -> str:
        name = element.get("name")
        if not name:
            raise self.fail(f"{where}/{element.tag}", "has no name")
        return name

    # --- the document ---------------------------------------------------------------------------------------------

    def model(self, root: Element) -> SkeletonModel:
        if root.tag != "OpenSimDocument":
            raise self.fail("the document", f"is a <{root.tag[:40]}>, not an OpenSim model", "give an .osim file")
        version = (root.get("Version") or "").strip()
        if not version.isascii() or not version.isdigit() or len(version) != 5:
            raise self.fail("the document", f"has version {version[:20]!r}", "give an .osim file of OpenSim 4.x")
        if int(version) < 40000:
            raise self.fail(
                "the document",
                f"is in the format of OpenSim {version[0]} (version {version})",
                "open it in OpenSim 4 and save it again",
            )
        model = root.find("Model")
        if model is None:
            raise self.fail("the document", "holds no <Model>", "give an .osim file with a model")
        self.coordinate_defaults = next(
            (
                parent.find("Coordinate")
                for parent in (root.find("defaults"), model.find("defaults"))
                if parent is not None
            ),
            None,
        )
        bodies = self.bodies(model)
        self.collect_frames(model)
        joints = self.joints(model, bodies)
        return SkeletonModel(
            name=model.get("name") or "model",
            bodies=tuple(bodies),
            joints=tuple(joints),
            coordinates=tuple(self.coordinates),
            couplers=tuple(self.couplers(model)),
            markers=tuple(self.markers(model)),
            gravity=tuple(self.numbers(model, "gravity", 3, "/Model", "0 -9.80665 0")),
            ignored=tuple(sorted({e.tag for s in _IGNORED_SETS for e in model.findall(f"{s}/objects/*")})),
        )

    def bodies(self, model: Element) -> list[Body]:
        bodies: list[Body] = []
        for element in model.findall("BodySet/objects/*"):
            where = f"/bodyset/{element.get('name') or element.tag}"
            if element.tag != "Body":
                raise self.fail(where, f"is a <{element.tag}>, which is not supported", "use plain bodies")
            name = self.name(element, "/bodyset")
            if name in self.body_numbers or name == "ground":
                raise self.fail(where, "appears twice" if name != "ground" else "uses the reserved name ground")
            self.body_numbers[name] = len(bodies)
            mass = self.number(element, "mass", where, "0")
            if mass < 0.0:
                raise self.fail(where, f"has the negative mass {mass:g}")
            bodies.append(
                Body(
                    name,
                    mass,
                    self.numbers(element, "mass_center", 3, where, "0 0 0"),
                    self.numbers(element, "inertia", 6, where, "0 0 0 0 0 0"),
                )
            )
        if not bodies:
            raise self.fail("/bodyset", "holds no bodies", "give a model with a BodySet")
        return bodies

    # --- frames ---------------------------------------------------------------------------------------------------

    def collect_frames(self, model: Element) -> None:
        """Every PhysicalOffsetFrame of the model, by its absolute path."""

        def walk(element: Element, path: str) -> None:
            for child in element:
                if child.tag == "PhysicalOffsetFrame":
                    own = f"{path}/{child.get('name') or ''}"
                    self.frames[own] = (child, path)
                    walk(child, own)
                elif child.tag in ("components", "frames", "objects"):
                    walk(child, path)
                elif child.get("name") is not None:
                    walk(child, f"{path}/{child.get('name')}")

        for tag, path in (("BodySet", "/bodyset"), ("JointSet", "/jointset"), ("ComponentSet", "/componentset")):
            for group in model.findall(tag):
                walk(group, path)
        for group in model.findall("components"):
            walk(group, "")
        for ground in model.findall("Ground"):
            walk(ground, "/ground")

    def resolve(self, path: str, base: str, where: str, depth: int = 0) -> tuple[int, Frame]:
        """The body and the pose in it of the frame that ``path`` (relative to component ``base``) names."""
        words = (path if path.startswith("/") else f"{base}/{path}").split("/")
        kept: list[str] = []
        for word in words:
            if word == "..":
                kept = kept[:-1]
            elif word not in ("", "."):
                kept.append(word)
        full = "/" + "/".join(kept)
        last = kept[-1] if kept else ""
        if full not in self.frames:
            if last == "ground" or (
                last in self.body_numbers and full in (f"/bodyset/{last}", f"{base}/{last}", f"/{last}")
            ):
                number = GROUND if last == "ground" else self.body_numbers[last]
                return number, Frame(np.zeros(3), np.eye(3))
            same = [key for key in self.frames if key.rsplit("/", 1)[-1] == last]
            if len(same) != 1:
                raise self.fail(where, f"refers to the frame {path[:80]!r}, which the model does not hold exactly once")
            full = same[0]
        if depth > 20:
            raise self.fail(where, f"refers to the frame {path[:80]!r}, whose parents go round in a circle")
        element, owner = self.frames[full]
        body, parent = self.resolve((element.findtext("socket_parent") or "").strip(), owner, full, depth + 1)
        translation = self.numbers(element, "translation", 3, full, "0 0 0")
        orientation = rotation_from_xyz(self.numbers(element, "orientation", 3, full, "0 0 0"))
        return body, Frame(parent.position + parent.rotation @ translation, parent.rotation @ orientation)

    # --- joints ---------------------------------------------------------------------------------------------------

    def joints(self, model: Element, bodies: list[Body]) -> list[Joint]:
        joints: list[Joint] = []
        for number, element in enumerate(model.findall("JointSet/objects/*")):
            name = self.name(element, "/jointset")
            where = f"/jointset/{name}"
            first = len(self.coordinates)
            axes = self.axes(element, number, where)
            ends = []
            for socket in ("socket_parent_frame", "socket_child_frame"):
                text = (element.findtext(socket) or "").strip()
                if not text:
                    raise self.fail(where, f"has no <{socket}>")
                ends.append(self.resolve(text, where, where))
            (parent, parent_frame), (child, child_frame) = ends
            if child == GROUND:
                raise self.fail(where, "has the ground as its child", "swap the joint's parent and child")
            joints.append(Joint(name, parent, child, parent_frame, child_frame, axes))
            self.classify(first, axes)
        names = [coordinate.name for coordinate in self.coordinates]
        for name in names:
            if names.count(name) > 1:
                raise self.fail("/jointset", f"has two coordinates named {name!r}", "give each its own name")
        return self.in_tree_order(joints, bodies)

    def classify(self, first: int, axes: tuple[Axis, ...]) -> None:
        """Mark as translational the joint's coordinates that turn nothing."""
        turning = {axis.coordinate for axis in axes[:3]}
        moving = {axis.coordinate for axis in axes[3:]}
        for number in range(first, len(self.coordinates)):
            if number in moving - turning:
                self.coordinates[number] = replace(self.coordinates[number], rotational=False)

    def in_tree_order(self, joints: list[Joint], bodies: list[Body]) -> list[Joint]:
        owners: dict[int, list[int]] = {}
        for number, joint in enumerate(joints):
            owners.setdefault(joint.child, []).append(number)
        for body in range(len(bodies)):
            count = len(owners.get(body, []))
            if count != 1:
                raise self.fail(f"/bodyset/{bodies[body].name}", f"is the child of {count} joints, expected 1")
        order: list[int] = []
        placed = {GROUND}
        waiting = list(range(len(joints)))
        while waiting:
            ready = next((number for number in waiting if joints[number].parent in placed), None)
            if ready is None:
                raise self.fail(
                    f"/jointset/{joints[waiting[0]].name}", "is part of a loop that never reaches the ground"
                )
            order.append(ready)
            placed.add(joints[ready].child)
            waiting.remove(ready)
        position = {number: place for place, number in enumerate(order)}
        self.coordinates = [replace(c, joint=position[c.joint]) for c in self.coordinates]
        return [joints[number] for number in order]

    def axes(self, element: Element, joint: int, where: str) -> tuple[Axis, ...]:
        first = len(self.coordinates)
        own: dict[str, int] = {}
        for item in element.findall("coordinates/Coordinate"):
            coordinate = self.coordinate(item, joint, where)
            own[coordinate.name] = len(self.coordinates)
            self.coordinates.append(coordinate)
        axes = [Axis(np.eye(3)[slot % 3], ZERO, None) for slot in range(6)]
        if element.tag in SIMPLE_JOINTS:
            layout = SIMPLE_JOINTS[element.tag]
            if len(own) != len(layout):
                raise self.fail(where, f"has {len(own)} coordinates, a {element.tag} has {len(layout)}")
            for offset, (slot, direction) in enumerate(layout):
                axes[slot] = Axis(direction, IDENTITY, first + offset)
            axes[:3] = complete_rotations([axis for axis in axes[:3] if axis.coordinate is not None])
        elif element.tag == "CustomJoint":
            for item in element.findall("SpatialTransform/TransformAxis"):
                label = item.get("name") or ""
                if label not in AXIS_NAMES:
                    raise self.fail(f"{where}/SpatialTransform", f"has an axis named {label[:40]!r}")
                axes[AXIS_NAMES.index(label)] = self.axis(item, own, f"{where}/SpatialTransform/{label}")
        else:
            raise self.fail(
                where,
                f"is a {element.tag}, which is not supported",
                "replace it by one of " + ", ".join(["CustomJoint", *SIMPLE_JOINTS]),
            )
        return tuple(axes)

    def axis(self, element: Element, own: dict[str, int], where: str) -> Axis:
        direction = self.numbers(element, "axis", 3, where, None)
        length = float(np.linalg.norm(direction))
        if length < 1e-9:
            raise self.fail(where, "has an axis of zero length")
        names = (element.findtext("coordinates") or "").split()
        if len(names) > 1:
            raise self.fail(where, f"is a function of {len(names)} coordinates, which is not supported", "use one")
        if names and names[0] not in own:
            raise self.fail(where, f"depends on {names[0]!r}, which is not a coordinate of this joint")
        function = self.function_in(element, where)
        if function is None:
            function = IDENTITY if names else ZERO
        if not names:
            function = Polynomial((function.value(0.0),))
        return Axis(direction / length, function, own[names[0]] if names else None)

    def coordinate(self, element: Element, joint: int, where: str) -> Coordinate:
        name = self.name(element, where)
        where = f"{where}/{name}"
        for default in list(self.coordinate_defaults) if self.coordinate_defaults is not None else []:
            if element.find(default.tag) is None:
                element.append(default)
        if self.flag(element, "prescribed", where, False):
            raise self.fail(where, "has a prescribed motion, which is not supported", "set prescribed to false")
        low, high = self.numbers(element, "range", 2, where, "-10 10")
        if low > high:
            raise self.fail(where, f"has the empty range {low:g} to {high:g}")
        return Coordinate(
            name,
            joint,
            True,
            self.number(element, "default_value", where, "0"),
            (float(low), float(high)),
            self.flag(element, "clamped", where, False),
            self.flag(element, "locked", where, False),
        )

    # --- functions, couplers, markers -----------------------------------------------------------------------------

    def function_in(self, element: Element, where: str) -> Function | None:
        """The function written directly in ``element`` or inside its <function>; None if there is none."""
        for child in element:
            if child.tag in ("function", "coupled_coordinates_function"):
                return self.function_in(child, where)
            if child.tag in FUNCTIONS:
                return self.function(child, f"{where}/{child.tag}")
            if child.tag not in ("coordinates", "axis", "scale"):
                raise self.fail(
                    f"{where}/{child.tag}", "is a function that is not supported", "use one of " + ", ".join(FUNCTIONS)
                )
        return None

    def function(self, element: Element, where: str) -> Function:
        if element.tag == "Constant":
            return Polynomial((self.number(element, "value", where, "0"),))
        if element.tag == "LinearFunction":
            return Polynomial(tuple(map(float, self.numbers(element, "coefficients", 2, where, "1 0"))))
        if element.tag == "PolynomialFunction":
            coefficients = self.numbers(element, "coefficients", None, where, None)
            if len(coefficients) > 16:
                raise self.fail(where, f"has {len(coefficients)} coefficients, at most 16 are supported")
            return Polynomial(tuple(map(float, coefficients)))
        if element.tag == "MultiplierFunction":
            inner = self.function_in(element, where)
            if inner is None:
                raise self.fail(where, "holds no function to multiply")
            return inner.scaled(self.number(element, "scale", where, "1"))
        knots = self.numbers(element, "x", None, where, None)
        values = self.numbers(element, "y", len(knots), where, None)
        if len(knots) > 1000 or len(knots) < 2 or np.any(np.diff(knots) < 1e-9):
            raise self.fail(where, "needs 2 to 1000 knots in rising order")
        return Spline(knots, values, element.tag)

    def couplers(self, model: Element) -> list[Coupler]:
        couplers: list[Coupler] = []
        names = {coordinate.name: number for number, coordinate in enumerate(self.coordinates)}
        for element in model.findall("ConstraintSet/objects/*"):
            where = f"/constraintset/{element.get('name') or element.tag}"
            if not self.flag(element, "isEnforced", where, True):
                continue
            if element.tag != "CoordinateCouplerConstraint":
                raise self.fail(where, f"is a {element.tag}, which is not supported", "turn it off or use couplers")
            independent = (element.findtext("independent_coordinate_names") or "").split()
            dependent = (element.findtext("dependent_coordinate_name") or "").strip()
            if len(independent) != 1:
                raise self.fail(where, f"couples to {len(independent)} coordinates, only one is supported")
            for name in (independent[0], dependent):
                if name not in names:
                    raise self.fail(where, f"names the coordinate {name[:80]!r}, which the model does not have")
            function = self.function_in_coupler(element, where)
            function = function.scaled(self.number(element, "scale_factor", where, "1"))
            couplers.append(
                Coupler(element.get("name") or "coupler", names[dependent], names[independent[0]], function)
            )
        return self.in_coupling_order(couplers)

    def function_in_coupler(self, element: Element, where: str) -> Function:
        holder = element.find("coupled_coordinates_function")
        function = self.function_in(holder, where) if holder is not None else None
        if function is None:
            raise self.fail(where, "has no coupled_coordinates_function")
        return function

    def in_coupling_order(self, couplers: list[Coupler]) -> list[Coupler]:
        """Chains of couplers sorted so that a coordinate is set before it is used."""
        dependents = [coupler.dependent for coupler in couplers]
        if len(set(dependents)) != len(dependents):
            raise self.fail("/constraintset", "couples one coordinate twice")
        ordered: list[Coupler] = []
        waiting = list(couplers)
        while waiting:
            unset = {coupler.dependent for coupler in waiting}
            ready = [coupler for coupler in waiting if coupler.independent not in unset]
            if not ready:
                raise self.fail(f"/constraintset/{waiting[0].name}", "is part of a circle of couplers")
            ordered += ready
            waiting = [coupler for coupler in waiting if coupler not in ready]
        return ordered

    def markers(self, model: Element) -> list[Marker]:
        markers = []
        for element in model.findall("MarkerSet/objects/Marker"):
            name = self.name(element, "/markerset")
            where = f"/markerset/{name}"
            body, frame = self.resolve((element.findtext("socket_parent_frame") or "").strip(), where, where)
            location = frame.position + frame.rotation @ self.numbers(element, "location", 3, where, "0 0 0")
            markers.append(Marker(name, body, location, self.flag(element, "fixed", where, False)))
        return markers
