"""What training shows the network: finite, consistent with its targets, and in the live system's conventions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.gravity import tilted
from biopose_live.mqhmr.landmarks import Landmarks, body_points, measured
from biopose_live.mqhmr.lifter import JOINTS
from biopose_live.mqhmr.view import FEATURES, IMAGE_FEATURES, KEYPOINTS, LAGS_S, LEFT_HIP, RIGHT_HIP, features
from biopose_live.training.lifter.observe import Batch, TorchPoints, observe
from biopose_live.training.lifter.poses import exp

COUNT, F = 64, len(LAGS_S)


@pytest.fixture(scope="module")
def points(body: BodyModel) -> TorchPoints:
    offsets, spread = measured()
    return TorchPoints(body_points(body, offsets), spread, JOINTS)


class Quiet:
    """A generator without the detector's errors: what is drawn per landmark is zero, and every landmark is seen."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def standard_normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._rng.standard_normal(shape) * (0.0 if len(shape) > 2 else 1.0)

    def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
        return self._rng.uniform(low, high, shape) if len(shape) == 1 else np.full(shape, high)

    def __getattr__(self, name: str) -> object:
        return getattr(self._rng, name)


def still(count: int, sigma: float, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """People who hold still: rotations, trans, planted as `poses.draw` gives them."""
    torch.manual_seed(seed)
    pose = exp(sigma * torch.randn(count, 1, JOINTS, 3)).expand(-1, F, -1, -1, -1)
    return pose, torch.zeros(count, F, 3), torch.zeros(count, dtype=torch.bool)


def test_everything_is_finite_and_of_its_shape(points: TorchPoints) -> None:
    pose, trans, planted = still(COUNT, 0.4, 0)
    planted[::2] = True
    errors = 0.05 * torch.randn(10, len(KEYPOINTS), 3)
    batch = observe(points, pose, trans + 0.1 * torch.randn(COUNT, F, 3), planted, np.random.default_rng(0), errors)
    shapes = {
        "inputs": (COUNT, FEATURES),
        "rotations": (COUNT, JOINTS, 3, 3),
        "keypoints": (COUNT, len(KEYPOINTS), 3),
        "betas": (COUNT, 10),
        "tilt": (COUNT, 2),
    }
    for name, shape in shapes.items():
        value = getattr(batch, name)
        assert tuple(value.shape) == shape, name
        assert torch.isfinite(value).all(), name
    assert batch.inputs.abs().max() < 10.0
    torch.testing.assert_close(torch.linalg.det(batch.rotations), torch.ones(COUNT, JOINTS), atol=1e-4, rtol=0)


def test_the_same_seed_shows_the_same(points: TorchPoints) -> None:
    a, b = (observe(points, *still(8, 0.3, 1), np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(a.inputs, b.inputs)


def test_torch_points_are_the_live_landmarks(points: TorchPoints, landmarks: Landmarks) -> None:
    pose, _, _ = still(3, 0.4, 2)
    betas = torch.randn(3, 10)
    found, _ = points(pose[:, 0], betas)
    for n in range(3):
        rotations = np.tile(np.eye(3), (24, 1, 1))
        rotations[:JOINTS] = pose[n, 0].numpy()
        expected = landmarks.place(rotations, betas[n].double().numpy())[list(KEYPOINTS)]
        expected = expected - expected[[LEFT_HIP, RIGHT_HIP]].mean(0)
        own = found[n] - found[n, [LEFT_HIP, RIGHT_HIP]].mean(0)
        np.testing.assert_allclose(own.numpy(), expected, atol=1e-4)


def test_targets_are_the_posed_body(points: TorchPoints) -> None:
    batch = observe(points, *still(COUNT, 0.4, 3), np.random.default_rng(3))
    found, _ = points(batch.rotations, batch.betas)
    found = found - found[:, [LEFT_HIP, RIGHT_HIP]].mean(1, keepdim=True)
    torch.testing.assert_close(found, batch.keypoints, atol=1e-5, rtol=0)


def shown(batch: Batch, n: int) -> np.ndarray:
    """(F, K, 3) scaled x, y and mask of one window."""
    return batch.inputs[n, : IMAGE_FEATURES - 3].reshape(F, len(KEYPOINTS), 3).numpy()


def test_without_errors_the_inputs_are_the_projected_targets(points: TorchPoints) -> None:
    """Somewhere along the view's axis there is a distance at which the target looks exactly like the input."""
    batch = observe(points, *still(COUNT, 0.4, 4), Quiet(4))  # type: ignore[arg-type]
    checked = 0
    for n in range(COUNT):
        body, (size, elevation, sigma) = shown(batch, n), batch.inputs[n, IMAGE_FEATURES - 3 : IMAGE_FEATURES].tolist()
        if not body[..., 2].all():
            continue  # legs out of the picture
        target = batch.keypoints[n].double().numpy()

        def at(distance: float, target: np.ndarray = target, e: float = elevation, s: float = sigma) -> np.ndarray:
            image = target[:, :2] / (target[:, 2:] + distance)
            return features(np.tile(image, (F, 1, 1)), np.ones((F, len(KEYPOINTS)), bool), e / 3.0, s / 4.0)

        distance = brentq(lambda d: at(d)[-3] - size, 1.2, 12.0)  # noqa: B023
        np.testing.assert_allclose(batch.inputs[n, :IMAGE_FEATURES].numpy(), at(distance), atol=2e-3)
        checked += 1
    assert checked > COUNT // 2


def test_the_tilt_leads_from_the_assumed_to_the_true_gravity(points: TorchPoints) -> None:
    """Upright bodies carry the world's up in their root; the live formula must find it from the tilt target."""
    batch = observe(points, *still(COUNT, 0.0, 5), np.random.default_rng(5))
    for n in range(COUNT):
        up = batch.rotations[n, 0].numpy() @ np.array([0.0, 1.0, 0.0])
        assumed = batch.inputs[n, IMAGE_FEATURES - 2].item() / 3.0
        np.testing.assert_allclose(tilted(np.eye(3), assumed, batch.tilt[n].numpy()), up, atol=1e-4)


def test_a_planted_foot_does_not_slide(points: TorchPoints) -> None:
    """Somebody who bends the knees with planted feet shows ankles that stay, and hips that sink."""
    pose = torch.eye(3).expand(COUNT, F, JOINTS, 3, 3).clone()
    bend = torch.linspace(1.0, 0.0, F)[None]
    for hip, knee, ankle in ((1, 4, 7), (2, 5, 8)):
        for joint, share in ((hip, -0.5), (knee, 1.0), (ankle, -0.5)):
            vectors = torch.stack([share * bend, 0 * bend, 0 * bend], -1).expand(COUNT, -1, -1)
            pose[:, :, joint] = exp(vectors)
    trans = torch.zeros(COUNT, F, 3)
    moved = {}
    for planted in (True, False):
        batch = observe(points, pose, trans, torch.full((COUNT,), planted), Quiet(6))  # type: ignore[arg-type]
        ankles = [KEYPOINTS.index(k) for k in (27, 28)]
        seen = np.array([shown(batch, n) for n in range(COUNT)])
        full = seen[..., 2].all((1, 2))
        moved[planted] = np.abs(seen[full][:, 0, ankles, 1] - seen[full][:, -1, ankles, 1]).mean()
    assert moved[True] < 0.35 * moved[False]
