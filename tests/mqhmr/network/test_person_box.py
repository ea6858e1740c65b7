"""The live crop is the one that training cuts, and shows the person upright."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from biopose_live.messages import Intrinsics
from biopose_live.mqhmr.network.crop_camera import CropCamera, upright_roll
from biopose_live.mqhmr.network.person_box import PersonBox, person_box
from biopose_live.training.mqhmr.crops import cut
from biopose_live.training.mqhmr.records import Labels, Record

CAMERA = Intrinsics(900.0, (310.0, 250.0))


def picture(height: int = 480, width: int = 640) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def person(spread: float = 100.0) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.array([330.0, 240.0]) + spread * rng.uniform(-1, 1, (33, 2)) * [0.4, 1.0]


@pytest.mark.parametrize(("size", "centre"), [(90.0, (300, 200)), (420.0, (320, 240)), (900.0, (100, 460))])
@pytest.mark.parametrize("roll", [0.0, 0.2])
def test_it_cuts_what_training_cuts(size, centre, roll):
    up = np.array([-math.sin(roll), -math.cos(roll), 0.1])
    labels = Labels(
        box_centre=np.array(centre, float), box_size=np.array([10.0, size]), keypoints_2d=np.zeros((44, 3)),
        keypoints_3d=np.zeros((44, 4)), theta=np.zeros((24, 3)), betas=np.zeros(10), has_pose=False, has_betas=False,
        focal=CAMERA.focal, centre=np.array(CAMERA.centre), up=up,
    )  # fmt: skip
    crop = cut(Record("one", picture(), labels), 256, 192, [])
    box = PersonBox(crop.roll, crop.box_centre, crop.box_size)
    assert box.roll == pytest.approx(float(upright_roll(torch.tensor(up)[None])))
    np.testing.assert_array_equal(box.cut(picture(), CAMERA, 256, 192), crop.image)


def test_the_person_lies_inside_with_room_around():
    keypoints = person()
    box = person_box(keypoints, CAMERA, np.array([0.3, -0.9, 0.1]), 0.75)
    assert box.size[0] == pytest.approx(0.75 * box.size[1])
    one = CropCamera(
        *(torch.tensor(x, dtype=torch.float64)[None] for x in (900.0, CAMERA.centre, box.roll, box.centre, box.size))
    )
    places = one.into_crop(torch.tensor(keypoints)[None])[0].numpy()
    assert places.min() > 0.1
    assert places.max() < 0.9
    np.testing.assert_allclose(0.5 * (places.min(0) + places.max(0)), 0.5, atol=1e-6)


def test_gravity_points_down_the_crop():
    """Two points one above the other in the world lie so in the crop, however the camera is rolled."""
    up = np.array([math.sin(0.4), -math.cos(0.4), 0.0])
    box = person_box(person(), CAMERA, up, 0.75)
    np.testing.assert_allclose(box.turn @ up[:2], [0.0, -1.0], atol=1e-12)


@pytest.mark.parametrize("keypoints", [np.full((33, 2), 5.0), person(1e5), person() - 5000.0])
def test_odd_keypoints_still_give_a_picture(keypoints):
    box = person_box(keypoints, CAMERA, np.array([0.0, 0.0, -1.0]), 0.75)
    assert box.roll == 0.0
    assert box.cut(picture(), CAMERA, 64, 48).shape == (64, 48, 3)
