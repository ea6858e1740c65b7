"""Exchanged sides are undone, and every overruling of the detector ends by itself."""

from __future__ import annotations

import numpy as np
import pytest
from mediapipe.tasks.python.vision import PoseLandmark

from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.side_swaps import DISTRUST_S, EXCHANGED, GIVE_IN_S, SideSwaps

FPS = 30.0


@pytest.fixture(scope="module")
def person(landmarks: Landmarks) -> np.ndarray:
    """(33, 2) px of somebody who stands a quarter turned."""
    rotations = np.tile(np.eye(3), (24, 1, 1))
    rotations[0] = np.diag([1.0, -1.0, -1.0])
    points = landmarks.place(rotations, np.zeros(10)) + np.array([0.0, 0.0, 4.0])
    return 1000.0 * points[:, :2] / points[:, 2:] + np.array([640.0, 360.0])


SCORES = np.linspace(0.3, 1.0, 33)


def test_the_table_is_mediapipes() -> None:
    assert len(EXCHANGED) == len(PoseLandmark)
    for landmark in PoseLandmark:
        name = landmark.name
        other = name.replace("LEFT", "#").replace("RIGHT", "LEFT").replace("#", "RIGHT")
        assert PoseLandmark(int(EXCHANGED[landmark.value])).name == other
    np.testing.assert_array_equal(EXCHANGED[EXCHANGED], np.arange(33))


def test_what_fits_passes_unchanged(person: np.ndarray) -> None:
    sides, rng = SideSwaps(), np.random.default_rng(0)
    for n in range(60):
        keypoints = person + rng.normal(0, 8, person.shape)
        result = sides.correct(n / FPS, keypoints, SCORES, person)
        assert result is not None
        np.testing.assert_array_equal(result[0], keypoints)
        np.testing.assert_array_equal(result[1], SCORES)


def test_a_burst_of_exchanged_sides_is_undone_and_ends_with_the_burst(person: np.ndarray) -> None:
    sides, rng = SideSwaps(), np.random.default_rng(1)
    for n in range(50):
        true = person + rng.normal(0, 3, person.shape)
        swapped = 10 <= n < 25
        seen, scores = (true[EXCHANGED], SCORES[EXCHANGED]) if swapped else (true, SCORES)
        result = sides.correct(n / FPS, seen, scores, person)
        assert result is not None
        np.testing.assert_array_equal(result[0], true)
        np.testing.assert_array_equal(result[1], SCORES)


def test_two_bursts_are_two(person: np.ndarray) -> None:
    """A burst's clock starts anew: the second is not blamed for the first."""
    sides, t = SideSwaps(), 0.0
    for _ in range(4):
        for n in range(round(0.8 * GIVE_IN_S * FPS)):
            t += 1 / FPS
            result = sides.correct(t, person[EXCHANGED], SCORES, person)
            assert result is not None, n
            np.testing.assert_array_equal(result[0], person)
        t += 1 / FPS
        sides.correct(t, person, SCORES, person)


def test_a_detector_that_insists_is_believed(person: np.ndarray) -> None:
    sides, believed = SideSwaps(), None
    for n in range(round(5.0 * FPS)):
        result = sides.correct(n / FPS, person[EXCHANGED], SCORES, person)
        if result is not None and np.array_equal(result[0], person[EXCHANGED]):
            believed = n / FPS
            break
    assert believed is not None
    assert believed >= GIVE_IN_S - 1e-9
    assert believed <= GIVE_IN_S + DISTRUST_S + 2 / FPS


def test_wild_pictures_are_passed_over_for_a_moment_only(person: np.ndarray) -> None:
    sides, rng = SideSwaps(), np.random.default_rng(2)
    wild = person + rng.normal(0, 400, person.shape)
    answers = [sides.correct(n / FPS, wild, SCORES, person) for n in range(round(2 * DISTRUST_S * FPS) + 2)]
    assert answers[0] is None
    last = answers[-1]
    assert last is not None
    np.testing.assert_array_equal(last[0], wild)
    assert sides.correct(1.0, person, SCORES, person) is not None
    assert sides.correct(1.1, wild, SCORES, person) is None  # and a new one is one again


def test_somebody_seen_from_the_side_is_left_alone(landmarks: Landmarks) -> None:
    """In profile both sides coincide, so an exchange explains nothing."""
    rotations = np.tile(np.eye(3), (24, 1, 1))
    rotations[0] = np.diag([1.0, -1.0, -1.0]) @ np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    points = landmarks.place(rotations, np.zeros(10)) + np.array([0.0, 0.0, 4.0])
    image = 1000.0 * points[:, :2] / points[:, 2:]
    result = SideSwaps().correct(0.0, image, SCORES, image)
    assert result is not None
    np.testing.assert_array_equal(result[0], image)


def test_a_prediction_of_no_size_breaks_nothing() -> None:
    result = SideSwaps().correct(0.0, np.zeros((33, 2)), SCORES, np.full((33, 2), 5.0))
    assert result is None or np.isfinite(result[0]).all()
