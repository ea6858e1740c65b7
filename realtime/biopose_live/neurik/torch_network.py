"""NeurIK in PyTorch (paper section 3.3): for training, and for many people at once on a GPU.

Spatial: a linear embedding of each virtual marker, 1-D convolutions across the markers, flattened to one token a frame.
Temporal: a causal transformer over the tokens of one person.  Attention looks back over at most `WINDOW` frames and
`MEMORY_S` seconds; the learned position embedding is one of age in seconds, interpolated between learned knots, so that
any frame rate, dropped frames and gaps mean the same to it, and a frame's keys and values never change once made: a
ring buffer of them (`stream.py`) gives the same answers frame by frame.

Letters: N people, T frames, M markers, F turn features, D width, H heads, K knots of age, O outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biopose_live.neurik.architecture import KNOTS_S, MEMORY_S, Architecture


def age_weights(times: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """times (N, T) s, rising -> weights (N, T, T, K) of the knots for the age of frame j at frame i, and which frames
    (N, T, T) may be looked at."""
    knots = torch.tensor(KNOTS_S, dtype=times.dtype, device=times.device)
    age = times[:, :, None] - times[:, None, :]
    count = times.shape[1]
    order = torch.arange(count, device=times.device)
    behind = order[:, None] - order[None, :]
    seen = (behind >= 0) & (behind < window) & (age <= MEMORY_S)
    upper = torch.searchsorted(knots, age.clamp(0.0, MEMORY_S).contiguous()).clamp(1, len(knots) - 1)
    low, high = knots[upper - 1], knots[upper]
    share = ((age.clamp(0.0, MEMORY_S) - low) / (high - low)).unsqueeze(-1)
    one_hot = F.one_hot(upper, len(knots)).to(times.dtype)
    before = F.one_hot(upper - 1, len(knots)).to(times.dtype)
    return share * one_hot + (1.0 - share) * before, seen


class Spatial(nn.Module):
    """markers (..., M, 3), turns (..., F), motion (..., MOTION) -> tokens (..., D)."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.embed = nn.Linear(3, a.channels)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(a.channels, a.channels, a.kernel, padding=a.kernel // 2) for _ in range(a.convolutions)
        )
        self.squeeze = nn.Linear(a.channels, a.squeezed)
        self.flatten = nn.Linear(a.markers * a.squeezed, a.width)
        self.turns = nn.Linear(a.turns + a.motion, a.width)
        self.norm = nn.LayerNorm(a.width)

    def forward(self, markers: Tensor, turns: Tensor, motion: Tensor) -> Tensor:
        lead = markers.shape[:-2]
        x = self.embed(markers).flatten(0, -3).transpose(1, 2)  # (frames, channels, M)
        for convolution in self.convolutions:
            x = x + F.silu(convolution(x))
        x = F.silu(self.squeeze(x.transpose(1, 2))).flatten(1).view(*lead, -1)
        token = self.flatten(x) + self.turns(torch.cat([turns, motion], -1))
        normed: Tensor = self.norm(token)
        return normed


class Block(nn.Module):
    """Pre-norm transformer block with attention by content and age."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.heads = a.heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(a.width), nn.LayerNorm(a.width)
        self.query, self.key = nn.Linear(a.width, a.width), nn.Linear(a.width, a.width, bias=False)
        self.value, self.out = nn.Linear(a.width, a.width), nn.Linear(a.width, a.width)
        self.age = nn.Parameter(0.02 * torch.randn(len(KNOTS_S), a.width))
        self.up, self.down = nn.Linear(a.width, a.feed), nn.Linear(a.feed, a.width)

    def forward(self, x: Tensor, weights: Tensor, seen: Tensor) -> Tensor:
        people, count, width = x.shape
        split = (people, count, self.heads, width // self.heads)
        y = self.attention_norm(x)
        query = self.query(y).view(split).transpose(1, 2) * (width // self.heads) ** -0.5
        key, value = self.key(y).view(split).transpose(1, 2), self.value(y).view(split).transpose(1, 2)
        ages = self.age.view(-1, self.heads, width // self.heads).permute(1, 2, 0)  # (H, d, K)
        by_knot = query @ ages  # (N, H, T, K)
        by_age = (by_knot.transpose(1, 2) @ weights.transpose(-1, -2)).transpose(1, 2)
        logits = query @ key.transpose(-1, -2) + by_age
        share = logits.masked_fill(~seen[:, None], float("-inf")).softmax(-1)
        x = x + self.out((share @ value).transpose(1, 2).reshape(people, count, width))
        fed: Tensor = x + self.down(F.silu(self.up(self.feed_norm(x))))
        return fed


class NeurIKNetwork(nn.Module):
    """Raw answers (N, T, O), laid out as `outputs.OutputLayout` says."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.spatial = Spatial(architecture)
        self.blocks = nn.ModuleList(Block(architecture) for _ in range(architecture.layers))
        self.norm = nn.LayerNorm(architecture.width)
        self.head = nn.Linear(architecture.width, architecture.outputs)
        self.skip = nn.Linear(architecture.turns, architecture.outputs, bias=False)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.skip.weight)

    def forward(self, markers: Tensor, turns: Tensor, motion: Tensor, times: Tensor) -> Tensor:
        """markers (N, T, M, 3), turns (N, T, F), motion (N, T, MOTION) as `observation` makes them; times (N, T) s."""
        x = self.spatial(markers, turns, motion)
        weights, seen = age_weights(times, self.architecture.window)
        weights = weights.to(x.dtype)
        for block in self.blocks:
            x = block(x, weights, seen)
        result: Tensor = self.head(self.norm(x)) + self.skip(turns)
        return result
