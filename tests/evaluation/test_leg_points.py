"""2D errors of leg points: offsets that are constant, a camera that is found again, and which point is which."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.body.model import BodyModel
from biopose_live.evaluation.leg_points import (
    LEG_POINTS,
    LEG_SHARE,
    at_frames,
    dense_rows,
    fit_camera,
    heights,
    landmark_names,
    leg_errors,
    project,
)
from biopose_live.messages import Intrinsics
from biopose_live.mqhmr.lite.points import MARKERS
from biopose_live.sinks.session_meta import KEYPOINT_NAMES

P = len(LEG_POINTS)
RATE = 60.0
SIZE = (720, 1280)


@pytest.fixture
def truth() -> tuple[np.ndarray, np.ndarray]:
    """(F',) s and (F', P, 3) m, y up: somebody who walks about and bends the knees, at 100 Hz."""
    time = np.arange(250) / 100.0
    rng = np.random.default_rng(0)
    rest = rng.normal(0, 0.15, (P, 3)) + np.array([0.0, 0.5, 0.0])
    sway = rng.normal(0, 0.2, (3, P, 3))
    places = rest + sum(s * np.sin((1.5 + i) * time + i)[:, None, None] for i, s in enumerate(sway))
    return time, places + np.stack([0.4 * time, 0 * time, 0.2 * np.sin(time)], 1)[:, None]


def seen(places: np.ndarray, focal: float) -> np.ndarray:
    turn = Rotation.from_euler("xyz", [175.0, 20.0, 2.0], degrees=True).as_matrix()
    return project(places @ turn.T + np.array([0.1, 0.6, 4.0]), Intrinsics(focal, (360.0, 640.0)))


def test_an_offset_that_stays_is_no_error() -> None:
    rng = np.random.default_rng(1)
    true = rng.uniform(0, 700, (50, P, 2))
    height = np.linspace(300.0, 600.0, 50)
    offset = rng.normal(0, 0.02, (1, P, 2))
    errors = leg_errors(true + height[:, None, None] * offset, true, height)
    np.testing.assert_allclose(errors.offset_free_px, 0.0, atol=1e-9)
    np.testing.assert_allclose(errors.raw_percent, 100 * np.linalg.norm(offset, axis=-1).repeat(50, 0))
    np.testing.assert_allclose(errors.raw_px, errors.raw_percent / 100 * height[:, None])
    lost = true + 3.0
    lost[10:20, 4] = np.nan
    errors = leg_errors(lost, true, np.full(50, 400.0))
    assert np.isnan(errors.raw_px).sum() == 10
    np.testing.assert_allclose(np.delete(errors.raw_px, 4, 1), 3.0 * np.sqrt(2))
    np.testing.assert_allclose(np.nanmean(errors.offset_free_px), 0.0, atol=1e-9)


def test_the_persons_height() -> None:
    legs = np.zeros((3, P, 3))
    for side in ("l", "r"):
        for kind, y in (("hip", 0.0), ("knee", 0.42), ("ankle", 0.85), ("heel", 0.9), ("toe", 0.9)):
            legs[:, LEG_POINTS.index(f"{kind}_{side}"), 1] = y
    legs[..., 2] = np.array([2.0, 4.0, 8.0])[:, None]
    np.testing.assert_allclose(heights(legs, 1000.0), 1000.0 * 0.85 / LEG_SHARE / np.array([2.0, 4.0, 8.0]))


@pytest.mark.parametrize("lag", [-2, 0, 4])
def test_a_camera_is_found_again(truth: tuple[np.ndarray, np.ndarray], lag: int) -> None:
    """With noise, some points far off, a frame without anybody, and a video that is late."""
    time, places = truth
    found = seen(at_frames(time, places, 140, RATE, lag), 1000.0)
    clean = found.copy()
    rng = np.random.default_rng(2)
    found += rng.normal(0, 1.0, found.shape)
    found[::7, 3] += 90.0
    found[30] = np.nan
    fitted = fit_camera(found, time, places, RATE, SIZE)
    assert fitted.lag == lag
    assert fitted.focal == pytest.approx(1000.0, rel=0.03)
    inside = ~np.isnan(clean).any((1, 2))
    assert np.linalg.norm(fitted.places - clean, axis=-1)[inside].max() < 2.0
    np.testing.assert_allclose(
        project(fitted.points, Intrinsics(fitted.focal, (360.0, 640.0)))[inside], fitted.places[inside]
    )


def test_too_few_points_are_refused(truth: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="30 points"):
        fit_camera(np.full((100, P, 2), np.nan), *truth, RATE, SIZE)


def test_which_point_is_which(body: BodyModel) -> None:
    assert set(landmark_names()) < set(KEYPOINT_NAMES)
    names = tuple(body.marker_names)
    tip, ball = dense_rows(names, "tip"), dense_rows(names, "ball")
    rest = np.concatenate([body.marker_template, body.joint_template])
    assert tip[:-2] == ball[:-2]
    for rows in (tip, ball):
        at = dict(zip(LEG_POINTS, rest[rows], strict=True))
        for left in [name for name in LEG_POINTS if name.endswith("_l")]:
            assert at[left][0] > 0 > at[left[:-1] + "r"][0]  # the rest frame's x points to the left
        assert at["hip_l"][1] > at["knee_l"][1] > at["ankle_l"][1] > at["heel_l"][1]
        assert at["toe_l"][2] > at["ankle_l"][2] > at["heel_l"][2]
    assert ball[-1] >= MARKERS > tip[-1]
    assert rest[tip[-1]][2] > rest[ball[-1]][2]
