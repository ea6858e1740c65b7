"""Which body is which segment, on names as people write them and on a model unlike `bsk24`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.skeleton.anatomy import FALLBACKS, JOINT_POINTS, anatomy_of, plain_anatomy, segments_of
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import GROUND, SkeletonModel, rotation_from_xyz
from biopose_live.skeleton.scaling import GENERAL_RULES, measure_scales
from other_skeleton import build


def named(**changes: str) -> SkeletonModel:
    """The other model with bodies renamed."""
    model = build()
    return replace(model, bodies=tuple(replace(b, name=changes.get(b.name, b.name)) for b in model.bodies))


@pytest.mark.parametrize(
    ("right", "left"),
    [
        ("femur_r", "femur_l"),
        ("Thigh_Right", "Thigh_Left"),
        ("r_thigh", "l_thigh"),
        ("RightUpperLeg", "LeftUpperLeg"),
        ("upper_leg.R", "upper_leg.L"),
        ("thigh-right", "thigh-left"),
    ],
)
def test_names_as_people_write_them(right: str, left: str) -> None:
    model = named(thigh_r=right, thigh_l=left)
    found = segments_of(model)
    assert found["femur_r"] == model.body_index(right)
    assert found["femur_l"] == model.body_index(left)


def test_the_preferred_name_wins(bsk24: SkeletonModel) -> None:
    assert segments_of(bsk24) == {name: number for number, name in enumerate(bsk24.body_names)}
    both = replace(
        bsk24, bodies=tuple(replace(b, name="foot_r" if b.name == "toes_r" else b.name) for b in bsk24.bodies)
    )
    assert segments_of(both)["calcn_r"] == bsk24.body_index("calcn_r")


@pytest.mark.parametrize(("body", "segment"), [("Pelvis", "pelvis"), ("thigh_r", "femur_r"), ("shank_l", "tibia_l")])
def test_a_body_that_must_be_there_is_named(body: str, segment: str) -> None:
    with pytest.raises(UserError) as caught:
        segments_of(named(**{body: "something"}))
    assert caught.value.exit_code == EXIT_MODEL
    assert f"has no body {segment}" in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_bsk24s_anatomical_position_is_its_zero(bsk24: SkeletonModel) -> None:
    plain, found = plain_anatomy(bsk24), anatomy_of(bsk24)
    assert found.bodies == plain.bodies
    assert found.centres == plain.centres
    assert set(found.centres) == set(JOINT_POINTS)
    np.testing.assert_array_equal(found.axes, plain.axes)
    np.testing.assert_array_equal(found.standing, plain.standing)
    assert found.leaders == {}
    for name, number in found.bodies.items():
        assert found.carrier(name) == (number, 1.0), name
    for side in "rl":
        assert found.forearm_turn(side) == bsk24.coordinate_index(f"pro_sup_{side}")


def test_what_a_model_lacks_is_carried_by_its_neighbour_or_by_nobody() -> None:
    model = build()
    anatomy = anatomy_of(model)
    expected = {
        "thorax": ("Torso", 1.0),
        "lumbar": ("Torso", 0.2),
        "scapula_l": ("Torso", 0.2),
        "head": ("Torso", 0.0),
        "femur_r": ("thigh_r", 1.0),
        "calcn_r": ("foot_r", 1.0),
        "toes_r": ("toes_r", 0.0),  # locked: they bend in reality
        "ulna_r": ("forearm_r", 1.0),
        "radius_r": ("forearm_r", 0.5),  # the forearm twists in reality
        "hand_r": ("hand_r", 0.0),  # welded
    }
    for segment, (body, weight) in expected.items():
        assert anatomy.carrier(segment) == (model.body_index(body), weight), segment
    assert {model.body_names[a]: model.body_names[b] for a, b in anatomy.leaders.items()} == {
        "kneecap_r": "thigh_r",
        "kneecap_l": "thigh_l",
    }
    assert anatomy.forearm_turn("r") is None


def test_every_segment_has_a_carrier_however_little_a_model_has() -> None:
    arms = [f"{part}_{side}" for part in ("upperarm", "forearm", "hand") for side in "rl"]
    feet = [f"{part}_{side}" for part in ("foot", "toes") for side in "rl"]
    model = build(without=["Torso", *arms, *feet])
    anatomy = anatomy_of(model)
    for stem in FALLBACKS:
        for segment in (stem,) if stem in ("lumbar", "thorax", "head") else (f"{stem}_r", f"{stem}_l"):
            body, weight = anatomy.carrier(segment)
            assert 0 <= body < len(model.bodies)
            assert weight == 0.0


def test_a_rigid_trunk_carries_no_arms() -> None:
    model = build()
    stiff = tuple(replace(c, locked=True) if c.name.startswith("trunk") else c for c in model.coordinates)
    anatomy = anatomy_of(replace(model, coordinates=stiff))
    for segment in ("thorax", "humerus_r", "ulna_l", "scapula_r"):
        assert anatomy.carrier(segment).weight == 0.0
    assert anatomy.carrier("femur_r").weight == 1.0


def test_axes_are_found_in_frames_that_are_turned() -> None:
    model = build()
    anatomy = anatomy_of(model)
    turns, _ = Kinematics(model).forward(anatomy.standing)
    for body, name in enumerate(model.body_names):
        for axis in range(3):
            along = np.abs(turns[body][axis, anatomy.axes[body, axis]])
            assert along > 0.99, name
    np.testing.assert_array_equal(anatomy.axes[model.body_index("thigh_r")], [1, 0, 2])


@pytest.mark.parametrize("seed", range(3))
def test_scales_come_back_in_frames_that_are_turned(seed: int) -> None:
    model = build()
    anatomy, kinematics = anatomy_of(model), Kinematics(model)
    rng = np.random.default_rng(seed)
    truth = np.ones((len(model.bodies), 3))
    for right, left in anatomy.pairs:
        truth[right] = truth[left] = rng.uniform(0.85, 1.2)
    truth[anatomy.bodies["thorax"]] = truth[anatomy.bodies["pelvis"]] = rng.uniform(0.9, 1.1)
    centres = kinematics.joint_centres(anatomy.standing, truth)
    points = {name: centres[body] for name, body in anatomy.centres.items()}
    found, clipped, _ = measure_scales(model, points, anatomy.standing, GENERAL_RULES, anatomy=anatomy)
    assert clipped == ()
    for name in ("thigh_r", "shank_l", "upperarm_r", "foot_r"):
        np.testing.assert_allclose(found[model.body_index(name)], truth[model.body_index(name)], rtol=2e-3)
    kneecap = model.body_index("kneecap_r")
    np.testing.assert_array_equal(found[kneecap], found[model.body_index("thigh_r")])
    assert np.ptp(truth[:, 0]) > 0.02


def test_zero_is_clipped_into_its_range_and_locked_coordinates_keep_their_default() -> None:
    model = build()
    changed = tuple(
        replace(c, range=(0.1, 2.0)) if c.name == "knee_bend_r" else replace(c, default=0.2) if c.locked else c
        for c in model.coordinates
    )
    anatomy = anatomy_of(replace(model, coordinates=changed))
    value = dict(zip(model.coordinate_names, anatomy.standing, strict=True))
    assert value["knee_bend_r"] == 0.1
    assert value["toes_r"] == 0.2
    assert value["knee_bend_l"] == 0.0


def test_the_default_pose_stands_in_when_zero_does_not_stand() -> None:
    model = build()
    lying = rotation_from_xyz([0.0, 0.0, -np.pi / 2])
    joints = tuple(
        replace(j, parent_frame=replace(j.parent_frame, rotation=lying)) if j.parent == GROUND else j
        for j in model.joints
    )
    model = replace(model, joints=joints)
    with pytest.raises(UserError, match="stands neither in its zero pose nor in its default pose"):
        anatomy_of(model)
    upright = tuple(replace(c, default=np.pi / 2) if c.name == "tilt" else c for c in model.coordinates)
    anatomy = anatomy_of(replace(model, coordinates=upright))
    assert anatomy.standing[model.coordinate_index("tilt")] == np.pi / 2


def test_a_fixed_pelvis_is_refused() -> None:
    model = build()
    fixed = tuple(replace(c, locked=True) if c.name == "move_y" else c for c in model.coordinates)
    with pytest.raises(UserError, match="does not move freely against the ground"):
        anatomy_of(replace(model, coordinates=fixed))
