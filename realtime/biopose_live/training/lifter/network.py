"""PyTorch twin of `mqhmr.lifter.Lifter`: same layers, same names in the weight file."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biopose_live.mqhmr.lifter import BLOCKS, HEAD, HIDDEN, JOINTS, SHAPE, TOKEN
from biopose_live.mqhmr.view import FEATURES


class Block(nn.Module):
    """Pre-norm residual block: x + down(silu(up(norm(x))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.silu(self.up(self.norm(x))))


class Heads(nn.Module):
    """One linear head per token: (B, J, D) -> (B, J, HEAD)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(JOINTS, HEAD, TOKEN) * 0.02)
        self.bias = nn.Parameter(torch.zeros(JOINTS, HEAD))

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.einsum("bjd,jhd->bjh", tokens, self.weight) + self.bias


class LifterNetwork(nn.Module):
    """inputs (B, FEATURES) -> six (B, J, 6), log sigma (B, J, 3), betas, log sigma (B, S), tilt, log sigma (B, 2)."""

    mean_six: Tensor

    def __init__(self, mean_six: Tensor) -> None:
        super().__init__()
        self.input, self.input_norm = nn.Linear(FEATURES, HIDDEN), nn.LayerNorm(HIDDEN)
        self.blocks = nn.ModuleList(Block(HIDDEN) for _ in range(BLOCKS))
        self.tokens = nn.Linear(HIDDEN, JOINTS * TOKEN)
        self.heads = Heads()
        self.whole = nn.Linear(JOINTS * TOKEN, 2 * SHAPE + 4)
        self.register_buffer("mean_six", mean_six)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        x = F.silu(self.input_norm(self.input(inputs)))
        for block in self.blocks:
            x = block(x)
        flat = self.tokens(x)
        decoded = self.heads(flat.view(-1, JOINTS, TOKEN))
        whole = self.whole(F.silu(flat))
        s = SHAPE
        return (
            decoded[..., :6] + self.mean_six,
            decoded[..., 6:].clamp(-5.0, 2.0) - 1.5,
            whole[:, :s],
            whole[:, s : 2 * s].clamp(-3.0, 1.0),
            whole[:, 2 * s : 2 * s + 2],
            whole[:, 2 * s + 2 :].clamp(-4.0, 1.0) - 0.5,
        )
