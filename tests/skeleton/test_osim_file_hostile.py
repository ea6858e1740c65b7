"""Files that are damaged, absurd or hostile: each is read or refused in one sentence, quickly and in bounded memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biopose_live.errors import UserError
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.osim_file import parse_osim, read_osim
from biopose_live.skeleton.xml_tree import MAX_BYTES, MAX_ELEMENTS

_LINE = "<LinearFunction><coefficients>1 0</coefficients></LinearFunction>"
_CURVE = (
    "<MultiplierFunction><function><SimmSpline><x>0 1 2</x><y>0 0.1 0.3</y></SimmSpline></function><scale>2</scale>"
    "</MultiplierFunction>"
)
_NONE = "<Constant><value>0</value></Constant>"
_AXES = "".join(
    f'<TransformAxis name="{label}"><coordinates>{driver}</coordinates><axis>{axis}</axis>'
    f"<function>{function}</function></TransformAxis>"
    for label, driver, axis, function in (
        ("rotation1", "bend", "1 0 0", _LINE),
        ("rotation2", "", "0 1 0", _NONE),
        ("rotation3", "", "0 0 1", _NONE),
        ("translation1", "bend", "1 0 0", _CURVE),
        ("translation2", "", "0 1 0", _NONE),
        ("translation3", "bend", "0 0 1", _CURVE),
    )
)
_COUPLER = (
    '<ConstraintSet><objects><CoordinateCouplerConstraint name="c"><coupled_coordinates_function><PolynomialFunction>'
    "<coefficients>1 2 3</coefficients></PolynomialFunction></coupled_coordinates_function>"
    "<independent_coordinate_names>bend</independent_coordinate_names>"
    "<dependent_coordinate_name>swing</dependent_coordinate_name></CoordinateCouplerConstraint></objects></ConstraintSet>"
)
NEW = (
    '<?xml version="1.0"?><OpenSimDocument Version="40500"><Model name="new">'
    '<BodySet><objects><Body name="a"><components>'
    '<PhysicalOffsetFrame name="on"><socket_parent>..</socket_parent><translation>1 2 3</translation>'
    "<orientation>0.1 0.2 0.3</orientation></PhysicalOffsetFrame></components><mass>1</mass></Body>"
    '<Body name="b"><mass>2</mass></Body></objects></BodySet><JointSet><objects><CustomJoint name="j">'
    "<socket_parent_frame>/ground</socket_parent_frame><socket_child_frame>/bodyset/a</socket_child_frame>"
    '<coordinates><Coordinate name="bend"><range>-1 1</range></Coordinate></coordinates>'
    f"<SpatialTransform>{_AXES}</SpatialTransform></CustomJoint>"
    '<PinJoint name="k"><socket_parent_frame>f2</socket_parent_frame>'
    "<socket_child_frame>/bodyset/b</socket_child_frame>"
    '<coordinates><Coordinate name="swing"/></coordinates><frames><PhysicalOffsetFrame name="f2">'
    "<socket_parent>/bodyset/a/on</socket_parent><translation>0 1 0</translation></PhysicalOffsetFrame></frames>"
    f'</PinJoint></objects></JointSet>{_COUPLER}<MarkerSet><objects><Marker name="m">'
    "<socket_parent_frame>/jointset/k/f2</socket_parent_frame>"
    "<location>1 0 0</location></Marker></objects></MarkerSet></Model></OpenSimDocument>"
)
OLD = (
    '<?xml version="1.0"?><OpenSimDocument Version="30000"><Model name="old"><BodySet><objects><Body name="ground"/>'
    '<Body name="a"><mass>1</mass><inertia_xx>1</inertia_xx><Joint><CustomJoint name="j">'
    "<parent_body>ground</parent_body>"
    "<location_in_parent>1 2 3</location_in_parent><orientation>0.1 0 0</orientation><CoordinateSet><objects>"
    '<Coordinate name="bend"><range>-1 1</range></Coordinate></objects></CoordinateSet>'
    f"<SpatialTransform>{_AXES}</SpatialTransform></CustomJoint></Joint></Body>"
    '<Body name="b"><Joint><PinJoint name="k"><parent_body>a</parent_body><location>0 1 0</location><CoordinateSet>'
    '<objects><Coordinate name="swing"/></objects></CoordinateSet><reverse>false</reverse></PinJoint></Joint></Body>'
    f'</objects></BodySet>{_COUPLER}<MarkerSet><objects><Marker name="m"><body>b</body><location>1 0 0</location>'
    "</Marker></objects></MarkerSet></Model></OpenSimDocument>"
)
WHOLE = pytest.mark.parametrize("whole", [NEW, OLD], ids=["4.x", "3.x"])


def _refusal(text: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        parse_osim(text if isinstance(text, bytes) else text.encode(), "file.osim")
    sentence = str(caught.value)
    _check_sentence(sentence)
    return sentence


def _check_sentence(sentence: str) -> None:
    assert sentence.startswith("file.osim")
    assert "\n" not in sentence
    assert len(sentence) < 700


def _read_or_refuse(data: bytes) -> None:
    try:
        model = parse_osim(data, "file.osim")
    except UserError as error:
        _check_sentence(str(error))
        return
    with np.errstate(all="ignore"):  # absurd numbers may overflow on the way to absurd poses
        rotations, origins = Kinematics(model).forward(model.default_pose())
    assert rotations.shape == (len(model.bodies), 3, 3)
    assert origins.shape == (len(model.bodies), 3)


@WHOLE
def test_the_undamaged_files_are_read(whole: str) -> None:
    model = parse_osim(whole.encode())
    assert model.body_names == ["a", "b"]
    assert model.coordinate_names == ["bend", "swing"]
    assert (len(model.couplers), len(model.markers)) == (1, 1)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    _read_or_refuse(data)


@WHOLE
@given(data=st.data())
def test_any_truncation_is_refused(whole: str, data: Any) -> None:
    _refusal(whole[: data.draw(st.integers(0, len(whole) - 1))])


_WORDS = (
    "",
    "0",
    "-",
    "1e400",
    "nan",
    "-inf",
    "1_0",
    "/",
    "..",
    "a",
    "b",
    "9" * 40,
    "é",
    "true",
    "ground",
    "bend",
    "swing",
)
_MARKS = (
    "<",
    "\0",
    "&#10;",
    " ",
    "j/f2",
    "1 0",
    "</Body>",
    "<Body name='c'/>",
    "1e308",
    "٣",
    "&lt;",
    "]]>",
    "<!--",
    "30000",
)
_TEXTS = st.sampled_from(_WORDS + _MARKS)


def _edits(whole: str) -> Any:
    one = st.tuples(st.integers(0, len(whole)), st.integers(0, 40), _TEXTS)
    return st.lists(one, min_size=1, max_size=3)


def _edited(whole: str, edits: list[tuple[int, int, str]]) -> bytes:
    for start, length, text in edits:
        whole = whole[:start] + text + whole[start + length :]
    return whole.encode()


@given(_edits(NEW))
@settings(max_examples=150, deadline=None)
def test_any_edit_of_a_4_file_is_read_or_refused(edits: list[tuple[int, int, str]]) -> None:
    _read_or_refuse(_edited(NEW, edits))


@given(_edits(OLD))
@settings(max_examples=150, deadline=None)
def test_any_edit_of_a_3_file_is_read_or_refused(edits: list[tuple[int, int, str]]) -> None:
    _read_or_refuse(_edited(OLD, edits))


_BYTES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6)


@given(st.sampled_from([NEW, OLD]), _BYTES)
@settings(max_examples=150, deadline=None)
def test_any_flipped_bytes_are_read_or_refused(whole: str, flips: list[tuple[float, int]]) -> None:
    data = bytearray(whole.encode())
    for place, value in flips:
        data[min(int(place * len(data)), len(data) - 1)] = value
    _read_or_refuse(bytes(data))


def _values(whole: str) -> list[tuple[int, int]]:
    """Where the texts between tags lie."""
    spots = []
    start = whole.find(">")
    while start >= 0:
        end = whole.find("<", start)
        if end - start > 1:
            spots.append((start + 1, end - start - 1))
        start = whole.find(">", end) if end >= 0 else -1
    return spots


@given(st.sampled_from([NEW, OLD]), st.floats(0, 0.999), st.lists(st.floats(allow_nan=True), max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_numbers_in_any_place_are_read_or_refused(whole: str, place: float, numbers: list[float]) -> None:
    spots = _values(whole)
    start, length = spots[int(place * len(spots))]
    _read_or_refuse(_edited(whole, [(start, length, " ".join(map(repr, numbers)))]))


@pytest.mark.slow
@given(_edits(NEW), _edits(OLD), _BYTES)
@settings(max_examples=3000, deadline=None)
def test_many_edits_are_read_or_refused(new: Any, old: Any, flips: list[tuple[float, int]]) -> None:
    for whole, edits in ((NEW, new), (OLD, old)):
        data = bytearray(_edited(whole, edits))
        _read_or_refuse(bytes(data))
        for place, value in flips:
            data[min(int(place * len(data)), len(data) - 1)] = value
        _read_or_refuse(bytes(data))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("<PinJoint", "<EllipsoidJoint", ""),
        ("<PinJoint", "<ScapulothoracicJoint", ""),
        ("<reverse>false", "<reverse>true", "/bodyset/b/k is a reversed joint"),
        ("<parent_body>a<", "<parent_body>z<", "/bodyset/b/k refers to the frame '/bodyset/z'"),
        ("<parent_body>a<", "<parent_body><", "/bodyset/b/k has no <parent_body>"),
        ("<parent_body>ground<", "<parent_body>b<", "/jointset/j is part of a loop"),
        ("<location>0 1 0<", "<location>0 1<", "/bodyset/b/k has 2 numbers in <location>"),
        ("<inertia_xx>1<", "<inertia_xx>one<", "/bodyset/a has <inertia_xx> 'one'"),
        ("<body>b</body>", "<body>q</body>", "/markerset/m refers to the frame '/bodyset/q'"),
        ("<body>b</body>", "", "/markerset/m refers to the frame '/bodyset/'"),
        (
            '<CoordinateCouplerConstraint name="c">',
            '<WeldConstraint name="w"/>\\g<0>',
            "/constraintset/w is a WeldConst",
        ),
        ("<SimmSpline>", "<GCVSpline>", "/bodyset/a/j/SpatialTransform/translation1/MultiplierFunction/GCVSpline is"),
    ],
)
def test_faults_of_a_3_file_are_named_where_they_lie(before: str, after: str, words: str) -> None:
    changed = OLD.replace(before, after.replace("\\g<0>", before))
    if before.startswith("<PinJoint"):
        changed = changed.replace("</PinJoint", "</" + after[1:])
        words = f"/bodyset/b/k is a {after[1:]}, which is not supported"
    changed = changed.replace("</SimmSpline>", "</GCVSpline>") if "GCV" in after else changed
    assert changed != OLD
    assert words in _refusal(changed)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("<BodySet>", '<BodySet file="bodies.xml">', "/BodySet is kept in another file"),
        ("<BodySet>", '<components><PinJoint name="x"/></components><BodySet>', "/x is a PinJoint outside"),
        ("<socket_parent>..<", "<socket_parent><", "/bodyset/a/on names no frame"),
        ("<socket_parent>..<", "<socket_parent>/jointset/k/f2<", "round in a circle"),
        ("<mass>2</mass>", '<components><StationDefinedFrame name="s"/></components><mass>2</mass>', ""),
        ("<axis>1 0 0</axis><function><Mult", "<axis>1 0 0</axis><function><Sine/><Mult", "translation1/Sine is a"),
    ],
)
def test_faults_of_a_4_file_are_named_where_they_lie(before: str, after: str, words: str) -> None:
    changed = NEW.replace(before, after)
    assert changed != NEW
    if words:
        assert words in _refusal(changed)
    else:
        parse_osim(changed.encode())


def test_a_frame_kind_that_is_not_supported_is_named() -> None:
    changed = NEW.replace("<mass>2</mass>", '<components><StationDefinedFrame name="s"/></components>')
    changed = changed.replace(">f2</socket_parent_frame>", ">/bodyset/b/s</socket_parent_frame>")
    assert "refers to '/bodyset/b/s', a StationDefinedFrame, which is not supported" in _refusal(changed)


def test_what_is_passed_over_is_listed() -> None:
    muscles = '<ForceSet><objects><Thelen2003Muscle name="x"/><Thelen2003Muscle name="y"/></objects></ForceSet>'
    model = parse_osim(NEW.replace("</Model>", f"{muscles}<components><Probe name='p'/></components></Model>").encode())
    assert model.ignored == ("Probe", "Thelen2003Muscle")


# --- sizes ----------------------------------------------------------------------------------------------------------


def _chain(count: int, closed: bool) -> str:
    """Offset frames that sit on one another."""
    frames = "".join(
        f'<PhysicalOffsetFrame name="c{n}"><socket_parent>/c{n + 1}</socket_parent></PhysicalOffsetFrame>'
        for n in range(count)
    )
    last = "/c0" if closed else "/ground"
    frames += f'<PhysicalOffsetFrame name="c{count}"><socket_parent>{last}</socket_parent></PhysicalOffsetFrame>'
    text = NEW.replace("<BodySet>", f"<components>{frames}</components><BodySet>")
    return text.replace("<socket_parent_frame>/ground<", "<socket_parent_frame>/c0<")


def test_chains_of_frames_are_followed_and_circles_refused() -> None:
    parse_osim(_chain(20, closed=False).encode())
    assert "round in a circle" in _refusal(_chain(20, closed=True))
    assert "round in a circle" in _refusal(_chain(5000, closed=False))


def _pins(count: int, couplers: str = "") -> str:
    bodies = "".join(f'<Body name="b{n}"/>' for n in range(count))
    joints = "".join(
        f'<PinJoint name="j{n}"><socket_parent_frame>{f"/bodyset/b{n + 1}" if n + 1 < count else "/ground"}'
        f"</socket_parent_frame><socket_child_frame>/bodyset/b{n}</socket_child_frame>"
        f'<coordinates><Coordinate name="q{n}"/></coordinates></PinJoint>'
        for n in range(count)
    )
    return (
        f'<OpenSimDocument Version="40500"><Model><BodySet><objects>{bodies}</objects></BodySet><JointSet><objects>'
        f"{joints}</objects></JointSet><ConstraintSet><objects>{couplers}</objects></ConstraintSet></Model>"
        "</OpenSimDocument>"
    )


def _coupler(dependent: int, independent: int) -> str:
    return (
        f'<CoordinateCouplerConstraint name="c{dependent}"><coupled_coordinates_function><LinearFunction/>'
        "</coupled_coordinates_function>"
        f"<independent_coordinate_names>q{independent}</independent_coordinate_names>"
        f"<dependent_coordinate_name>q{dependent}</dependent_coordinate_name></CoordinateCouplerConstraint>"
    )


def test_the_largest_models_are_read_without_delay() -> None:
    couplers = "".join(_coupler(n, n + 1) for n in range(999))
    model = parse_osim(_pins(1000, couplers).encode())
    assert [joint.parent for joint in model.joints[:2]] == [-1, 999]
    assert [coupler.dependent for coupler in model.couplers[:2]] == [998, 997]
    _read_or_refuse(_pins(1000, couplers).encode())


def test_circles_of_couplers_and_joints_are_refused() -> None:
    circle = "".join(_coupler(n, (n + 1) % 900) for n in range(900))
    assert "circle of couplers" in _refusal(_pins(1000, circle))
    assert "circle of couplers" in _refusal(_pins(2, _coupler(0, 0)))
    assert "loop that never reaches the ground" in _refusal(_pins(50).replace(">/ground<", ">/bodyset/b0<"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<a>" * 100_000, "nested deeper"),
        ("<a>" + "<b/>" * (MAX_ELEMENTS + 1), f"more than {MAX_ELEMENTS} elements"),
        (_pins(1001), "holds 1001 elements, at most 1000"),
        (NEW.replace("<mass>1<", f"<mass>{'1 ' * 1_000_000}<"), "more text in <mass> than numbers need"),
        (NEW.replace("<x>0 1 2<", f"<x>{' '.join(map(str, range(1500)))}<"), "numbers in <y>"),
        (NEW.replace('name="a"', f'name="{"a" * 2_000_000}"'), "which the model does not hold exactly once"),
        (NEW.replace("<mass>1<", f"<mass>{'1' * 5000}<"), "more text"),
    ],
    ids=["deep", "many elements", "many bodies", "many numbers", "many knots", "long name", "long number"],
)
def test_what_is_too_large_is_refused(text: str, words: str) -> None:
    assert words in _refusal(text)


def test_memory_stays_bounded() -> None:
    hostile = ("<a>" + "<b c='d'/>" * (2 * MAX_ELEMENTS)).encode()
    tracemalloc.start()
    _refusal(hostile)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500e6


def test_a_huge_file_is_not_even_opened(tmp_path: Path) -> None:
    path = tmp_path / "huge.osim"
    with path.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(UserError, match="more than the 32 MB a model file may have"):
        read_osim(path)
