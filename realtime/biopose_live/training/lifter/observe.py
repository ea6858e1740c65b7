"""Turns windows of poses into what a detector would have seen of them: the network's inputs and targets.

World: y up.  View: see `mqhmr.view` (z along the ray through the hips, x level, y down).  The detector's errors are of
four kinds: each landmark sits a little elsewhere on each body (m, rides with the limb), it is off in the image by a
slowly varying amount (in units of the person's size), it jitters, and now and then it is far off or not seen.

Letters: B windows, F lags, J = 22 joints, K keypoints that the network reads, S = 10 shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from biopose_live.mqhmr.refinement import BodyPoints
from biopose_live.mqhmr.view import KEYPOINTS, LEFT_HIP, RIGHT_HIP, WORLD_UNIT_M
from biopose_live.training.lifter.poses import exp

UNKNOWN_TILT_SIGMA = math.radians(15.0)  # what the live system assumes before it has seen anything: a level camera
KNEES_TO_TOES = [KEYPOINTS.index(k) for k in (25, 26, 27, 28, 29, 30, 31, 32)]


@dataclass(slots=True)
class Batch:
    """inputs (B, FEATURES); rotations (B, J, 3, 3) with row 0 in the view frame; keypoints (B, K, 3) m from the hips'
    midpoint, view frame, without the detector's errors; betas (B, S); tilt (B, 2) rad: roll and elevation of gravity's
    true direction against the assumed one."""

    inputs: Tensor
    rotations: Tensor
    keypoints: Tensor
    betas: Tensor
    tilt: Tensor


class TorchPoints:
    """The body's joints and keypoints in PyTorch, batched and differentiable."""

    def __init__(self, body: BodyPoints, spread: np.ndarray, joints: int) -> None:
        """spread (33,): one-sigma of each landmark's detections, in units of the person's size (`landmark_bias`)."""

        def floats(a: np.ndarray) -> Tensor:
            return torch.tensor(a, dtype=torch.float32)

        chosen = list(KEYPOINTS)
        self.parents = [int(p) for p in body.parents[:joints]]
        self.joint_template, self.joint_dirs = floats(body.joint_template[:joints]), floats(body.joint_dirs[:joints])
        self.spread = floats(spread[chosen])
        self.ride = torch.tensor(body.keypoint_joint[chosen])
        self.keypoint_template = floats(body.keypoint_template[chosen])
        self.keypoint_dirs = floats(body.keypoint_dirs[chosen])

    def __call__(self, rotations: Tensor, betas: Tensor, offsets: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """rotations (N, J, 3, 3), betas (N, S), offsets (N, K, 3) m in the limbs' frames -> keypoints (N, K, 3), joints
        (N, J, 3), both relative to the root joint, m."""
        rest = self.joint_template + torch.einsum("jis,ns->nji", self.joint_dirs, betas)
        turn, at = [rotations[:, 0]], [torch.zeros_like(rest[:, 0])]
        for j in range(1, len(self.parents)):
            p = self.parents[j]
            at.append(at[p] + (turn[p] @ (rest[:, j] - rest[:, p])[..., None])[..., 0])
            turn.append(turn[p] @ rotations[:, j])
        turns, ats = torch.stack(turn, 1), torch.stack(at, 1)
        local = self.keypoint_template + torch.einsum("kis,ns->nki", self.keypoint_dirs, betas) - rest[:, self.ride]
        if offsets is not None:
            local = local + offsets
        return ats[:, self.ride] + (turns[:, self.ride] @ local[..., None])[..., 0], ats


def _about(axis: int, angle: Tensor) -> Tensor:
    vectors = torch.zeros(*angle.shape, 3)
    vectors[..., axis] = angle
    return exp(vectors)


def observe(
    points: TorchPoints,
    rotations: Tensor,
    trans: Tensor,
    planted: Tensor,
    rng: np.random.Generator,
    world_errors: Tensor | None = None,
) -> Batch:
    """rotations (B, F, J, 3, 3), trans (B, F, 3), planted (B,) as `poses.draw` gives them -> Batch."""
    count, lags, joints = rotations.shape[:3]

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))

    betas = normal(count, points.joint_dirs.shape[-1])
    elevation = torch.where(
        uniform(0, 1, count) < 0.7, math.radians(-6.0) + math.radians(9.0) * normal(count), uniform(-0.9, 0.6, count)
    )
    heading = uniform(-math.pi, math.pi, count)
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # y up, facing us -> y down, z away from us
    to_view = _about(0, -elevation) @ flip @ _about(1, heading)  # (B, 3, 3)

    # What is assumed about gravity is wrong by (roll, elevation): a little when it is known, by the camera's tilt else.
    unknown = uniform(0, 1, count) < 0.4
    up_sigma = torch.where(unknown, torch.full((count,), UNKNOWN_TILT_SIGMA), uniform(0.0, math.radians(8.0), count))
    off_axis = math.radians(8.0) * normal(count)
    tilt_elevation = torch.where(unknown, elevation - off_axis, up_sigma * normal(count))
    tilt_roll = torch.where(unknown, math.radians(6.0) * normal(count), up_sigma * normal(count))
    to_view = _about(2, tilt_roll)[:, :] @ to_view
    assumed_elevation = elevation - tilt_elevation

    view_rotations = rotations.clone()
    view_rotations[:, :, 0] = to_view[:, None] @ rotations[:, :, 0]
    spread = betas[:, None].expand(-1, lags, -1)
    ride = 0.012 * normal(count, 1, len(KEYPOINTS), 3)
    flat = view_rotations.flatten(0, 1)
    seen_points, ats = points(flat, spread.flatten(0, 1), ride.expand(-1, lags, -1, -1).flatten(0, 1))
    seen_points, ats = seen_points.view(count, lags, -1, 3), ats.view(count, lags, joints, 3)
    true_points, _ = points(view_rotations[:, 0], betas)

    # A standing foot does not slide: it tells where the hips were.
    move = torch.einsum("bik,bfk->bfi", to_view, trans)
    lower = (ats[:, 0, 7, 1] > ats[:, 0, 8, 1]).long() + 0  # y is down: the larger y stands
    ankle = torch.where(lower.bool()[:, None, None], ats[:, :, 7], ats[:, :, 8])
    move = torch.where(planted[:, None, None], ankle[:, :1] - ankle, move)
    hips = seen_points[:, :, [LEFT_HIP, RIGHT_HIP]].mean(2, keepdim=True)
    distance = torch.exp(uniform(math.log(1.4), math.log(9.0), count))
    depth = torch.stack([torch.zeros(count), torch.zeros(count), distance], -1)
    placed = seen_points - hips[:, :1] + move[:, :, None] + depth[:, None, None]
    image = placed[..., :2] / placed[..., 2:].clamp(min=0.3)

    size = (image[:, 0] - image[:, 0, [LEFT_HIP, RIGHT_HIP]].mean(1, keepdim=True)).square().sum(-1).mean(1).sqrt()
    level = uniform(0.3, 1.3, count, 1, 1, 1)
    spread = points.spread[:, None]
    steady = spread * normal(count, 1, len(KEYPOINTS), 2).expand(-1, lags, -1, -1)
    jitter = 0.3 * spread * normal(count, lags, len(KEYPOINTS), 2)
    rare = (uniform(0, 1, count, 1, len(KEYPOINTS), 1) < 0.04).float()
    far = 0.10 * rare * normal(count, 1, len(KEYPOINTS), 2)
    image = image + size[:, None, None, None] * (level * (steady + jitter) + far)

    seen = uniform(0, 1, count, 1, len(KEYPOINTS)) > 0.03
    cut = uniform(0, 1, count) < 0.06  # the legs below the hips are out of the picture
    seen = seen.expand(-1, lags, -1).clone()
    seen[:, :, KNEES_TO_TOES] &= ~cut[:, None, None]
    seen[:, :, [LEFT_HIP, RIGHT_HIP]] = True
    late = torch.from_numpy(rng.integers(1, lags + 1, count))  # a person just found has no past: its oldest frame holds
    late = torch.where(uniform(0, 1, count) < 0.1, late, torch.full_like(late, lags))
    index = torch.minimum(torch.arange(lags)[None], late[:, None] - 1)
    image = torch.gather(image, 1, index[:, :, None, None].expand_as(image))

    centre = true_points[:, [LEFT_HIP, RIGHT_HIP]].mean(1, keepdim=True)
    relative = true_points - centre
    inputs = torch.cat([_features(image, seen, assumed_elevation, up_sigma), _world(relative, world_errors, rng)], -1)
    return Batch(inputs, view_rotations[:, 0], relative, betas, torch.stack([tilt_roll, tilt_elevation], -1))


def _world(relative: Tensor, errors: Tensor | None, rng: np.random.Generator) -> Tensor:
    """What the detector's own 3D might have been: the truth (B, K, 3) m with the errors (N, K, 3) m of other pictures,
    of another size, and now and then missing."""
    count = len(relative)
    if errors is None:
        return torch.zeros(count, 3 * relative.shape[1] + 1)
    missing = torch.from_numpy(rng.random(count) < 0.15)
    strength = torch.from_numpy(rng.uniform(0.6, 1.8, (count, 1, 1)).astype(np.float32))
    # A guess from one picture errs towards the usual: depth is flattened most where the pose is unusual.
    depth = torch.ones(count, 1, 3)
    depth[:, 0, 2] = torch.from_numpy(rng.uniform(0.5, 1.15, count).astype(np.float32))
    size = torch.from_numpy(np.exp(rng.normal(0, 0.1, (count, 1, 1))).astype(np.float32))
    # Two pictures' errors mixed at equal power, and some noise: a few hundred vectors could be learnt by heart.
    first, second = (errors[torch.from_numpy(rng.integers(0, len(errors), count))] for _ in range(2))
    mix = torch.from_numpy(rng.uniform(0, math.pi / 2, (count, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(rng.normal(0, 0.03, tuple(relative.shape)).astype(np.float32))
    guess = size * (depth * relative + strength * (torch.cos(mix) * first + torch.sin(mix) * second) + noise)
    guess = guess - guess[:, [LEFT_HIP, RIGHT_HIP]].mean(1, keepdim=True)
    flat = torch.cat([(guess / WORLD_UNIT_M).clamp(-5.0, 5.0).flatten(1), torch.ones(count, 1)], -1)
    return flat * (~missing)[:, None]


def _features(image: Tensor, seen: Tensor, elevation: Tensor, up_sigma: Tensor) -> Tensor:
    """Batched twin of `mqhmr.view.features`."""
    relative = image - image[:, 0, [LEFT_HIP, RIGHT_HIP]].mean(1)[:, None, None]
    size = relative[:, 0].square().sum(-1).mean(-1).sqrt().clamp(min=1e-4)
    scaled = (relative / size[:, None, None, None]).clamp(-6.0, 6.0)
    mask = seen[..., None].float()
    body = torch.cat([scaled * mask, mask], -1).flatten(1)
    return torch.cat([body, torch.stack([3.0 * size, 3.0 * elevation, 4.0 * up_sigma], -1)], -1)
