"""The person's crop: OpenCV's own affine geometry, and what it promises about where a person lies."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.mqhmr.person_crop import MARGIN, SIDE, Crop, person_crop


def standing(lean: float, height: float = 400.0, hips: tuple[float, float] = (300.0, 280.0)) -> np.ndarray:
    """Keypoints (33, 2) of a stick figure that leans by `lean` rad, x towards y."""
    points = np.zeros((33, 2))
    points[[11, 12]] = [[0.1, -0.3], [-0.1, -0.3]]
    points[[23, 24]] = [[0.06, 0.0], [-0.06, 0.0]]
    points[[27, 28]] = [[0.06, 0.45], [-0.06, 0.45]]
    points[[31, 32]] = [[0.1, 0.5], [-0.1, 0.5]]
    turn = Rotation.from_euler("z", lean).as_matrix()[:2, :2]
    return height * points @ turn.T + np.array(hips)


@pytest.mark.parametrize("lean", [0.0, 0.6, -1.2, 3.0])
def test_the_trunk_points_up_and_everything_is_inside(lean: float) -> None:
    keypoints = standing(lean)
    crop = person_crop(keypoints)
    inside = crop.into(keypoints)
    hips, shoulders = inside[[23, 24]].mean(0), inside[[11, 12]].mean(0)
    np.testing.assert_allclose(hips, [SIDE / 2, SIDE / 2], atol=1e-9)
    assert shoulders[0] == pytest.approx(hips[0], abs=1e-6)
    assert shoulders[1] < hips[1]
    farthest = np.linalg.norm(inside - hips, axis=1).max()
    assert farthest == pytest.approx(SIDE / 2 / MARGIN)


def test_there_and_back() -> None:
    crop = Crop(np.array([311.3, 94.2]), 217.0, 0.7)
    points = np.random.default_rng(0).uniform(0, 600, (50, 2))
    np.testing.assert_allclose(crop.out_of(crop.into(points)), points, atol=1e-9)
    angle = crop.angle
    along = crop.into(crop.centre + np.array([np.cos(angle), np.sin(angle)])) - crop.into(crop.centre)
    np.testing.assert_allclose(along, [SIDE / crop.size, 0.0], atol=1e-9)


@pytest.mark.parametrize(("size", "angle"), [(SIDE, 0.0), (300.0, 0.4), (700.0, -0.9), (120.0, 2.0)])
def test_pixels_land_where_points_do(size: float, angle: float) -> None:
    """A bright blob, drawn by OpenCV around a known place, has its centroid where `into` says."""
    frame = np.zeros((480, 640, 3), np.uint8)
    spread = size / 40
    y, x = np.mgrid[:480, :640] + 0.5
    where = np.array([337.3, 221.8])
    frame[:] = (255 * np.exp(-((x - where[0]) ** 2 + (y - where[1]) ** 2) / (2 * spread**2)))[..., None]
    crop = Crop(np.array([330.0, 230.0]), size, angle)
    moments = cv2.moments(crop.cut(frame)[:, :, 0])
    # Moments count from the first pixel's centre.
    found = np.array([moments["m10"], moments["m01"]]) / moments["m00"] + 0.5
    np.testing.assert_allclose(found, crop.into(where), atol=0.15)


def test_black_where_the_frame_ends() -> None:
    frame = np.full((200, 100, 3), 200, np.uint8)
    cut = Crop(np.array([100.0, 100.0]), 100.0, 0.0).cut(frame)
    assert (cut[:, : SIDE // 2 - 3] == 200).all()
    assert (cut[:, SIDE // 2 + 3 :] == 0).all()


def test_one_place_for_all_keypoints_is_still_a_crop() -> None:
    crop = person_crop(np.full((33, 2), 70.0))
    assert crop.size > 0
    assert np.isfinite(crop.affine).all()
