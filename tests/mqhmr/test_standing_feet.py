"""Which feet stand: speeds in the picture become a pull, and noise, gaps and faint landmarks do not mislead it."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_live.mqhmr.standing_feet import FLAT_SIGMA, MOVING, StandingFeet

LEFT, RIGHT = [29, 31], [30, 32]


def person(seed: int = 0) -> np.ndarray:
    """Landmarks (33, 2) px of somebody about 200 px of size."""
    return np.random.default_rng(seed).normal(0, 150, (33, 2)) + 600


def follow(moves: np.ndarray, fps: float = 30.0, scores: np.ndarray | None = None) -> list[np.ndarray]:
    """moves (T, 33, 2) px added to a person who stands -> the answers of all frames."""
    feet, base = StandingFeet(), person()
    scores = np.ones(33) if scores is None else scores
    return [feet.precision(k / fps, base + move, scores, 0.0) for k, move in enumerate(moves)]


def test_nothing_is_known_from_one_frame() -> None:
    assert (follow(np.zeros((1, 33, 2)))[0] == 0).all()


def test_a_foot_at_rest_stands_and_a_moving_one_does_not() -> None:
    moves = np.zeros((30, 33, 2))
    moves[:, LEFT, 0] = np.arange(30)[:, None] * 20.0  # 600 px/s, about three sizes per second
    left, right = follow(moves)[-1]
    assert left == 0
    assert right == pytest.approx(1 / FLAT_SIGMA**2)


def test_the_pull_fades_with_speed_and_with_what_is_known_of_gravity() -> None:
    size = np.sqrt(((person()[11:33] - person()[23:25].mean(0)) ** 2).sum(-1).mean())
    moves = np.zeros((60, 33, 2))
    moves[:, RIGHT, 1] = np.arange(60)[:, None] * (0.5 * MOVING * size / 30)
    left, right = follow(moves)[-1]
    assert right == pytest.approx(0.5 * left, rel=0.1)
    feet = StandingFeet()
    for k in range(5):
        sure, unsure = feet.precision(k / 30, person(), np.ones(33), 0.1)
    assert sure == unsure == pytest.approx(1 / (FLAT_SIGMA**2 + 0.01))


@pytest.mark.parametrize("fps", [15.0, 60.0])
def test_a_pixel_of_jitter_is_no_step(fps: float) -> None:
    jitter = np.random.default_rng(1).normal(0, 0.2, (40, 33, 2))
    assert (follow(jitter, fps)[-1] > 0.4 / FLAT_SIGMA**2).all()


def test_a_faint_foot_and_a_gap_say_nothing() -> None:
    faint = np.ones(33)
    faint[31] = 0.1
    left, right = follow(np.zeros((9, 33, 2)), scores=faint)[-1]
    assert left == 0
    assert right > 0
    feet = StandingFeet()
    for t in (0.0, 0.03, 2.0):
        after = feet.precision(t, person(), np.ones(33), 0.0)
    assert (after == 0).all()
