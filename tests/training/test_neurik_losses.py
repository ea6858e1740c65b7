"""The losses: nothing at the truth, the skeleton's own angles, gradients that stay finite where angles are singular."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from biopose_live.body.model import BodyModel
from biopose_live.neurik.mean_person import marker_places, standing_observer
from biopose_live.neurik.outputs import ROOT_UNIT_M, SCALE_UNIT, OutputLayout
from biopose_live.rotations import from_six
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.torch_rotations import six_to_matrix
from biopose_live.training.neurik.batches import Batch, SampleSet
from biopose_live.training.neurik.losses import Losses, _motion_error
from neurik_made_up import write_samples

SINGULAR = math.pi / 2


@pytest.fixture(scope="module")
def losses(body: BodyModel, skeleton: SkeletonModel) -> Losses:
    return Losses(skeleton, *marker_places(body, skeleton, people=3))


@pytest.fixture(scope="module")
def batch(body: BodyModel, skeleton: SkeletonModel, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, body, skeleton, 3, 12)
    return SampleSet(folder, skeleton, standing_observer(body, skeleton)).whole(0, 3)


def truth(losses: Losses, batch: Batch) -> torch.Tensor:
    """-> the raw answer (N, T, O) that means the truth."""
    layout = losses.layout
    raw = torch.zeros(*batch.good.shape, layout.size)
    raw[..., layout.ranged_part] = batch.q[..., losses.ranged]
    raw[..., layout.six_part] = losses.rotation(batch.q)[..., :2].transpose(-1, -2).flatten(-3)
    raw[..., layout.place_part] = batch.place / ROOT_UNIT_M
    scales = batch.scales.log()[:, None].expand(-1, batch.good.shape[1], -1, -1)
    raw[..., layout.scale_part] = scales.flatten(-2) / SCALE_UNIT
    raw[..., layout.sigma_part] = -3.0
    return raw


def test_the_truth_costs_nothing(losses: Losses, batch: Batch) -> None:
    _, report = losses(truth(losses, batch), batch)
    for name in ("angles_deg", "ranged_deg", "joints_mm", "scales_percent", "speed_error", "error_over_sigma"):
        assert report[name] < 0.05, name
    assert report["free_deg"] < 0.05
    assert report["markers_mm"] < 60.0  # markers sit on the mean person's places


def test_an_error_is_told_in_degrees_and_sigmas(losses: Losses, batch: Batch, skeleton: SkeletonModel) -> None:
    raw = truth(losses, batch)
    knee = skeleton.coordinate_index("knee_angle_r")
    raw[..., losses.layout.ranged_part][..., list(losses.layout.ranged).index(knee)] += math.radians(10.0)
    raw[..., losses.layout.sigma_part] = math.log(math.radians(5.0))
    error = losses.error(losses.answer(raw), batch)
    np.testing.assert_allclose(np.degrees(error[..., knee].numpy()), 10.0, atol=1e-3)
    _, report = losses(raw, batch)
    turning = sum(c.rotational for c in skeleton.coordinates)
    assert report["angles_deg"] == pytest.approx(10.0 / turning, rel=0.02)
    assert report["error_over_sigma"] == pytest.approx(2.0 / math.sqrt(len(skeleton.coordinates)), rel=0.02)


def test_the_other_way_of_writing_a_shoulder_is_no_error(losses: Losses, batch: Batch) -> None:
    raw = truth(losses, batch)
    other = batch.q.clone()
    shoulder = losses.free[1]
    own = other[..., shoulder]
    other[..., shoulder] = torch.stack([own[..., 0] + math.pi, math.pi - own[..., 1], own[..., 2] + math.pi], -1)
    torch.testing.assert_close(
        losses.rotation(other)[..., 1, :, :], losses.rotation(batch.q)[..., 1, :, :], atol=1e-5, rtol=0
    )
    error = losses.error(losses.answer(raw), Batch(**{**vars_of(batch), "q": other}))
    assert error[..., shoulder].abs().max() < 1e-4


def vars_of(batch: Batch) -> dict[str, torch.Tensor]:
    return {name: getattr(batch, name) for name in Batch.__dataclass_fields__}


def test_rotations_and_angles_are_those_of_the_live_form(losses: Losses, skeleton: SkeletonModel) -> None:
    rng = np.random.default_rng(1)
    q = rng.uniform(-3, 3, (50, len(skeleton.coordinates)))
    found = losses.rotation(torch.tensor(q, dtype=torch.float32))
    for number, joint in enumerate(OutputLayout(skeleton).free):
        wanted = joint.rotation(q[:, joint.coordinates])
        np.testing.assert_allclose(found[:, number].numpy(), wanted, atol=2e-6)
        np.testing.assert_allclose(losses.angles(found)[:, number].numpy(), joint.angles(wanted), atol=2e-3)


def test_six_numbers_are_the_live_forms_rotation() -> None:
    six = np.random.default_rng(2).normal(size=(30, 6))
    np.testing.assert_allclose(six_to_matrix(torch.from_numpy(six)).numpy(), from_six(six), atol=1e-9)


@pytest.mark.parametrize("middle", [SINGULAR, -SINGULAR, SINGULAR - 1e-7, 0.0])
@pytest.mark.parametrize("off", [0.0, 1e-4, 0.3])
def test_gradients_are_finite_at_singular_poses(losses: Losses, batch: Batch, middle: float, off: float) -> None:
    q = batch.q.clone()
    q[..., losses.free] = torch.tensor([0.3, middle, -0.2])
    there = Batch(**{**vars_of(batch), "q": q})
    raw = truth(losses, there)
    raw = (raw + off * torch.sin(torch.arange(raw.numel(), dtype=torch.float32)).view(raw.shape)).requires_grad_()
    loss, report = losses(raw, there)
    loss.backward()
    assert all(math.isfinite(value) for value in report.values())
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()
    assert raw.grad.abs().max() < 1e3


@pytest.mark.parametrize("fill", [0.0, 1e-12, 1e4, -1e4])
def test_gradients_are_finite_whatever_the_network_says(losses: Losses, batch: Batch, fill: float) -> None:
    raw = torch.full((*batch.good.shape, losses.layout.size), fill)
    raw[..., losses.layout.scale_part] = raw[..., losses.layout.scale_part].clamp(-5, 5)
    raw.requires_grad_()
    loss, _ = losses(raw, batch)
    loss.backward()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


def test_answers_are_cut_off_at_the_limits_and_find_back(losses: Losses, batch: Batch) -> None:
    raw = truth(losses, batch)
    raw[..., losses.layout.ranged_part] = 50.0
    raw.requires_grad_()
    answer = losses.answer(raw)
    torch.testing.assert_close(
        answer.q[..., losses.ranged], losses.high.expand(*batch.good.shape, -1), atol=1e-4, rtol=0
    )
    answer.q[..., losses.ranged].sum().backward()
    assert raw.grad is not None
    torch.testing.assert_close(
        raw.grad[..., losses.layout.ranged_part], torch.ones_like(raw[..., losses.layout.ranged_part])
    )


def test_frames_whose_labels_do_not_fit_do_not_count(losses: Losses, batch: Batch) -> None:
    good = batch.good.clone()
    good[:, 5:8] = False
    part = Batch(**{**vars_of(batch), "good": good})
    raw = truth(losses, batch)
    before = losses(raw, part)[0]
    spoilt = raw.clone()
    spoilt[:, 5:8] += 1.0
    torch.testing.assert_close(losses(spoilt, part)[0], before)
    assert losses(spoilt, batch)[0] > before + 0.1


def test_the_error_of_motion_is_numpys() -> None:
    rng = np.random.default_rng(4)
    times = np.cumsum(rng.uniform(0.02, 0.05, (2, 9)), 1)
    error = rng.normal(size=(2, 9, 3, 3))
    good = np.ones((2, 9), bool)
    good[1, 4] = False
    speed, acceleration, steady = _motion_error(*(torch.from_numpy(x) for x in (error, times, good)))
    speeds, accelerations = [], []
    for n in range(2):
        velocity = np.diff(error[n], axis=0) / np.diff(times[n])[:, None, None]
        middle = (times[n][2:] - times[n][:-2]) / 2
        second = np.diff(velocity, axis=0) / middle[:, None, None]
        for k in range(8):
            if good[n, k] and good[n, k + 1]:
                speeds.append(np.linalg.norm(velocity[k], axis=-1).mean())
        for k in range(7):
            if good[n, k : k + 3].all():
                accelerations.append(np.linalg.norm(second[k], axis=-1).mean())
    assert speed.item() == pytest.approx(np.mean(speeds))
    assert acceleration.item() == pytest.approx(np.mean(accelerations))
    assert steady == len(accelerations)


def test_constants_move_with_the_module(losses: Losses) -> None:
    names = {name for name, _ in losses.named_buffers()}
    assert {"low", "high", "axes", "sign", "locations", "free", "ranged"} <= names
    assert losses.state_dict() == {}  # constants are not saved
