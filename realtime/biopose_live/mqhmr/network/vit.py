"""The vision transformer that ViTPose, HMR2.0 and TokenHMR share (ViT-H/16 at 256 x 192), in plain PyTorch.

Dosovitskiy et al. 2021, with ViTPose's (Xu et al. 2022) changes: patches are cut with 2 px of padding, there is no
class token, and the map is normalised at its end.  Pictures are RGB, in ImageNet's mean and deviation (`normalised`).

Letters: B pictures, C channels, H and W the patch grid, N = H * W tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

PATCH = 16
PADDING = 2
EPSILON = 1e-6
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalised(pictures: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 RGB -> (B, 3, H, W) float32 as the encoder wants it."""
    mean, deviation = (torch.tensor(x, device=pictures.device) for x in (MEAN, DEVIATION))
    return ((pictures.float() / 255 - mean) / deviation).permute(0, 3, 1, 2).contiguous()


class Attention(nn.Module):
    """Self-attention over all tokens."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return projected


class Feed(nn.Module):
    """The two dense layers of a block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        fed: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return fed


class Block(nn.Module):
    """Attention and dense layers, each added to its normalised input."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=EPSILON)
        self.attn = Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels, eps=EPSILON)
        self.mlp = Feed(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        fed: Tensor = x + self.mlp(self.norm2(x))
        return fed


class PatchEmbed(nn.Module):
    """Cuts the picture into patches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, PATCH, stride=PATCH, padding=PADDING)

    def forward(self, x: Tensor) -> Tensor:
        cut: Tensor = self.proj(x)
        return cut


class ViT(nn.Module):
    """(B, 3, 16 H, 16 W), `normalised` -> (B, C, H, W).

    Parameters carry the checkpoints' names, but for `pos_embed` (1, N, C), which has no entry for a class token
    (`vit_checkpoint` adds that entry to all the others, as those programs do at run time).
    """

    def __init__(self, height: int, width: int, channels: int, depth: int, heads: int) -> None:
        """height and width of the picture in px, multiples of 16."""
        super().__init__()
        self.grid = (height // PATCH, width // PATCH)
        self.recompute = False  # of each block in the backward pass: less memory, a third more time
        self.patch_embed = PatchEmbed(channels)
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1], channels))
        self.blocks = nn.ModuleList(Block(channels, heads) for _ in range(depth))
        self.last_norm = nn.LayerNorm(channels, eps=EPSILON)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.patch_embed(pictures)
        if x.shape[-2:] != self.grid:
            raise ValueError(f"Pictures must make {self.grid} patches; found {tuple(x.shape[-2:])}.")
        x = x.flatten(2).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return self.last_norm(x).transpose(1, 2).unflatten(2, self.grid)
