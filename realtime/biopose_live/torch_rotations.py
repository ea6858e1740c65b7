"""Rotations in PyTorch, batched and differentiable: what `rotations` is for NumPy. Matrices act on columns; rad."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def six_to_matrix(six: Tensor) -> Tensor:
    """(..., 6), the first two columns not yet orthonormal -> (..., 3, 3) by Gram-Schmidt (Zhou et al. 2019)."""
    x = F.normalize(six[..., :3], dim=-1)
    y = F.normalize(six[..., 3:] - (x * six[..., 3:]).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


def vector_to_matrix(vector: Tensor) -> Tensor:
    """(..., 3) axis times angle -> (..., 3, 3) (Rodrigues), with finite gradients at zero."""
    square = vector.square().sum(-1)[..., None, None]
    small = square < 1e-8
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    a = torch.where(small, 1 - square / 6, angle.sin() / angle)
    b = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / safe)
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    k = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    return torch.eye(3, dtype=vector.dtype, device=vector.device) + a * k + b * (k @ k)


def about_z(angle: Tensor) -> Tensor:
    """(...) -> (..., 3, 3): turns x towards y."""
    c, s = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    return torch.stack([c, -s, zero, s, c, zero, zero, zero, one], -1).unflatten(-1, (3, 3))


def z_onto(direction: Tensor) -> Tensor:
    """(..., 3) in front (z > 0), any length -> (..., 3, 3): the smallest rotation that takes the z axis onto it."""
    x, y, z = F.normalize(direction, dim=-1).unbind(-1)
    k = 1 / (1 + z)
    rows = [1 - k * x * x, -k * x * y, x, -k * x * y, 1 - k * y * y, y, -x, -y, z]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def squared_chord(a: Tensor, b: Tensor) -> Tensor:
    """(..., 3, 3) twice -> (...): 4 sin^2(angle / 2) of the rotation between them: angle^2 while that is small."""
    return 0.5 * (a - b).square().sum((-2, -1))
