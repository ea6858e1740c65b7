"""Cold starts: any plausible pose is found from its markers alone."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_live.skeleton.cold_start import fit_from_any_pose
from biopose_live.skeleton.inverse_kinematics import InverseKinematics
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import FloatArray, SkeletonModel


def _solver(model: SkeletonModel) -> InverseKinematics:
    locations = np.array([marker.location for marker in model.markers])
    return InverseKinematics(model, [marker.body for marker in model.markers], locations)


def _any_pose(model: SkeletonModel, rng: np.random.Generator) -> FloatArray:
    """Every joint anywhere in the middle nine tenths of its range, the body turned anyhow."""
    q = np.empty(len(model.coordinates))
    for i, coordinate in enumerate(model.coordinates):
        low, high = np.clip(coordinate.range, -np.pi, np.pi) if coordinate.rotational else (-2.0, 2.0)
        q[i] = rng.uniform(0.95 * low + 0.05 * high, 0.05 * low + 0.95 * high)
    return q


def _failures(model: SkeletonModel, count: int, noise: float, seed: int) -> list[float]:
    solver, kinematics = _solver(model), Kinematics(model)
    rng = np.random.default_rng(seed)
    failures = []
    for _ in range(count):
        clean = kinematics.markers(_any_pose(model, rng))
        result = solver.fit_from_any_pose(clean + noise * rng.normal(size=clean.shape), tolerance=1e-3 + 2.0 * noise)
        if not result.rms < 1e-3 + 2.0 * noise:
            failures.append(result.rms)
    return failures


def test_200_random_poses_are_found(bsk24: SkeletonModel) -> None:
    assert _failures(bsk24, 200, 0.0, seed=11) == []


@pytest.mark.slow
def test_1000_random_poses_are_found(bsk24: SkeletonModel) -> None:
    assert _failures(bsk24, 1000, 0.0, seed=12) == []


def test_noisy_markers_too(bsk24: SkeletonModel) -> None:
    assert _failures(bsk24, 50, 0.005, seed=13) == []


def test_found_without_the_pelvis_markers(bsk24: SkeletonModel) -> None:
    solver = _solver(bsk24)
    rng = np.random.default_rng(14)
    pelvis = bsk24.body_index("pelvis")
    for _ in range(10):
        targets = Kinematics(bsk24).markers(_any_pose(bsk24, rng))
        targets[solver.marker_bodies == pelvis] = np.nan
        assert solver.fit_from_any_pose(targets).rms < 1e-3


def test_same_markers_same_answer_and_angles_unwound(bsk24: SkeletonModel) -> None:
    targets = Kinematics(bsk24).markers(_any_pose(bsk24, np.random.default_rng(15)))
    first, second = (fit_from_any_pose(_solver(bsk24), targets, None, None, None, 1e-3) for _ in range(2))
    np.testing.assert_array_equal(first.q, second.q)
    for i, coordinate in enumerate(bsk24.coordinates):
        if coordinate.rotational:
            assert -np.pi - 1e-9 <= first.q[i] <= max(np.pi, coordinate.range[1]) + 1e-9


def test_nothing_seen_gives_the_default_pose(bsk24: SkeletonModel) -> None:
    result = _solver(bsk24).fit_from_any_pose(np.full((len(bsk24.markers), 3), np.nan))
    np.testing.assert_allclose(result.q, bsk24.default_pose())
    assert np.isnan(result.rms)
