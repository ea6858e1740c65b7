"""Shared by the kernels' tests: torch's grid_sample as an oracle, and inputs whose gradients are well defined."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]  # value, reference points, offsets, logits

# With TRITON_INTERPRET=1 the Triton kernels join, on CPU tensors: test_triton_kernel.py runs the comparison so.
BACKENDS = ["triton"] if os.environ.get("TRITON_INTERPRET") == "1" else ["reference", "cpu"]


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def grid_sample_attention(
    value: Tensor, shapes: Sequence[tuple[int, int]], reference: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    """Deformable DETR's attention by grid_sample, level by level: [B, Q, H * D]."""
    batch, _, heads, depth = value.shape
    queries, points = offsets.shape[1], offsets.shape[4]
    attention = logits.softmax(-1).unflatten(-1, (len(shapes), points))
    output = value.new_zeros(batch, queries, heads, depth) + 0 * logits.sum()
    first = 0
    for level, (height, width) in enumerate(shapes):
        if height * width:
            image = value[:, first : first + height * width].permute(0, 2, 3, 1).reshape(-1, depth, height, width)
            location = reference[:, :, None, level, None] + offsets[:, :, :, level] / offsets.new_tensor(
                [width, height]
            )
            grid = (2 * location - 1).transpose(1, 2).flatten(0, 1)  # [B * H, Q, P, 2]
            samples = F.grid_sample(image, grid, padding_mode="zeros", align_corners=False)
            samples = samples.unflatten(0, (batch, heads)).permute(0, 3, 1, 4, 2)  # [B, Q, H, P, D]
            output = output + (attention[:, :, :, level, :, None] * samples).sum(-2)
        first += height * width
    return output.flatten(2)


def random_inputs(
    shapes: Sequence[tuple[int, int]], batch: int, queries: int, heads: int, points: int, depth: int, seed: int = 0
) -> Inputs:
    """float64 inputs; locations reach 1.5 pixels outside and stay 0.1 pixels off the lines where gradients jump."""
    random = torch.Generator().manual_seed(seed)

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=random, dtype=torch.float64)

    tokens, levels = sum(height * width for height, width in shapes), len(shapes)
    size = torch.tensor([(width, height) for height, width in shapes], dtype=torch.float64)[:, None]  # [L, 1, 2]
    reference = uniform(batch, queries, levels, 2)
    location = (uniform(batch, queries, heads, levels, points, 2) * (size + 3) - 2).floor()
    location = location + 0.1 + 0.8 * uniform(*location.shape)
    offsets = location + 0.5 - reference[:, :, None, :, None] * size
    value = uniform(batch, tokens, heads, depth) - 0.5
    return value, reference, offsets, 4 * uniform(batch, queries, heads, levels * points) - 2


def with_gradients(
    attention: Callable[..., Tensor], shapes: Sequence[tuple[int, int]], inputs: Inputs, frozen: bool = False
) -> list[Tensor]:
    """The attention's output and its inputs' gradients (but value's, if frozen) under a fixed cotangent."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    value = leaves[0].detach() if frozen else leaves[0]
    output = attention(value, shapes, *leaves[1:])
    cotangent = torch.linspace(-1, 1, max(output.numel(), 2), dtype=torch.float64)[: output.numel()]
    cotangent = cotangent.view(output.shape).to(output.dtype)
    wanted = leaves[1:] if frozen else leaves
    return [output.detach(), *torch.autograd.grad(output, wanted, cotangent, materialize_grads=True)]


def worst(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Largest difference, relative to the largest entry of each expected tensor."""
    assert [tensor.shape for tensor in found] == [tensor.shape for tensor in expected]
    ratios = [
        float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp_min(1e-3))
        for a, b in zip(found, expected, strict=True)
        if b.numel()
    ]
    return max(ratios, default=0.0)


@pytest.fixture(scope="session")
def oracle() -> Callable[..., Tensor]:
    return grid_sample_attention


@pytest.fixture(scope="session")
def make_inputs() -> Callable[..., Inputs]:
    return random_inputs


@pytest.fixture(scope="session")
def run_both_ways() -> Callable[..., list[Tensor]]:
    return with_gradients


@pytest.fixture(scope="session")
def worst_error() -> Callable[..., float]:
    return worst
