"""The feature pyramid that the decoder samples, from an encoder's one map or from ready-made maps.

Paper, section 3.2: the encoder's map is upsampled to maps of several resolutions.  Scale s is s times finer than the
patch grid (table 5: 1, 4, 8, 16, optionally 32); each doubling is one transposed convolution, shared by all finer
levels.

Letters: B people, C channels, L levels, S tokens of all levels together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Shapes = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Pyramid:
    """tokens (B, S, C), levels behind each other, each row by row; shapes (height, width) of the L levels."""

    tokens: Tensor
    shapes: Shapes


def gathered(maps: Sequence[Tensor]) -> Pyramid:
    """L maps (B, C, H, W) -> one token axis."""
    tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in maps], 1)
    return Pyramid(tokens, tuple((level.shape[2], level.shape[3]) for level in maps))


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x.movedim(1, -1))
        return normed.movedim(-1, 1)


class UpsampledPyramid(nn.Module):
    """One map (B, embed, H, W) -> a pyramid of C channels at `scales` times its resolution."""

    def __init__(self, embed: int, channels: int, scales: Sequence[int]) -> None:
        super().__init__()
        self.scales = tuple(scales)
        self.reduce = nn.Conv2d(embed, channels, 1)
        doublings = max(self.scales).bit_length() - 1
        self.doublings = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(channels, channels, 2, stride=2), ChannelNorm(channels), nn.GELU())
            for _ in range(doublings)
        )
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in self.scales)

    def forward(self, feature_map: Tensor) -> Pyramid:
        x = self.reduce(feature_map)
        at = {1: x}
        for i, double in enumerate(self.doublings):
            x = double(x)
            at[2 << i] = x
        return gathered([norm(at[scale]) for norm, scale in zip(self.norms, self.scales, strict=True)])


class MapsPyramid(nn.Module):
    """Ready-made maps (B, C_l, H_l, W_l), finest or coarsest first as one likes -> a pyramid of C channels.

    This is the light encoder's interface: the maps come from a network that runs elsewhere, e.g. MediaPipe's landmark
    network (strides 4 to 64), on the same crop.
    """

    def __init__(self, map_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(nn.Conv2d(found, channels, 1) for found in map_channels)
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in map_channels)

    def forward(self, maps: Sequence[Tensor]) -> Pyramid:
        """Raises ValueError where there are more or fewer maps than it was made for."""
        if len(maps) != len(self.reduce):
            raise ValueError(f"{len(self.reduce)} feature maps are needed; found {len(maps)}.")
        levels = zip(self.reduce, self.norms, maps, strict=True)
        return gathered([norm(reduce(level)) for reduce, norm, level in levels])
