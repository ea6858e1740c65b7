"""The running shape estimate against exact Gaussian posteriors, a known stature, and that a settled shape is held."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.shape import CORRELATION_S, SETTLE_S, ShapeEstimate

S, POSE = 4, 6
STEP = 0.05


def free(height: float | None = None) -> ShapeEstimate:
    return ShapeEstimate(S, 1.7, np.array([0.06, 0.01, -0.01, 0.0]), height)


class Frames:
    """A linear-Gaussian camera: z = A pose + B betas + noise; each frame's pose is new."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.a, self.b = rng.normal(size=(20, POSE)), rng.normal(size=(20, S))
        self.truth = rng.normal(size=S)
        self.rng = rng

    def draw(self) -> np.ndarray:
        return self.a @ self.rng.normal(size=POSE) + self.b @ self.truth + 0.1 * self.rng.normal(size=20)

    def solve(self, z: np.ndarray, shape: ShapeEstimate) -> tuple[np.ndarray, np.ndarray]:
        """What refinement hands over: the frame's MAP betas under the running prior, and its whole Hessian / 2."""
        both = np.concatenate([self.a, self.b], 1)
        hessian = both.T @ both / 0.1**2
        target = both.T @ z / 0.1**2
        hessian[POSE:, POSE:] += shape.information
        target[POSE:] += shape.information @ shape.betas
        return np.linalg.solve(hessian, target)[POSE:], hessian


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("quality", [1.0, 0.4])
def test_it_is_the_posterior_of_the_frames_each_counted_by_its_share(seed: int, quality: float) -> None:
    camera, shape = Frames(seed), free()
    # The exact answer: pose marginalised out of every frame, and its information scaled by the frame's share.
    clear = np.eye(20) - camera.a @ np.linalg.pinv(camera.a)
    per_frame = camera.b.T @ clear @ camera.b / 0.1**2
    information, pull = np.eye(S), np.zeros(S)
    for n in range(20):
        z = camera.draw()
        betas, hessian = camera.solve(z, shape)
        shape.update(n * STEP, betas, hessian, POSE, quality)
        share = 0.0 if n == 0 else quality * STEP / CORRELATION_S
        information += share * per_frame
        pull += share * camera.b.T @ clear @ z / 0.1**2
        np.testing.assert_allclose(shape.information, information, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(shape.betas, np.linalg.solve(information, pull), atol=2e-4)


def test_it_finds_the_truth_and_settles_once() -> None:
    camera, shape = Frames(5), free()
    n, held = 0, None
    while n * STEP < 2 * SETTLE_S:
        shape.update(n * STEP, *camera.solve(camera.draw(), shape), POSE, 1.0)
        n += 1
        if shape.settled and held is None:
            assert n * STEP >= SETTLE_S
            assert n * STEP <= SETTLE_S + 3 * STEP
            held = shape.betas.copy(), shape.information.copy()
    assert held is not None
    np.testing.assert_array_equal(shape.betas, held[0])
    np.testing.assert_array_equal(shape.information, held[1])
    np.testing.assert_allclose(shape.betas, camera.truth, atol=0.1)


def test_what_is_seen_badly_never_settles_and_teaches_nothing() -> None:
    camera, shape = Frames(6), free()
    for n in range(round(10 * SETTLE_S / STEP)):
        shape.update(n * STEP, *camera.solve(camera.draw(), shape), POSE, 0.0)
    assert not shape.settled
    np.testing.assert_array_equal(shape.betas, np.zeros(S))
    np.testing.assert_array_equal(shape.information, np.eye(S))


def test_half_the_quality_takes_twice_as_long() -> None:
    times = []
    for quality in (1.0, 0.5):
        shape, camera, n = free(), Frames(7), 0
        while not shape.settled:
            shape.update(n * STEP, *camera.solve(camera.draw(), shape), POSE, quality)
            n += 1
        times.append((n - 1) * STEP)
    assert times[1] == pytest.approx(2 * times[0], abs=2 * STEP)


def test_a_pause_counts_as_one_frame() -> None:
    shape, camera = free(), Frames(8)
    shape.update(0.0, *camera.solve(camera.draw(), shape), POSE, 1.0)
    shape.update(1e4, *camera.solve(camera.draw(), shape), POSE, 1.0)
    assert not shape.settled


def test_information_only_grows_even_when_a_frame_knows_less_than_nothing() -> None:
    """Robust weights and rounding can make a frame's own part slightly indefinite."""
    shape, rng = free(), np.random.default_rng(9)
    for n in range(50):
        before = shape.information.copy()
        noise = rng.normal(size=(POSE + S, POSE + S))
        hessian = noise @ noise.T
        hessian[POSE:, POSE:] += shape.information - 3.0 * np.eye(S)
        shape.update(n * STEP, shape.betas + 0.01 * rng.normal(size=S), hessian, POSE, 1.0)
        assert np.linalg.eigvalsh(shape.information - before).min() > -1e-9
        assert np.isfinite(shape.betas).all()


def test_a_known_shape_is_held_from_the_first_frame_on() -> None:
    known = np.array([0.5, -1.0, 0.2, 0.0])
    shape = ShapeEstimate(S, 1.7, np.array([0.06, 0.01, -0.01, 0.0]), None, known)
    assert shape.settled
    assert shape.progress == 1.0
    camera = Frames(4)
    for n in range(20):
        shape.update(n * STEP, *camera.solve(camera.draw(), shape), POSE, 1.0)
    np.testing.assert_array_equal(shape.betas, known)


def test_progress_goes_from_nothing_to_held() -> None:
    shape, camera, seen = free(), Frames(3), []
    for n in range(round(1.2 * SETTLE_S / STEP)):
        shape.update(n * STEP, *camera.solve(camera.draw(), shape), POSE, 1.0)
        seen.append(shape.progress)
    assert seen[0] == 0.0
    assert seen == sorted(seen)
    assert seen[round(0.5 * SETTLE_S / STEP)] == pytest.approx(0.5)
    assert seen[-1] == 1.0
    assert shape.settled


def test_a_session_without_end_never_settles() -> None:
    shape, camera = ShapeEstimate(S, 1.7, np.zeros(S), None, settle_s=np.inf), Frames(3)
    for n in range(round(2 * SETTLE_S / STEP)):
        shape.update(n * STEP, *camera.solve(camera.draw(), shape), POSE, 1.0)
    assert not shape.settled
    assert shape.seconds == pytest.approx(2 * SETTLE_S, abs=2 * STEP)


@pytest.mark.parametrize("height", [1.5, 1.62, 1.75, 1.9, 2.0])
def test_a_given_height_is_the_bodys_stature(body: BodyModel, height: float) -> None:
    mean, gradient = body.stature_near_mean()
    shape = ShapeEstimate(body.n_shape, mean, gradient, height)
    assert body.stature(shape.betas) == pytest.approx(height, abs=0.005)
    assert not shape.settled
