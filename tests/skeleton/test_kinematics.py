"""Forward kinematics against OpenSim: the shipped model and real ones; random ones are among the reader's tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biopose_live.skeleton.functions import Polynomial
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import (
    GROUND,
    Axis,
    Body,
    Coordinate,
    Frame,
    Joint,
    Marker,
    SkeletonModel,
    rotation_from_xyz,
)
from biopose_live.skeleton.osim_file import read_osim

TOLERANCE = 1e-9


def _compare(path: Path, oracle, random_pose, seed: int, frames: int, rounds: tuple[bool, ...] = (False, True)) -> None:
    model = read_osim(path)
    kinematics = Kinematics(model)
    rng = np.random.default_rng(seed)
    theirs = oracle(path, model)
    for scaled in rounds:
        scales = np.ones((len(model.bodies), 3))
        if scaled:
            scales = rng.uniform(0.8, 1.25, scales.shape)
            theirs.scale(scales)
        for _ in range(frames):
            q = random_pose(model, rng, 0.05)
            rotations, origins, markers = theirs.pose(q)
            ours = kinematics.forward(q, scales)
            np.testing.assert_allclose(ours[0], rotations, atol=TOLERANCE, rtol=0)
            np.testing.assert_allclose(ours[1], origins, atol=TOLERANCE, rtol=0)
            np.testing.assert_allclose(kinematics.markers(q, scales), markers, atol=TOLERANCE, rtol=0)


def test_bsk24_equals_opensim(bsk24_file: Path, oracle, random_pose) -> None:
    _compare(bsk24_file, oracle, random_pose, seed=1, frames=10)


def test_real_models_equal_opensim(real_models: list[Path], oracle, random_pose) -> None:
    for path in real_models:
        _compare(path, oracle, random_pose, seed=2, frames=5)


def test_unit_scales_change_nothing_on_oblique_axes() -> None:
    # OpenSim's own scaling of translations along oblique axes jumps at one.
    rng = np.random.default_rng(3)
    axes = [Axis(row, Polynomial((0.5, 0.2)), 0) for row in np.linalg.qr(rng.normal(size=(3, 3)))[0]] * 2
    frames = [Frame(rng.normal(size=3), rotation_from_xyz(rng.normal(size=3))) for _ in range(4)]
    joints = [Joint("a", GROUND, 0, frames[0], frames[1], ()), Joint("b", 0, 1, frames[2], frames[3], tuple(axes))]
    joints[0] = replace(joints[0], axes=tuple(replace(axis, coordinate=None) for axis in axes))
    coordinates = (Coordinate("q", 1, True, 0.0, (-1.0, 1.0), False, False),)
    bodies = tuple(Body(name, 1.0, np.zeros(3), np.ones(6)) for name in "ab")
    ours = Kinematics(SkeletonModel("oblique", bodies, tuple(joints), coordinates))
    nearly = np.full((2, 3), 1.0 + 1e-9)
    np.testing.assert_allclose(ours.forward(np.array([0.7]))[1], ours.forward(np.array([0.7]), nearly)[1], atol=1e-7)


def test_points_given_by_the_caller_are_in_scaled_body_frames(bsk24: SkeletonModel) -> None:
    kinematics = Kinematics(bsk24)
    rng = np.random.default_rng(0)
    scales = rng.uniform(0.8, 1.2, (len(bsk24.bodies), 3))
    q = bsk24.default_pose() + rng.normal(size=len(bsk24.coordinates)) * 0.2
    bodies = [marker.body for marker in bsk24.markers]
    scaled = np.array([marker.location * scales[marker.body] for marker in bsk24.markers])
    np.testing.assert_allclose(kinematics.markers(q, scales, bodies, scaled), kinematics.markers(q, scales), atol=1e-14)


def test_markers_on_the_ground_stay_where_they_are(bsk24: SkeletonModel) -> None:
    location = np.array([0.1, 0.2, 0.3])
    kinematics = Kinematics(bsk24.with_markers([Marker("floor", GROUND, location)]))
    scales = np.full((len(bsk24.bodies), 3), 1.1)
    np.testing.assert_array_equal(kinematics.markers(bsk24.default_pose(), scales), location[None])


def test_joint_centres_are_body_origins_where_the_child_frame_has_no_offset(bsk24: SkeletonModel) -> None:
    kinematics = Kinematics(bsk24)
    q = bsk24.default_pose()
    np.testing.assert_allclose(kinematics.joint_centres(q), kinematics.forward(q)[1], atol=1e-14)


def test_wrong_shapes_are_refused(bsk24: SkeletonModel) -> None:
    kinematics = Kinematics(bsk24)
    with pytest.raises(ValueError, match=r"q has shape \(3,\)"):
        kinematics.forward(np.zeros(3))
    with pytest.raises(ValueError, match="scales have shape"):
        kinematics.forward(bsk24.default_pose(), np.ones((2, 3)))
    with pytest.raises(ValueError, match="above zero"):
        kinematics.forward(bsk24.default_pose(), np.zeros((24, 3)))
    with pytest.raises(ValueError, match="body indices"):
        kinematics.markers(bsk24.default_pose(), None, [99], np.zeros((1, 3)))
