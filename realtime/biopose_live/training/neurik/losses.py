"""NeurIK's losses (paper section 3.3, equation 2): joint positions, marker positions, bone scales and joint angles,
through the forward-kinematics layer; beside them how joints move, where the pelvis is, and how sure each coordinate
is.

Letters: N sequences, T frames, Q coordinates, B bodies, L free joints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from biopose_live.neurik.outputs import (
    HIGHEST_LOG_SIGMA,
    LOWEST_LOG_SIGMA,
    ROOT_UNIT_M,
    SCALE_UNIT,
    OutputLayout,
)
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.skeleton.torch_kinematics import TorchKinematics
from biopose_live.torch_rotations import six_to_matrix
from biopose_live.training.neurik.batches import Batch

# The weights of the terms; metres and radians.
JOINTS, MARKERS, SCALES, ANGLES, FREE, PLACE, SPEED, ACCELERATION, SURENESS = (
    5.0,
    5.0,
    1.0,
    2.0,
    1.0,
    2.0,
    0.2,
    0.012,
    0.02,
)
FLAT = 1e-2  # near a singular pose the gradient of an angle is held below 1 / sqrt(FLAT) of the rotation's


@dataclass(slots=True)
class Answer:
    """q (N, T, Q) as `Batch.q`; rotations (N, T, L, 3, 3) of the free joints; place (N, T, 3) m; scales (N, T, B, 3);
    log_sigma (N, T, Q)."""

    q: Tensor
    rotations: Tensor
    place: Tensor
    scales: Tensor
    log_sigma: Tensor


class Losses(nn.Module):
    """Holds the skeleton's constants."""

    low: Tensor
    high: Tensor
    axes: Tensor
    sign: Tensor
    locations: Tensor
    free: Tensor
    ranged: Tensor

    def __init__(self, model: SkeletonModel, marker_bodies: np.ndarray, locations: np.ndarray) -> None:
        """marker_bodies (M,), locations (M, 3) m in the unscaled bodies: where markers sit on people on the whole."""
        super().__init__()
        self.layout = OutputLayout(model)
        self.kinematics = TorchKinematics(model)
        self.marker_bodies = marker_bodies

        def constant(name: str, value: object) -> None:
            self.register_buffer(name, torch.tensor(np.asarray(value), dtype=torch.float32), persistent=False)

        constant("low", self.layout.low)
        constant("high", self.layout.high)
        constant("axes", [joint.axes for joint in self.layout.free])
        constant("sign", [joint.sign for joint in self.layout.free])
        constant("locations", locations)
        free = torch.tensor(np.array([joint.coordinates for joint in self.layout.free]))
        self.register_buffer("free", free, persistent=False)
        self.register_buffer("ranged", torch.tensor(self.layout.ranged), persistent=False)
        self.pelvis = model.body_index("pelvis")

    def answer(self, raw: Tensor) -> Answer:
        """raw (N, T, O) -> what it means."""
        layout = self.layout
        lead = raw.shape[:-1]
        rotations = six_to_matrix(raw[..., layout.six_part].reshape(*lead, -1, 6))
        q = raw.new_zeros(*lead, layout.coordinates)
        ranged = raw[..., layout.ranged_part]
        # Cut off at the limits, but not for the gradient: an answer outside must find its way back.
        q[..., self.ranged] = ranged + (ranged.clamp(self.low, self.high) - ranged).detach()
        q[..., self.free.flatten()] = self.angles(rotations).flatten(-2)
        scales = torch.exp(SCALE_UNIT * raw[..., layout.scale_part]).reshape(*lead, -1, 3)
        log_sigma = raw[..., layout.sigma_part].clamp(LOWEST_LOG_SIGMA, HIGHEST_LOG_SIGMA)
        return Answer(q, rotations, ROOT_UNIT_M * raw[..., layout.place_part], scales, log_sigma)

    def angles(self, rotations: Tensor) -> Tensor:
        """(..., L, 3, 3) -> (..., L, 3) rad, twin of `outputs.FreeJoint.angles`."""
        r = self.axes.transpose(-1, -2) @ rotations @ self.axes
        middle = _angle(r[..., 0, 2], (r[..., 0, 0].square() + r[..., 0, 1].square() + 1e-12).sqrt())
        first, last = _angle(-r[..., 1, 2], r[..., 2, 2]), _angle(-r[..., 0, 1], r[..., 0, 0])
        return self.sign[:, None] * torch.stack([first, middle, last], -1)

    def rotation(self, q: Tensor) -> Tensor:
        """coordinates (..., Q) -> rotations (..., L, 3, 3) of the free joints, twin of `outputs.FreeJoint.rotation`."""
        angle = self.sign[:, None] * q[..., self.free]
        c, s = torch.cos(angle), torch.sin(angle)
        (cx, cy, cz), (sx, sy, sz) = c.unbind(-1), s.unbind(-1)
        rows = [
            cy * cz, -cy * sz, sy,
            sx * sy * cz + cx * sz, cx * cz - sx * sy * sz, -sx * cy,
            sx * sz - cx * sy * cz, cx * sy * sz + sx * cz, cx * cy,
        ]  # fmt: skip
        return self.axes @ torch.stack(rows, -1).unflatten(-1, (3, 3)) @ self.axes.transpose(-1, -2)

    def error(self, answer: Answer, batch: Batch) -> Tensor:
        """-> (N, T, Q) rad and m: answer less truth; angles by the shortest way, a free joint's written in the way
        nearer to the truth's."""
        error = answer.q - batch.q
        own, true = answer.q[..., self.free], batch.q[..., self.free]
        other = torch.stack([own[..., 0] + math.pi, math.pi - own[..., 1], own[..., 2] + math.pi], -1)
        ways = torch.stack([_wrapped(own - true), _wrapped(other - true)], -2)
        nearer = ways.abs().sum(-1).argmin(-1)
        best = ways.gather(-2, nearer[..., None, None].expand(*nearer.shape, 1, 3)).squeeze(-2)
        error[..., self.free.flatten()] = best.flatten(-2)
        error[..., self.layout.place] = answer.place - batch.place
        return error

    def forward(self, raw: Tensor, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """-> the loss, and what it is made of (degrees, millimetres)."""
        layout = self.layout
        answer = self.answer(raw)
        good = batch.good
        scales = batch.scales[:, None].expand(-1, good.shape[1], -1, -1)
        with torch.no_grad():
            _, true_joints = self.kinematics(batch.q, scales)
            true_rotations = self.rotation(batch.q)
        rotations, joints = self.kinematics(answer.q, answer.scales)
        markers = self.kinematics.place_markers(rotations, joints, answer.scales, self.marker_bodies, self.locations)
        joint_error = (joints - true_joints).norm(dim=-1)
        marker_error = (markers - batch.true).norm(dim=-1)
        scale_error = (answer.scales.log() - scales.log()).abs().mean((-1, -2))
        ranged_error = (answer.q - batch.q)[..., self.ranged].abs()
        free_error = (answer.rotations - true_rotations).square().sum((-1, -2)).clamp(min=1e-8).sqrt()
        # Depth is as good as the camera makes it; only how the place moves within a sequence can be learnt.
        place_error = answer.place - batch.place
        place_error = (place_error - _mean(place_error, good)[:, None]).abs().sum(-1)
        world = _in_world(joints + answer.place[..., None, :], batch)
        true_world = _in_world(true_joints + batch.place[..., None, :], batch)
        speed, acceleration, steady = _motion_error(world - true_world, batch.times, good)
        error = self.error(answer, batch).detach()
        sureness = 0.5 * (error / answer.log_sigma.exp()).square().clamp(max=50.0) + answer.log_sigma

        def over(values: Tensor) -> Tensor:
            return values[good].mean()

        loss = (
            JOINTS * over(joint_error)
            + MARKERS * over(marker_error)
            + SCALES * over(scale_error)
            + ANGLES * over(ranged_error)
            + FREE * over(free_error)
            + PLACE * over(place_error)
            + SPEED * speed
            + ACCELERATION * acceleration
            + SURENESS * over(sureness)
        )
        with torch.no_grad():
            turning = [i for i in range(layout.coordinates) if i not in layout.place]
            angle = torch.rad2deg(error[..., turning].abs())
            ratio = (error / answer.log_sigma.exp())[good].square().clamp(max=50.0).mean().sqrt()
            report = {
                "loss": loss.item(),
                "angles_deg": over(angle).item(),
                "ranged_deg": torch.rad2deg(over(ranged_error)).item(),
                "free_deg": torch.rad2deg(over(free_error)).item() / math.sqrt(2.0),
                "joints_mm": 1e3 * over(joint_error).item(),
                "markers_mm": 1e3 * over(marker_error).item(),
                "scales_percent": 100.0 * over(scale_error).item(),
                "speed_error": speed.item(),
                "acceleration_error": acceleration.item(),
                "error_over_sigma": ratio.item(),
                "steady": float(steady),
            }
        return loss, report


def _angle(y: Tensor, x: Tensor) -> Tensor:
    """atan2 whose gradient stays finite where both vanish."""
    value = torch.atan2(y, x).detach()
    fixed_y, fixed_x = y.detach(), x.detach()
    slope = (fixed_x * y - fixed_y * x) / (fixed_x.square() + fixed_y.square() + FLAT)
    return value + slope - slope.detach()


def _wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + math.pi, 2.0 * math.pi) - math.pi


def _mean(values: Tensor, good: Tensor) -> Tensor:
    """(N, T, 3), (N, T) -> (N, 3): the mean over the good frames."""
    weight = good[..., None].to(values.dtype)
    return (values * weight).sum(1) / weight.sum(1).clamp(min=1.0)


def _in_world(points: Tensor, batch: Batch) -> Tensor:
    """(N, T, B, 3) m in the persons' frames -> in the world."""
    return points @ batch.to_world.transpose(-1, -2) + batch.origin[:, :, None]


def _motion_error(error: Tensor, times: Tensor, good: Tensor) -> tuple[Tensor, Tensor, int]:
    """error (N, T, B, 3) m -> its mean speed (m/s) and acceleration (m/s^2), and over how many frames."""
    step = (times[:, 1:] - times[:, :-1]).clamp(min=1e-3)
    velocity = (error[:, 1:] - error[:, :-1]) / step[..., None, None]
    middle = 0.5 * (step[:, 1:] + step[:, :-1])
    acceleration = (velocity[:, 1:] - velocity[:, :-1]) / middle[..., None, None]
    both = good[:, 1:] & good[:, :-1]
    three = both[:, 1:] & both[:, :-1]
    return velocity.norm(dim=-1)[both].mean(), acceleration.norm(dim=-1)[three].mean(), int(three.sum())
