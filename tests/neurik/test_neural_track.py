"""One person's joint angles from NeurIK: inside their ranges, the same wherever the person stands, steady bones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.neurik.calibration import Calibrator
from biopose_live.neurik.kinematic_track import Solved
from biopose_live.neurik.mean_person import standing_observer
from biopose_live.neurik.neural_track import NeuralSolver, NeuralTrack
from biopose_live.neurik.stream import StreamedNetwork
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import SkeletonModel
from neurik_made_up import for_skeleton, random_network, small, waves, weights_of

MEAN = np.zeros(10)


@pytest.fixture(scope="module")
def calibrator(body: BodyModel, skeleton: SkeletonModel) -> Calibrator:
    return Calibrator(body, skeleton)


def solver_of(body: BodyModel, skeleton: SkeletonModel, seed: int, strength: float = 0.1) -> NeuralSolver:
    standing = standing_observer(body, skeleton).standing
    network = random_network(for_skeleton(body, skeleton), seed, strength)
    return NeuralSolver(
        skeleton, body.marker_names, StreamedNetwork(network.architecture, weights_of(network, standing))
    )


@pytest.fixture(scope="module")
def solver(body: BodyModel, skeleton: SkeletonModel) -> NeuralSolver:
    return solver_of(body, skeleton, 1)


@pytest.fixture(scope="module")
def clip(skeleton: SkeletonModel, calibrator: Calibrator) -> tuple[np.ndarray, np.ndarray]:
    """times (T,) and markers (T, M, 3) of somebody who moves."""
    times = np.arange(30) / 30
    person, kinematics = calibrator(MEAN), Kinematics(skeleton)
    q = waves(skeleton, times, np.random.default_rng(2))
    places = [kinematics.markers(row, person.scales, person.marker_bodies, person.marker_locations) for row in q]
    return times, np.array(places)


def run(solver: NeuralSolver, calibrator: Calibrator, times: np.ndarray, markers: np.ndarray) -> list[Solved]:
    track = NeuralTrack(solver, calibrator)
    return [track.update(float(t), frame, MEAN, False) for t, frame in zip(times, markers, strict=True)]


@settings(max_examples=8, deadline=None)
@given(st.floats(-3.0, 3.0), st.floats(-5, 5), st.floats(-5, 5))
def test_where_a_person_stands_changes_the_place_alone(
    solver: NeuralSolver, calibrator: Calibrator, clip: tuple[np.ndarray, np.ndarray], angle: float, x: float, z: float
) -> None:
    """Moved, nothing else changes at all; turned, the network may look at how the person faces the camera (markers err
    most along its view), so its answer is compared with that input held still."""
    times, markers = clip
    here = run(solver, calibrator, times, markers)
    there = run(solver, calibrator, times, markers + np.array([x, 0.2, z]))
    turning = [i for i, c in enumerate(solver.model.coordinates) if c.rotational]
    for a, b in zip(here, there, strict=True):
        np.testing.assert_allclose(b.q[turning], a.q[turning], atol=2e-4)
        np.testing.assert_allclose(b.q[solver.layout.place] - a.q[solver.layout.place], [x, 0.2, z], atol=1e-4)
        np.testing.assert_allclose(b.scales, a.scales, rtol=1e-4)
    blind = blind_to_the_camera(solver)
    turn = Rotation.from_rotvec([0.0, angle, 0.0]).as_matrix()
    here, there = run(blind, calibrator, times, markers), run(blind, calibrator, times, markers @ turn.T)
    heading = solver.model.coordinate_index("pelvis_rotation")
    others = [i for i in turning if i != heading]
    for a, b in zip(here, there, strict=True):
        np.testing.assert_allclose(b.q[others], a.q[others], atol=1e-3)
        assert np.cos(b.q[heading] - a.q[heading] - angle) == pytest.approx(1.0, abs=1e-5)
        np.testing.assert_allclose(b.q[solver.layout.place], turn @ a.q[solver.layout.place], atol=1e-4)
        np.testing.assert_allclose(b.origins, a.origins @ turn.T, atol=1e-3)


def test_the_skeleton_is_where_its_markers_were_seen(
    solver: NeuralSolver, skeleton: SkeletonModel, calibrator: Calibrator, clip: tuple[np.ndarray, np.ndarray]
) -> None:
    """Whatever the network answers, the markers that ride on its skeleton lie around the ones that were seen."""
    times, markers = clip
    mean, kinematics = calibrator(MEAN), Kinematics(skeleton)
    places = mean.marker_locations / mean.scales[mean.marker_bodies]
    for solved, seen in zip(run(solver, calibrator, times, markers), markers, strict=True):
        locations = solved.scales[mean.marker_bodies] * places
        carried = kinematics.markers(solved.q, solved.scales, mean.marker_bodies, locations)
        np.testing.assert_allclose(carried.mean(0), seen.mean(0), atol=1e-9)


def blind_to_the_camera(solver: NeuralSolver) -> NeuralSolver:
    """The same network without a weight for how the person stands to the camera, the last two inputs."""
    network = random_network(solver.network.architecture, 1, 0.1)
    weights = weights_of(network, solver.network.standing)
    weights["spatial.turns.weight"] = weights["spatial.turns.weight"].copy()
    weights["spatial.turns.weight"][:, -2:] = 0.0
    names = solver.observer.names
    return NeuralSolver(solver.model, names, StreamedNetwork(network.architecture, weights))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_whatever_the_network_says_angles_stay_in_their_ranges(
    body: BodyModel,
    skeleton: SkeletonModel,
    calibrator: Calibrator,
    clip: tuple[np.ndarray, np.ndarray],
    seed: int,
) -> None:
    wild = solver_of(body, skeleton, seed, strength=2.0)
    for solved in run(wild, calibrator, clip[0][:8], clip[1][:8]):
        for value, coordinate in zip(solved.q, skeleton.coordinates, strict=True):
            assert np.isfinite(value)
            if coordinate.clamped:
                assert coordinate.range[0] - 1e-9 <= value <= coordinate.range[1] + 1e-9, coordinate.name
        assert (solved.sigma > 0).all()
        assert np.isfinite(solved.sigma).all()
        assert (solved.scales > 0).all()


def test_bodies_are_the_skeletons_own(
    solver: NeuralSolver, calibrator: Calibrator, clip: tuple[np.ndarray, np.ndarray], skeleton: SkeletonModel
) -> None:
    for solved in run(solver, calibrator, *clip):
        rotations, origins = Kinematics(skeleton).forward(solved.q, solved.scales)
        np.testing.assert_allclose(solved.rotations, rotations, atol=1e-12)
        np.testing.assert_allclose(solved.origins, origins, atol=1e-12)
        assert np.isnan(solved.rms)


def test_bones_settle_and_are_then_held(
    solver: NeuralSolver, calibrator: Calibrator, clip: tuple[np.ndarray, np.ndarray]
) -> None:
    track = NeuralTrack(solver, calibrator)
    times, markers = clip
    scales = [
        track.update(float(t), frame, MEAN, n >= 15).scales
        for n, (t, frame) in enumerate(zip(times, markers, strict=True))
    ]
    moved = [float(np.abs(b - a).max()) for a, b in itertools.pairwise(scales)]
    assert max(moved[:4]) > max(moved[10:14]) > 0.0  # the more frames a mean holds, the less one more moves it
    assert max(moved[15:]) == 0.0


def test_who_was_calibrated_keeps_that_skeleton(
    solver: NeuralSolver, calibrator: Calibrator, clip: tuple[np.ndarray, np.ndarray]
) -> None:
    betas = np.linspace(-1, 1, 10)
    track = NeuralTrack(solver, calibrator)
    wanted = calibrator(betas).scales
    for t, frame in zip(*clip, strict=True):
        np.testing.assert_allclose(track.update(float(t), frame, betas, True).scales, wanted, rtol=1e-12)


def test_who_is_calibrated_meanwhile_gets_that_skeleton(
    solver: NeuralSolver, calibrator: Calibrator, clip: tuple[np.ndarray, np.ndarray]
) -> None:
    track = NeuralTrack(solver, calibrator)
    found = [track.update(n / 30, clip[1][n], MEAN + (n >= 20) * 0.5, 5 < n < 10 or n >= 20).scales for n in range(25)]
    for n in range(7, 20):  # held while the shape is measured anew
        np.testing.assert_array_equal(found[n], found[6])
    for n in range(20, 25):
        np.testing.assert_allclose(found[n], calibrator(MEAN + 0.5).scales, rtol=1e-12)


def test_a_frame_that_is_not_later_gets_the_last_answer(
    solver: NeuralSolver, calibrator: Calibrator, clip: tuple[np.ndarray, np.ndarray]
) -> None:
    track = NeuralTrack(solver, calibrator)
    first = track.update(1.0, clip[1][0], MEAN, False)
    assert track.update(1.0, clip[1][5], MEAN, False) is first
    assert track.update(0.5, clip[1][5], MEAN, False) is first
    assert track.update(1.1, clip[1][5], MEAN, False) is not first


def test_the_pelvis_counts_on_through_a_whole_turn(
    solver: NeuralSolver, calibrator: Calibrator, clip: tuple[np.ndarray, np.ndarray]
) -> None:
    track = NeuralTrack(solver, calibrator)
    heading = solver.model.coordinate_index("pelvis_rotation")
    found = []
    for n in range(60):
        turn = Rotation.from_rotvec([0.0, 0.15 * n, 0.0]).as_matrix()
        found.append(track.update(n / 30, clip[1][0] @ turn.T, MEAN, False).q[heading])
    steps = np.diff(found)
    assert np.abs(steps).max() < 1.0
    assert found[-1] - found[0] == pytest.approx(0.15 * 59, abs=1.0)


def test_a_network_for_other_markers_is_told(body: BodyModel, skeleton: SkeletonModel) -> None:
    network = random_network(small(len(body.marker_names)), 1)
    weights = weights_of(network, standing_observer(body, skeleton).standing)
    with pytest.raises(
        UserError, match=r"another version: markers, turns, motion and outputs are 89, 9, 7, 11, wanted"
    ):
        NeuralSolver(skeleton, body.marker_names, StreamedNetwork(network.architecture, weights))
