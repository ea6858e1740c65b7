"""The multi-query deformable transformer decoder (paper section 3.2).

Query tokens start at zero, or from 2D keypoints; each has a pose anchor, the reference point around which it samples
the pyramid.  A layer is self-attention among the tokens, multi-scale deformable cross-attention, and dense layers; then
each token moves its own anchor (Zhu et al. 2021, appendix A.4).  Norms come after the sums: in front of them a token at
exactly zero would make the gradient by which the refinement moves tokens almost infinite.

Letters: B people, Q query tokens, C channels, L levels, S tokens of the pyramid, K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from biopose_kernels import MSDeformAttn
from biopose_kernels.op import Gradients
from biopose_live.mqhmr.network.architecture import Architecture
from biopose_live.mqhmr.network.pyramid import Pyramid

KEYPOINTS = 33  # MediaPipe's
MARGIN = 1e-3  # anchors stay this far inside 0..1 before their logarithms are taken


@dataclass(frozen=True, eq=False)
class Start:
    """What the decoder begins with: tokens (B, Q, C), anchors (B, Q, 2) places in the crop, and what stays the same
    through all layers and iterations, position (B, Q, C)."""

    tokens: Tensor
    anchors: Tensor
    position: Tensor


@dataclass(frozen=True, eq=False)
class Memory:
    """The pyramid, and its values as every layer projects them once (None: each layer projects by itself)."""

    pyramid: Pyramid
    values: tuple[Tensor, ...] | None = None


def spread(count: int) -> Tensor:
    """(count, 2) places spread evenly over the crop (Roberts' R2 sequence)."""
    golden = 1.32471795724474602596
    steps = torch.tensor([1 / golden, 1 / golden**2], dtype=torch.float64)
    return (0.1 + 0.8 * ((0.5 + torch.arange(1, count + 1)[:, None] * steps) % 1)).float()


class QueryStart(nn.Module):
    """Makes the start: from nothing (the paper's zero tokens) or from 2D keypoints.

    Token q looks after keypoint q mod K: where that is seen, its anchor begins there.  What keypoints add to the tokens
    is zero before training, so that both starts begin as the paper's.
    """

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.queries, self.channels = a.queries, a.width_model
        self.position = nn.Parameter(torch.randn(a.queries, a.width_model))
        anchors = spread(a.queries)
        self.anchor_logits = nn.Parameter(torch.logit(anchors))
        self.told = nn.Linear(3, a.width_model)
        self.own = nn.Linear(3, a.width_model)
        self.all = nn.Linear(3 * KEYPOINTS, a.width_model)
        for dense in (self.own, self.all):
            nn.init.zeros_(dense.weight)
            nn.init.zeros_(dense.bias)

    def forward(self, told: Tensor, keypoints: Tensor | None = None) -> Start:
        """told (B, 3): `CropCamera.told`; keypoints (B, 33, 3): place in the crop and score in 0..1, or None."""
        batch = len(told)
        position = self.position + self.told(told)[:, None]
        anchors = self.anchor_logits.sigmoid().expand(batch, -1, -1)
        if keypoints is None:
            return Start(position.new_zeros(batch, self.queries, self.channels), anchors, position)
        place, score = keypoints[..., :2], keypoints[..., 2:]
        inside = ((place > 0) & (place < 1)).all(-1, keepdim=True)
        score = torch.where(inside, score, 0)
        known = torch.cat([torch.where(inside, place - 0.5, 0) * score, score], -1)
        mine = torch.arange(self.queries, device=told.device) % KEYPOINTS
        tokens = self.own(known)[:, mine] + self.all(known.flatten(1))[:, None]
        trust = score[:, mine]
        there = torch.where(inside, place, 0.5)[:, mine]
        return Start(tokens, trust * there + (1 - trust) * anchors, position)


class DecoderLayer(nn.Module):
    """Self-attention, deformable cross-attention and dense layers."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        width = a.width_model
        self.self_attention = nn.MultiheadAttention(width, a.heads, batch_first=True)
        self.cross_attention = MSDeformAttn(width, a.levels, a.heads, a.points)
        self.feed = nn.Sequential(nn.Linear(width, a.feed), nn.GELU(), nn.Linear(a.feed, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.move = nn.Linear(width, 2)
        nn.init.zeros_(self.move.weight)
        nn.init.zeros_(self.move.bias)

    def forward(
        self,
        tokens: Tensor,
        anchors: Tensor,
        position: Tensor,
        pyramid: Pyramid,
        values: Tensor | None,
        gradients: Gradients,
    ) -> tuple[Tensor, Tensor]:
        """-> tokens and anchors after this layer; `values`: the pyramid as `cross_attention.project_value` made it."""
        query = tokens + position
        attended, _ = self.self_attention(query, query, tokens, need_weights=False)
        tokens = self.norms[0](tokens + attended)
        reference = anchors[:, :, None].expand(-1, -1, len(pyramid.shapes), -1)
        # DAM(Q, r_k, {F^s}) = sum_s sum_m a_ksm W F^s(r_k + dr_ksm): the unnumbered formula of section 3.2, between its
        # third and fourth paragraphs.
        cross = self.cross_attention
        if values is None:
            sampled = cross(tokens + position, reference, pyramid.tokens, pyramid.shapes, gradients=gradients)
        else:
            sampled = cross.attend(tokens + position, reference, values, pyramid.shapes, gradients)
        tokens = self.norms[1](tokens + sampled)
        tokens = self.norms[2](tokens + self.feed(tokens))
        logits = torch.logit(anchors.float(), eps=MARGIN) + self.move(tokens).float()
        return tokens, logits.sigmoid()


class Decoder(nn.Module):
    """All layers."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(a) for _ in range(a.layers))

    def remember(self, pyramid: Pyramid) -> Memory:
        """The pyramid with its values projected once, for several runs over it with frozen values."""
        values = []
        for layer in self.layers:
            assert isinstance(layer, DecoderLayer)
            values.append(layer.cross_attention.project_value(pyramid.tokens))
        return Memory(pyramid, tuple(values))

    def forward(self, start: Start, memory: Memory, gradients: Gradients = "full") -> tuple[Tensor, Tensor]:
        """-> tokens (B, Q, C) and anchors (B, Q, 2).  gradients "frozen_values": none flow into the pyramid."""
        tokens, anchors = start.tokens, start.anchors
        for i, layer in enumerate(self.layers):
            values = None if memory.values is None else memory.values[i]
            tokens, anchors = layer(tokens, anchors, start.position, memory.pyramid, values, gradients)
        return tokens, anchors
