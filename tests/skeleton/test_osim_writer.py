"""Written models: they open in OpenSim and move there as they do here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import opensim
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import Marker, SkeletonModel, rotation_from_xyz, xyz_from_rotation
from biopose_live.skeleton.osim_file import read_osim, write_osim, write_scaled_osim


def _scaled_file_agrees(model: SkeletonModel, target: Path, oracle, random_pose) -> None:
    rng = np.random.default_rng(5)
    scales = rng.uniform(0.75, 1.3, (len(model.bodies), 3))
    write_scaled_osim(model, scales, None, target)
    written = read_osim(target)
    theirs = oracle(target, written)
    kinematics = Kinematics(model)
    for _ in range(4):
        q = random_pose(model, rng, 0.0)
        rotations, origins, markers = theirs.pose(q)
        ours = kinematics.forward(q, scales)
        np.testing.assert_allclose(ours[0], rotations, atol=1e-9)
        np.testing.assert_allclose(ours[1], origins, atol=1e-9)
        np.testing.assert_allclose(kinematics.markers(q, scales), markers, atol=1e-9)


def test_scaled_bsk24_moves_alike_in_opensim(bsk24: SkeletonModel, tmp_path: Path, oracle, random_pose) -> None:
    _scaled_file_agrees(bsk24, tmp_path / "scaled.osim", oracle, random_pose)


def test_scaled_real_models_move_alike_in_opensim(real_models: list[Path], tmp_path: Path, oracle, random_pose) -> None:
    for path in real_models:
        _scaled_file_agrees(read_osim(path), tmp_path / path.name, oracle, random_pose)


def test_scaled_mass_centres_are_opensims(bsk24: SkeletonModel, bsk24_file: Path, tmp_path: Path, oracle) -> None:
    scales = np.random.default_rng(6).uniform(0.75, 1.3, (24, 3))
    theirs = oracle(bsk24_file, bsk24)
    theirs.scale(scales)
    write_scaled_osim(bsk24, scales, None, tmp_path / "scaled.osim")
    for body in read_osim(tmp_path / "scaled.osim").bodies:
        centre = theirs.model.getBodySet().get(body.name).getMassCenter()
        np.testing.assert_allclose(body.mass_centre, [centre.get(i) for i in range(3)], atol=1e-9)


def test_markers_given_are_written_as_they_are(bsk24: SkeletonModel, tmp_path: Path) -> None:
    markers = [Marker("A&B", 3, np.array([0.1, 0.2, 0.3])), Marker("C", 0, np.zeros(3))]
    write_scaled_osim(bsk24, np.full((24, 3), 1.5), markers, tmp_path / "m.osim")
    written = read_osim(tmp_path / "m.osim")
    assert written.marker_names == ["A&B", "C"]
    np.testing.assert_array_equal(written.markers[0].location, [0.1, 0.2, 0.3])
    assert opensim.Model(str(tmp_path / "m.osim")).getMarkerSet().getSize() == 2


def test_a_failed_write_leaves_the_old_file(bsk24: SkeletonModel, tmp_path: Path) -> None:
    target = tmp_path / "m.osim"
    target.write_text("old")
    with pytest.raises(ValueError, match="scales have shape"):
        write_scaled_osim(bsk24, np.ones((2, 3)), None, target)
    assert target.read_text() == "old"
    write_osim(bsk24, target)
    assert [path.name for path in tmp_path.iterdir()] == ["m.osim"]


def test_inertia_scales_as_stretched_mass_does(bsk24: SkeletonModel, tmp_path: Path) -> None:
    # A uniform stretch multiplies every moment by its square (the masses stay).
    write_scaled_osim(bsk24, np.full((24, 3), 1.2), None, tmp_path / "m.osim")
    for before, after in zip(bsk24.bodies, read_osim(tmp_path / "m.osim").bodies, strict=True):
        np.testing.assert_allclose(after.inertia, before.inertia * 1.44, rtol=1e-9)
        assert after.mass == pytest.approx(before.mass)


@given(st.tuples(*[st.floats(-3.1, 3.1)] * 3))
def test_orientation_angles_round_trip(angles: tuple[float, float, float]) -> None:
    rotation = rotation_from_xyz(angles)
    np.testing.assert_allclose(rotation_from_xyz(xyz_from_rotation(rotation)), rotation, atol=1e-8)


@pytest.mark.parametrize("y", [np.pi / 2, -np.pi / 2])
def test_orientation_angles_round_trip_at_the_singular_pose(y: float) -> None:
    rotation = rotation_from_xyz((0.4, y, -0.3))
    np.testing.assert_allclose(rotation_from_xyz(xyz_from_rotation(rotation)), rotation, atol=1e-9)
