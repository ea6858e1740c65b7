"""The model reader: what it keeps and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import opensim
import pytest

from biopose_live.errors import UserError
from biopose_live.skeleton.osim_file import parse_osim, read_osim

AXES = "".join(
    f'<TransformAxis name="{kind}{i}"><coordinates>{"bend" if (kind, i) == ("rotation", 1) else ""}</coordinates>'
    f"<axis>{' '.join('1' if k == i - 1 else '0' for k in range(3))}</axis></TransformAxis>"
    for kind in ("rotation", "translation")
    for i in (1, 2, 3)
)
SMALL = f"""<?xml version="1.0"?>
<OpenSimDocument Version="40500"><Model name="small">
<BodySet name="bodyset"><objects>
<Body name="a"><mass>2</mass><mass_center>0 1 0</mass_center><inertia>1 2 3 0 0 0</inertia></Body>
</objects></BodySet>
<JointSet name="jointset"><objects><CustomJoint name="j">
<socket_parent_frame>before</socket_parent_frame><socket_child_frame>/bodyset/a</socket_child_frame>
<coordinates><Coordinate name="bend"><default_value>0.25</default_value><range>-1 2</range><clamped>true</clamped>
<locked>true</locked></Coordinate></coordinates>
<frames><PhysicalOffsetFrame name="before"><socket_parent>/ground</socket_parent>
<translation>1 2 3</translation><orientation>0 0 0.5</orientation></PhysicalOffsetFrame></frames>
<SpatialTransform>{AXES}</SpatialTransform>
</CustomJoint></objects></JointSet>
<MarkerSet name="markerset"><objects><Marker name="m"><socket_parent_frame>/jointset/j/before</socket_parent_frame>
<location>1 0 0</location></Marker></objects></MarkerSet>
</Model></OpenSimDocument>"""


def _refusal(text: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        parse_osim(text if isinstance(text, bytes) else text.encode(), "file.osim")
    sentence = str(caught.value)
    assert sentence.startswith("file.osim")
    assert "\n" not in sentence
    return sentence


def test_values_are_kept() -> None:
    model = parse_osim(SMALL.encode())
    coordinate = model.coordinates[0]
    assert (coordinate.name, coordinate.default, coordinate.range) == ("bend", 0.25, (-1.0, 2.0))
    assert coordinate.clamped
    assert coordinate.locked
    assert model.bodies[0].mass == 2.0
    np.testing.assert_array_equal(model.bodies[0].inertia, [1, 2, 3, 0, 0, 0])
    np.testing.assert_array_equal(model.joints[0].parent_frame.position, [1, 2, 3])
    # A marker on an offset frame is resolved to the body (here the ground) below that frame.
    np.testing.assert_allclose(model.markers[0].location, [1 + np.cos(0.5), 2 + np.sin(0.5), 3])


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('Version="40500"', 'Version="30510"', "unreleased OpenSim (version 30510)"),
        ('Version="40500"', 'Version="10905"', "early or unreleased OpenSim (version 10905)"),
        ('Version="40500"', 'Version="30000"', "/bodyset/a holds 0 joints"),
        ("OpenSimDocument", "Document", "not an OpenSim model"),
        ("CustomJoint", "ScapulothoracicJoint", "/jointset/j is a ScapulothoracicJoint"),
        ("<mass>2</mass>", "<mass>two</mass>", "/bodyset/a has <mass> 'two'"),
        ("<mass>2</mass>", "<mass>nan</mass>", "not finite"),
        ("<mass>2</mass>", "<mass>-2</mass>", "negative mass"),
        ("<axis>1 0 0</axis>", "<axis>0 0 0</axis>", "zero length"),
        ("<axis>1 0 0</axis>", "<axis>1 0</axis>", "2 numbers in <axis>, expected 3"),
        ("<coordinates>bend</coordinates>", "<coordinates>bow</coordinates>", "'bow'"),
        ("<coordinates>bend</coordinates>", "<coordinates>bend bend</coordinates>", "function of 2 coordinates"),
        ("<axis>1 0 0</axis>", "<axis>1 0 0</axis><GCVSpline/>", "rotation1/GCVSpline is a function"),
        ("<axis>1 0 0</axis>", "<axis>1 0 0</axis><SimmSpline><x>1 0</x><y>1 2</y></SimmSpline>", "rising order"),
        (">/bodyset/a</socket_child_frame>", ">/bodyset/b</socket_child_frame>", "'/bodyset/b'"),
        (">/bodyset/a</socket_child_frame>", ">/ground</socket_child_frame>", "ground as its child"),
        ("<range>-1 2</range>", "<range>2 -1</range>", "empty range"),
        ("<clamped>true</clamped>", "<clamped>maybe</clamped>", "'maybe'"),
        ("<clamped>true</clamped>", "<prescribed>true</prescribed>", "prescribed motion"),
        ("<socket_parent>/ground<", "<socket_parent>/jointset/j/before<", "round in a circle"),
        (
            "</Model>",
            '<ConstraintSet><objects><PointConstraint name="p"/></objects></ConstraintSet></Model>',
            "/constraintset/p is a PointConstraint",
        ),
        ("</BodySet>", "</BodySet><BodySet/>", ""),
        ('<Body name="a">', '<Body name="b"/><Body name="a">', "/bodyset/b is the child of 0 joints"),
        ('<Body name="a">', '<Body name="a"/><Body name="a">', "appears twice"),
        ("<?xml version", "<!DOCTYPE x [<!ENTITY a 'b'>]><?xml version", "document type declaration"),
    ],
)
def test_each_fault_is_named_where_it_lies(before: str, after: str, words: str) -> None:
    changed = SMALL.replace(before, after)
    assert changed != SMALL
    if not words:
        parse_osim(changed.encode())
        return
    assert words in _refusal(changed)


def test_entities_are_never_expanded() -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><OpenSimDocument>&a;</OpenSimDocument>'
    assert "document type declaration" in _refusal(bomb)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_osim(tmp_path / "none.osim")
    with pytest.raises(UserError, match="Cannot read"):
        read_osim(tmp_path)


def test_couplers_are_sorted_and_circles_refused(tmp_path: Path) -> None:
    def joint(name: str, parent: str) -> str:
        return (
            f'<PinJoint name="j{name}"><socket_parent_frame>{parent}</socket_parent_frame>'
            f"<socket_child_frame>/bodyset/{name}</socket_child_frame>"
            f'<coordinates><Coordinate name="q{name}"/></coordinates></PinJoint>'
        )

    def coupler(dependent: str, independent: str) -> str:
        return (
            f'<CoordinateCouplerConstraint name="{dependent}"><coupled_coordinates_function><LinearFunction>'
            "<coefficients>2 0</coefficients></LinearFunction></coupled_coordinates_function>"
            f"<independent_coordinate_names>q{independent}</independent_coordinate_names>"
            f"<dependent_coordinate_name>q{dependent}</dependent_coordinate_name></CoordinateCouplerConstraint>"
        )

    def document(*couplers: str) -> bytes:
        bodies = "".join(f'<Body name="{n}"><mass>1</mass></Body>' for n in "abc")
        joints = joint("c", "/bodyset/b") + joint("b", "/bodyset/a") + joint("a", "/ground")
        return (
            f'<OpenSimDocument Version="40500"><Model><BodySet><objects>{bodies}</objects></BodySet>'
            f"<JointSet><objects>{joints}</objects></JointSet><ConstraintSet><objects>{''.join(couplers)}</objects>"
            "</ConstraintSet></Model></OpenSimDocument>"
        ).encode()

    model = parse_osim(document(coupler("c", "b"), coupler("b", "a")))
    assert [model.coordinates[c.dependent].name for c in model.couplers] == ["qb", "qc"]
    assert [joint.name for joint in model.joints] == ["ja", "jb", "jc"]  # parents first
    assert model.coordinate_names == ["qc", "qb", "qa"]  # the file's order
    assert "circle of couplers" in _refusal(document(coupler("b", "a"), coupler("a", "b")))
    assert "one coordinate twice" in _refusal(document(coupler("b", "a"), coupler("b", "c")))


def test_real_models_agree_on_names_ranges_and_defaults(real_models: list[Path]) -> None:
    for path in real_models:
        model = read_osim(path)
        theirs = opensim.Model(str(path))
        state = theirs.initSystem()
        assert [c.getName() for c in theirs.getCoordinateSet()] == model.coordinate_names
        assert [b.getName() for b in theirs.getBodySet()] == model.body_names
        assert [m.getName() for m in theirs.getMarkerSet()] == model.marker_names
        for ours, other in zip(model.coordinates, theirs.getCoordinateSet(), strict=True):
            assert ours.range == (other.getRangeMin(), other.getRangeMax())
            assert ours.default == other.getDefaultValue()
            assert ours.clamped == other.getDefaultClamped()
            assert ours.locked == other.getDefaultLocked()
        assert sum(body.mass for body in model.bodies) == pytest.approx(theirs.getTotalMass(state))
