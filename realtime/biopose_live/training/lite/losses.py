"""What the light network is trained for, and the figures by which it is judged.

Paper, section 3.2: L_smpl (here: the rotations' corrections and the shape), L_3D (the posed points) and L_2D (the
dense points in the picture).  Places, corrections and shape are fitted with their own uncertainty, under Student's t
(5 degrees of freedom), which an outlier does not blow up.

Letters: B samples, P dense points, Q of them with a query token, J = 24 joints, S shape coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from biopose_live.mqhmr.lite.architecture import SHAPE
from biopose_live.mqhmr.lite.points import JOINTS
from biopose_live.mqhmr.network.body_points import BodyPoints
from biopose_live.mqhmr.person_crop import SIDE
from biopose_live.torch_rotations import squared_chord, vector_to_matrix
from biopose_live.training.lite.batches import LARGEST_CORRECTION, Batch
from biopose_live.training.lite.network import Outputs

FREEDOM = 5.0
EARLIER = 0.4  # weight of a layer that is not the last
WEIGHTS = {"places": 1.0, "near": 5.0, "visible": 0.3, "corrections": 1.0, "turns": 2.0, "points": 8.0, "shape": 0.1}
# Beside the likelihoods, which learn an error's size faster than to avoid it, the errors themselves count.
NEAR = 0.02  # crops: where the places' own error turns from squared to absolute


def student(square: Tensor, log_scale: Tensor, dimensions: int) -> Tensor:
    """-> negative log-likelihood, up to a constant, of a residual with this squared Mahalanobis length and sum of log
    scales."""
    return log_scale + 0.5 * (FREEDOM + dimensions) * torch.log1p(square / FREEDOM)


def mahalanobis(outputs: Outputs, target: Tensor) -> Tensor:
    """(B, Q) squared, of the true places under the predicted covariance."""
    off = target - outputs.places
    first = off[..., 0] * (-outputs.log_sigmas[..., 0]).exp()
    second = off[..., 1] * (-outputs.log_sigmas[..., 1]).exp() - outputs.lean * first
    return first.square() + second.square()


def loss(outputs: Sequence[Outputs], shape: Tensor, batch: Batch, body: BodyPoints) -> tuple[Tensor, dict[str, Tensor]]:
    """-> the loss and its parts."""
    inside = batch.inside.float()
    count = inside.sum().clamp(min=1)
    parts: dict[str, Tensor] = {}
    for i, out in enumerate(outputs):
        weight = 1.0 if i == len(outputs) - 1 else EARLIER
        each = {
            "places": (student(mahalanobis(out, batch.target), out.log_sigmas.sum(-1), 2) * inside).sum() / count,
            "near": (_distance(out, batch) * inside).sum() / count,
            "visible": F.binary_cross_entropy_with_logits(out.visible, batch.visible),
            "corrections": _corrections(out, batch),
            "turns": F.smooth_l1_loss(out.corrections, batch.correction, beta=0.2),
            "points": _points(out, batch, body),
        }
        for name, value in each.items():
            parts[name] = parts.get(name, 0.0) + weight * value
    scale = shape[:, SHAPE:].clamp(-3.0, 1.0)
    parts["shape"] = student(((shape[:, :SHAPE] - batch.betas) / scale.exp()).square(), scale, 1).mean()
    total = torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()
    return total, parts


def _distance(out: Outputs, batch: Batch) -> Tensor:
    """(B, Q) Huber's measure of the places' errors, in units of NEAR, counting at most 10."""
    off = (out.places - batch.target).div(NEAR)
    return F.smooth_l1_loss(off, torch.zeros_like(off), reduction="none").mean(-1).clamp(max=10.0) * 0.1


def _corrections(out: Outputs, batch: Batch) -> Tensor:
    square = ((out.corrections - batch.correction) * (-out.log_turns).exp()).square()
    sane = (batch.correction.norm(dim=-1, keepdim=True) < LARGEST_CORRECTION).float()
    return (student(square, out.log_turns, 1) * (0.1 + 0.9 * sane)).mean()


def _points(out: Outputs, batch: Batch, body: BodyPoints) -> Tensor:
    """Mean distance (m) of markers and joints, about the pelvis, on the true shape."""
    turned = batch.rotations @ vector_to_matrix(out.corrections)
    return point_errors(turned, batch, body).clamp(max=0.5).mean()


def point_errors(rotations: Tensor, batch: Batch, body: BodyPoints) -> Tensor:
    """(B, P) m: how far the dense points of these rotations lie from the true ones, pelvis on pelvis."""
    origin = rotations.new_zeros(len(rotations), 3)
    got = body(rotations, batch.betas, origin)
    with torch.no_grad():
        true = body(batch.true_rotations, batch.betas, origin)
    off = torch.cat([got.markers - true.markers, got.joints - true.joints], 1)
    return (off.square().sum(-1) + 1e-8).sqrt()


@torch.no_grad()
def figures(outputs: Sequence[Outputs], batch: Batch, body: BodyPoints) -> dict[str, Tensor]:
    """Sums over the batch with their counts under the name + "#", so that batches add up.

    px are of the crop's 256; "before" is the keypoints-only estimate; "within" the share of errors inside the stated
    one-sigma (39 % in two dimensions, 68 % in one)."""
    out = outputs[-1]
    inside = batch.inside
    legs = torch.zeros_like(inside)
    legs[:, 1 - JOINTS : 12 - JOINTS] = True  # the joint centres come last, the pelvis first of them
    seen = inside & (batch.visible > 0.5)
    before = (batch.target - batch.places).norm(dim=-1) * SIDE
    after = (batch.target - out.places).norm(dim=-1) * SIDE
    square = mahalanobis(out, batch.target)
    turned = batch.rotations @ vector_to_matrix(out.corrections)
    angle_before = torch.rad2deg(
        squared_chord(batch.rotations, batch.true_rotations).clamp(0, 4).div(4).sqrt().asin() * 2
    )
    angle_after = torch.rad2deg(squared_chord(turned, batch.true_rotations).clamp(0, 4).div(4).sqrt().asin() * 2)
    sizes = {
        "px_before": before[inside],
        "px": after[inside],
        "px_seen_before": before[seen],
        "px_seen": after[seen],
        "px_legs_before": before[seen & legs],
        "px_legs": after[seen & legs],
        "within_39": (square[inside] < 1.0).float(),
        "visible_right": ((out.visible > 0) == (batch.visible > 0.5)).float(),
        "root_deg_before": angle_before[:, 0],
        "root_deg": angle_after[:, 0],
        "legs_deg_before": angle_before[:, [1, 2, 4, 5, 7, 8]],
        "legs_deg": angle_after[:, [1, 2, 4, 5, 7, 8]],
        "deg_before": angle_before,
        "deg": angle_after,
        "mm_before": 1e3 * point_errors(batch.rotations, batch, body),
        "mm": 1e3 * point_errors(turned, batch, body),
        "within_68": ((out.corrections - batch.correction).abs() < out.log_turns.exp()).float(),
    }
    result: dict[str, Tensor] = {}
    for name, values in sizes.items():
        result[name], result[f"{name}#"] = values.sum(), torch.tensor(float(values.numel()))
    return result
