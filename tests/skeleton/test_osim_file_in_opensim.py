"""Models drawn at random, written here and by this project's writer: OpenSim must move them as this project does.

Joints of every class, every function, chains of offset frames wherever a file may hold them, chains of couplers, locked
coordinates, markers on frames; in the formats of 4.x and 3.x; scaled by OpenSim's own Model::scale.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import opensim
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import GROUND, SkeletonModel, rotation_from_xyz
from biopose_live.skeleton.osim_file import SIMPLE_JOINTS, read_osim, write_osim
from biopose_live.skeleton.torch_kinematics import TorchKinematics

TOLERANCE = 1e-9  # m and rad
FEW, MANY = 25, 500
# OpenSim keeps six digits of a joint's place when it reads a 3.x file; these models have no more.
_number = st.integers(-500, 500).map(lambda n: n / 1000)
_triple = st.tuples(_number, _number, _number)
_angles = st.tuples(*[st.integers(-3000, 3000).map(lambda n: n / 1000)] * 3)


def _words(values: Any) -> str:
    return " ".join(f"{value:.6g}" for value in np.atleast_1d(values))


@st.composite
def _functions(draw: st.DrawFn, depth: int = 0) -> str:
    kind = draw(st.sampled_from(["identity", "line", "power", "SimmSpline", "PiecewiseLinearFunction", "times"]))
    if kind == "identity":
        return "<LinearFunction><coefficients>1 0</coefficients></LinearFunction>"
    if kind == "line":
        return f"<LinearFunction><coefficients>{draw(_number)} {draw(_number)}</coefficients></LinearFunction>"
    if kind == "power":
        coefficients = draw(st.sampled_from([(1.0, 0.0), None])) or draw(st.lists(_number, min_size=1, max_size=5))
        return f"<PolynomialFunction><coefficients>{_words(coefficients)}</coefficients></PolynomialFunction>"
    if kind == "times":
        inner = draw(_functions(depth + 1)) if depth < 2 else "<Constant><value>0.3</value></Constant>"
        scale = draw(st.sampled_from(["1", "-0.7", "2.5"]))
        return f"<MultiplierFunction><function>{inner}</function><scale>{scale}</scale></MultiplierFunction>"
    steps = draw(st.lists(st.integers(100, 800), min_size=2, max_size=8))
    values = draw(st.lists(_number, min_size=len(steps), max_size=len(steps)))
    tag = draw(st.sampled_from([kind, "NaturalCubicSpline"])) if kind == "SimmSpline" else kind
    return f"<{tag}><x>{_words(np.cumsum(steps) / 1000 - 1.3)}</x><y>{_words(values)}</y></{tag}>"


@dataclass
class _Joint:
    kind: str
    parent: int
    places: list[tuple[list[tuple[Any, Any]], str]]  # parent's and child's chains of (translation, orientation), home
    names: list[str]
    axes: list[tuple[Any, str, str]] = field(default_factory=list)  # direction, coordinate, function
    turned: list[str] = field(default_factory=list)
    slid: list[str] = field(default_factory=list)
    locked: bool = False


@dataclass
class _Drawn:
    """A model as data, from which a file of either format is written."""

    joints: list[_Joint]
    markers: list[tuple[int, Any]]
    couplers: list[tuple[str, str, str]]  # dependent, independent, function
    oblique: bool


@st.composite
def _joints(draw: st.DrawFn, number: int, longest: int, oblique: bool) -> _Joint:
    kind = draw(st.sampled_from([*SIMPLE_JOINTS, "CustomJoint", "CustomJoint", "CustomJoint"]))
    places = []
    for _ in range(2):
        chain = draw(st.lists(st.tuples(_triple, _angles), min_size=1 if longest == 1 else 0, max_size=longest))
        places.append((chain, draw(st.sampled_from(["joint", "body", "set"]))))
    joint = _Joint(kind, draw(st.integers(-1, number - 1)), places, [], locked=draw(st.booleans()))
    if kind != "CustomJoint":
        joint.names = [f"q{number}_{i}" for i in range(len(SIMPLE_JOINTS[kind]))]
        for name, (slot, _) in zip(joint.names, SIMPLE_JOINTS[kind], strict=True):
            (joint.turned if slot < 3 else joint.slid).append(name)
        return joint
    basis = rotation_from_xyz(draw(_angles))
    names = [f"q{number}_{i}" for i in range(draw(st.integers(1, 4)))]
    drivers = [draw(st.sampled_from([*names, ""])) for _ in range(6)]
    drivers[draw(st.integers(0, 5))] = names[0]
    joint.names = [name for name in names if name in drivers]
    order = draw(st.permutations(range(3)))
    for slot, driver in enumerate(drivers):
        straight = np.eye(3)[order[slot % 3]] * draw(st.sampled_from([1.0, -1.0]))
        direction = basis[:, slot % 3] if slot < 3 or oblique else straight
        constant = st.sampled_from(
            [
                f"<Constant><value>{draw(_number)}</value></Constant>",
                f"<LinearFunction><coefficients>{draw(_number)} 0.4</coefficients></LinearFunction>",
            ]
        )
        joint.axes.append((direction, driver, draw(_functions() if driver else constant)))
    turned, slid = set(drivers[:3]), set(drivers[3:])
    joint.turned = [name for name in joint.names if name in turned - slid]
    joint.slid = [name for name in joint.names if name in slid - turned]
    return joint


@st.composite
def drawn_models(draw: st.DrawFn, version: int) -> _Drawn:
    oblique = draw(st.booleans())
    count = draw(st.integers(1, 5))
    joints = [draw(_joints(number, 3 if version >= 40000 else 1, oblique)) for number in range(count)]
    markers = draw(st.lists(st.tuples(st.integers(-1, count - 1), _triple), max_size=4))
    free = [name for joint in joints for name in joint.turned + joint.slid]
    couplers = []
    if len(free) > 1:
        for dependent in draw(st.lists(st.sampled_from(range(1, len(free))), unique=True, max_size=3)):
            # From an earlier coordinate: chains, never circles.
            couplers.append((free[dependent], free[draw(st.integers(0, dependent - 1))], draw(_functions())))
    for joint in joints:
        # OpenSim assembles a model when it opens it, and cannot if it must move what is locked.
        joint.locked &= not couplers
    return _Drawn(joints, markers, couplers, oblique)


# --- files --------------------------------------------------------------------------------------------------------


def _coordinates(joint: _Joint) -> str:
    return "".join(
        f'<Coordinate name="{name}"><default_value>0.2</default_value><range>-1.5 1.5</range>'
        f"<locked>{str(joint.locked).lower()}</locked></Coordinate>"
        for name in joint.names
    )


def _transform(joint: _Joint) -> str:
    if joint.kind != "CustomJoint":
        return ""
    axes = "".join(
        f'<TransformAxis name="{("rotation", "translation")[slot // 3]}{slot % 3 + 1}">'
        f"<coordinates>{driver}</coordinates><axis>{_words(direction)}</axis><function>{function}</function>"
        "</TransformAxis>"
        for slot, (direction, driver, function) in enumerate(joint.axes)
    )
    return f"<SpatialTransform>{axes}</SpatialTransform>"


def _constraints(drawn: _Drawn, on: str) -> str:
    return "".join(
        f'<CoordinateCouplerConstraint name="c{number}">{on}<coupled_coordinates_function>{function}'
        f"</coupled_coordinates_function><independent_coordinate_names>{independent}</independent_coordinate_names>"
        f"<dependent_coordinate_name>{dependent}</dependent_coordinate_name></CoordinateCouplerConstraint>"
        for number, (dependent, independent, function) in enumerate(drawn.couplers)
    )


def _document(version: int, *parts: str) -> str:
    head = f'<?xml version="1.0"?><OpenSimDocument Version="{version}"><Model name="m">'
    return f"{head}{''.join(parts)}</Model></OpenSimDocument>"


def _file_4(drawn: _Drawn) -> str:
    held: dict[str, list[str]] = {"set": [], "ground": [], **{f"b{n}": [] for n in range(len(drawn.joints))}}
    joints, marker_frames = [], {}
    for number, joint in enumerate(drawn.joints):
        own: list[str] = []
        sockets = []
        for end, (chain, home) in enumerate(joint.places):
            body = number if end else joint.parent
            at = "/ground" if body == GROUND else f"/bodyset/b{body}"
            for link, (translation, orientation) in enumerate(chain):
                name = f"f{number}_{end}_{link}"
                frame = (
                    f'<PhysicalOffsetFrame name="{name}"><socket_parent>{at}</socket_parent><translation>'
                    f"{_words(translation)}</translation><orientation>{_words(orientation)}</orientation>"
                    "</PhysicalOffsetFrame>"
                )
                if home == "joint":
                    own.append(frame)
                    at = f"/jointset/j{number}/{name}"
                elif home == "body" and body != GROUND:
                    held[f"b{body}"].append(frame)
                    at = f"/bodyset/b{body}/{name}"
                else:
                    held["set"].append(frame)
                    at = f"/{name}"
            sockets.append(at)
            marker_frames[body] = at
        joints.append(
            f'<{joint.kind} name="j{number}"><socket_parent_frame>{sockets[0]}</socket_parent_frame>'
            f"<socket_child_frame>{sockets[1]}</socket_child_frame><coordinates>{_coordinates(joint)}</coordinates>"
            f"<frames>{''.join(own)}</frames>{_transform(joint)}</{joint.kind}>"
        )
    bodies = "".join(
        f'<Body name="b{n}"><components>{"".join(held[f"b{n}"])}</components><mass>1</mass>'
        "<mass_center>0.1 0 0</mass_center><inertia>1 1 1 0 0 0</inertia></Body>"
        for n in range(len(drawn.joints))
    )
    markers = "".join(
        f'<Marker name="m{n}"><socket_parent_frame>{marker_frames.get(body, "/ground")}</socket_parent_frame>'
        f"<location>{_words(location)}</location></Marker>"
        for n, (body, location) in enumerate(drawn.markers)
    )
    return _document(
        40500,
        f"<components>{''.join(held['set'])}</components>",
        f'<BodySet name="bodyset"><objects>{bodies}</objects></BodySet>',
        f'<JointSet name="jointset"><objects>{"".join(joints)}</objects></JointSet>',
        f'<ConstraintSet name="constraintset"><objects>{_constraints(drawn, "")}</objects></ConstraintSet>',
        f'<MarkerSet name="markerset"><objects>{markers}</objects></MarkerSet>',
    )


def _file_3(drawn: _Drawn) -> str:
    names = ["ground", *[f"b{n}" for n in range(len(drawn.joints))]]
    bodies = ['<Body name="ground"><mass>0</mass><mass_center>0 0 0</mass_center><Joint /></Body>']
    for number, joint in enumerate(drawn.joints):
        places = ""
        for (chain, _), suffix in zip(joint.places, ("_in_parent", ""), strict=True):
            translation, orientation = chain[0]
            places += f"<location{suffix}>{_words(translation)}</location{suffix}>"
            places += f"<orientation{suffix}>{_words(orientation)}</orientation{suffix}>"
        bodies.append(
            f'<Body name="b{number}"><mass>1</mass><mass_center>0.1 0 0</mass_center><inertia_xx>1</inertia_xx>'
            "<inertia_yy>1.5</inertia_yy><inertia_zz>1.2</inertia_zz><inertia_xy>0.1</inertia_xy>"
            f'<inertia_xz>0</inertia_xz><inertia_yz>-0.1</inertia_yz><Joint><{joint.kind} name="j{number}">'
            f"<parent_body>{names[joint.parent + 1]}</parent_body>{places}"
            f"<CoordinateSet><objects>{_coordinates(joint)}</objects></CoordinateSet><reverse>false</reverse>"
            f"{_transform(joint)}</{joint.kind}></Joint></Body>"
        )
    markers = "".join(
        f'<Marker name="m{n}"><body>{names[body + 1]}</body><location>{_words(location)}</location></Marker>'
        for n, (body, location) in enumerate(drawn.markers)
    )
    return _document(
        30000,
        f"<BodySet><objects>{''.join(bodies)}</objects></BodySet>",
        f"<ConstraintSet><objects>{_constraints(drawn, '<isDisabled>false</isDisabled>')}</objects></ConstraintSet>",
        f"<MarkerSet><objects>{markers}</objects></MarkerSet>",
    )


# --- comparisons --------------------------------------------------------------------------------------------------


def _couple(theirs: opensim.Model, model: SkeletonModel, q: np.ndarray) -> np.ndarray:
    """``q`` with the coupled coordinates as OpenSim's own constraints say."""
    q = q.copy()
    dictated = {}
    for constraint in theirs.getConstraintSet():
        coupler = opensim.CoordinateCouplerConstraint.safeDownCast(constraint)
        names = coupler.getIndependentCoordinateNames()
        factor = opensim.PropertyHelper.getValueDouble(coupler.getPropertyByName("scale_factor"))
        dictated[coupler.getDependentCoordinateName()] = (names.get(0), coupler.getFunction(), factor)
    for _ in dictated:  # often enough for any chain
        for dependent, (independent, function, factor) in dictated.items():
            x = float(q[model.coordinate_index(independent)])
            q[model.coordinate_index(dependent)] = factor * function.calcValue(opensim.Vector(1, x))
    return q


def _scales(model: SkeletonModel, drawn: _Drawn, rng: np.random.Generator) -> np.ndarray:
    scales = rng.uniform(0.8, 1.25, (len(model.bodies), 3))
    slid = {name for joint in drawn.joints for name in joint.slid}
    for coupler in model.couplers:
        # OpenSim refuses to scale a coupled translation unless its parent scales alike along all axes.
        coordinate = model.coordinates[coupler.dependent]
        parent = model.joints[coordinate.joint].parent
        if coordinate.name in slid and parent != GROUND:
            scales[parent] = scales[parent, 0]
    return scales


def _moves_alike(path: Path, model: SkeletonModel, drawn: _Drawn, oracle: Any, scaled: bool = True) -> None:
    rng = np.random.default_rng(0)
    theirs = oracle(path, model)
    single, batched = Kinematics(model), TorchKinematics(model, torch.float64)
    for scales in [np.ones((len(model.bodies), 3))] + ([_scales(model, drawn, rng)] if scaled else []):
        if not np.all(scales == 1.0):
            theirs.scale(scales)
        for _ in range(2):
            q = rng.uniform(-1.65, 1.65, len(model.coordinates))
            rotations, origins, markers = theirs.pose(_couple(theirs.model, model, q))
            many = torch.tensor(q)[None], torch.tensor(scales)
            for ours in (
                (*single.forward(q, scales), single.markers(q, scales)),
                (*(x[0].numpy() for x in batched(*many)), batched.markers(*many)[0].numpy()),
            ):
                np.testing.assert_allclose(ours[0], rotations, atol=TOLERANCE, rtol=0)
                np.testing.assert_allclose(ours[1], origins, atol=TOLERANCE, rtol=0)
                np.testing.assert_allclose(ours[2], markers, atol=TOLERANCE, rtol=0)


def _check(drawn: _Drawn, text: str, folder: Path, oracle: Any) -> None:
    path = folder / "drawn.osim"
    path.write_text(text)
    model = read_osim(path)
    theirs = opensim.Model(str(path))
    assert [c.getName() for c in theirs.getCoordinateSet()] == model.coordinate_names
    assert [c.getDefaultLocked() for c in theirs.getCoordinateSet()] == [c.locked for c in model.coordinates]
    for coordinate, other in zip(model.coordinates, theirs.getCoordinateSet(), strict=True):
        kind = 3 if coordinate.coupled else 1 if coordinate.rotational else 2
        assert kind == other.getMotionType(), coordinate.name
    # Along oblique axes OpenSim's scaling of translations is not one at scale one; this project's is.
    _moves_alike(path, model, drawn, oracle, scaled=not drawn.oblique)
    written = folder / "written.osim"
    write_osim(model, written)
    _moves_alike(written, read_osim(written), drawn, oracle, scaled=False)


def _bounded(count: int) -> Any:
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, deadline=None, suppress_health_check=quiet)


@_bounded(FEW)
@given(drawn_models(40500))
def test_models_of_4_move_as_in_opensim(tmp_path: Path, oracle: Any, drawn: _Drawn) -> None:
    _check(drawn, _file_4(drawn), tmp_path, oracle)


@_bounded(FEW)
@given(drawn_models(30000))
def test_models_of_3_move_as_in_opensim(tmp_path: Path, oracle: Any, drawn: _Drawn) -> None:
    _check(drawn, _file_3(drawn), tmp_path, oracle)


@pytest.mark.slow
@_bounded(MANY)
@given(drawn_models(40500))
def test_many_models_of_4_move_as_in_opensim(tmp_path: Path, oracle: Any, drawn: _Drawn) -> None:
    _check(drawn, _file_4(drawn), tmp_path, oracle)


@pytest.mark.slow
@_bounded(MANY)
@given(drawn_models(30000))
def test_many_models_of_3_move_as_in_opensim(tmp_path: Path, oracle: Any, drawn: _Drawn) -> None:
    _check(drawn, _file_3(drawn), tmp_path, oracle)


@pytest.fixture
def real_files(real_models: list[Path]) -> list[Path]:
    """The real models as they are, before OpenSim converted them."""
    return [Path(os.environ["BIOPOSE_OPENSIM_MODELS"]) / path.name for path in real_models]


def test_real_files_of_any_version_move_as_in_opensim(real_files: list[Path], oracle: Any, random_pose: Any) -> None:
    """Read without OpenSim's conversion, which keeps only six digits of a joint's place."""
    rng = np.random.default_rng(1)
    for path in real_files:
        model = read_osim(path)
        theirs = oracle(path, model)
        tolerance = TOLERANCE if b'Version="4' in path.read_bytes()[:300] else 2e-5
        for scales in (np.ones((len(model.bodies), 3)), rng.uniform(0.8, 1.25, (len(model.bodies), 3))):
            if not np.all(scales == 1.0):
                theirs.scale(scales)
            q = random_pose(model, rng, 0.05)
            rotations, origins = TorchKinematics(model, torch.float64)(torch.tensor(q), torch.tensor(scales))
            expected = theirs.pose(q)
            np.testing.assert_allclose(rotations, expected[0], atol=tolerance, rtol=0)
            np.testing.assert_allclose(origins, expected[1], atol=tolerance, rtol=0)
            np.testing.assert_allclose(Kinematics(model).markers(q, scales), expected[2], atol=tolerance, rtol=0)
