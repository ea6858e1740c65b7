"""The paper-size network in a live run: evidence where it belongs in the frame, all people at once, warm starts."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biopose_live.messages import Detected, Intrinsics
from biopose_live.mqhmr.lite.observation import Estimate
from biopose_live.mqhmr.network import live
from biopose_live.mqhmr.network.crop_camera import CropCamera
from biopose_live.mqhmr.network.frame import Answer
from biopose_live.mqhmr.network.live import LargeNetwork, evidence_of
from biopose_live.mqhmr.network.model import save_network
from biopose_live.mqhmr.network.person_box import PersonBox
from biopose_live.settings import Settings

CAMERA = Intrinsics(1000.0, (320.0, 240.0))
UP = np.array([0.1, -1.0, 0.05])
ESTIMATE = Estimate(np.tile(np.eye(3), (24, 1, 1)), np.full((24, 3), 0.3), np.array([0.0, 0.0, 4.0]), np.zeros(10))
IMAGE = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)


def person(number: int = 0) -> Detected:
    rng = np.random.default_rng(number)
    places = np.array([200.0 + 150 * number, 240.0]) + rng.normal(size=(33, 2)) * [25, 60]
    keypoints = np.column_stack([places, rng.uniform(0.5, 1, 33)]).astype(np.float32)
    return Detected(number, 1.0, np.zeros(4), keypoints, np.zeros((33, 3), np.float32))


@pytest.fixture
def path(network, tmp_path: Path) -> Path:
    save_network(network, tmp_path / "mine.safetensors")
    return tmp_path / "mine.safetensors"


def made(path: Path, body, **options) -> LargeNetwork:
    return LargeNetwork(Settings(demo=True, network=path, device="cpu", **options).validate(), body)


def look(network: LargeNetwork, t: float, people, keypoints=None):
    found = []
    for one, eyes in network.looking_at(IMAGE, CAMERA, UP, t, people).items():
        given = people[one].keypoints.astype(np.float64) if keypoints is None else keypoints
        found.append(eyes(given[:, :2], given[:, 2], None)(ESTIMATE))
    return found


@settings(max_examples=30)
@given(st.floats(-0.6, 0.6), st.floats(60, 400), st.integers(0, 99))
def test_places_and_covariances_are_the_crops_cameras(roll, size, seed):
    rng = np.random.default_rng(seed)
    box = PersonBox(roll, rng.uniform(100, 400, 2), np.array([0.75 * size, size]))
    lower = np.column_stack([rng.uniform(0.01, 0.1, 4), rng.uniform(-0.05, 0.05, 4), rng.uniform(0.01, 0.1, 4)])
    place = np.concatenate([rng.uniform(0, 1, (3, 2)), [[1.3, 0.5]]])
    rotations = np.tile(np.eye(3), (1, 24, 1, 1))
    answer = Answer(*(x.astype(np.float32) for x in (rotations, place[None], lower[None], np.full((1, 4), 0.5))))
    evidence = evidence_of(answer, 0, box, CAMERA)
    rows = (CAMERA.focal, CAMERA.centre, roll, box.centre, box.size)
    camera = CropCamera(*(torch.tensor(x, dtype=torch.float64)[None] for x in rows))
    np.testing.assert_allclose(evidence.places, camera.out_of_crop(torch.tensor(place)[None])[0], atol=1e-3)
    # A step of one sigma along the factor's columns is one sigma in the frame, but for trust and the smallest sigma.
    for i in range(3):
        factor = np.array([[lower[i, 0], 0], [lower[i, 1], lower[i, 2]]])
        steps = place[i] + (factor @ np.eye(2)).T * [size / box.size[0], 1.0]
        moved = camera.out_of_crop(torch.tensor(steps)[None])[0].numpy() - evidence.places[i]
        xx, xy, yy = evidence.precision[i]
        inverse = np.array([[xx, xy], [xy, yy]]) / live.PLACE_TRUST
        covariance = np.linalg.inv(inverse) - (live.SMALLEST_SIGMA * size) ** 2 * np.eye(2)
        np.testing.assert_allclose(covariance, moved.T @ moved, atol=1e-4 * size**2 * 0.01 + 1e-3, rtol=1e-3)
    assert (evidence.precision[3] == 0).all()  # placed outside of the crop
    assert evidence.rotations.shape == (24, 3, 3)


def test_all_people_are_looked_at_at_once(path, body, caplog):
    with caplog.at_level(logging.WARNING):
        network = made(path, body, max_people=2)
    assert "mine.safetensors (ViT of 2 layers" in caplog.text
    assert "runs by plain PyTorch on the CPU." in caplog.text
    begun = []
    begin = network._runner.begin
    network._runner.begin = lambda given: begun.append(len(given.pictures)) or begin(given)
    both = look(network, 0.0, [person(0), person(1)])
    alone = look(made(path, body), 0.0, [person(0)])
    assert begun == [2]
    np.testing.assert_allclose(both[0].places, alone[0].places, atol=0.01)
    np.testing.assert_allclose(both[0].rotations, alone[0].rotations, atol=1e-4)
    assert np.abs(both[0].places - both[1].places).max() > 10
    assert look(network, 0.1, []) == []


def test_the_next_frame_starts_warm_and_a_lost_person_does_not(path, body):
    network = made(path, body, refine_iterations=3)
    starts = []
    begin = network._runner.begin
    network._runner.begin = lambda given: starts.append(given.shift[0]) or begin(given)
    for t in (0.0, 0.03, 2.0):
        look(network, t, [person(0)])
    assert starts[0] is None
    assert starts[1] is not None
    assert starts[1].abs().max() > 0
    assert starts[2] is None


def test_exchanged_sides_are_looked_at_anew(path, body):
    network = made(path, body)
    other = person(0).keypoints.astype(np.float64)[::-1].copy()
    (told,) = look(network, 0.0, [person(0)])
    (corrected,) = look(made(path, body), 0.0, [person(0)], other)
    assert np.abs(told.rotations - corrected.rotations).max() > 1e-3


def test_a_frame_that_nobody_asked_about_is_finished_all_the_same(path, body):
    network = made(path, body)
    network.looking_at(IMAGE, CAMERA, UP, 0.0, [person(0)])
    (evidence,) = look(network, 0.03, [person(0)])
    assert np.isfinite(evidence.places).all()


def test_weights_that_give_no_numbers_add_nothing(network, body, tmp_path, caplog):
    with torch.no_grad():
        network.heads.six.bias.fill_(torch.nan)
    save_network(network, tmp_path / "nan.safetensors")
    large = made(tmp_path / "nan.safetensors", body)
    for t in (0.0, 0.03):
        (evidence,) = look(large, t, [person(0)])
        assert not evidence.precision.any()
        np.testing.assert_array_equal(evidence.rotations, ESTIMATE.rotations)
    assert caplog.text.count("not finite") == 1
