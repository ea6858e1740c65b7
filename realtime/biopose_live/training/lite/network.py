"""The light network in PyTorch: the twin of `mqhmr.lite.network`, tensor for tensor, for training.

Letters: B people, P query tokens (dense points), J = 24 joints, C width of a token, L levels, S tokens of all levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biopose_kernels import msda
from biopose_live.mqhmr.lite.architecture import JOINT_HEAD, PLACE_UNIT, POINT_HEAD, SHAPE, Architecture
from biopose_live.mqhmr.lite.network import LARGEST_SIGMA, SMALLEST_SIGMA, START_ROTATION_SIGMA, START_SIGMA
from biopose_live.mqhmr.lite.observation import OWN, WHOLE
from biopose_live.mqhmr.lite.points import JOINTS, POINTS


@dataclass(frozen=True, eq=False)
class Outputs:
    """places (B, P, 2) in the crop; log_sigmas (B, P, 2) and lean (B, P): the Cholesky factor [[a, 0], [lean b, b]] of
    the covariance with a, b = exp(log_sigmas), in crops; visible (B, P) logits; corrections (B, J, 3) rad and their
    log_turns (B, J, 3) log sigmas."""

    places: Tensor
    log_sigmas: Tensor
    lean: Tensor
    visible: Tensor
    corrections: Tensor
    log_turns: Tensor


class Layer(nn.Module):
    """Self-attention among the tokens, deformable attention into the maps, dense layers; then both heads."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        c = a.width
        self.qkv, self.attended = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.offsets, self.logits = nn.Linear(c, 2 * a.samples), nn.Linear(c, a.samples)
        self.sampled = nn.Linear(a.value_width, c)
        self.up, self.down = nn.Linear(c, a.feed), nn.Linear(a.feed, c)
        self.norms = nn.ModuleList(nn.LayerNorm(c) for _ in range(3))
        self.point, self.joint = nn.Linear(c, POINT_HEAD), nn.Linear(c, JOINT_HEAD)
        for head in (self.point, self.joint, self.logits, self.offsets):
            nn.init.normal_(head.weight, std=1e-3)
            nn.init.zeros_(head.bias)
        # Each head begins by looking in a direction of its own, its points at growing distances (Zhu et al. 2021).
        angle = torch.arange(a.value_heads) * (2 * math.pi / a.value_heads) + 0.4
        direction = torch.stack([angle.cos(), angle.sin()], -1)
        start = direction[:, None, None] * torch.arange(a.points)[:, None]
        with torch.no_grad():
            self.offsets.bias.copy_(start.expand(-1, len(a.levels), -1, -1).reshape(-1))


class LiteNetwork(nn.Module):
    """maps and observation -> one `Outputs` per layer, and the shape (B, 2 S): coefficients and their log sigmas."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        c = a.width
        self.architecture = a
        self.values = nn.ModuleList(nn.Linear(channels, a.value_width) for _, _, channels in a.levels)
        self.embedding = nn.Parameter(torch.randn(POINTS, c))
        self.whole = nn.Sequential(nn.Linear(WHOLE, a.hidden), nn.SiLU(), nn.Linear(a.hidden, c))
        self.own, self.start, self.shape = nn.Linear(OWN, c), nn.LayerNorm(c), nn.Linear(c, 2 * SHAPE)
        self.layers = nn.ModuleList(Layer(a) for _ in range(a.layers))
        nn.init.normal_(self.shape.weight, std=1e-3)
        nn.init.zeros_(self.shape.bias)

    def value(self, maps: list[Tensor]) -> Tensor:
        """L maps (B, H_l * W_l, C_l) -> (B, S, heads, depth)."""
        a = self.architecture
        flat = torch.cat([project(level) for project, level in zip(self.values, maps, strict=True)], 1)
        return flat.unflatten(-1, (a.value_heads, a.value_depth))

    def forward(self, maps: list[Tensor], whole: Tensor, own: Tensor, places: Tensor) -> tuple[list[Outputs], Tensor]:
        a = self.architecture
        shapes = [(h, w) for h, w, _ in a.levels]
        value = self.value(maps)
        position = self.embedding + self.own(own)
        tokens = self.start(position + self.whole(whole)[:, None])
        outputs = []
        for layer in self.layers:
            assert isinstance(layer, Layer)
            tokens = self._decode(layer, tokens, position, value, shapes, places)
            point, joint = layer.point(tokens), layer.joint(tokens[:, -JOINTS:])
            places = places + PLACE_UNIT * point[..., :2]
            log_sigmas = (math.log(START_SIGMA) + point[..., 2:4]).clamp(
                math.log(SMALLEST_SIGMA), math.log(LARGEST_SIGMA)
            )
            outputs.append(
                Outputs(
                    places,
                    log_sigmas,
                    3.0 * torch.tanh(point[..., 4]),
                    point[..., 5],
                    joint[..., :3],
                    (math.log(START_ROTATION_SIGMA) + joint[..., 3:]).clamp(-5.0, 1.0),
                )
            )
        return outputs, self.shape(tokens.mean(1))

    def _decode(
        self,
        layer: Layer,
        tokens: Tensor,
        position: Tensor,
        value: Tensor,
        shapes: list[tuple[int, int]],
        places: Tensor,
    ) -> Tensor:
        a = self.architecture
        qkv: Tensor = layer.qkv(tokens + position)
        query, key, content = qkv.unflatten(-1, (3, a.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, content).transpose(1, 2).flatten(2)
        tokens = layer.norms[0](tokens + layer.attended(mixed))
        asking = tokens + position
        levels = len(shapes)
        offsets = layer.offsets(asking).unflatten(-1, (a.value_heads, levels, a.points, 2))
        logits = layer.logits(asking).unflatten(-1, (a.value_heads, levels * a.points))
        # DAM(Q, r_k, {F^s}), the unnumbered formula of section 3.2, with the points' places as the anchors r_k.
        seen = msda(value, shapes, places[:, :, None].expand(-1, -1, levels, -1), offsets, logits)
        tokens = layer.norms[1](tokens + layer.sampled(seen))
        result: Tensor = layer.norms[2](tokens + layer.down(F.silu(layer.up(tokens))))
        return result
