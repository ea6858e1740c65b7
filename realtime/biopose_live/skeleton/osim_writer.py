"""Writes a `SkeletonModel` as an OpenSim 4.x model file (``.osim``).

Every joint is written as a CustomJoint (a WeldJoint where nothing moves) with two PhysicalOffsetFrames, which is how
the model is held in memory. Numbers
carry 12 significant digits, so that the same model gives the same bytes on every machine.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from .functions import Function, Spline
from .model import (
    GROUND,
    FloatArray,
    Frame,
    Joint,
    Marker,
    SkeletonModel,
    rotation_about,
    scale_model,
    xyz_from_rotation,
)

OSIM_VERSION = 40500
_AXIS_NAMES = ("rotation1", "rotation2", "rotation3", "translation1", "translation2", "translation3")


def write_osim(model: SkeletonModel, path: str | Path, note: str = "") -> None:
    """Write ``model`` to ``path``, whole or not at all. ``note`` becomes a comment at the top. Raises OSError."""
    path = Path(path)
    text = osim_text(model, note)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_scaled_osim(
    model: SkeletonModel, scales: FloatArray, markers: Sequence[Marker] | None, path: str | Path
) -> None:
    """Write ``model`` stretched by ``scales`` (B, 3) to ``path``, as OpenSim's ScaleTool would leave it.

    ``markers`` replace the model's own; their locations are in the *scaled* body frames. None keeps the model's own
    markers, scaled with their bodies. Raises OSError.
    """
    scaled = scale_model(model, scales)
    if markers is not None:
        scaled = scaled.with_markers(markers)
    write_osim(replace(scaled, name=f"{model.name}_scaled"), path)


def osim_text(model: SkeletonModel, note: str = "") -> str:
    """The document as text."""
    lines = ['<?xml version="1.0" encoding="UTF-8" ?>']
    if note:
        lines.append(f"<!-- {note.replace('--', '- -')} -->")
    lines += [
        f'<OpenSimDocument Version="{OSIM_VERSION}">',
        f"<Model name={quoteattr(model.name)}>",
        "<length_units>meters</length_units>",
        "<force_units>N</force_units>",
        f"<gravity>{_numbers(model.gravity)}</gravity>",
        '<BodySet name="bodyset"><objects>',
    ]
    for body in model.bodies:
        lines += [
            f"<Body name={quoteattr(body.name)}>",
            f"  <mass>{_number(body.mass)}</mass>",
            f"  <mass_center>{_numbers(body.mass_centre)}</mass_center>",
            f"  <inertia>{_numbers(body.inertia)}</inertia>",
            "</Body>",
        ]
    lines += ["</objects></BodySet>", '<JointSet name="jointset"><objects>']
    # In the order of their coordinates: OpenSim numbers coordinates in the order of the joints.
    first = {c.joint: number for number, c in reversed(list(enumerate(model.coordinates)))}
    for number in sorted(range(len(model.joints)), key=lambda number: first.get(number, len(model.coordinates))):
        lines += _joint(model, number, model.joints[number])
    lines += ["</objects></JointSet>", '<ConstraintSet name="constraintset"><objects>']
    for coupler in model.couplers:
        lines += [
            f"<CoordinateCouplerConstraint name={quoteattr(coupler.name)}>",
            "  <isEnforced>true</isEnforced>",
            f"  <coupled_coordinates_function>{_function(coupler.function, '')}</coupled_coordinates_function>",
            f"  <independent_coordinate_names>{_coordinate(model, coupler.independent)}</independent_coordinate_names>",
            f"  <dependent_coordinate_name>{_coordinate(model, coupler.dependent)}</dependent_coordinate_name>",
            "</CoordinateCouplerConstraint>",
        ]
    lines += ["</objects></ConstraintSet>", '<MarkerSet name="markerset"><objects>']
    for marker in model.markers:
        lines += [
            f"<Marker name={quoteattr(marker.name)}>",
            f"  <socket_parent_frame>{_body_path(model, marker.body)}</socket_parent_frame>",
            f"  <location>{_numbers(marker.location)}</location>",
            f"  <fixed>{_flag(marker.fixed)}</fixed>",
            "</Marker>",
        ]
    lines += ["</objects></MarkerSet>", "</Model>", "</OpenSimDocument>", ""]
    return "\n".join(lines)


def _joint(model: SkeletonModel, number: int, joint: Joint) -> list[str]:
    parent = "ground" if joint.parent == GROUND else model.bodies[joint.parent].name
    child = model.bodies[joint.child].name
    still = all(axis.coordinate is None for axis in joint.axes)
    kind = "WeldJoint" if still else "CustomJoint"  # OpenSim crashes on a CustomJoint without coordinates
    parent_frame = _moved_frame(joint) if still else joint.parent_frame
    lines = [
        f"<{kind} name={quoteattr(joint.name)}>",
        f"  <socket_parent_frame>{escape(parent)}_offset</socket_parent_frame>",
        f"  <socket_child_frame>{escape(child)}_offset</socket_child_frame>",
        "  <coordinates>",
    ]
    for coordinate in model.coordinates:
        if coordinate.joint == number:
            lines += [
                f"  <Coordinate name={quoteattr(coordinate.name)}>",
                f"    <default_value>{_number(coordinate.default)}</default_value>",
                f"    <range>{_numbers(coordinate.range)}</range>",
                f"    <clamped>{_flag(coordinate.clamped)}</clamped>",
                f"    <locked>{_flag(coordinate.locked)}</locked>",
                "  </Coordinate>",
            ]
    lines += ["  </coordinates>", "  <frames>"]
    for name, body, frame in ((parent, joint.parent, parent_frame), (child, joint.child, joint.child_frame)):
        lines += _offset_frame(f"{name}_offset", _body_path(model, body), frame)
    lines.append("  </frames>")
    if still:
        return [*lines, f"</{kind}>"]
    lines.append("  <SpatialTransform>")
    for label, axis in zip(_AXIS_NAMES, joint.axes, strict=True):
        coordinate_name = "" if axis.coordinate is None else _coordinate(model, axis.coordinate)
        lines += [
            f'  <TransformAxis name="{label}">',
            f"    <coordinates>{coordinate_name}</coordinates>",
            f"    <axis>{_numbers(axis.direction)}</axis>",
            f"    {_function(axis.function, 'function')}",
            "  </TransformAxis>",
        ]
    return [*lines, "  </SpatialTransform>", f"</{kind}>"]


def _moved_frame(joint: Joint) -> Frame:
    """The parent frame of a joint without coordinates, with the joint's constant motion taken in."""
    rotation, position = joint.parent_frame.rotation, joint.parent_frame.position
    for axis in joint.axes[3:]:
        position = position + joint.parent_frame.rotation @ axis.direction * axis.function.value(0.0)
    for axis in joint.axes[:3]:
        rotation = rotation @ rotation_about(axis.direction, axis.function.value(0.0))
    return Frame(position, rotation)


def _offset_frame(name: str, body_path: str, frame: Frame) -> list[str]:
    return [
        f"  <PhysicalOffsetFrame name={quoteattr(name)}>",
        f"    <socket_parent>{body_path}</socket_parent>",
        f"    <translation>{_numbers(frame.position)}</translation>",
        f"    <orientation>{_numbers(xyz_from_rotation(frame.rotation))}</orientation>",
        "  </PhysicalOffsetFrame>",
    ]


def _function(function: Function, name: str) -> str:
    label = f' name="{name}"' if name else ""
    if isinstance(function, Spline):
        x, y = _numbers(function.knots), _numbers(function.values)
        return f"<{function.kind}{label}><x>{x}</x><y>{y}</y></{function.kind}>"
    if len(function.coefficients) == 1:
        return f"<Constant{label}><value>{_number(function.coefficients[0])}</value></Constant>"
    tag = "LinearFunction" if len(function.coefficients) == 2 else "PolynomialFunction"
    return f"<{tag}{label}><coefficients>{_numbers(function.coefficients)}</coefficients></{tag}>"


def _coordinate(model: SkeletonModel, number: int) -> str:
    return escape(model.coordinates[number].name)


def _body_path(model: SkeletonModel, body: int) -> str:
    return "/ground" if body == GROUND else f"/bodyset/{escape(model.bodies[body].name)}"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _number(value: float) -> str:
    text = f"{float(value):.12g}"
    return "0" if text == "-0" else text


def _numbers(values: Iterable[float] | FloatArray) -> str:
    return " ".join(_number(value) for value in values)
