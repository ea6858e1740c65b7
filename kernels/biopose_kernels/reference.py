"""Multi-scale deformable attention in plain PyTorch, the formula line by line: the oracle of every kernel here.

BioPose, section 3.2, for one query Q with reference point r^ over the levels F^s of a pyramid:

    DAM(Q, r^, {F^s}) = sum_s sum_m  a_sm  W F^s(r^ + dr_sm)

The attention weights a are a softmax over all levels and points; F^s(.) samples level s bilinearly and is zero outside
of it. Every head has its own a, dr and rows of W, and the heads' results stand side by side (Zhu et al. 2021,
Deformable DETR, equation 3). Here W has been applied to the map: `value` is W F^s; sampling is linear, so the order
does not matter (see `module.py`).

Any device, any floating-point type; in float64 it is exact enough to hold gradients against. The backward pass is
written out, because an operator's inside is below autograd.

Dimension letters: B images (people), S tokens of all levels together, H heads, D channels of a head, Q queries,
L levels, P points of a level, N = L * P points of a query and head; C = 4 pixels around a location.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from biopose_kernels.pyramid import Shapes, level_rows


@dataclass(frozen=True)
class _Samples:
    """What both passes need: all of [B, Q, H, N], the pixels' [B, Q, H, N, C] in the order (y, x) 00, 01, 10, 11."""

    attention: Tensor  # a, sums to one over N
    x: Tensor  # fractions of a pixel to the right of and below the upper left pixel
    y: Tensor
    inside: Tensor  # whether the pixel lies in its level
    token: Tensor  # the pixel's place on the token axis; 0 where it is not inside


def forward(value: Tensor, shapes: Shapes, reference_points: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
    """Output [B, Q, H * D] in value's type; inputs as `biopose_kernels.msda` states them."""
    kind = _working_type(value)
    samples = _locate(shapes, reference_points.to(kind), offsets.to(kind), logits.to(kind))
    pixels = _gather(value.to(kind), samples)  # [B, Q, H, N, C, D]
    sampled = (_bilinear(samples)[..., None] * pixels).sum(-2)  # F^s(r^ + dr)  [B, Q, H, N, D]
    output = (samples.attention[..., None] * sampled).sum(-2)  # sum_s sum_m a_sm ...  [B, Q, H, D]
    return output.flatten(2).to(value.dtype)


def backward(
    gradient: Tensor,
    value: Tensor,
    shapes: Shapes,
    reference_points: Tensor,
    offsets: Tensor,
    logits: Tensor,
    value_gradient: bool,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Gradients of value (None unless asked for), offsets and logits from the output's gradient [B, Q, H * D]."""
    kind = _working_type(value)
    samples = _locate(shapes, reference_points.to(kind), offsets.to(kind), logits.to(kind))
    incoming = gradient.to(kind).unflatten(-1, value.shape[2:])  # [B, Q, H, D]
    pixels = _gather(value.to(kind), samples)
    along = (pixels * incoming[:, :, :, None, None, :]).sum(-1)  # each pixel's component along the gradient [.., N, C]

    v00, v01, v10, v11 = along.unbind(-1)
    dx = (v01 - v00) * (1 - samples.y) + (v11 - v10) * samples.y
    dy = (v10 - v00) * (1 - samples.x) + (v11 - v01) * samples.x
    to_offsets = (samples.attention[..., None] * torch.stack((dx, dy), -1)).view(offsets.shape)

    to_attention = (_bilinear(samples) * along).sum(-1)
    mean = (samples.attention * to_attention).sum(-1, keepdim=True)
    to_logits = samples.attention * (to_attention - mean)  # the softmax's derivative

    to_value = None
    if value_gradient:
        batch, tokens, heads, depth = value.shape
        share = (samples.attention[..., None] * _bilinear(samples))[..., None] * incoming[:, :, :, None, None, :]
        accumulated = torch.zeros(batch, heads, tokens, depth, dtype=kind, device=value.device)
        if accumulated.numel():
            place = samples.token.permute(0, 2, 1, 3, 4).reshape(batch, heads, -1, 1).expand(-1, -1, -1, depth)
            accumulated.scatter_add_(2, place, share.permute(0, 2, 1, 3, 4, 5).reshape(batch, heads, -1, depth))
        to_value = accumulated.transpose(1, 2).to(value.dtype).contiguous()
    return to_value, to_offsets.to(offsets.dtype), to_logits.to(logits.dtype).contiguous()


def _working_type(value: Tensor) -> torch.dtype:
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def _locate(shapes: Shapes, reference_points: Tensor, offsets: Tensor, logits: Tensor) -> _Samples:
    points = offsets.shape[4]
    table = torch.tensor(level_rows(shapes), dtype=torch.int64, device=offsets.device)
    height, width, first = (column.repeat_interleave(points) for column in table.unbind(1))  # [N]

    # Pixel centres are at whole numbers, a level's edge half a pixel outside (grid_sample's align_corners=False).
    size = torch.stack((table[:, 1], table[:, 0]), -1).to(offsets.dtype)  # [L, 2] as (x, y)
    location = (reference_points * size)[:, :, None, :, None, :] + offsets - 0.5
    px, py = location.flatten(3, 4).unbind(-1)  # [B, Q, H, N]

    # A location that is not finite fails these comparisons, so that it is outside and no index is made of it.
    near = (px >= -1) & (px < width) & (py >= -1) & (py < height)
    px, py = torch.where(near, px, 0), torch.where(near, py, 0)
    left, top = px.floor(), py.floor()
    column = left.long()[..., None] + torch.tensor((0, 1, 0, 1), device=offsets.device)
    row = top.long()[..., None] + torch.tensor((0, 0, 1, 1), device=offsets.device)
    inside = near[..., None] & (column >= 0) & (column < width[:, None]) & (row >= 0) & (row < height[:, None])
    token = torch.where(inside, first[:, None] + row * width[:, None] + column, 0)
    return _Samples(logits.softmax(-1), px - left, py - top, inside, token)


def _bilinear(samples: _Samples) -> Tensor:
    """Weights of the four pixels [B, Q, H, N, C], zero for those outside."""
    x, y = samples.x, samples.y
    weights = torch.stack(((1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x), -1)
    return torch.where(samples.inside, weights, 0)


def _gather(value: Tensor, samples: _Samples) -> Tensor:
    """The four pixels of every sample, zeros where they lie outside: [B, Q, H, N, C, D]."""
    batch, tokens, heads, depth = value.shape
    if tokens == 0:
        return value.new_zeros((*samples.token.shape, depth))
    image = torch.arange(batch, device=value.device)[:, None, None, None, None]
    head = torch.arange(heads, device=value.device)[None, None, :, None, None]
    return torch.where(samples.inside[..., None], value[image, samples.token, head], 0)
