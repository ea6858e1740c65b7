"""A session's shape against exact Gaussian posteriors, and that a wrong second does not spoil it."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.shape import CORRELATION_S, ShapeEstimate
from biopose_live.neurik.shape_session import ShapeSession, bone_lengths, with_stature

S, POSE, STEP = 10, 6, 0.05


def estimate(body: BodyModel, height: float | None = None) -> ShapeEstimate:
    mean, gradient = body.stature_near_mean()
    return ShapeEstimate(S, mean, gradient, height, settle_s=np.inf)


class Frames:
    """Linear pictures of a pose and a shape, each with a new pose."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.a, self.b = self.rng.normal(size=(30, POSE)), self.rng.normal(size=(30, S))
        self.truth = self.rng.normal(size=S)
        clear = np.eye(30) - self.a @ np.linalg.pinv(self.a)
        self.own, self.pull = self.b.T @ clear @ self.b, self.b.T @ clear

    def feed(self, shape: ShapeEstimate, t: float, truth: np.ndarray) -> np.ndarray:
        """-> the picture (30,), with noise of one."""
        z = self.a @ self.rng.normal(size=POSE) + self.b @ truth + self.rng.normal(size=30)
        both = np.concatenate([self.a, self.b], 1)
        hessian, target = both.T @ both, both.T @ z
        hessian[POSE:, POSE:] += shape.information
        target[POSE:] += shape.information @ shape.betas
        shape.update(t, np.linalg.solve(hessian, target)[POSE:], hessian, POSE, 1.0)
        return z


def session(
    body: BodyModel, seed: int, seconds: float = 12.0, wrong: tuple[int, ...] = ()
) -> tuple[ShapeSession, ShapeEstimate, Frames, np.ndarray]:
    """-> the session, the running estimate, the camera, and the exact posterior of the frames in whole blocks.

    In the seconds `wrong` somebody else is in the picture."""
    camera, shape, collected = Frames(seed), estimate(body), ShapeSession(estimate(body))
    information, vector = np.eye(S), np.zeros(S)
    stranger = camera.truth + 6.0 * camera.rng.choice([-1.0, 1.0], size=S)
    counted = 0
    for n in range(round(seconds / STEP) + 1):
        t = n * STEP
        z = camera.feed(shape, t, stranger if int(t) in wrong else camera.truth)
        gained = collected.add(1, shape)
        assert gained == (n > 0)
        if n:
            counted += 1
            information += STEP / CORRELATION_S * camera.own
            vector += STEP / CORRELATION_S * camera.pull @ z
    assert collected.frames == counted
    return collected, shape, camera, np.linalg.solve(information, vector)


@pytest.mark.parametrize("seed", range(3))
def test_with_equal_weights_it_is_the_posterior_of_all_frames(body: BodyModel, seed: int) -> None:
    collected, _, _, exact = session(body, seed)
    assert len(collected.blocks) == 12
    found, _ = collected._solve(collected.blocks, np.ones(12))
    # The last frames may lie outside whole blocks; they are a percent of the information.
    np.testing.assert_allclose(found, exact, atol=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_a_quarter_of_wrong_seconds_does_not_spoil_it(body: BodyModel, seed: int) -> None:
    collected, running, camera, _ = session(body, seed, wrong=(4, 5, 9))
    found = collected.combine()
    plain = np.linalg.norm(running.betas - camera.truth)
    robust = np.linalg.norm(found.betas - camera.truth)
    assert robust < 0.5 * plain
    assert found.weights[[4, 5, 9]].max() < 0.5
    assert np.median(found.weights) == 1.0


def test_a_clean_session_is_precise_and_says_so(body: BodyModel) -> None:
    collected, _, camera, _ = session(body, 5)
    dirty, _, _, _ = session(body, 5, wrong=(2, 3, 7))
    off = bone_lengths(body, collected.combine().betas) - bone_lengths(body, camera.truth)
    assert np.abs(off).max() < 5 * collected.spread(body)
    assert 0 < collected.spread(body) < dirty.spread(body)


def test_tracks_of_one_session_are_pooled(body: BodyModel) -> None:
    camera, collected = Frames(6), ShapeSession(estimate(body))
    for person in (1, 2):
        shape = estimate(body)
        for n in range(61):
            camera.feed(shape, n * STEP, camera.truth)
            collected.add(person, shape)
    assert len(collected.blocks) in (4, 6)  # whether the third second is whole is a matter of rounding
    assert collected.seconds == pytest.approx(6.0, abs=0.01)
    np.testing.assert_allclose(collected.combine().betas, camera.truth, atol=1.0)


def test_nothing_seen_is_an_error(body: BodyModel) -> None:
    with pytest.raises(ValueError, match="no second of good frames"):
        ShapeSession(estimate(body)).combine()


@pytest.mark.parametrize("height", [1.5, 1.72, 2.0])
def test_a_given_stature_is_met_and_the_rest_is_kept(body: BodyModel, height: float) -> None:
    collected, _, _, _ = session(body, 7)
    found = collected.combine()
    betas = with_stature(body, found, height)
    assert body.stature(betas) == pytest.approx(height, abs=1e-4)
    # Any other change of the same stature contradicts the frames more.
    cost = (betas - found.betas) @ found.information @ (betas - found.betas)
    gradient = np.array([(body.stature(betas + s) - body.stature(betas)) / 1e-4 for s in 1e-4 * np.eye(S)])
    rng = np.random.default_rng(8)
    for _ in range(20):
        side = rng.normal(size=S) * 0.05
        side -= gradient * (side @ gradient) / (gradient @ gradient)
        other = betas + side - found.betas
        assert other @ found.information @ other > cost - 1e-6
