"""Distances of posed bodies and points: none at the truth, SciPy's Procrustes analysis, and what each leaves out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from biopose_live.body.joints import JOINT_INDEX
from biopose_live.body.model import BodyModel
from biopose_live.evaluation.mqhmr_scores import (
    leg_points,
    mean_distance,
    point_scores,
    pose_errors,
    pose_scores,
    summary,
)
from biopose_live.mqhmr.lite.points import MARKERS, POINTS, dense_points


@pytest.fixture(scope="module")
def posed(body: BodyModel) -> list[tuple[np.ndarray, np.ndarray]]:
    """Joints and vertices of a few people."""
    rng = np.random.default_rng(0)
    people = [
        body.forward(rng.normal(0, 0.3, (24, 3)), rng.normal(size=10), rng.normal(size=3), markers=False)
        for _ in range(3)
    ]
    return [(p.joints, p.vertices) for p in people if p.vertices is not None]


def test_the_truth_has_no_error_wherever_it_stands(posed: list[tuple[np.ndarray, np.ndarray]]) -> None:
    away = np.array([0.3, -2.0, 5.0])
    for joints, vertices in posed:
        errors = pose_errors(joints + away, vertices + away, joints, vertices)
        assert max(errors.mpjpe, errors.pa_mpjpe, errors.mve) < 1e-9


def test_a_similarity_transform_is_all_that_procrustes_takes_away(posed: list[tuple[np.ndarray, np.ndarray]]) -> None:
    joints, vertices = posed[0]
    turn = Rotation.from_rotvec([0.4, -1.0, 0.2]).as_matrix()
    errors = pose_errors(1.3 * joints @ turn.T, 1.3 * vertices @ turn.T, joints, vertices)
    assert errors.pa_mpjpe == pytest.approx(0.0, abs=1e-9)
    assert errors.mpjpe > 100.0
    mirrored = pose_errors(joints * [-1, 1, 1], vertices * [-1, 1, 1], joints, vertices)
    assert mirrored.pa_mpjpe > 10.0  # a reflection is an error


def test_pa_mpjpe_is_scipys(posed: list[tuple[np.ndarray, np.ndarray]]) -> None:
    rng = np.random.default_rng(1)
    for true, vertices in posed:
        found = true + rng.normal(0, 0.06, true.shape)
        ours = pose_errors(found, vertices, true, vertices).pa_mpjpe
        # Both sets in units of their size; the second is turned and scaled onto the first.
        first, second, disparity = procrustes(true, found)
        size = np.linalg.norm(true - true.mean(0))
        assert ours == pytest.approx(1e3 * size * np.linalg.norm(first - second, axis=1).mean())
        a, b = found - found.mean(0), true - true.mean(0)
        turn, singular = orthogonal_procrustes(a, b)
        again = singular / (a**2).sum() * a @ turn
        assert ours == pytest.approx(1e3 * np.linalg.norm(again - b, axis=1).mean())
        assert disparity == pytest.approx(((again - b) ** 2).sum() / size**2)


def test_mpjpe_and_mve_are_pelvis_on_pelvis(posed: list[tuple[np.ndarray, np.ndarray]]) -> None:
    joints, vertices = posed[1]
    moved = joints.copy()
    moved[5] += [0.03, 0.0, 0.04]
    errors = pose_errors(moved, vertices, joints, vertices)
    assert errors.mpjpe == pytest.approx(50.0 / 24)
    assert errors.mve == pytest.approx(0.0, abs=1e-9)
    moved = joints.copy()
    moved[0] += [0.0, 0.0, 0.01]  # the origin itself: everything else is off by that much
    errors = pose_errors(moved, vertices, joints, vertices)
    assert errors.mpjpe == pytest.approx(10.0 * 23 / 24)
    assert errors.mve == pytest.approx(10.0)
    assert mean_distance(joints, joints + 1.0, joints[0], joints[0] + 1.0) == pytest.approx(0.0, abs=1e-9)


def test_a_mean_and_a_median_over_what_is_known(posed: list[tuple[np.ndarray, np.ndarray]]) -> None:
    found = summary([1.0, 2.0, np.nan, 9.0])
    assert (found.mean, found.median) == (4.0, 2.0)
    assert np.isnan(summary([]).mean)
    assert np.isnan(summary([np.nan]).median)
    joints, vertices = posed[0]
    worse = pose_errors(joints, vertices + np.array([0.0, 0.002, 0.0]), joints, vertices)
    none = pose_errors(joints, vertices, joints, vertices)
    scores = pose_scores([none, none, worse])
    assert scores.mve_mm.mean == pytest.approx(2.0 / 3)
    assert scores.mve_mm.median == pytest.approx(0.0, abs=1e-9)


def test_the_legs_points(body: BodyModel) -> None:
    legs = leg_points(dense_points(body))
    assert legs.shape == (POINTS,)
    named = {name for name, leg in zip(body.marker_names, legs, strict=False) if leg}
    assert {"LTOE", "RTOE", "LHEE", "RANK", "LKNE"} & set(body.marker_names) <= named
    assert not named & {"C7", "T10", "LELB", "RWRA", "LASI", "RPSI"}
    joints = legs[MARKERS:]
    assert joints[JOINT_INDEX["left_hip"]]
    assert joints[JOINT_INDEX["right_foot"]]
    assert not joints[JOINT_INDEX["spine1"]]
    assert joints.sum() == 8


def test_pixels_of_the_crop() -> None:
    rng = np.random.default_rng(2)
    true = rng.uniform(0.1, 0.9, (2, 4, 2))
    found = true + np.array([0.03, 0.04])
    true[1, 3] = [1.5, 0.5]  # far outside: it does not count
    seen = np.array([[True, True, False, False]] * 2)
    legs = np.array([True, False, True, False])
    found[0, 0] = true[0, 0]
    scores = point_scores(found, true, seen, legs)
    px = 256 * 0.05
    assert scores.all.mean == pytest.approx(px * 6 / 7)
    assert scores.all.median == pytest.approx(px)
    assert scores.seen.mean == pytest.approx(px * 3 / 4)
    assert scores.legs.mean == pytest.approx(px / 2)
    assert scores.joints == scores.seen  # there are no more than 24 points


def test_joint_centres_come_last() -> None:
    true = np.full((1, POINTS, 2), 0.5)
    found = true.copy()
    found[:, MARKERS:, 0] += 0.1
    scores = point_scores(found, true, np.ones((1, POINTS), bool), np.zeros(POINTS, bool))
    assert scores.joints.median == pytest.approx(25.6)
    assert scores.seen.median == 0.0
