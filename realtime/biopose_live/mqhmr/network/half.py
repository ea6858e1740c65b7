"""The encoder in half precision, for GPUs: half the memory, and tensor cores.

The decoder stays in float32, but for the pyramid's values that it samples: geometry and the refinement's gradient need
the digits, and 96 tokens are no work.
Weights are converted once, instead of at every use as autocast would; a strongly typed engine (TensorRT) then gets the
very numbers that PyTorch runs with.  Layer normalisation computes in float32: its sums are long.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biopose_live.mqhmr.network.decoder import DecoderLayer
from biopose_live.mqhmr.network.model import MQHMR


class WideNorm(nn.Module):
    """A layer normalisation with float32 inside, whatever goes in and out."""

    weight: Tensor
    bias: Tensor

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.shape, self.eps = norm.normalized_shape, norm.eps
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x.float(), list(self.shape), self.weight.float(), self.bias.float(), self.eps)
        return normed.to(x.dtype)


def halve(network: MQHMR, kind: torch.dtype) -> None:
    """Turns the picture's encoder, its pyramid and the projections of the pyramid's values into `kind` (float16 or
    bfloat16), in place.

    Raises ValueError where the network has no encoder of pictures.
    """
    if network.vit is None:
        raise ValueError("There is no encoder of pictures in a network on ready-made maps.")
    for part in (network.vit, network.pyramid):
        _widen_norms(part)
        part.to(kind)
    for layer in network.decoder.layers:
        assert isinstance(layer, DecoderLayer)
        layer.cross_attention.value_proj.to(kind)


def _widen_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.LayerNorm):
            setattr(module, name, WideNorm(child))
        else:
            _widen_norms(child)
