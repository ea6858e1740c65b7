"""Batched torch kinematics against the single-frame ones (which OpenSim checks), and their gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from biopose_live.skeleton.functions import IDENTITY, ZERO, Function, Polynomial, Spline
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import (
    GROUND,
    Axis,
    Body,
    Coordinate,
    Coupler,
    Frame,
    Joint,
    Marker,
    SkeletonModel,
    rotation_from_xyz,
)
from biopose_live.skeleton.torch_kinematics import TorchKinematics

F64 = torch.float64
AXES = [Axis(row, IDENTITY, None) for row in np.eye(3)] * 2


def _function(rng: np.random.Generator) -> Function:
    knots = np.cumsum(rng.uniform(0.2, 0.6, 5)) - 1.2
    return [
        IDENTITY,
        Polynomial(tuple(rng.normal(size=2))),
        Polynomial(tuple(rng.normal(size=4) * 0.3)),
        Spline(knots, rng.normal(size=5) * 0.3),
        Spline(knots, rng.normal(size=5) * 0.3, "PiecewiseLinearFunction"),
    ][rng.integers(5)]


def _unit(rng: np.random.Generator) -> np.ndarray:
    vector = rng.normal(size=3)
    return vector / np.linalg.norm(vector)


def _random_model(seed: int) -> SkeletonModel:
    """A random tree with joints of 0 to 6 driven motions, functions of every kind, and a chain of couplers."""
    rng = np.random.default_rng(seed)
    joints: list[Joint] = []
    coordinates: list[Coordinate] = []
    count = 9
    for number in range(count):
        driven = rng.random(6) < [0.2, 0.5, 0.8][number % 3]
        axes = []
        for slot in range(6):
            if driven[slot]:
                axes.append(Axis(_unit(rng), _function(rng), len(coordinates)))
                coordinates.append(Coordinate(f"q{len(coordinates)}", number, slot < 3, 0.0, (-1, 1), False, False))
            else:
                axes.append(Axis(_unit(rng), Polynomial((rng.normal() * 0.2,)), None))
        frames = [Frame(rng.normal(size=3) * 0.3, rotation_from_xyz(rng.uniform(-1, 1, 3))) for _ in range(2)]
        joints.append(
            Joint(f"j{number}", int(rng.integers(-1, number)) if number else GROUND, number, *frames, tuple(axes))
        )
    bodies = [Body(f"b{n}", 1.0, np.zeros(3), np.ones(6)) for n in range(count)]
    couplers = [Coupler("c1", 1, 0, _function(rng)), Coupler("c2", 2, 1, _function(rng)), Coupler("c3", 3, 0, ZERO)]
    markers = [Marker(f"m{n}", int(rng.integers(-1, count)), rng.normal(size=3)) for n in range(12)]
    return SkeletonModel("random", tuple(bodies), tuple(joints), tuple(coordinates), tuple(couplers), tuple(markers))


def _draw(model: SkeletonModel, seed: int, batch: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    q = rng.uniform(-1.5, 1.5, (*batch, len(model.coordinates)))
    return q, rng.uniform(0.8, 1.25, (*batch, len(model.bodies), 3))


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_single_frame_kinematics(seed: int) -> None:
    model = _random_model(seed)
    single, batched = Kinematics(model), TorchKinematics(model, F64)
    q, scales = _draw(model, seed, (2, 3))
    for factors in (scales, None):
        stretch = None if factors is None else torch.tensor(factors)
        rotations, origins = batched(torch.tensor(q), stretch)
        markers = batched.markers(torch.tensor(q), stretch)
        centres = batched.joint_centres(torch.tensor(q), stretch)
        for at in np.ndindex(2, 3):
            one = None if factors is None else factors[at]
            rotation, origin = single.forward(q[at], one)
            np.testing.assert_allclose(rotations[at], rotation, atol=1e-12)
            np.testing.assert_allclose(origins[at], origin, atol=1e-12)
            np.testing.assert_allclose(markers[at], single.markers(q[at], one), atol=1e-12)
            np.testing.assert_allclose(centres[at], single.joint_centres(q[at], one), atol=1e-12)


def test_bsk24_in_single_precision_is_within_micrometres(bsk24: SkeletonModel) -> None:
    q, scales = _draw(bsk24, 0, (5,))
    rotations, origins = TorchKinematics(bsk24)(torch.tensor(q).float(), torch.tensor(scales).float())
    for i in range(5):
        rotation, origin = Kinematics(bsk24).forward(q[i], scales[i])
        np.testing.assert_allclose(rotations[i], rotation, atol=5e-6)
        np.testing.assert_allclose(origins[i], origin, atol=5e-6)


@pytest.mark.parametrize("seed", range(3))
def test_gradients_by_q_scales_and_locations(seed: int) -> None:
    model = _random_model(seed)
    batched = TorchKinematics(model, F64)
    q, scales = (torch.tensor(x, requires_grad=True) for x in _draw(model, seed, (2,)))
    bodies = [marker.body for marker in model.markers]
    fixed = torch.randn(len(bodies), 3, dtype=F64, requires_grad=True)
    moving = torch.randn(2, len(bodies), 3, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(batched, (q, scales), fast_mode=True)
    assert torch.autograd.gradcheck(
        lambda *x: batched.markers(x[0], x[1], bodies, x[2]), (q, scales, fixed), fast_mode=True
    )
    assert torch.autograd.gradcheck(
        lambda *x: batched.markers(x[0], x[1], bodies, x[2]), (q, scales, moving), fast_mode=True
    )
    assert torch.autograd.gradcheck(batched.joint_centres, (q, scales), fast_mode=True)


def test_second_derivatives(bsk24: SkeletonModel) -> None:
    batched = TorchKinematics(bsk24, F64)
    q, scales = (torch.tensor(x, requires_grad=True) for x in _draw(bsk24, 5, (1,)))
    assert torch.autograd.gradgradcheck(lambda *x: batched(*x)[1][:, [4, 15]], (q, scales), fast_mode=True)


def test_locations_per_sample_are_in_the_scaled_body_frames(bsk24: SkeletonModel) -> None:
    q, scales = _draw(bsk24, 1, (4,))
    batched = TorchKinematics(bsk24, F64)
    bodies = np.array([marker.body for marker in bsk24.markers])
    locations = torch.tensor(np.array([marker.location for marker in bsk24.markers]))
    stretched = locations * torch.tensor(scales)[:, bodies]
    ours = batched.markers(torch.tensor(q), torch.tensor(scales), bodies, stretched)
    torch.testing.assert_close(ours, batched.markers(torch.tensor(q), torch.tensor(scales), bodies, locations))
    torch.testing.assert_close(ours, batched.markers(torch.tensor(q), torch.tensor(scales)))


def test_one_set_of_scales_serves_a_whole_sequence(bsk24: SkeletonModel) -> None:
    q, scales = _draw(bsk24, 2, (2, 3))
    batched = TorchKinematics(bsk24, F64)
    person = torch.tensor(scales[:, :1])
    rotations, origins = batched(torch.tensor(q), person)
    again = batched(torch.tensor(q), person.expand(2, 3, 24, 3).contiguous())
    torch.testing.assert_close((rotations, origins), again)
    torch.testing.assert_close(batched(torch.tensor(q[0, 0]), person[0, 0])[1], origins[0, 0])


def test_autocast_does_not_coarsen_the_poses(bsk24: SkeletonModel) -> None:
    q, scales = (torch.tensor(x).float() for x in _draw(bsk24, 4, (2,)))
    batched = TorchKinematics(bsk24)
    plain = (*batched(q, scales), batched.markers(q, scales), batched.joint_centres(q, scales))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = (*batched(q, scales), batched.markers(q, scales), batched.joint_centres(q, scales))
    torch.testing.assert_close(mixed, plain, atol=0, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_agrees() -> None:
    model = _random_model(2)
    q, scales = (torch.tensor(x) for x in _draw(model, 2, (4, 5)))
    here, there = TorchKinematics(model, F64), TorchKinematics(model, F64, "cuda")
    for ours, theirs in zip(here(q, scales), there(q.cuda(), scales.cuda()), strict=True):
        torch.testing.assert_close(theirs.cpu(), ours)
    torch.testing.assert_close(there.markers(q.cuda(), scales.cuda()).cpu(), here.markers(q, scales))


def test_holds_nothing_to_learn_or_to_save(bsk24: SkeletonModel) -> None:
    batched = TorchKinematics(bsk24)
    assert not list(batched.parameters())
    assert not batched.state_dict()


def test_empty_batches_and_models_that_cannot_move() -> None:
    still = _random_model(0)
    joint = replace(still.joints[0], axes=tuple(replace(axis, coordinate=None, function=ZERO) for axis in AXES))
    still = replace(still, joints=(joint,), bodies=still.bodies[:1], coordinates=(), couplers=(), markers=())
    batched = TorchKinematics(still, F64)
    rotations, origins = batched(torch.zeros(3, 0, dtype=F64))
    rotation, origin = Kinematics(still).forward(np.zeros(0))
    np.testing.assert_allclose(rotations[2], rotation, atol=1e-15)
    np.testing.assert_allclose(origins[2], origin, atol=1e-15)
    assert batched.markers(torch.zeros(3, 0, dtype=F64)).shape == (3, 0, 3)
    model = _random_model(1)
    nothing = TorchKinematics(model, F64)(torch.zeros(0, 2, len(model.coordinates), dtype=F64))
    assert nothing[0].shape == (0, 2, len(model.bodies), 3, 3)


def test_wrong_shapes_and_kinds_are_refused(bsk24: SkeletonModel) -> None:
    batched = TorchKinematics(bsk24, F64)
    q, scales = (torch.tensor(x) for x in _draw(bsk24, 3, (2,)))
    with pytest.raises(ValueError, match=r"q has shape \(2, 3\)"):
        batched(q[:, :3])
    with pytest.raises(ValueError, match=r"q is torch\.float32"):
        batched(q.float())
    with pytest.raises(ValueError, match="scales have shape"):
        batched(q, scales[:, :3])
    with pytest.raises(ValueError, match="scales have shape"):
        batched(q, scales[[0, 1, 1]])
    with pytest.raises(ValueError, match="marker bodies must"):
        batched.markers(q, scales, [24], torch.zeros(1, 3))
    with pytest.raises(ValueError, match="locations have shape"):
        batched.markers(q, scales, [2], torch.zeros(2, 3))
    with pytest.raises(ValueError, match="without marker locations"):
        batched.markers(q, scales, [2])
