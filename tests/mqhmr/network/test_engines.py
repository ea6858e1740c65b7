"""Engines give what the frame gives, whatever they record and however many people there are; on a CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biopose_live.mqhmr.network import engines
from biopose_live.mqhmr.network.cuda_graph import EagerRecorder
from biopose_live.mqhmr.network.engines import Given, buckets
from biopose_live.mqhmr.network.frame import Frame, camera_rows
from biopose_live.mqhmr.network.token_refinement import Refiner


def given(count: int, seed: int = 0, shift=None) -> Given:
    rng = np.random.default_rng(seed)
    boxes = [(0.0, np.array([75.0, 100.0]), np.array([150.0, 200.0]))] * count
    return Given(
        rng.integers(0, 256, (count, 64, 48, 3), np.uint8),
        (rng.random((count, 33, 3)) * [150, 200, 1]).astype(np.float32),
        camera_rows(900.0, (640.0, 360.0), boxes),
        [None] * count if shift is None else shift,
    )


@pytest.fixture
def frame(network):
    return Frame(network, Refiner(1))


def made(name: str, frame: Frame, most: int):
    if name == "eager":
        return engines.eager(frame, "cpu", most)
    if name == "cuda-graph":
        return engines.cuda_graph(frame, most, EagerRecorder(), "cpu")
    encoders = {1: encode(frame, 1), most: encode(frame, most)}
    return engines.tensorrt(frame, encoders, most, EagerRecorder(), "cpu")


def encode(frame: Frame, size: int):
    def run(pictures):
        assert len(pictures) == size  # an engine takes no other number
        with torch.no_grad():
            return frame.encode_normalised(pictures)

    return run


@pytest.mark.parametrize("name", ["eager", "cuda-graph", "tensorrt"])
def test_every_engine_gives_the_frames_answer(frame, name):
    engine = made(name, frame, 3)
    engine.warm()
    rows = None
    for count, seed in ((1, 0), (3, 1), (2, 2), (2, 3)):
        now = given(count, seed, None if rows is None or len(rows) != count else list(rows))
        engine.begin(now)
        packed, shift = engine.finish()
        before = torch.stack([torch.zeros(10, 32) if row is None else row for row in now.shift])
        pictures, keypoints, camera = (torch.from_numpy(a) for a in (now.pictures, now.keypoints, now.camera))
        expected, after = frame(pictures, keypoints, camera, before)
        np.testing.assert_allclose(packed, expected.numpy(), atol=1e-4)
        torch.testing.assert_close(shift, after, atol=1e-4, rtol=1e-3)
        rows = shift


def test_an_answer_is_not_overwritten_by_the_next(frame):
    engine = made("cuda-graph", frame, 1)
    engine.begin(given(1, 0))
    packed, shift = engine.finish()
    kept = packed.copy(), shift.clone()
    engine.begin(given(1, 1))
    engine.finish()
    np.testing.assert_array_equal(packed, kept[0])
    torch.testing.assert_close(shift, kept[1])


def test_nothing_is_recorded_any_more_once_all_sizes_are_known(frame):
    class Counting(EagerRecorder):
        records = 0

        def record(self, code):
            Counting.records += 1
            return super().record(code)

    engine = engines.cuda_graph(frame, 3, Counting(), "cpu")
    for count in (1, 2, 3):
        engine.begin(given(count))
        engine.finish()
    assert Counting.records == len(buckets(3)) == 3
    engine.begin(given(2, 5))
    engine.finish()
    assert Counting.records == 3
    assert engine.memory_gb == 0.0


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (4, (1, 2, 4)), (9, (1, 2, 4, 8, 9))]
)
def test_buckets(most, sizes):
    assert buckets(most) == sizes
