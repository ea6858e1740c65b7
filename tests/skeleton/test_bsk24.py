"""The generated 24-body skeleton: the shipped file, its conventions, its sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import opensim
import pytest

import biopose_live.skeleton.bsk24 as bsk24_module
from biopose_live.errors import UserError
from biopose_live.skeleton.bsk24 import build_bsk24, main
from biopose_live.skeleton.bsk24_table import JOINTS, MASSES, SOURCES
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import SkeletonModel

BODIES = ["pelvis", "lumbar", "thorax", "head"] + [
    f"{body}_{side}"
    for side in "rl"
    for body in ["femur", "tibia", "talus", "calcn", "toes", "scapula", "humerus", "ulna", "radius", "hand"]
]


def test_shipped_file_is_what_the_generator_writes(tmp_path: Path, bsk24_file: Path) -> None:
    target = tmp_path / "bsk24.osim"
    assert main(["--out", str(target)]) == 0
    assert target.read_bytes() == bsk24_file.read_bytes()


def test_opensim_opens_it(bsk24_file: Path, bsk24: SkeletonModel) -> None:
    model = opensim.Model(str(bsk24_file))
    state = model.initSystem()
    assert model.getBodySet().getSize() == 24
    assert [c.getName() for c in model.getCoordinateSet()] == bsk24.coordinate_names
    assert sorted(bsk24.body_names) == sorted(BODIES)
    assert model.getTotalMass(state) == pytest.approx(75.0)
    assert sum(c.rotational for c in bsk24.coordinates) == 46
    for coordinate in bsk24.coordinates:
        expected = opensim.Coordinate.Rotational if coordinate.rotational else opensim.Coordinate.Translational
        assert model.getCoordinateSet().get(coordinate.name).getMotionType() == expected


def test_every_body_is_aligned_with_ground_at_zero(bsk24: SkeletonModel) -> None:
    rotations, _ = Kinematics(bsk24).forward(np.zeros(len(bsk24.coordinates)))
    np.testing.assert_array_equal(rotations, np.broadcast_to(np.eye(3), rotations.shape))


def test_soles_are_on_the_floor_in_the_default_pose(bsk24: SkeletonModel) -> None:
    origins = Kinematics(bsk24).forward(bsk24.default_pose())[1]
    assert origins[bsk24.body_index("calcn_r"), 1] == pytest.approx(0.0, abs=1e-9)
    top = Kinematics(bsk24).markers(bsk24.default_pose())[bsk24.marker_names.index("THD"), 1]
    assert top == pytest.approx(1.70, abs=0.02)


def _moved(model: SkeletonModel, coordinate: str, marker: str, degrees: float = 20.0) -> np.ndarray:
    """How ``marker`` moves relative to the default pose when ``coordinate`` rises."""
    kinematics = Kinematics(model)
    q = model.default_pose()
    before = kinematics.markers(q)[model.marker_names.index(marker)]
    q[model.coordinate_index(coordinate)] += np.radians(degrees)
    return kinematics.markers(q)[model.marker_names.index(marker)] - before


# coordinate, marker, axis (0 forward, 1 up, 2 right), sign of the marker's motion for a positive angle
SIGNS = [
    ("pelvis_tilt", "RASI", 1, 0),  # mid-ASIS is the origin: nothing moves there
    ("pelvis_tilt", "C7", 0, -1),  # backward
    ("pelvis_list", "LASI", 1, 1),  # left side up
    ("pelvis_rotation", "RASI", 0, 1),  # right side forward
    ("lumbar_extension", "C7", 0, -1),
    ("lumbar_bending", "C7", 2, 1),  # to the right
    ("lumbar_rotation", "RACR", 0, 1),  # right shoulder forward
    ("thorax_extension", "C7", 0, -1),
    ("head_extension", "THD", 0, -1),
    ("head_bending", "THD", 2, 1),
    ("head_rotation", "RFHD", 0, 1),
    ("hip_flexion_r", "RLFC", 0, 1),
    ("hip_flexion_l", "LLFC", 0, 1),
    ("hip_adduction_r", "RLFC", 2, -1),
    ("hip_adduction_l", "LLFC", 2, 1),
    ("hip_rotation_r", "RTOE", 2, -1),  # internal
    ("hip_rotation_l", "LTOE", 2, 1),
    ("knee_angle_r", "RCAL", 0, -1),  # flexion
    ("knee_angle_l", "LCAL", 0, -1),
    ("ankle_angle_r", "RTOE", 1, 1),  # dorsiflexion
    ("ankle_angle_l", "LTOE", 1, 1),
    ("subtalar_angle_r", "RMT5", 2, -1),  # inversion: the sole turns inwards
    ("subtalar_angle_l", "LMT5", 2, 1),
    ("mtp_angle_r", "RTOE", 1, -1),  # toes down
    ("mtp_angle_l", "LTOE", 1, -1),
    ("scapula_abduction_r", "RACR", 0, 1),  # protraction
    ("scapula_abduction_l", "LACR", 0, 1),
    ("scapula_elevation_r", "RACR", 1, 1),
    ("scapula_elevation_l", "LACR", 1, 1),
    ("scapula_upward_rot_r", "RSCA", 0, 1),  # the lower angle swings forward
    ("scapula_upward_rot_l", "LSCA", 0, 1),
    ("arm_flex_r", "RLEL", 0, 1),
    ("arm_flex_l", "LLEL", 0, 1),
    ("arm_add_r", "RLEL", 2, -1),
    ("arm_add_l", "LLEL", 2, 1),
    ("arm_rot_r", "RLEL", 0, 1),  # internal: the lateral epicondyle turns forward
    ("arm_rot_l", "LLEL", 0, 1),
    ("elbow_flex_r", "RRAD", 0, 1),
    ("elbow_flex_l", "LRAD", 0, 1),
    ("pro_sup_r", "RRAD", 0, 1),  # pronation: the thumb side turns forward
    ("pro_sup_l", "LRAD", 0, 1),
    ("wrist_flex_r", "RH2", 0, 1),  # towards the palm
    ("wrist_flex_l", "LH2", 0, 1),
    ("wrist_dev_r", "RH2", 2, -1),  # ulnar
    ("wrist_dev_l", "LH2", 2, 1),
]


@pytest.mark.parametrize(("coordinate", "marker", "axis", "sign"), SIGNS)
def test_positive_angles_mean_what_the_readme_says(
    bsk24: SkeletonModel, coordinate: str, marker: str, axis: int, sign: int
) -> None:
    movement = _moved(bsk24, coordinate, marker)
    if sign == 0:
        assert np.abs(movement[axis]) < 1e-9
    else:
        assert np.sign(movement[axis]) == sign
        assert np.abs(movement[axis]) > 2e-3


def test_signs_cover_every_rotation(bsk24: SkeletonModel) -> None:
    named = {row[0] for row in SIGNS} | {"thorax_bending", "thorax_rotation"}  # same axes as the lumbar pair
    assert named == {c.name for c in bsk24.coordinates if c.rotational}


def test_equal_angles_left_and_right_are_mirror_poses(bsk24: SkeletonModel) -> None:
    rng = np.random.default_rng(0)
    q = bsk24.default_pose()
    for i, name in enumerate(bsk24.coordinate_names):
        if name.endswith("_r"):
            q[i] = q[bsk24.coordinate_index(name[:-1] + "l")] = rng.uniform(*bsk24.coordinates[i].range)
    markers = dict(zip(bsk24.marker_names, Kinematics(bsk24).markers(q), strict=True))
    for name, position in markers.items():
        if name.startswith("R"):
            np.testing.assert_allclose(markers["L" + name[1:]], position * [1, 1, -1], atol=1e-12)


def test_height_and_mass_scale_it(bsk24: SkeletonModel) -> None:
    small = build_bsk24(1.36, 40.0)
    assert sum(body.mass for body in small.bodies) == pytest.approx(40.0)
    ours = Kinematics(small).forward(small.default_pose())[1]
    np.testing.assert_allclose(ours, 0.8 * Kinematics(bsk24).forward(bsk24.default_pose())[1], atol=1e-9)


@pytest.mark.parametrize("arguments", [["--height", "17"], ["--height", "nan"], ["--mass", "-1"]])
def test_senseless_sizes_are_one_sentence(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path / "x.osim"), *arguments]) == 2
    assert "is not that of a person" in capsys.readouterr().err
    assert not (tmp_path / "x.osim").exists()


def test_unwritable_target_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path / "missing" / "x.osim")]) == 5
    assert "choose another file" in capsys.readouterr().err


def test_table_cites_known_sources_and_limits_hold_the_published_ranges() -> None:
    for row in JOINTS:
        assert row.source in SOURCES
        for rotation in row.rotations:
            assert rotation.source in SOURCES
            assert rotation.limits[0] < rotation.limits[1]
            shared = row.name in ("lumbar", "thorax")  # two joints share one published range
            if rotation.published is not None and not shared:
                assert rotation.limits[0] <= rotation.published[0]
                assert rotation.limits[1] >= rotation.published[1]
    assert all(row.source in SOURCES for row in MASSES)
    total = sum(row.fraction * (2 if row.paired else 1) for row in MASSES)
    assert total == pytest.approx(1.0, abs=1e-9)


def test_height_error_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"give 0\.5 to 2\.6 m"):
        build_bsk24(height=3.0)


def test_readme_lists_every_coordinate_and_its_limits() -> None:
    rows = [line for line in _readme().splitlines() if line.startswith("| `")]
    for joint in JOINTS:
        for rotation in joint.rotations:
            row = next(line for line in rows if line.startswith(f"| `{rotation.coordinate}"))
            limits = f"{rotation.limits[0]:g} … {rotation.limits[1]:g}" if rotation.clamped else "free"
            assert f"| {limits} |" in row


def _readme() -> str:
    return (Path(bsk24_module.__file__).parent / "README.md").read_text(encoding="utf-8")
