"""The refinement: what moves, how often the decoder runs, that it helps, and that bad 2D cannot pull far."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from scipy.spatial.transform import Rotation

from biopose_live.mqhmr.network.decoder import Memory
from biopose_live.mqhmr.network.token_refinement import Refiner, from_dense, from_keypoints, joined

PICTURE = torch.linspace(-2, 2, 2 * 3 * 64 * 48).sin().view(2, 3, 64, 48)


@pytest.fixture
def encoded(network, camera):
    with torch.no_grad():
        return network.encode(PICTURE), network.start(camera)


@pytest.fixture
def own(network, camera, encoded):
    with torch.no_grad():
        return network.decode(encoded[1], Memory(encoded[0]), camera)


def keypoints_of(network, camera, prediction, score=1.0):
    with torch.no_grad():
        place = camera.into_crop(camera.project(prediction.points.landmarks))
    return torch.cat([place, torch.full_like(place[..., :1], score)], -1)


@pytest.fixture
def moved(network, camera, encoded):
    """Keypoints of another answer of the same network, which its tokens can therefore reach."""
    start = dataclasses.replace(encoded[1], tokens=0.3 * torch.randn(2, 10, 32, generator=torch.manual_seed(3)))
    with torch.no_grad():
        other = network.decode(start, Memory(encoded[0]), camera)
    return keypoints_of(network, camera, other)


def runs_of(network, monkeypatch):
    count = [0]
    network.decoder.register_forward_hook(lambda *_: count.__setitem__(0, count[0] + 1))
    return count


@pytest.mark.parametrize("iterations", [0, 1, 5])
@pytest.mark.parametrize("warm", [False, True])
def test_exactly_so_many_runs(network, camera, encoded, moved, monkeypatch, iterations, warm):
    count = runs_of(network, monkeypatch)
    shift = torch.zeros(2, 10, 32) if warm else None
    Refiner(iterations).refine(network, *encoded, camera, moved, shift)
    assert count[0] == iterations + 1 + (warm and iterations > 0)


def test_gradients_flow_to_the_tokens_alone(network, camera, encoded, moved, monkeypatch):
    asked = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda out, inputs, **k: asked.append(inputs) or grad(out, inputs, **k))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trainable = [p.requires_grad for p in network.parameters()]
    during = []
    network.heads.register_forward_hook(lambda *_: during.append(any(p.requires_grad for p in network.parameters())))
    Refiner(3).refine(network, *encoded, camera, moved)
    assert len(asked) == 3
    assert all(tokens.shape == (2, 10, 32) for tokens in asked)
    assert not any(during)
    assert all(p.grad is None for p in network.parameters())
    assert [p.requires_grad for p in network.parameters()] == trainable
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_first_step_is_equation_5(network, camera, encoded, own, moved):
    pyramid, start = encoded
    refiner = Refiner(1, step=1e-4, dense=False, robust=math.inf)
    tokens = start.tokens.clone().requires_grad_()
    found = network.decode(dataclasses.replace(start, tokens=tokens), Memory(pyramid), camera)
    seen = from_keypoints(moved, 113)
    cost = refiner.reprojection(found, camera, seen) + refiner.weight * refiner.distance(found, own)
    cost.sum().backward()
    refined = refiner.refine(network, pyramid, start, camera, moved)
    torch.testing.assert_close(refined.shift, -1e-4 * tokens.grad, atol=1e-7, rtol=1e-3)


def test_reprojection_is_equation_4(network, camera, own, moved):
    """Without robustness: the mean square distance in sigmas, from pixels."""
    refiner = Refiner(robust=math.inf)
    found = refiner.reprojection(own, camera, from_keypoints(moved, 113, sigma=0.02))
    pixels = camera.project(own.points.landmarks) - camera.out_of_crop(moved[..., :2])
    sigma_px = 0.02 * camera.box_size[:, 1]
    expected = pixels.square().sum(-1).mean(1) / sigma_px.square()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_it_comes_nearer_to_good_2d(network, camera, encoded, moved, momentum):
    refined = Refiner(15, step=0.01, momentum=momentum, weight=0.1, robust=20.0, dense=False).refine(
        network, *encoded, camera, moved
    )
    assert (refined.cost < 0.8 * refined.first).all()
    assert (refined.distance > 0).all()


def test_more_iterations_are_never_worse(network, camera, encoded, moved):
    costs = [Refiner(k, step=0.01, dense=False).refine(network, *encoded, camera, moved).cost for k in (0, 1, 2, 5, 10)]
    for fewer, more in pairwise(costs):
        assert (more <= fewer + 1e-6).all()


def test_warm_start_goes_on_where_the_frame_before_ended(network, camera, encoded, moved):
    refiner = Refiner(4, step=0.01, weight=0.1, robust=20.0, dense=False)
    first = refiner.refine(network, *encoded, camera, moved)
    cold, warm = first, refiner.refine(network, *encoded, camera, moved, first.shift)
    assert (warm.cost < cold.cost).all()
    torch.testing.assert_close(warm.first, cold.first)


@pytest.mark.parametrize("bad", ["noise", "far", "nan step", "swapped"])
@pytest.mark.parametrize("step", [0.01, 1e4])
def test_bad_2d_pulls_no_farther_than_the_stated_bound(network, camera, encoded, own, moved, bad, step):
    keypoints = moved.clone()
    random = torch.Generator().manual_seed(1)
    if bad == "noise":
        keypoints[..., :2] = torch.rand(2, 33, 2, generator=random)
    elif bad == "far":
        keypoints[..., :2] = 1e4
    elif bad == "swapped":
        keypoints = keypoints.flip(1)
    refiner = Refiner(6, step=math.nan if bad == "nan step" else step)
    refined = refiner.refine(network, *encoded, camera, keypoints)
    seen = joined(from_dense(own.dense), from_keypoints(keypoints, 113))
    bound = refiner.bound(seen)
    assert (bound <= 9 / 50).all()
    assert (refined.distance <= bound).all()
    assert (refined.cost <= refined.first).all()
    assert refined.prediction.points.all.isfinite().all()
    assert refined.shift.isfinite().all()


def test_keypoints_nobody_is_sure_of_change_nothing(network, camera, encoded, own, moved):
    refiner = Refiner(5, step=0.01, weight=0.1, robust=20.0, dense=False)
    assert (refiner.refine(network, *encoded, camera, moved).distance > 1e-3).all()
    unsure = moved.clone()
    unsure[..., 2] = 0
    refined = refiner.refine(network, *encoded, camera, unsure)
    torch.testing.assert_close(refined.prediction.points.all, own.points.all)
    assert (refined.distance < 1e-9).all()


def test_the_pull_grows_with_the_confidence(camera, own, moved):
    half = moved * torch.tensor([1.0, 1.0, 0.5])
    refiner = Refiner()
    whole, less = (refiner.reprojection(own, camera, from_keypoints(k, 113)) for k in (moved, half))
    torch.testing.assert_close(less, whole / 2)
    torch.testing.assert_close(refiner.bound(from_keypoints(half, 113)), torch.full((2,), 0.5 * 9 / 50))


def test_distance_is_in_squared_radians(own):
    refiner = Refiner()
    turn = torch.tensor(Rotation.from_rotvec([0.0, 0.02, 0.0]).as_matrix(), dtype=torch.float32)
    turned = dataclasses.replace(own, rotations=own.rotations @ turn)
    torch.testing.assert_close(refiner.distance(turned, own), torch.full((2,), 4e-4), rtol=1e-3, atol=1e-7)
    farther = dataclasses.replace(own, pelvis=own.pelvis + torch.tensor([0.0, 0.0, 0.1]) * own.pelvis[:, 2:])
    torch.testing.assert_close(refiner.distance(farther, own), torch.full((2,), 0.01))
    other = dataclasses.replace(own, betas=own.betas + 2)
    torch.testing.assert_close(refiner.distance(other, own), torch.full((2,), 0.04))


def test_one_wrong_keypoint_does_not_drag_the_body(network, camera, encoded, own):
    keypoints = keypoints_of(network, camera, own)
    keypoints[:, 15, :2] += 3.0
    robust = Refiner(10, step=0.01, weight=0.1, dense=False).refine(network, *encoded, camera, keypoints)
    plain = Refiner(10, step=1e-5, weight=0.1, dense=False, robust=math.inf).refine(
        network, *encoded, camera, keypoints
    )
    assert (robust.distance < 0.05 * plain.distance).all()


def test_people_do_not_change_each_other(network, camera, encoded, moved):
    refiner = Refiner(3, step=0.01)
    both = refiner.refine(network, *encoded, camera, moved)
    spoilt = moved.clone()
    spoilt[1, :, :2] = math.nan
    half = refiner.refine(network, *encoded, camera, spoilt)
    torch.testing.assert_close(half.prediction.rotations[0], both.prediction.rotations[0])
    assert half.prediction.rotations.isfinite().all()


def test_nothing_to_align_with_is_refused(network, camera, encoded):
    with pytest.raises(ValueError, match="needs keypoints"):
        Refiner(1, dense=False).refine(network, *encoded, camera)


def test_it_works_inside_no_grad(network, camera, encoded, moved):
    with torch.no_grad():
        refined = Refiner(2, step=0.01).refine(network, *encoded, camera, moved)
    assert not refined.prediction.rotations.requires_grad
    assert (refined.cost <= refined.first).all()
