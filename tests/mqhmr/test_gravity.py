"""The direction against gravity: signs, convergence, and that a camera whose pitch is known stays as it is."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biopose_live.mqhmr.gravity import BEST_SIGMA, LEVEL, UNKNOWN_SIGMA, Gravity, pitched, tilted
from biopose_live.mqhmr.view import elevation, view_rotation
from biopose_live.training.lifter.observe import _about


def angle(a: np.ndarray, b: np.ndarray) -> float:
    return math.atan2(float(np.linalg.norm(np.cross(a, b))), float(a @ b))


@pytest.mark.parametrize("degrees", [-60.0, -5.0, 0.0, 12.0, 90.0])
def test_a_camera_pitched_downward_sees_up_turned_away_from_its_axis(degrees: float) -> None:
    p = math.radians(degrees)
    up = pitched(p)
    np.testing.assert_allclose(up, [0, -math.cos(p), -math.sin(p)], atol=1e-15)
    assert up[2] <= 0 or degrees < 0  # looking down: what is ahead (z) lies below
    np.testing.assert_array_equal(Gravity(p).up, up)


@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(-0.4, 0.4), st.floats(-0.4, 0.4), st.floats(-0.4, 0.4))
def test_the_networks_tilt_is_the_one_that_training_made(
    x: float, y: float, true_elevation: float, roll: float, off: float
) -> None:
    """Training turns the world (y up) by roll and elevation; of that view, `tilted` must give the world's up back."""
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    to_view = (
        _about(2, torch.tensor([roll])) @ _about(0, torch.tensor([-true_elevation])) @ flip @ _about(1, torch.zeros(1))
    )[0].numpy()
    up_in_view = to_view @ np.array([0.0, 1.0, 0.0])
    view = view_rotation(np.array([x, y, 1.0]), LEVEL)
    found = tilted(view, true_elevation - off, np.array([roll, off]))
    np.testing.assert_allclose(view @ found, up_in_view, atol=1e-5)


def test_no_tilt_means_that_the_assumption_holds() -> None:
    up = pitched(0.3)
    view = view_rotation(np.array([0.2, -0.1, 1.0]), up)
    np.testing.assert_allclose(tilted(view, elevation(view, up), np.zeros(2)), up, atol=1e-12)


@given(st.floats(-0.25, 0.25), st.floats(-0.2, 0.2), st.sampled_from([15, 30, 60]))
@settings(max_examples=10, deadline=None)
def test_repeated_measurements_converge_to_what_they_say(pitch: float, side: float, fps: int) -> None:
    truth = pitched(pitch) + np.array([side, 0, 0])
    truth /= np.linalg.norm(truth)
    gravity = Gravity()
    first = angle(gravity.up, truth)
    sigmas = [gravity.sigma]
    for n in range(60 * fps):
        gravity.update(n / fps, truth, math.radians(3.0))
        sigmas.append(gravity.sigma)
    assert angle(gravity.up, truth) <= 0.05 * first + 1e-6
    assert np.linalg.norm(gravity.up) == pytest.approx(1.0)
    assert all(b <= a + 1e-12 for a, b in pairwise(sigmas))
    assert sigmas[0] == UNKNOWN_SIGMA
    assert sigmas[-1] >= BEST_SIGMA


def test_a_second_counts_the_same_at_any_frame_rate() -> None:
    ups = []
    for fps in (15, 30, 60):
        gravity = Gravity()
        for n in range(fps + 1):
            gravity.update(n / fps, pitched(0.2), math.radians(4.0))
        ups.append(gravity.up)
    np.testing.assert_allclose(ups[1], ups[0], atol=2e-3)
    np.testing.assert_allclose(ups[2], ups[0], atol=2e-3)


def test_one_frame_or_a_pause_moves_little() -> None:
    gravity = Gravity()
    gravity.update(0.0, pitched(0.3), 0.02)
    np.testing.assert_allclose(gravity.up, LEVEL)  # one frame spans no time
    gravity.update(1000.0, pitched(0.3), 0.05)
    once = gravity.up.copy()
    other = Gravity()
    other.update(0.0, pitched(0.3), 0.05)
    other.update(0.3, pitched(0.3), 0.05)
    np.testing.assert_allclose(once, other.up, atol=1e-12)  # nobody in sight for long is no long look


def test_vague_measurements_move_less() -> None:
    moved = []
    for sigma in (0.05, 0.2, 0.8):
        gravity = Gravity()
        for n in range(30):
            gravity.update(n / 30, pitched(0.3), sigma)
        moved.append(angle(gravity.up, LEVEL))
    assert moved[0] > moved[1] > moved[2]


def test_a_known_pitch_never_moves() -> None:
    gravity = Gravity(0.1)
    sigma = gravity.sigma
    for n in range(100):
        gravity.update(n / 30, pitched(-0.5), 0.01)
    np.testing.assert_array_equal(gravity.up, pitched(0.1))
    assert gravity.sigma == sigma < UNKNOWN_SIGMA


def test_a_camera_that_was_moved_is_noticed() -> None:
    gravity = Gravity()
    for n in range(60 * 10):
        gravity.update(n / 10, pitched(0.2), 0.05)
    for n in range(600 * 10):
        gravity.update(60 + n / 10, pitched(-0.2), 0.05)
    assert angle(gravity.up, pitched(-0.2)) < math.radians(1.0)
