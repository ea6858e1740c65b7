"""A skeleton as plain data: bodies joined in a tree, coordinates, couplers, markers.

What an OpenSim model says about kinematics and mass, with offset frames already resolved to the bodies they sit on and
every joint in OpenSim's CustomJoint form: three rotations about axes fixed in the joint's parent frame, then turning
with it (body-fixed sequence), and three translations along axes of the parent frame.

Units: m, rad, kg, kg m^2. Dimensions: B bodies (ground excluded), J = B joints, Q coordinates, M markers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .functions import ZERO, Function, Polynomial

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
GROUND = -1


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame fixed to a body: position (3,) m and orientation (3, 3) in that body's frame.

    Under body scales s (3,) the position becomes ``spread @ s``. None stands for ``diag(position)``; only frames that
    sit on other, turned frames differ, for OpenSim stretches each link of such a chain along its own axes.
    """

    position: FloatArray
    rotation: FloatArray
    spread: FloatArray | None = None

    def spread_matrix(self) -> FloatArray:
        """The matrix (3, 3) m that the body's scales multiply to give the position."""
        return np.diag(self.position) if self.spread is None else self.spread

    def scaled(self, scales: FloatArray) -> Frame:
        """This frame on a body stretched by ``scales`` (3,)."""
        spread = self.spread_matrix() * scales
        return Frame(spread.sum(axis=1), self.rotation, None if self.spread is None else spread)


@dataclass(frozen=True, eq=False)
class Axis:
    """One motion of a joint: ``function`` of coordinate number ``coordinate`` (or a constant, None) about/along it."""

    direction: FloatArray
    function: Function
    coordinate: int | None


@dataclass(frozen=True, eq=False)
class Body:
    """A segment: mass (kg), mass centre (3,) m and inertia (xx, yy, zz, xy, xz, yz) kg m^2 about the mass centre."""

    name: str
    mass: float
    mass_centre: FloatArray
    inertia: FloatArray


@dataclass(frozen=True, eq=False)
class Joint:
    """Connects body ``child`` to ``parent`` (indices into ``SkeletonModel.bodies``; GROUND = -1).

    ``axes`` holds six motions: three rotations, three translations.
    """

    name: str
    parent: int
    child: int
    parent_frame: Frame
    child_frame: Frame
    axes: tuple[Axis, ...]


@dataclass(frozen=True)
class Coordinate:
    """A generalised coordinate (rad or m). ``joint`` indexes ``SkeletonModel.joints``; ``rotational`` is its kind.

    ``coupled`` marks one that drives motions only through functions other than lines of slope 1 or -1, such as a
    patella's: OpenSim counts it as neither rotation nor translation, and never converts it from degrees.
    """

    name: str
    joint: int
    rotational: bool
    default: float
    range: tuple[float, float]
    clamped: bool
    locked: bool
    coupled: bool = False

    @property
    def in_degrees(self) -> bool:
        """Whether OpenSim's motion files hold it in degrees: rotational coordinates, but not the coupled ones."""
        return self.rotational and not self.coupled


@dataclass(frozen=True)
class Coupler:
    """``dependent = function(independent)``: both are coordinate indices."""

    name: str
    dependent: int
    independent: int
    function: Function


@dataclass(frozen=True, eq=False)
class Marker:
    """A point fixed to a body; ``location`` (3,) m in the body's frame; ``spread`` as of a `Frame`."""

    name: str
    body: int
    location: FloatArray
    fixed: bool = False
    spread: FloatArray | None = None

    def spread_matrix(self) -> FloatArray:
        """The matrix (3, 3) m that the body's scales multiply to give the location."""
        return np.diag(self.location) if self.spread is None else self.spread

    def scaled(self, scales: FloatArray) -> Marker:
        """This marker on a body stretched by ``scales`` (3,)."""
        spread = self.spread_matrix() * scales
        return replace(self, location=spread.sum(axis=1), spread=None if self.spread is None else spread)


@dataclass(frozen=True, eq=False)
class SkeletonModel:
    """A whole model. ``joints`` are ordered so that a parent's joint comes before its children's."""

    name: str
    bodies: tuple[Body, ...]
    joints: tuple[Joint, ...]
    coordinates: tuple[Coordinate, ...]
    couplers: tuple[Coupler, ...] = ()
    markers: tuple[Marker, ...] = ()
    gravity: tuple[float, float, float] = (0.0, -9.80665, 0.0)
    ignored: tuple[str, ...] = field(default=())
    """Element kinds of the file that play no part here (muscles, contacts, ...), by tag."""

    @property
    def body_names(self) -> list[str]:
        """Names in index order."""
        return [body.name for body in self.bodies]

    @property
    def coordinate_names(self) -> list[str]:
        """Names in index order."""
        return [coordinate.name for coordinate in self.coordinates]

    @property
    def marker_names(self) -> list[str]:
        """Names in index order."""
        return [marker.name for marker in self.markers]

    @property
    def body_parents(self) -> list[int]:
        """For each body the index of its parent body, -1 for ground."""
        parents = [GROUND] * len(self.bodies)
        for joint in self.joints:
            parents[joint.child] = joint.parent
        return parents

    def body_index(self, name: str) -> int:
        """The index of the body called ``name``. Raises KeyError."""
        return _index(self.body_names, name, "body")

    def coordinate_index(self, name: str) -> int:
        """The index of the coordinate called ``name``. Raises KeyError."""
        return _index(self.coordinate_names, name, "coordinate")

    def joint_of_body(self, body: int) -> Joint:
        """The joint that carries ``body``."""
        for joint in self.joints:
            if joint.child == body:
                return joint
        raise KeyError(f"no joint carries body {body}")

    def default_pose(self) -> FloatArray:
        """Default values of the coordinates, (Q,) rad or m."""
        return np.array([coordinate.default for coordinate in self.coordinates])

    def with_markers(self, markers: Sequence[Marker]) -> SkeletonModel:
        """The same skeleton with other markers."""
        return replace(self, markers=tuple(markers))


def _index(names: list[str], name: str, kind: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise KeyError(f"the skeleton has no {kind} named {name!r}") from None


def complete_rotations(axes: Sequence[Axis]) -> list[Axis]:
    """One to three rotations made three by still ones about the coordinate axes least aligned with them.

    OpenSim wants three independent axes even where nothing turns.
    """
    full = list(axes)
    while len(full) < 3:
        used = np.array([axis.direction for axis in full]).reshape(-1, 3)
        spare = min(np.eye(3), key=lambda unit: (float(np.max(np.abs(used @ unit), initial=0.0)), tuple(-unit)))
        full.append(Axis(spare, ZERO, None))
    return full


def rotation_from_xyz(angles: Sequence[float] | FloatArray) -> FloatArray:
    """Rotation (3, 3) of body-fixed X-Y-Z angles (rad): how OpenSim writes the orientation of an offset frame."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cx, -sx], [0.0, sx, cx]])
    about_y = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
    about_z = np.array([[cz, -sz, 0.0], [sz, cz, 0.0], [0.0, 0.0, 1.0]])
    product: FloatArray = about_x @ about_y @ about_z
    return product


def rotation_about(axis: FloatArray, angle: float) -> FloatArray:
    """Rotation (3, 3) by ``angle`` (rad) about the unit vector ``axis`` (3,): Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turn: FloatArray = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross
    return turn


def xyz_from_rotation(rotation: FloatArray) -> FloatArray:
    """Body-fixed X-Y-Z angles (3,) rad of a rotation (3, 3); at the singular pose the third angle is zero."""
    sine = float(np.clip(rotation[0, 2], -1.0, 1.0))
    cosine = float(np.hypot(rotation[0, 0], rotation[0, 1]))
    y = np.arctan2(sine, cosine)
    if cosine > 1e-9:
        return np.array([np.arctan2(-rotation[1, 2], rotation[2, 2]), y, np.arctan2(-rotation[0, 1], rotation[0, 0])])
    return np.array([np.arctan2(rotation[2, 1], rotation[1, 1]), y, 0.0])


def scale_model(model: SkeletonModel, scales: FloatArray) -> SkeletonModel:
    """The model with each body stretched by ``scales`` (B, 3) along its own axes, as OpenSim's Model::scale does it.

    Frames, mass centres and markers scale with the body that they sit on. A joint's translations scale with the
    parent body's factors read along the axis *in the joint's frame*, except where the translation is itself a
    coordinate; a coupled translation scales so, too. Masses stay; each inertia is stretched as that of a body whose
    mass moves with the stretch.
    """
    scales = np.asarray(scales, float)
    if scales.shape != (len(model.bodies), 3):
        raise ValueError(f"scales have shape {scales.shape}, expected ({len(model.bodies)}, 3)")
    bodies = tuple(
        replace(body, mass_centre=body.mass_centre * s, inertia=_scaled_inertia(body.inertia, s))
        for body, s in zip(model.bodies, scales, strict=True)
    )
    joints = []
    for joint in model.joints:
        parent = np.ones(3) if joint.parent == GROUND else scales[joint.parent]
        axes = list(joint.axes)
        for k in range(3, 6):
            if not axes[k].function.is_identity:
                axes[k] = replace(axes[k], function=axes[k].function.scaled(float(axes[k].direction ** 2 @ parent)))
        joints.append(
            replace(
                joint,
                axes=tuple(axes),
                parent_frame=joint.parent_frame.scaled(parent),
                child_frame=joint.child_frame.scaled(scales[joint.child]),
            )
        )
    markers = tuple(marker.scaled(scales[marker.body]) if marker.body != GROUND else marker for marker in model.markers)
    couplers = []
    for coupler in model.couplers:
        body, weights = coupler_stretch(model, coupler)
        factor = 1.0 if body == GROUND else float(weights @ scales[body])
        couplers.append(replace(coupler, function=coupler.function.scaled(factor)))
    return replace(model, bodies=bodies, joints=tuple(joints), couplers=tuple(couplers), markers=markers)


def coupler_stretch(model: SkeletonModel, coupler: Coupler) -> tuple[int, FloatArray]:
    """The body, and the weights (3,) of its scales, whose product stretches what ``coupler`` dictates.

    OpenSim scales a coupler whose dependent coordinate it counts as a translation (`direct_slot`), with the parent of
    that coordinate's joint; it refuses if that parent does not scale alike along all axes, where the factor here is the
    one along the translation. GROUND for a coupler that does not stretch.
    """
    joint = model.joints[model.coordinates[coupler.dependent].joint]
    slot = direct_slot(joint.axes, coupler.dependent)
    if joint.parent == GROUND or slot is None or slot < 3:
        return GROUND, np.zeros(3)
    return joint.parent, joint.axes[slot].direction ** 2


def direct_slot(axes: Sequence[Axis], coordinate: int) -> int | None:
    """Which of a joint's six motions tells OpenSim the kind of a coordinate: the last that follows it by a line.

    The line's slope must be 1 or -1. None for a coordinate that no motion follows so.
    """
    for slot in reversed(range(len(axes))):
        if axes[slot].coordinate == coordinate and _is_direct(axes[slot].function):
            return slot
    return None


def _is_direct(function: Function) -> bool:
    return isinstance(function, Polynomial) and len(function.coefficients) == 2 and abs(function.coefficients[0]) == 1.0


def _scaled_inertia(inertia: FloatArray, scale: FloatArray) -> FloatArray:
    """Inertia after stretching the second moments of mass: integral of x^2 grows by sx^2, of xy by sx sy."""
    xx, yy, zz, xy, xz, yz = inertia
    x2, y2, z2 = (yy + zz - xx) / 2.0, (xx + zz - yy) / 2.0, (xx + yy - zz) / 2.0
    x2, y2, z2 = np.array([x2, y2, z2]) * scale**2
    sx, sy, sz = scale
    return np.array([y2 + z2, x2 + z2, x2 + y2, xy * sx * sy, xz * sx * sz, yz * sy * sz])
