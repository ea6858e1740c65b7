"""Bone scales and marker offsets from the points of a standing person."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_live.skeleton.bsk24 import build_bsk24
from biopose_live.skeleton.inverse_kinematics import InverseKinematics
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import FloatArray, SkeletonModel
from biopose_live.skeleton.scaling import JOINT_POINTS, RULES, fit_person, measure_scales, settle_pose

OFFSET = np.array([0.4, 0.1, -0.3])


def _points(model: SkeletonModel, q: FloatArray, scales: FloatArray | None = None) -> dict[str, FloatArray]:
    kinematics = Kinematics(model)
    centres, markers = kinematics.joint_centres(q, scales), kinematics.markers(q, scales)
    points = {name: centres[model.body_index(body)] + OFFSET for name, body in JOINT_POINTS.items()}
    points.update({marker.name: markers[i] + OFFSET for i, marker in enumerate(model.markers)})
    return points


def _bodies(model: SkeletonModel) -> list[int]:
    return [marker.body for marker in model.markers]


def _consistent_scales(model: SkeletonModel, seed: int) -> FloatArray:
    """Scales that keep to the table's ties: what the rules find for a person stretched anyhow."""
    rng = np.random.default_rng(seed)
    anyhow = rng.uniform(0.85, 1.2, (len(model.bodies), 3))
    return measure_scales(model, _points(model, model.default_pose(), anyhow), model.default_pose())[0]


@pytest.mark.parametrize("height", [1.3, 1.7, 2.0])
def test_a_taller_person_is_a_larger_skeleton(bsk24: SkeletonModel, height: float) -> None:
    person = build_bsk24(height)
    points = _points(person, person.default_pose())
    fit = fit_person(bsk24, points, _bodies(bsk24), np.array([points[m.name] for m in bsk24.markers]))
    np.testing.assert_allclose(fit.scales, height / 1.70, rtol=1e-9)
    assert fit.clipped == ()


@pytest.mark.parametrize("seed", range(4))
def test_scales_come_back(bsk24: SkeletonModel, seed: int) -> None:
    truth = _consistent_scales(bsk24, seed)
    found, _, _ = measure_scales(bsk24, _points(bsk24, bsk24.default_pose(), truth), bsk24.default_pose())
    np.testing.assert_allclose(found, truth, rtol=2e-3)
    assert np.ptp(truth[:, 1]) > 0.02


def test_bone_lengths_come_out_as_measured(bsk24: SkeletonModel) -> None:
    rng = np.random.default_rng(5)
    measured = _points(bsk24, bsk24.default_pose(), rng.uniform(0.85, 1.2, (24, 3)))
    fit = fit_person(bsk24, measured, [0], measured["RASI"][None], symmetric=False)
    modelled = _points(bsk24, fit.q, fit.scales)
    for a, b in (("hip_r", "knee_r"), ("knee_l", "ankle_l"), ("shoulder_r", "elbow_r"), ("elbow_l", "wrist_l")):
        length = np.linalg.norm(measured[a] - measured[b])
        assert np.linalg.norm(modelled[a] - modelled[b]) == pytest.approx(length, rel=1e-6)


def test_markers_are_fixed_where_they_lie_in_the_known_pose(bsk24: SkeletonModel) -> None:
    truth = _consistent_scales(bsk24, 1)
    q = np.zeros(len(bsk24.coordinates))
    rng = np.random.default_rng(6)
    points = _points(bsk24, q, truth)
    bodies = rng.integers(0, 24, 40)
    skin = points["hip_r"] + rng.normal(size=(40, 3)) * 0.4
    fit = fit_person(bsk24, points, bodies, skin)
    moved = Kinematics(bsk24).markers(fit.q, fit.scales, bodies, fit.marker_locations)
    np.testing.assert_allclose(moved, skin, atol=1e-12)
    turning = [i for i, c in enumerate(bsk24.coordinates) if c.rotational]
    np.testing.assert_array_equal(fit.q[turning], 0.0)  # the zero is where the standing pose puts it
    solver = InverseKinematics(bsk24, bodies, fit.marker_locations, scales=fit.scales)
    assert solver.solve(skin, fit.q, 5).rms < 1e-9


def test_a_few_points_are_enough_and_the_rest_is_said_to_be_guessed(bsk24: SkeletonModel) -> None:
    person = build_bsk24(1.87)
    points = _points(person, person.default_pose())
    few = {name: points[name] for name in ("hip_r", "knee_r", "ankle_r", "hip_l", "knee_l", "ankle_l")}
    scales, _, guessed = measure_scales(bsk24, few, bsk24.default_pose())
    np.testing.assert_allclose(scales, 1.1, rtol=1e-6)
    assert ("humerus_r", "y") in guessed
    assert ("femur_r", "y") not in guessed


def test_factors_are_clipped_and_named(bsk24: SkeletonModel) -> None:
    points = _points(bsk24, bsk24.default_pose())
    points["RLFC"] = points["RLFC"] + [0.0, 0.0, 0.4]
    scales, clipped, _ = measure_scales(bsk24, points, bsk24.default_pose(), symmetric=False)
    assert ("femur_r", "z") in clipped
    assert scales[bsk24.body_index("femur_r"), 2] == 1.6


def test_left_and_right_share_their_factors_unless_told_otherwise(bsk24: SkeletonModel) -> None:
    points = _points(bsk24, bsk24.default_pose())
    points["ankle_r"] = points["ankle_r"] - [0.0, 0.04, 0.0]
    both, _, _ = measure_scales(bsk24, points, bsk24.default_pose())
    right, left = bsk24.body_index("tibia_r"), bsk24.body_index("tibia_l")
    np.testing.assert_array_equal(both[right], both[left])
    single, _, _ = measure_scales(bsk24, points, bsk24.default_pose(), symmetric=False)
    assert single[right, 1] > single[left, 1] + 0.05


def test_settled_pose_frees_the_arms_and_holds_the_spine(bsk24: SkeletonModel) -> None:
    truth = bsk24.default_pose()
    for name in ("arm_add_r", "arm_add_l"):
        truth[bsk24.coordinate_index(name)] = np.radians(-40.0)
    points = _points(bsk24, truth)
    sigma = np.full(len(truth), 0.01)
    for i, name in enumerate(bsk24.coordinate_names):
        if name.startswith(("arm", "elbow", "pro_sup", "wrist")):
            sigma[i] = 1.0
    q = settle_pose(bsk24, np.ones((24, 3)), points, bsk24.default_pose(), sigma)
    np.testing.assert_allclose(q[3:6], truth[3:6] + OFFSET, atol=1e-3)
    turning = [i for i, c in enumerate(bsk24.coordinates) if c.rotational]
    assert np.degrees(np.max(np.abs(q - truth)[turning])) < 0.5


def test_unknown_points_and_empty_measurements_are_refused(bsk24: SkeletonModel) -> None:
    with pytest.raises(ValueError, match="'elbo_r'"):
        measure_scales(bsk24, {"elbo_r": np.zeros(3)}, bsk24.default_pose())
    with pytest.raises(ValueError, match="no rule"):
        measure_scales(bsk24, {"hip_r": np.zeros(3)}, bsk24.default_pose())
    with pytest.raises(ValueError, match="three finite numbers"):
        measure_scales(bsk24, {"hip_r": np.array([0.0, np.nan, 0.0])}, bsk24.default_pose())


def test_rules_name_what_the_model_has(bsk24: SkeletonModel) -> None:
    known = set(JOINT_POINTS) | set(bsk24.marker_names)
    for rule in RULES:
        assert set(rule.bodies) <= set(bsk24.body_names)
        for pair in rule.pairs:
            assert {part for name in pair for part in name.split("+")} <= known
        assert {body for body, _ in rule.follows} <= set(bsk24.body_names)
    covered = {(body, axis) for rule in RULES for body in rule.bodies for axis in rule.axes}
    assert covered == {(body, axis) for body in bsk24.body_names for axis in "xyz"}
