"""Reads OpenSim model files (``.osim``, formats of 3.x and 4.x) into a `SkeletonModel`.

Only kinematics, masses and markers are read; muscles, contacts, geometry and the like are passed over and listed in
``SkeletonModel.ignored``. Whatever would change the kinematics and is not supported (another joint, function, frame or
constraint) is refused by name with the element's path. The format is OpenSim's own serialisation of its classes; files
of 3.x are first rewritten as OpenSim itself rewrites them (`osim_version3`).
"""

from __future__ import annotations

from pathlib import Path

from .model import Body, Marker, SkeletonModel
from .osim_couplers import read_couplers
from .osim_frames import Frames
from .osim_joints import MAX_JOINTS, SIMPLE_JOINTS, Joints
from .osim_values import Source
from .osim_version3 import upgrade
from .osim_writer import write_osim, write_scaled_osim
from .xml_tree import Element, parse_xml, read_xml

__all__ = ["SIMPLE_JOINTS", "parse_osim", "read_osim", "write_osim", "write_scaled_osim"]

MAX_MARKERS = 20000
_OLDEST, _WITHOUT_FRAMES, _WITH_FRAMES = 20300, 30500, 40000
_READ_SETS = ("BodySet", "JointSet", "ConstraintSet", "MarkerSet")
# Kinds that must stand in their sets to be seen by this reader; elsewhere they would be lost in silence.
_KINEMATIC = ("Body", "Joint", "Constraint")


def read_osim(path: str | Path) -> SkeletonModel:
    """The model in the OpenSim file at ``path``. Raises UserError for a file that cannot be read or used."""
    path = Path(path)
    return _model(Source(str(path)), read_xml(path))


def parse_osim(data: bytes, name: str = "the model") -> SkeletonModel:
    """The model in an OpenSim document given as bytes; ``name`` is used in errors. Raises UserError."""
    return _model(Source(name), parse_xml(data, name))


def _model(source: Source, root: Element) -> SkeletonModel:
    if root.tag != "OpenSimDocument":
        raise source.fail("the document", f"is a <{root.tag[:40]}>, not an OpenSim model", "give an .osim file")
    version = _version(source, root)
    model = root.find("Model")
    if model is None:
        raise source.fail("the document", "holds no <Model>", "give an .osim file with a model")
    for element in model:
        if element.get("file"):
            raise source.fail(f"/{element.tag}", "is kept in another file", "save the model as one file")
    holders = [holder for holder in (root.find("defaults"), model.find("defaults")) if holder is not None]
    defaults = [template for holder in holders for template in holder.findall("Coordinate")]
    ignored = _ignored(source, model)
    if version < _WITHOUT_FRAMES:
        model = upgrade(source, model)
    bodies = _bodies(source, model)
    frames = Frames(source, model, {body.name: number for number, body in enumerate(bodies)})
    joints = Joints(source, frames, bodies, defaults[0] if defaults else None)
    joined = joints.read(model.findall("JointSet/objects/*"))
    x, y, z = source.numbers(model, "gravity", 3, "/Model", "0 -9.80665 0")
    return SkeletonModel(
        name=model.get("name") or "model",
        bodies=tuple(bodies),
        joints=tuple(joined),
        coordinates=tuple(joints.coordinates),
        couplers=tuple(read_couplers(source, model.findall("ConstraintSet/objects/*"), joints.coordinates)),
        markers=tuple(_markers(source, model, frames)),
        gravity=(float(x), float(y), float(z)),
        ignored=ignored,
    )


def _version(source: Source, root: Element) -> int:
    text = (root.get("Version") or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) == 5):
        raise source.fail("the document", f"has version {text[:20]!r}", "give an .osim file of OpenSim 3 or 4")
    version = int(text)
    if version < _OLDEST or _WITHOUT_FRAMES <= version < _WITH_FRAMES:
        found = f"is in the format of an early or unreleased OpenSim (version {version})"
        raise source.fail("the document", found, "open it in OpenSim 4 and save it again")
    return version


def _ignored(source: Source, model: Element) -> tuple[str, ...]:
    """The kinds of elements that are passed over. Raises UserError where one would have moved something."""
    tags: set[str] = set()
    for group in model:
        if group.tag in _READ_SETS:
            continue
        loose = group.tag in ("components", "ComponentSet")
        for element in group if group.tag == "components" else group.findall("objects/*"):
            if loose and element.tag.endswith(_KINEMATIC):
                where = f"/{element.get('name') or element.tag}"
                found = f"is a {element.tag[:40]} outside the model's sets, which is not supported"
                raise source.fail(where, found, "move it into its set")
            if not element.tag.endswith("OffsetFrame"):
                tags.add(element.tag[:80])
    tags |= {element.tag[:80] for element in model.findall("MarkerSet/objects/*") if element.tag != "Marker"}
    return tuple(sorted(tags))


def _bodies(source: Source, model: Element) -> list[Body]:
    bodies: list[Body] = []
    names: set[str] = set()
    for element in source.bounded(model.findall("BodySet/objects/*"), MAX_JOINTS, "/bodyset"):
        where = f"/bodyset/{element.get('name') or element.tag}"
        if element.tag != "Body":
            raise source.fail(where, f"is a <{element.tag[:40]}>, which is not supported", "use plain bodies")
        name = source.title(element, "/bodyset")
        if name in names or name == "ground":
            raise source.fail(where, "appears twice" if name != "ground" else "uses the reserved name ground")
        names.add(name)
        mass = source.number(element, "mass", where, "0")
        if mass < 0.0:
            raise source.fail(where, f"has the negative mass {mass:g}")
        mass_centre = source.numbers(element, "mass_center", 3, where, "0 0 0")
        bodies.append(Body(name, mass, mass_centre, source.numbers(element, "inertia", 6, where, "0 0 0 0 0 0")))
    if not bodies:
        raise source.fail("/bodyset", "holds no bodies", "give a model with a BodySet")
    return bodies


def _markers(source: Source, model: Element, frames: Frames) -> list[Marker]:
    markers = []
    for element in source.bounded(model.findall("MarkerSet/objects/Marker"), MAX_MARKERS, "/markerset"):
        name = source.title(element, "/markerset")
        where = f"/markerset/{name}"
        body, frame = frames.resolve(source.text(element, "socket_parent_frame"), where, where)
        local = source.numbers(element, "location", 3, where, "0 0 0")
        location = frame.position + frame.rotation @ local
        # On a turned frame a marker stretches along that frame's axes, not along its body's.
        spread = None if frames.is_body(frame) else frame.spread_matrix() + frame.rotation * local
        markers.append(Marker(name, body, location, source.flag(element, "fixed", where, False), spread))
    return markers
