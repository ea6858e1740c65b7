"""The level view through the hips, and the causal window of keypoints."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from biopose_live.messages import Intrinsics
from biopose_live.mqhmr.view import (
    FEATURES,
    IMAGE_FEATURES,
    KEYPOINTS,
    LAGS_S,
    LEFT_HIP,
    RIGHT_HIP,
    WORLD_UNIT_M,
    History,
    Seen,
    elevation,
    features,
    rays,
    view_rotation,
    world_features,
)
from biopose_live.training.lifter.observe import _features

LEVEL = np.array([0.0, -1.0, 0.0])
small = st.floats(-0.6, 0.6)


def up_vector(pitch: float, roll: float) -> np.ndarray:
    return Rotation.from_euler("xz", [pitch, roll]).apply(LEVEL)


def test_rays_are_the_inverse_of_the_pinhole() -> None:
    camera = Intrinsics(800.0, (320.0, 200.0))
    points = np.random.default_rng(0).normal(size=(4, 5, 3)) + np.array([0, 0, 4])
    image = camera.focal * points[..., :2] / points[..., 2:] + np.array(camera.centre)
    np.testing.assert_allclose(rays(image, camera), points / points[..., 2:], atol=1e-12)


@given(small, small, small, small)
def test_the_hips_ray_becomes_z_and_x_is_level(x: float, y: float, pitch: float, roll: float) -> None:
    ray, up = np.array([x, y, 1.0]), up_vector(pitch, roll)
    view = view_rotation(ray, up)
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view) == pytest.approx(1.0)
    np.testing.assert_allclose(view @ ray, [0, 0, np.linalg.norm(ray)], atol=1e-12)
    assert abs(view[0] @ up) < 1e-12  # x is level
    assert (view @ up)[1] < 0  # y points down
    e = elevation(view, up)
    np.testing.assert_allclose(view @ up, [0, -math.cos(e), math.sin(e)], atol=1e-9)


def test_a_level_camera_that_looks_ahead_sees_its_own_axes() -> None:
    np.testing.assert_allclose(view_rotation(np.array([0.0, 0.0, 1.0]), LEVEL), np.eye(3), atol=1e-15)


@pytest.mark.parametrize("degrees", [5.0, 30.0, 80.0])
def test_elevation_is_negative_when_the_camera_looks_down(degrees: float) -> None:
    p = math.radians(degrees)
    up = np.array([0.0, -math.cos(p), -math.sin(p)])
    assert elevation(view_rotation(np.array([0.0, 0.0, 1.0]), up), up) == pytest.approx(-p)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_straight_up_or_down_gives_a_proper_view_still(sign: float) -> None:
    view = view_rotation(np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, sign]))
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view) == pytest.approx(1.0)


def window(times: np.ndarray, rng: np.random.Generator) -> tuple[History, np.ndarray, np.ndarray]:
    history = History()
    keypoints, scores = rng.normal(size=(len(times), 33, 2)), rng.uniform(size=(len(times), 33))
    for frame in zip(times, keypoints, scores, strict=True):
        history.add(Seen(float(frame[0]), frame[1], frame[2]))
    return history, keypoints, scores


@given(st.lists(st.floats(0.005, 0.4), min_size=0, max_size=40), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_the_window_is_numpys_interpolation(steps: list[float], seed: int) -> None:
    times = 100.0 + np.cumsum([0.0, *steps])
    history, keypoints, scores = window(times, np.random.default_rng(seed))
    found, seen = history.at_lags()
    assert found.shape == (len(LAGS_S), 33, 2)
    wanted = times[-1] - np.array(LAGS_S)
    for k in (0, 17, 32):
        for axis in range(2):
            expected = np.interp(wanted, times, keypoints[:, k, axis])
            np.testing.assert_allclose(found[:, k, axis], expected, atol=1e-8)
    assert (seen <= scores[-len(steps) - 1 :].max(0) + 1e-12).all()
    np.testing.assert_array_equal(found[0], keypoints[-1])  # now is the newest frame, untouched


def test_a_landmark_counts_as_seen_only_if_both_neighbours_show_it() -> None:
    history = History()
    for n in range(30):
        scores = np.full(33, 0.9)
        scores[5] = 0.1 if n % 2 else 0.9
        history.add(Seen(n / 10.01, np.zeros((33, 2)), scores))
    _, seen = history.at_lags()
    assert (seen[1:, 5] == 0.1).all()
    assert (seen[:, 6] == 0.9).all()


@given(st.floats(1e-3, 10.0))
def test_a_gap_longer_than_the_window_empties_it(extra: float) -> None:
    history, _, _ = window(np.arange(10) / 30, np.random.default_rng(1))
    after = np.full((33, 2), 7.0)
    history.add(Seen(9 / 30 + LAGS_S[-1] + extra, after, np.ones(33)))
    found, seen = history.at_lags()
    assert (found == 7.0).all()
    assert (seen == 1.0).all()


def test_memory_is_bounded_by_the_window() -> None:
    history, _, _ = window(np.arange(5000) / 60, np.random.default_rng(2))
    assert len(history._frames) <= math.ceil(LAGS_S[-1] * 60) + 2


def test_features_are_the_same_in_torch() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(size=(16, len(LAGS_S), len(KEYPOINTS), 2))
    points[3] *= 1e-7  # a person of no size
    points[4, 1:] += 50.0  # one that was elsewhere
    seen = rng.random((16, len(LAGS_S), len(KEYPOINTS))) < 0.8
    elevations, sigmas = rng.normal(size=16), rng.uniform(0, 0.3, 16)
    one = np.stack([features(*row) for row in zip(points, seen, elevations, sigmas, strict=True)])
    assert one.shape == (16, IMAGE_FEATURES)
    all_at_once = _features(*(torch.from_numpy(a) for a in (points, seen, elevations, sigmas)))
    np.testing.assert_allclose(all_at_once.numpy(), one, atol=1e-5)


def test_features_do_not_see_place_and_size_and_mark_what_was_not_seen() -> None:
    rng = np.random.default_rng(4)
    points = rng.normal(size=(len(LAGS_S), len(KEYPOINTS), 2))
    seen = np.ones(points.shape[:2], bool)
    seen[2, 5] = False
    plain = features(points, seen, 0.1, 0.2)
    moved = features(2.0 * points + [3.0, -1.0], seen, 0.1, 0.2)
    np.testing.assert_allclose(moved[:-3], plain[:-3], atol=1e-5)
    assert moved[-3] == pytest.approx(2 * plain[-3], rel=1e-5)
    body = plain[:-3].reshape(len(LAGS_S), len(KEYPOINTS), 3)
    assert (body[2, 5] == 0).all()
    assert body[..., 2].sum() == seen.sum()
    np.testing.assert_allclose(body[0, [LEFT_HIP, RIGHT_HIP], :2].mean(0), 0.0, atol=1e-6)


@given(small, small, small, small)
def test_the_detectors_own_3d_is_turned_into_the_view(x: float, y: float, pitch: float, roll: float) -> None:
    """MediaPipe's 3D is as a camera would see it that looks straight at the hips, level with the real one."""
    ray, up = np.array([x, y, 1.0]), up_vector(pitch, roll)
    in_camera = np.random.default_rng(5).normal(0, 0.4, (33, 3))
    to_view = view_rotation(ray, up)
    found = world_features(in_camera @ view_rotation(ray, LEVEL).T, ray, to_view)
    points = (in_camera @ to_view.T)[list(KEYPOINTS)]
    points = (points - points[[LEFT_HIP, RIGHT_HIP]].mean(0)) / WORLD_UNIT_M
    np.testing.assert_allclose(found[:-1].reshape(-1, 3), points.clip(-5, 5), atol=1e-5)
    assert found[-1] == 1.0


def test_no_3d_is_said_to_be_missing() -> None:
    assert (world_features(None, np.array([0.0, 0.0, 1.0]), np.eye(3)) == 0.0).all()
    assert len(world_features(None, np.array([0.0, 0.0, 1.0]), np.eye(3))) == FEATURES - IMAGE_FEATURES
