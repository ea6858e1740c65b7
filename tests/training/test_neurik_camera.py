"""What a simulated camera makes of a person: rigid true markers, markers that err like a camera's, noise as stated."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.gravity import UNKNOWN_SIGMA
from biopose_live.training.neurik import camera as module
from biopose_live.training.neurik.camera import Camera, Seen
from biopose_live.training.neurik.motions import JOINTS, Sequence

TIMES = np.arange(10) / 20.0
BETAS = np.linspace(-1, 1, 10)


@pytest.fixture(scope="module")
def camera(body: BodyModel) -> Camera:
    return Camera(body)


def somebody(planted: bool = False) -> Sequence:
    """Stands, arms a little down, and walks one metre a second in the body's z."""
    rotations = np.tile(np.eye(3), (len(TIMES), JOINTS, 1, 1))
    trans = np.zeros((len(TIMES), 3))
    trans[:, 2] = TIMES
    return Sequence(TIMES, rotations, trans, planted)


@pytest.fixture(scope="module")
def look(camera: Camera) -> Seen:
    return camera.look(somebody(), BETAS, np.random.default_rng(3))


def test_true_markers_are_the_persons_own_upright(look: Seen, body: BodyModel) -> None:
    own = body.rest_markers(BETAS)
    assert look.true.shape == look.seen.shape == (len(TIMES), len(body.marker_names), 3)
    for frame in look.true:
        between = frame[:, None] - frame[None]
        wanted = own[:, None] - own[None]
        np.testing.assert_allclose(np.linalg.norm(between, axis=-1), np.linalg.norm(wanted, axis=-1), atol=1e-9)
        np.testing.assert_allclose(frame[:, 1] - frame[0, 1], own[:, 1] - own[0, 1], atol=1e-9)  # upright


def test_the_person_moves_as_the_sequence_says(look: Seen) -> None:
    step = np.linalg.norm(np.diff(look.true[:, 0], axis=0), axis=-1)
    np.testing.assert_allclose(step, np.diff(TIMES), atol=1e-9)


def test_seen_markers_err_but_show_the_person(look: Seen) -> None:
    error = np.linalg.norm(look.seen - look.true, axis=-1)
    relative = np.linalg.norm(
        (look.seen - look.seen.mean(1, keepdims=True)) - (look.true - look.true.mean(1, keepdims=True)), axis=-1
    )
    assert np.isfinite(look.seen).all()
    assert error.min() > 0.0
    assert 0.005 < np.median(relative) < 0.25
    assert look.betas.shape == (len(TIMES), 10)
    assert look.settled.shape == (len(TIMES),)


def test_planted_feet_stand(camera: Camera, body: BodyModel) -> None:
    seen = camera.look(somebody(planted=True), BETAS, np.random.default_rng(4))
    np.testing.assert_allclose(seen.true - seen.true[:1], 0.0, atol=1e-9)


def test_a_seed_gives_the_same_look(camera: Camera, look: Seen) -> None:
    again = camera.look(somebody(), BETAS, np.random.default_rng(3))
    np.testing.assert_array_equal(again.seen, look.seen)
    other = camera.look(somebody(), BETAS, np.random.default_rng(5))
    assert np.abs(other.seen - look.seen).max() > 1e-3


def test_drift_has_unit_spread_and_forgets() -> None:
    """An Ornstein-Uhlenbeck process of time constant s behind a low pass of s / 2 is correlated by 2 / e - 1 / e^2
    after s."""
    times = np.arange(4000) / 30.0
    drift = module._drift(times, 20, 2, 0.5, np.random.default_rng(1))
    assert drift.std() == pytest.approx(1.0, abs=0.06)
    lag = round(0.5 * 30)
    after = (drift[lag:] * drift[:-lag]).mean() / drift.var()
    assert after == pytest.approx(2.0 * np.exp(-1.0) - np.exp(-2.0), abs=0.06)
    far = 5 * lag
    assert abs((drift[far:] * drift[:-far]).mean()) < 0.06


def test_limbs_are_hidden_as_often_as_stated() -> None:
    times = np.arange(3000) / 30.0
    rng = np.random.default_rng(2)
    scores = np.array([module._hidden(times, rng) for _ in range(10)])
    limbs = [limb[0] for limb in module.LIMBS]
    begun = ((scores[:, 1:] < 0.5) & (scores[:, :-1] > 0.5))[..., limbs].sum() / (10 * len(limbs) * 100.0)
    assert begun == pytest.approx(1.0 / module.HIDDEN_EVERY_S, rel=0.3)
    others = np.setdiff1d(np.arange(33), np.concatenate(module.LIMBS))
    assert (scores[..., others] > 0.9).all()


def test_cameras_are_rotations_that_look_at_somebody_upright() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        turn = module._orientation(rng)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(turn) == pytest.approx(1.0)
        assert turn[1, 1] < -0.5  # the picture's y points down


def test_a_learnt_vertical_is_near_the_true_one_and_known_better() -> None:
    up = np.array([0.05, -0.99, 0.1])
    up /= np.linalg.norm(up)
    gravity = module._learnt(up, np.random.default_rng(1))
    assert np.degrees(np.arccos(gravity.up @ up)) < 5.0
    assert gravity.sigma < UNKNOWN_SIGMA
