"""Products of many small matrices in torch, laid out with the batch last.

With the batch N as the last dimension one multiply-add works on long rows; torch's batched product takes 3x3 matrices
one by one, about ten times slower on a CPU. The gradient is written out because that of a broadcast product would
first build all terms of the sum.

Dimensions: X matrices for each of N poses, r rows, c columns, k the summed one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Product(torch.autograd.Function):
    """Matrix products (X, r, k, N) by (X, k, c, N), one for each X and N, as sums of products along N."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        return _multiply(left, right)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        left, right = ctx.saved_tensors
        (gradient,) = gradients
        by_left, by_right = ctx.needs_input_grad
        return (
            _multiply(gradient, right.transpose(1, 2)) if by_left else None,
            _multiply(left.transpose(1, 2), gradient) if by_right else None,
        )


def _multiply(left: Tensor, right: Tensor) -> Tensor:
    total = left[:, :, :1] * right[:, :1]
    for k in range(1, left.shape[2]):
        total = total.addcmul_(left[:, :, k : k + 1], right[:, k : k + 1])
    return total


def product(left: Tensor, right: Tensor) -> Tensor:
    """Products (X, r, c, N) of matrices (X, r, k, N) and (X, k, c, N)."""
    result: Tensor = _Product.apply(left, right)
    return result


def turn(rotation: Tensor, vector: Tensor) -> Tensor:
    """Vectors (X, 3, N or 1) turned by rotations (X, 3, 3, N)."""
    return product(rotation, vector.expand(-1, -1, rotation.shape[-1])[:, :, None]).squeeze(2)


def identity(like: Tensor, count: int, poses: int) -> Tensor:
    """Identity rotations (count, 3, 3, poses) of the kind of ``like``."""
    return torch.eye(3).to(like)[None, :, :, None].expand(count, 3, 3, poses)
