"""Rewrites a model of OpenSim 3.x (and late 2.x) into the structure of 4.x, as OpenSim does when it opens one.

In 3.x each body holds the joint that carries it, the joint holds the places of its two frames, and the ground is a
body. The rewritten elements remember where they stood (`osim_values.PATH`), so that errors name the user's own file.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from .osim_values import PATH, Source
from .xml_tree import Element

_INERTIA = ("xx", "yy", "zz", "xy", "xz", "yz")
_SETS = ("BodySet", "ConstraintSet", "MarkerSet")


def upgrade(source: Source, model: Element) -> Element:
    """A 4.x <Model> that says what the 3.x ``model`` says. Raises UserError for what cannot be said."""
    upgraded = ElementTree.Element("Model", model.attrib)
    for element in model:
        if element.tag not in _SETS:
            upgraded.append(element)
    bodies = _set(upgraded, "BodySet")
    joints = _set(upgraded, "JointSet")
    for body in model.findall("BodySet/objects/*"):
        name = source.title(body, "/bodyset")
        where = f"/bodyset/{name}"
        if name == "ground":
            continue
        bodies.append(_body(source, body, where))
        held = body.findall("Joint/*")
        if len(held) != 1:
            raise source.fail(where, f"holds {len(held)} joints, expected 1")
        joints.append(_joint(source, held[0], name, where))
    constraints = _set(upgraded, "ConstraintSet")
    for constraint in model.findall("ConstraintSet/objects/*"):
        enforced = not source.flag(constraint, "isDisabled", f"/constraintset/{constraint.get('name')}", False)
        _child(constraint, "isEnforced", str(enforced).lower())
        constraints.append(constraint)
    markers = _set(upgraded, "MarkerSet")
    for marker in model.findall("MarkerSet/objects/*"):
        _child(marker, "socket_parent_frame", _frame_path(source.text(marker, "body")))
        markers.append(marker)
    return upgraded


def _body(source: Source, body: Element, where: str) -> Element:
    inertia = [source.number(body, f"inertia_{part}", where, "0") for part in _INERTIA]
    _child(body, "inertia", " ".join(map(repr, inertia)))
    return body


def _joint(source: Source, old: Element, body: str, where: str) -> Element:
    name = source.title(old, where)
    where = f"{where}/{name}"
    if source.flag(old, "reverse", where, False):
        raise source.fail(where, "is a reversed joint, which is not supported", "swap the joint's parent and child")
    parent = source.text(old, "parent_body")
    if not parent:
        raise source.fail(where, "has no <parent_body>")
    joint = ElementTree.Element(old.tag, {"name": name, PATH: where})
    _child(joint, "socket_parent_frame", "in_parent")
    _child(joint, "socket_child_frame", "in_child")
    coordinates = ElementTree.SubElement(joint, "coordinates")
    coordinates.extend(old.findall("CoordinateSet/objects/Coordinate"))
    frames = ElementTree.SubElement(joint, "frames")
    for label, base, suffix in (("in_parent", parent, "_in_parent"), ("in_child", body, "")):
        frame = ElementTree.SubElement(frames, "PhysicalOffsetFrame", {"name": label, PATH: where})
        _child(frame, "socket_parent", _frame_path(base))
        for new, place in (("translation", "location"), ("orientation", "orientation")):
            values = source.numbers(old, place + suffix, 3, where, "0 0 0")
            _child(frame, new, " ".join(map(repr, values.tolist())))
    joint.extend(old.findall("SpatialTransform"))
    return joint


def _set(model: Element, tag: str) -> Element:
    return ElementTree.SubElement(ElementTree.SubElement(model, tag), "objects")


def _child(parent: Element, tag: str, text: str) -> None:
    for element in parent.findall(tag):
        parent.remove(element)
    ElementTree.SubElement(parent, tag).text = text


def _frame_path(body: str) -> str:
    return "/ground" if body == "ground" else f"/bodyset/{body}"
