"""The light network in PyTorch: the twin of `mqhmr.lite.network`, tensor for tensor, for training.

Letters: B people, Q query tokens, J = 24 joints, C width of a token, L levels, S shape coefficients.
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
from biopose_live.mqhmr.lite.points import JOINTS

# A cell of the landmark network's maps looks at its left upper corner rather than its middle (`mqhmr.encoder`).
LOOKS_AT = 0.45
LEAST_DEVIATION = 0.05  # of a channel; some hardly ever speak


@dataclass(frozen=True, eq=False)
class Outputs:
    """places (B, Q, 2) in the crop; log_sigmas (B, Q, 2) and lean (B, Q): the Cholesky factor [[a, 0], [lean b, b]] of
    the covariance with a, b = exp(log_sigmas), in crops; visible (B, Q) logits; corrections (B, J, 3) rad and their
    log_turns (B, J, 3) log sigmas."""

    places: Tensor
    log_sigmas: Tensor
    lean: Tensor
    visible: Tensor
    corrections: Tensor
    log_turns: Tensor


class OwnHeads(nn.Module):
    """(B, count, inputs) -> (B, count, outputs): one linear head for each token."""

    def __init__(self, count: int, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(1e-3 * torch.randn(count, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(count, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bqc,qhc->bqh", x, self.weight) + self.bias


class Layer(nn.Module):
    """Self-attention among the tokens, deformable attention into the maps, dense layers; then both heads."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        c = a.width
        self.qkv, self.attended = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.offsets, self.logits = nn.Linear(c, 2 * a.samples), nn.Linear(c, a.samples)
        self.values = nn.ModuleList(nn.Linear(a.value_heads * channels, c) for _, _, channels in a.levels)
        self.up, self.down = nn.Linear(c, a.feed), nn.Linear(a.feed, c)
        self.norms = nn.ModuleList(nn.LayerNorm(c) for _ in range(3))
        self.points = OwnHeads(len(a.queries), POINT_HEAD, 2 * c)
        self.joints = OwnHeads(JOINTS, JOINT_HEAD, 2 * c)
        for head in (self.logits, self.offsets):
            nn.init.normal_(head.weight, std=1e-3)
            nn.init.zeros_(head.bias)
        # Each head begins by looking in a direction of its own, its points at growing distances (Zhu et al. 2021).
        angle = torch.arange(a.value_heads) * (2 * math.pi / a.value_heads) + 0.4
        direction = torch.stack([angle.cos(), angle.sin()], -1)
        start = direction[:, None, None] * torch.arange(a.points)[:, None]
        with torch.no_grad():
            self.offsets.bias.copy_((start.expand(-1, len(a.levels), -1, -1) + LOOKS_AT).reshape(-1))


class LiteNetwork(nn.Module):
    """maps and observation of the points with a query token -> one `Outputs` per layer, and the shape (B, 2 S):
    coefficients and their log sigmas."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        c = a.width
        self.architecture = a
        self.embedding = nn.Parameter(torch.randn(len(a.queries), c))
        self.whole = nn.Sequential(nn.Linear(WHOLE, a.hidden), nn.SiLU(), nn.Linear(a.hidden, c))
        self.own, self.start, self.shape = nn.Linear(OWN, c), nn.LayerNorm(c), nn.Linear(c, 2 * SHAPE)
        self.layers = nn.ModuleList(Layer(a) for _ in range(a.layers))
        for i, (_, _, channels) in enumerate(a.levels):
            self.register_buffer(f"mean{i}", torch.zeros(channels))
            self.register_buffer(f"scale{i}", torch.ones(channels))
        nn.init.normal_(self.shape.weight, std=1e-3)
        nn.init.zeros_(self.shape.bias)

    def mean(self, level: int) -> Tensor:
        """(C,) of a map's channels; `scale` (C,) is one over their standard deviation."""
        return self.get_buffer(f"mean{level}")

    def scale(self, level: int) -> Tensor:
        return self.get_buffer(f"scale{level}")

    def set_normal(self, maps: list[Tensor]) -> None:
        """Takes means and deviations from maps (N, H_l * W_l, C_l) of some people."""
        for i, level in enumerate(maps):
            self.mean(i).copy_(level.flatten(0, 1).mean(0))
            self.scale(i).copy_(1.0 / level.flatten(0, 1).std(0).clamp(min=LEAST_DEVIATION))

    def forward(self, maps: list[Tensor], whole: Tensor, own: Tensor, places: Tensor) -> tuple[list[Outputs], Tensor]:
        maps = [(level - self.mean(i)) * self.scale(i) for i, level in enumerate(maps)]
        position = self.embedding + self.own(own)
        tokens = self.start(position + self.whole(whole)[:, None])
        outputs = []
        for layer in self.layers:
            assert isinstance(layer, Layer)
            tokens, seen = self._decode(layer, tokens, position, maps, places)
            both = torch.cat([tokens, seen], -1)
            point, joint = layer.points(both).float(), layer.joints(both[:, -JOINTS:]).float()
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
        return outputs, self.shape(tokens.mean(1)).float()

    def _decode(
        self, layer: Layer, tokens: Tensor, position: Tensor, maps: list[Tensor], places: Tensor
    ) -> tuple[Tensor, Tensor]:
        a = self.architecture
        qkv: Tensor = layer.qkv(tokens + position)
        query, key, content = qkv.unflatten(-1, (3, a.heads, -1)).permute(2, 0, 3, 1, 4)
        # Written out: on a CPU the fused operator is slower than this at so few tokens in bfloat16.
        weights = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)
        mixed = (weights @ content).transpose(1, 2).flatten(2)
        tokens = layer.norms[0](tokens + layer.attended(mixed))
        asking = tokens + position
        # Places and weights in single precision, also under autocast.
        offsets = layer.offsets(asking).float().unflatten(-1, (a.value_heads, len(maps), a.points, 2))
        logits = layer.logits(asking).float().unflatten(-1, (a.value_heads, len(maps), a.points))
        # DAM(Q, r_k, {F^s}), the unnumbered formula of section 3.2, with the points' places as the anchors r_k; maps
        # are sampled before they are projected, and the weights add up to one on each level.
        seen = torch.zeros_like(tokens)
        for i, (level, project) in enumerate(zip(maps, layer.values, strict=True)):
            found = msda(
                level[:, :, None].expand(-1, -1, a.value_heads, -1),
                [a.levels[i][:2]],
                places[:, :, None],
                offsets[:, :, :, i : i + 1],
                logits[:, :, :, i],
            )
            seen = seen + project(found)
        tokens = layer.norms[1](tokens + seen)
        return layer.norms[2](tokens + layer.down(F.silu(layer.up(tokens)))), seen
