"""The generated 24-body skeleton: the shipped file, its conventions, its sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import opensim
import pytest

from biopose_live.errors import UserError
from biopose_live.skeleton.bsk24 import build_bsk24, main
from biopose_live.skeleton.bsk24_table import CHECKED, JOINTS, MASSES, SOURCES
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
    assert top == pytest.approx(1.70, abs=0.003)


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


@pytest.mark.parametrize(("height", "mass"), [(1.70, 75.0), (1.10, 18.0), (2.05, 130.0)])
def test_opensim_weighs_and_poses_every_size_alike(
    height: float, mass: float, tmp_path: Path, oracle: Callable[[Path, SkeletonModel], Any]
) -> None:
    path = tmp_path / "sized.osim"
    assert main(["--out", str(path), "--height", str(height), "--mass", str(mass)]) == 0
    ours = build_bsk24(height, mass)
    theirs = oracle(path, ours)
    assert theirs.model.getTotalMass(theirs.state) == pytest.approx(mass, rel=1e-9)
    for body in ours.bodies:
        inertia = theirs.model.getBodySet().get(body.name).get_inertia()
        np.testing.assert_allclose([inertia.get(i) for i in range(6)], body.inertia, rtol=1e-9, atol=1e-15)
    rng = np.random.default_rng(1)
    q = ours.default_pose()
    for number, coordinate in enumerate(ours.coordinates):
        if coordinate.rotational:
            q[number] = rng.uniform(*np.clip(coordinate.range, -np.pi, np.pi))
    rotations, origins, markers = theirs.pose(q)
    expected = Kinematics(ours).forward(q)
    np.testing.assert_allclose(rotations, expected[0], atol=1e-9)
    np.testing.assert_allclose(origins, expected[1], atol=1e-9)
    np.testing.assert_allclose(markers, Kinematics(ours).markers(q), atol=1e-9)
    centre = theirs.model.calcMassCenterPosition(theirs.state)
    masses = np.array([body.mass for body in ours.bodies])
    places = Kinematics(ours).markers(
        q, None, np.arange(len(masses)), np.array([body.mass_centre for body in ours.bodies])
    )
    np.testing.assert_allclose([centre.get(i) for i in range(3)], masses @ places / mass, atol=1e-9)


@pytest.mark.parametrize(("height", "mass"), [(1.70, 75.0), (1.10, 18.0), (2.05, 130.0)])
def test_stature_and_inertia_are_those_of_a_body(height: float, mass: float) -> None:
    model = build_bsk24(height, mass)
    top = Kinematics(model).markers(model.default_pose())[model.marker_names.index("THD"), 1]
    assert top == pytest.approx(height, rel=0.002)
    assert sum(body.mass for body in model.bodies) == pytest.approx(mass, rel=1e-12)
    for body in model.bodies:
        xx, yy, zz, xy, xz, yz = body.inertia
        moments = np.linalg.eigvalsh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        assert moments[0] > 0.0, body.name
        assert moments[2] < moments[0] + moments[1], body.name  # no mass distribution can break this


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
    assert set(CHECKED) <= set(SOURCES)
    total = sum(row.fraction * (2 if row.paired else 1) for row in MASSES)
    assert total == pytest.approx(1.0, abs=1e-9)


def test_height_error_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"give 0\.5 to 2\.6 m"):
        build_bsk24(height=3.0)
