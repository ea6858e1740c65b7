"""One frame as tensors: the network's own answer, packed; nothing in it that a CUDA graph could not record."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from biopose_live.mqhmr.network.architecture import Architecture
from biopose_live.mqhmr.network.crop_camera import CropCamera
from biopose_live.mqhmr.network.frame import CAMERA, Frame, camera_rows
from biopose_live.mqhmr.network.half import halve
from biopose_live.mqhmr.network.model import MQHMR
from biopose_live.mqhmr.network.token_refinement import Refiner
from biopose_live.mqhmr.network.vit import normalised

# What copies numbers from the host, or to it, hence waits: a CUDA graph cannot record it.
WAITING = {"tensor", "as_tensor", "from_numpy", "item", "tolist", "cpu", "cuda", "numpy", "nonzero", "__bool__"}


class Waiting(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", str(function))
        if name in WAITING:
            self.found.add(name)
        if name == "__getitem__":
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(entry, (list, np.ndarray)) for entry in index):
                self.found.add("index by a list")
        return function(*args, **(kwargs or {}))


def given(count: int = 2, seed: int = 0) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 256, (count, 64, 48, 3), dtype=torch.uint8, generator=random)
    keypoints = torch.rand(count, 33, 3, generator=random) * torch.tensor([150.0, 200.0, 1.0])
    boxes = [(0.1 * i, np.array([75.0, 100.0]), np.array([150.0, 200.0])) for i in range(count)]
    rows = torch.from_numpy(camera_rows(900.0, (640.0, 360.0), boxes))
    return pictures, keypoints, rows, 0.1 * torch.randn(count, 10, 32, generator=random)


@pytest.mark.parametrize("iterations", [0, 2])
def test_it_is_the_networks_refined_answer(network, iterations):
    pictures, keypoints, rows, shift = given()
    frame = Frame(network, Refiner(iterations))
    packed, after = frame(pictures, keypoints, rows, shift)
    camera = CropCamera(rows[:, 0], rows[:, 1:3], rows[:, 3], rows[:, 4:6], rows[:, 6:])
    known = torch.cat([camera.into_crop(keypoints[..., :2]), keypoints[..., 2:]], -1)
    with torch.no_grad():
        pyramid, start = network.encode(normalised(pictures)), network.start(camera, known)
    assert pyramid.shapes == frame.shapes
    expected = Refiner(iterations).refine(network, pyramid, start, camera, known, shift)
    torch.testing.assert_close(after, expected.shift)
    answer = frame.unpack(packed.numpy())
    found = expected.prediction
    np.testing.assert_allclose(answer.rotations, found.rotations, atol=1e-5)
    np.testing.assert_allclose(answer.place, found.dense.place, atol=1e-5)
    lower = found.dense.cholesky
    np.testing.assert_allclose(answer.cholesky, torch.stack([lower[..., 0, 0], lower[..., 1, 0], lower[..., 1, 1]], -1))
    np.testing.assert_allclose(answer.visible, found.dense.visible.sigmoid(), atol=1e-5)
    assert packed.shape == (2, frame.numbers)


@pytest.mark.parametrize("kind", [None, torch.bfloat16])
@pytest.mark.parametrize("iterations", [0, 2])
def test_nothing_waits_for_the_host(network, kind, iterations):
    if kind is not None:
        halve(network, kind)
    frame, tensors = Frame(network, Refiner(iterations)), given()
    frame(*tensors)  # what is kept from the first time on
    with Waiting() as waiting:
        frame(*tensors)
    assert waiting.found == set()
    with Waiting() as waiting:
        _ = tensors[0][:, [0, 1]], torch.tensor([1.0]), tensors[1][0, 0, 0].item()
    assert waiting.found == {"index by a list", "tensor", "item"}


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_says_nearly_the_same(network, kind):
    tensors = given()
    whole = Frame(network, Refiner(2)).unpack(Frame(network, Refiner(2))(*tensors)[0].numpy())
    halve(network, kind)
    frame = Frame(network, Refiner(2))
    assert frame.encode(tensors[0]).dtype == kind
    half = frame.unpack(frame(*tensors)[0].numpy())
    assert np.abs(half.rotations - whole.rotations).mean() < 0.01
    assert np.abs(half.place - whole.place).mean() < 0.005


def test_a_network_on_maps_is_refused(body):
    maps = MQHMR(
        Architecture(encoder="maps", map_channels=(4,), queries=4, width_model=16, layers=1, heads=2, feed=16), body
    )
    with pytest.raises(ValueError, match="encodes pictures"):
        Frame(maps, Refiner())
    with pytest.raises(ValueError, match="ready-made maps"):
        halve(maps, torch.float16)


def test_rows_of_the_camera():
    assert camera_rows(1.0, (2.0, 3.0), []).shape == (0, CAMERA)
    row = camera_rows(1.0, (2.0, 3.0), [(4.0, np.array([5.0, 6.0]), np.array([7.0, 8.0]))])
    np.testing.assert_array_equal(row, [[1, 2, 3, 4, 5, 6, 7, 8]])
