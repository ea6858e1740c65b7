"""From query tokens to the body's parameters, the camera and the dense anatomical markers.

Every output has a slot: a learned query that attends to the tokens.  24 slots give the joints' rotations, one the
shape, one the camera, and one each marker and joint centre.  A marker's place is the average of the tokens' anchors
under its slot's attention, moved by what the slot says.

Letters: B people, Q query tokens, C channels, M markers, P = M + 24 dense points (markers, then joint centres).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from biopose_live.body.joints import N_JOINTS
from biopose_live.mqhmr.network.architecture import Architecture
from biopose_live.torch_rotations import six_to_matrix

# A body that stands before the camera and faces it: its y and z axes are the camera's turned over.
FACING = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
METRE = math.log(0.45)  # of a crop's height, in which a standing adult is tall
SIGMA = 0.05  # crop heights, before training
LEAN = 3.0  # of the lower entry to the diagonal: a correlation of at most 0.95
LOWEST, HIGHEST = math.log(1e-3), math.log(1.0)  # of a one-sigma in crop heights


@dataclass(frozen=True, eq=False)
class DenseMarkers:
    """place (B, P, 2) in the crop; cholesky (B, P, 2, 2): L of the covariance L L^T in squared crop heights, lower
    triangular with a positive diagonal; visible (B, P): the logit of being seen."""

    place: Tensor
    cholesky: Tensor
    visible: Tensor

    @property
    def covariance(self) -> Tensor:
        """(B, P, 2, 2), positive definite."""
        return self.cholesky @ self.cholesky.transpose(-1, -2)


@dataclass(frozen=True, eq=False)
class RawOutputs:
    """rotations (B, 24, 3, 3), the first in the view (`crop_camera`); betas (B, S); place (B, 2) of the pelvis in the
    crop; log_size (B,) of a metre in crop heights; dense."""

    rotations: Tensor
    betas: Tensor
    place: Tensor
    log_size: Tensor
    dense: DenseMarkers


class Heads(nn.Module):
    """tokens (B, Q, C), anchors (B, Q, 2) -> RawOutputs."""

    upright: Tensor

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        width, self.points = a.width_model, a.markers + N_JOINTS
        self.slots = nn.Parameter(torch.randn(N_JOINTS + 2 + self.points, width))
        self.attention = nn.MultiheadAttention(width, a.heads, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(width, a.feed), nn.GELU(), nn.Linear(a.feed, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.six, self.shape = nn.Linear(width, 6), nn.Linear(width, a.shape)
        self.camera, self.dense = nn.Linear(width, 3), nn.Linear(width, 6)
        for head in (self.six, self.shape, self.camera, self.dense):
            nn.init.normal_(head.weight, std=1e-2 / math.sqrt(width))
            nn.init.zeros_(head.bias)
        upright = torch.tensor([FACING, *[UPRIGHT] * (N_JOINTS - 1)], device="cpu")  # no file holds it
        self.register_buffer("upright", upright, persistent=False)

    def forward(self, tokens: Tensor, anchors: Tensor) -> RawOutputs:
        slots = self.slots.expand(len(tokens), -1, -1)
        attended, weights = self.attention(slots, tokens, tokens, need_weights=True)
        x = self.norms[0](slots + attended)
        x = self.norms[1](x + self.feed(x))
        joints, shape, camera, points = x.split([N_JOINTS, 1, 1, self.points], 1)
        # Single precision from here on, also under autocast: geometry needs it.
        with torch.autocast(tokens.device.type, enabled=False):
            six = self.six(joints.float()) + self.upright
            camera = self.camera(camera[:, 0].float())
            raw = self.dense(points.float())
            centre = weights[:, -self.points :].float() @ anchors.float()
            return RawOutputs(
                rotations=six_to_matrix(six),
                betas=self.shape(shape[:, 0].float()),
                place=0.5 + camera[:, :2],
                log_size=METRE + camera[:, 2],
                dense=DenseMarkers(centre + raw[..., :2], cholesky(raw[..., 2:5]), raw[..., 5]),
            )


def cholesky(raw: Tensor) -> Tensor:
    """(..., 3) anything -> (..., 2, 2) lower triangular, diagonal in exp(LOWEST) .. exp(HIGHEST), hence L L^T positive
    definite."""
    logs = (math.log(SIGMA) + raw[..., :2]).clamp(LOWEST, HIGHEST)
    first, second = logs.exp().unbind(-1)
    below = LEAN * torch.tanh(raw[..., 2]) * second
    rows = torch.stack([first, torch.zeros_like(first), below, second], -1)
    return rows.unflatten(-1, (2, 2))
