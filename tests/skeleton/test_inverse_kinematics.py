"""Inverse kinematics: against OpenSim's own solver, finite differences, and poses drawn at random."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import opensim
import pytest

from biopose_live.skeleton.functions import Polynomial
from biopose_live.skeleton.inverse_kinematics import InverseKinematics
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import Coupler, FloatArray, SkeletonModel
from biopose_live.skeleton.opensim_formats import TrajectoryWriter
from biopose_live.skeleton.osim_file import read_osim, write_scaled_osim


def _solver(model: SkeletonModel, scales: FloatArray | None = None) -> InverseKinematics:
    """The model's own landmarks as markers."""
    factors = np.ones((len(model.bodies), 3)) if scales is None else scales
    locations = np.array([marker.location * factors[marker.body] for marker in model.markers])
    return InverseKinematics(model, [marker.body for marker in model.markers], locations, scales=scales)


def _moderate_pose(model: SkeletonModel, rng: np.random.Generator) -> FloatArray:
    q = model.default_pose()
    for i, coordinate in enumerate(model.coordinates):
        if coordinate.rotational:
            low, high = np.clip(coordinate.range, -0.7, 0.7)
            q[i] = rng.uniform(0.8 * low, 0.8 * high)
        else:
            q[i] += rng.uniform(-0.5, 0.5)
    return q


def _error_degrees(a: FloatArray, b: FloatArray, model: SkeletonModel) -> FloatArray:
    turning = [i for i, c in enumerate(model.coordinates) if c.rotational]
    return np.degrees(np.abs(a - b)[..., turning])


def test_agrees_with_opensims_solver(bsk24: SkeletonModel, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scales = rng.uniform(0.9, 1.1, (24, 3))
    solver = _solver(bsk24, scales)
    path = tmp_path / "scaled.osim"
    write_scaled_osim(bsk24, scales, None, path)
    start, drift = _moderate_pose(bsk24, rng), rng.normal(size=len(bsk24.coordinates)) * 0.01
    frames = []
    with TrajectoryWriter(tmp_path / "markers.trc", bsk24.marker_names, 30.0) as writer:
        for number in range(3):
            clean = Kinematics(bsk24).markers(start + number * drift, scales)
            frames.append(np.round(clean + rng.normal(size=clean.shape) * 0.003, 7))
            writer.append(number / 30.0, frames[-1])
    # OpenSim's optimiser stops about a millimetre short of the minimum when it starts far off, so it is asked twice:
    # from the default pose it must not do better, and from our answer it must find nothing to improve.
    alone = _opensim_ik(path, tmp_path / "markers.trc", bsk24, len(frames), None)
    q = start
    for number, frame in enumerate(frames):
        q = solver.solve(frame, q, 30).q
        cost = np.sum((solver.residual_jacobian(q)[0] - frame) ** 2)
        assert cost <= np.sum((solver.residual_jacobian(alone[number])[0] - frame) ** 2)
        seconded = _opensim_ik(path, tmp_path / "markers.trc", bsk24, number + 1, q)[-1]
        assert np.sum((solver.residual_jacobian(seconded)[0] - frame) ** 2) >= cost * (1.0 - 1e-6)
        assert np.max(_error_degrees(q, seconded, bsk24)) < 0.05
        assert np.mean(_error_degrees(q, alone[number], bsk24)) < 2.0


def _opensim_ik(
    model_file: Path, trajectory: Path, ours: SkeletonModel, frames: int, q_start: FloatArray | None
) -> list[FloatArray]:
    """Coordinates (rad, m) that OpenSim's InverseKinematicsSolver finds, frame by frame, all weights one."""
    model = opensim.Model(str(model_file))
    state = model.initSystem()
    weights = opensim.SetMarkerWeights()
    for name in ours.marker_names:
        weights.cloneAndAppend(opensim.MarkerWeight(name, 1.0))
    reference = opensim.MarkersReference(str(trajectory), weights)
    solver = opensim.InverseKinematicsSolver(model, reference, opensim.SimTKArrayCoordinateReference())
    solver.setAccuracy(1e-10)
    solutions = []
    for number in range(frames):
        state.setTime(number / 30.0)
        if q_start is not None:
            for name, value in zip(ours.coordinate_names, q_start, strict=True):
                model.getCoordinateSet().get(name).setValue(state, float(value), False)
        solver.assemble(state)
        solutions.append(np.array([model.getCoordinateSet().get(n).getValue(state) for n in ours.coordinate_names]))
    return solutions


def test_jacobian_equals_finite_differences(bsk24: SkeletonModel, random_pose) -> None:
    solver = _solver(bsk24, np.random.default_rng(1).uniform(0.8, 1.2, (24, 3)))
    _check_jacobian(solver, random_pose(bsk24, np.random.default_rng(2), 0.0))


def test_jacobian_follows_couplers_and_splines(real_models: list[Path], random_pose) -> None:
    for path in real_models:
        model = read_osim(path)
        rng = np.random.default_rng(3)
        bodies = np.arange(len(model.bodies))
        solver = InverseKinematics(model, bodies, rng.normal(size=(len(bodies), 3)) * 0.1)
        _check_jacobian(solver, random_pose(model, rng, 0.0))


def _check_jacobian(solver: InverseKinematics, q: FloatArray) -> None:
    _, jacobian = solver.residual_jacobian(q)
    step = 1e-6
    for column, coordinate in enumerate(solver.free):
        up, down = q.copy(), q.copy()
        up[coordinate] += step
        down[coordinate] -= step
        slope = (solver.residual_jacobian(up)[0] - solver.residual_jacobian(down)[0]) / (2.0 * step)
        np.testing.assert_allclose(jacobian[:, :, column], slope, atol=1e-7)


def test_tracks_clean_markers_from_frame_to_frame(bsk24: SkeletonModel) -> None:
    rng = np.random.default_rng(4)
    solver, kinematics = _solver(bsk24), Kinematics(bsk24)
    start, end = _moderate_pose(bsk24, rng), _moderate_pose(bsk24, rng)
    q = start
    for share in np.linspace(0.0, 1.0, 30):
        truth = (1 - share) * start + share * end
        q = solver.solve(kinematics.markers(truth), q, 4).q
        assert np.max(_error_degrees(q, truth, bsk24)) < 0.1


def test_limits_hold_and_the_rest_still_fits(bsk24: SkeletonModel) -> None:
    solver = _solver(bsk24)
    truth = bsk24.default_pose()
    knee = bsk24.coordinate_index("knee_angle_r")
    truth[knee] = np.radians(-40.0)  # bent the wrong way
    truth[bsk24.coordinate_index("arm_flex_l")] = 0.5
    result = solver.solve(Kinematics(bsk24).markers(truth), bsk24.default_pose(), 60)
    assert result.q[knee] == bsk24.coordinates[knee].range[0]
    for i in solver.free:
        assert solver.limits[i, 0] <= result.q[i] <= solver.limits[i, 1]
    assert result.q[bsk24.coordinate_index("arm_flex_l")] == pytest.approx(0.5, abs=0.05)


def test_a_start_outside_the_limits_is_brought_in(bsk24: SkeletonModel) -> None:
    start = bsk24.default_pose()
    knee = bsk24.coordinate_index("knee_angle_l")
    start[knee] = 5.0
    result = _solver(bsk24).solve(Kinematics(bsk24).markers(bsk24.default_pose()), start, 1)
    assert result.q[knee] <= bsk24.coordinates[knee].range[1]


def test_missing_markers_are_left_out(bsk24: SkeletonModel) -> None:
    rng = np.random.default_rng(5)
    solver = _solver(bsk24)
    truth = _moderate_pose(bsk24, rng)
    targets = Kinematics(bsk24).markers(truth)
    targets[bsk24.marker_names.index("RLFC")] = np.nan
    targets[bsk24.marker_names.index("T10"), 1] = np.nan  # one missing number takes the marker out
    result = solver.solve(targets, bsk24.default_pose(), 60)
    assert result.rms < 1e-6
    assert np.all(np.isfinite(result.q))


def test_no_marker_at_all_keeps_the_start(bsk24: SkeletonModel) -> None:
    result = _solver(bsk24).solve(np.full((len(bsk24.markers), 3), np.nan), bsk24.default_pose(), 5)
    np.testing.assert_array_equal(result.q, bsk24.default_pose())
    assert np.isnan(result.rms)


def test_weights_decide_between_markers_that_disagree(bsk24: SkeletonModel) -> None:
    head = bsk24.body_index("head")
    locations = np.array([[0.0, 0.1, 0.0], [0.0, 0.1, 0.0]])
    targets = Kinematics(bsk24).markers(bsk24.default_pose(), None, [head, head], locations)
    targets[1, 0] += 0.01
    solver = InverseKinematics(bsk24, [head, head], locations, np.array([3.0, 1.0]))
    moved = solver.residual_jacobian(solver.solve(targets, bsk24.default_pose(), 50).q)[0]
    assert moved[0, 0] - targets[0, 0] == pytest.approx(0.0025, abs=1e-5)  # a quarter of the way


def test_prior_holds_what_markers_do_not_see(bsk24: SkeletonModel) -> None:
    arm = [i for i, m in enumerate(bsk24.markers) if "hand" not in bsk24.bodies[m.body].name]
    solver = InverseKinematics(
        bsk24, [bsk24.markers[i].body for i in arm], np.array([bsk24.markers[i].location for i in arm])
    )
    wrist = bsk24.coordinate_index("wrist_flex_r")
    prior = bsk24.default_pose()
    prior[wrist] = 0.3
    targets = solver.residual_jacobian(bsk24.default_pose())[0]
    result = solver.solve(targets, bsk24.default_pose(), 20, prior, np.full(len(prior), 1e-6))
    assert result.q[wrist] == pytest.approx(0.3, abs=1e-3)
    assert result.rms < 1e-4


def test_locked_coordinates_stay(real_models: list[Path]) -> None:
    for path in real_models:
        model = read_osim(path)
        locked = [i for i, c in enumerate(model.coordinates) if c.locked]
        bodies = np.arange(len(model.bodies))
        rng = np.random.default_rng(6)
        solver = InverseKinematics(model, bodies, rng.normal(size=(len(bodies), 3)) * 0.1)
        targets = solver.residual_jacobian(model.default_pose())[0] + 0.02
        start = model.default_pose()
        result = solver.solve(targets, start, 10)
        np.testing.assert_array_equal(result.q[locked], start[locked])


def test_sigma_is_the_spread_of_repeated_solves(bsk24: SkeletonModel) -> None:
    rng = np.random.default_rng(7)
    solver = _solver(bsk24)
    truth = _moderate_pose(bsk24, rng)
    clean = Kinematics(bsk24).markers(truth)
    solves = [solver.solve(clean + rng.normal(size=clean.shape) * 0.002, truth, 10).q for _ in range(300)]
    spread = np.std(np.array(solves) - truth, axis=0)
    ratio = spread / solver.sigma(truth, 0.002)
    assert 0.9 < np.median(ratio) < 1.1
    assert np.all((ratio > 0.6) & (ratio < 1.4))


def test_sigma_of_an_unseen_coordinate_is_that_of_its_range(bsk24: SkeletonModel) -> None:
    solver = _solver(bsk24)
    hidden = np.array([not bsk24.bodies[m.body].name.startswith("hand_r") for m in bsk24.markers])
    q = bsk24.default_pose()
    wrist = bsk24.coordinate_index("wrist_dev_r")
    low, high = bsk24.coordinates[wrist].range
    assert solver.sigma(q, 0.005, hidden)[wrist] == pytest.approx((high - low) / np.sqrt(12.0), rel=1e-3)
    assert solver.sigma(q, 0.005)[wrist] < 0.2
    nothing = solver.sigma(q, 0.005, np.zeros(len(bsk24.markers), bool))
    assert np.isinf(nothing[bsk24.coordinate_index("pelvis_tx")])


def test_information_is_the_curvature_of_the_cost(bsk24: SkeletonModel) -> None:
    solver = _solver(bsk24)
    q = _moderate_pose(bsk24, np.random.default_rng(8))
    pull = np.full(len(q), 0.01)
    result = solver.solve(solver.residual_jacobian(q)[0], q, 0, q, pull)
    jacobian = solver.residual_jacobian(q)[1].reshape(-1, len(solver.free))
    np.testing.assert_allclose(result.information, jacobian.T @ jacobian + np.diag(pull), atol=1e-9)


def test_information_follows_couplers_weights_and_gaps(bsk24: SkeletonModel) -> None:
    """Also when one coordinate moves several joints: along one limb, against the order of the joints, across limbs."""
    number = bsk24.coordinate_index
    couplers = (
        Coupler("spine", number("thorax_extension"), number("lumbar_extension"), Polynomial((0.6, 0.1))),
        Coupler("hip", number("hip_flexion_r"), number("knee_angle_r"), Polynomial((0.3, -0.5, 0.2))),
        Coupler("arms", number("elbow_flex_l"), number("elbow_flex_r"), Polynomial((1.0, 0.0))),
    )
    model = replace(bsk24, couplers=couplers)
    rng = np.random.default_rng(9)
    solver = _solver(model, rng.uniform(0.9, 1.1, (24, 3)))
    q = _moderate_pose(model, rng)
    points, jacobian = solver.residual_jacobian(q)
    targets = points + np.array([7.0, 0.0, -3.0])  # far off, and with gaps
    targets[[3, 10, 30]] = np.nan
    weights = rng.uniform(0.0, 2.0, len(targets))
    seen = np.where(np.isfinite(targets).all(axis=1), weights, 0.0)
    result = solver.solve(targets, q, 0, weights=weights)
    expected = np.einsum("m,mif,mig->fg", seen, jacobian, jacobian)
    np.testing.assert_allclose(result.information[np.ix_(solver.free, solver.free)], expected, atol=1e-9)
    dependent = [coupler.dependent for coupler in couplers]
    assert not result.information[dependent].any()


def test_wrong_shapes_are_refused(bsk24: SkeletonModel) -> None:
    solver = _solver(bsk24)
    with pytest.raises(ValueError, match="targets have shape"):
        solver.solve(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="q_start must be"):
        solver.solve(np.zeros((len(bsk24.markers), 3)), np.zeros(3))
    with pytest.raises(ValueError, match="prior weights"):
        solver.solve(np.zeros((len(bsk24.markers), 3)), q_prior=bsk24.default_pose(), prior_weight=np.array(-1.0))
    with pytest.raises(ValueError, match="marker bodies"):
        InverseKinematics(bsk24, [0, 1], np.zeros((3, 3)))
    with pytest.raises(ValueError, match="not on the ground"):
        InverseKinematics(bsk24, [-1], np.zeros((1, 3)))
