"""Multi-scale deformable attention on a GPU, in Triton: the formula of `reference.py`, fused.

One program, of one warp at our sizes, for each (image, query, head): softmax, locations and bilinear sampling without
any intermediate in memory. The published kernels are made for thousands of queries and leave a GPU idle at 96. The
backward pass with frozen values writes each gradient once: no atomics, nothing to fill with zeros; only the gradient
of the values, where it is asked for, is accumulated atomically, in float32.

Needs `triton`, which PyTorch's CUDA builds bring along; this module is imported only when that is present. Values,
offsets, logits and reference points are float32, float16 or bfloat16 each, sums are float32. With TRITON_INTERPRET=1
in the environment the kernels run, slowly, on CPU tensors.

Dimension letters: B images (people), S tokens of all levels together, H heads, D channels of a head, Q queries,
L levels, P points of a level, N = L * P points of a query and head.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache

import torch
import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]
from torch import Tensor

from biopose_kernels.pyramid import Shapes, level_rows

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
INTERPRETED = bool(triton.knobs.runtime.interpret)  # as it was when the kernels below were made
_TILE_CHANNELS = 64


def forward(value: Tensor, shapes: Shapes, reference_points: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
    """Output [B, Q, H * D] in value's type; inputs as `biopose_kernels.msda` states them."""
    batch, queries, heads, levels, points, _ = offsets.shape
    depth = value.shape[3]
    if value.numel() == 0 or offsets.numel() == 0:
        return value.new_zeros((batch, queries, heads * depth))
    value = _dense_channels(value)
    output = value.new_empty((batch, queries, heads * depth))
    tile_points, tile_channels, warps = _tile(levels * points, depth)
    with _on(value):
        forward_kernel[(batch * queries * heads, triton.cdiv(depth, tile_channels))](
            value, _level_table(shapes, value.device), reference_points.contiguous(), offsets.contiguous(),
            logits.contiguous(), output, queries, value.stride(0), value.stride(1), value.stride(2),
            H=heads, D=depth, L=levels, P=points, TILE_N=tile_points, TILE_D=tile_channels, num_warps=warps,
        )  # fmt: skip
    return output


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
    batch, queries, heads, levels, points, _ = offsets.shape
    depth = value.shape[3]
    to_value = torch.zeros(value.shape, dtype=torch.float32, device=value.device) if value_gradient else None
    to_offsets = torch.empty(offsets.shape, dtype=offsets.dtype, device=offsets.device)
    to_logits = torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)
    if value.numel() == 0 or offsets.numel() == 0:
        return (None if to_value is None else to_value.to(value.dtype)), to_offsets.zero_(), to_logits.zero_()
    value = _dense_channels(value)
    tile_points, tile_channels, warps = _tile(levels * points, depth)
    with _on(value):
        backward_kernel[(batch * queries * heads,)](
            gradient.contiguous(), value, _level_table(shapes, value.device), reference_points.contiguous(),
            offsets.contiguous(), logits.contiguous(), to_offsets, to_logits,
            to_offsets if to_value is None else to_value, queries, value.shape[1],
            value.stride(0), value.stride(1), value.stride(2),
            H=heads, D=depth, L=levels, P=points, TILE_N=tile_points, TILE_D=tile_channels,
            VALUE_GRADIENT=value_gradient, num_warps=warps,
        )  # fmt: skip
    return None if to_value is None else to_value.to(value.dtype), to_offsets, to_logits


def _tile(points: int, depth: int) -> tuple[int, int, int]:
    """Points and channels of a tile (powers of two) and the warps that share it."""
    tile_points = triton.next_power_of_2(points)
    tile_channels = min(triton.next_power_of_2(depth), _TILE_CHANNELS)
    return tile_points, tile_channels, 1 if tile_points * tile_channels <= 1024 else 4


def _dense_channels(value: Tensor) -> Tensor:
    # Offsets within an image are 32-bit in the kernels; one that spans more is copied, and then far below that.
    span = sum((size - 1) * step for size, step in zip(value.shape[1:], value.stride()[1:], strict=True))
    return value if (value.stride(3) == 1 or value.shape[3] == 1) and span < 2**31 else value.contiguous()


def _on(tensor: Tensor) -> AbstractContextManager[object]:
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


@lru_cache(maxsize=64)
def _level_table(shapes: Shapes, device: torch.device) -> Tensor:
    # Kept on the device: a copy for each call would make the host wait, and could not be captured in a CUDA graph.
    return torch.tensor(level_rows(shapes), dtype=torch.int32, device=device)


@triton.jit
def _softmax_and_locations(levels, reference, offsets, logits, bq, program, L, P, TILE_N: tl.constexpr):  # type: ignore[no-untyped-def]
    """Of one (image, query, head): attention, column, row, fractions x and y, width, height, first token, `near`."""
    n = tl.arange(0, TILE_N)
    real = n < L * P
    level = tl.minimum(n // P, L - 1)
    height = tl.load(levels + level * 3)
    width = tl.load(levels + level * 3 + 1)
    first = tl.load(levels + level * 3 + 2)

    logit = tl.load(logits + program * L * P + n, mask=real, other=float("-inf")).to(tl.float32)
    power = tl.exp(logit - tl.max(logit, 0))
    attention = power / tl.sum(power, 0)

    where = offsets + program * L * P * 2 + n * 2
    x = tl.load(where, mask=real, other=0.0).to(tl.float32)
    y = tl.load(where + 1, mask=real, other=0.0).to(tl.float32)
    centre = reference + bq * L * 2 + level * 2
    x = tl.load(centre).to(tl.float32) * width.to(tl.float32) + x - 0.5
    y = tl.load(centre + 1).to(tl.float32) * height.to(tl.float32) + y - 0.5

    # A location that is not finite fails these comparisons, so that no index is made of it.
    near = real & (x >= -1) & (y >= -1) & (x < width.to(tl.float32)) & (y < height.to(tl.float32))
    x = tl.where(near, x, 0.0)
    y = tl.where(near, y, 0.0)
    left = tl.floor(x)
    top = tl.floor(y)
    return attention, left.to(tl.int32), top.to(tl.int32), x - left, y - top, width, height, first, near


@triton.jit
def forward_kernel(  # type: ignore[no-untyped-def]
    value, levels, reference, offsets, logits, output,
    Q, image_step, token_step, head_step,
    H: tl.constexpr, D: tl.constexpr, L: tl.constexpr, P: tl.constexpr, TILE_N: tl.constexpr, TILE_D: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0).to(tl.int64)
    bq = program // H
    attention, column, row, x, y, width, height, first, near = _softmax_and_locations(
        levels, reference, offsets, logits, bq, program, L, P, TILE_N
    )
    d = tl.program_id(1) * TILE_D + tl.arange(0, TILE_D)
    base = value + (bq // Q) * image_step + (program % H) * head_step
    total = tl.zeros((TILE_N, TILE_D), tl.float32)
    for corner in tl.static_range(4):
        dx = corner % 2
        dy = corner // 2
        weight = attention * (x if dx else 1 - x) * (y if dy else 1 - y)
        inside = near & (column + dx >= 0) & (column + dx < width) & (row + dy >= 0) & (row + dy < height)
        token = first + (row + dy) * width + column + dx
        pixel = tl.load(
            base + token[:, None] * token_step + d[None, :], mask=inside[:, None] & (d < D)[None, :], other=0.0
        )
        total += weight[:, None] * pixel.to(tl.float32)
    tl.store(output + program * D + d, tl.sum(total, 0).to(output.dtype.element_ty), mask=d < D)


@triton.jit
def backward_kernel(  # type: ignore[no-untyped-def]
    gradient, value, levels, reference, offsets, logits, to_offsets, to_logits, to_value,
    Q, S, image_step, token_step, head_step,
    H: tl.constexpr, D: tl.constexpr, L: tl.constexpr, P: tl.constexpr, TILE_N: tl.constexpr, TILE_D: tl.constexpr,
    VALUE_GRADIENT: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0).to(tl.int64)
    bq = program // H
    attention, column, row, x, y, width, height, first, near = _softmax_and_locations(
        levels, reference, offsets, logits, bq, program, L, P, TILE_N
    )
    base = value + (bq // Q) * image_step + (program % H) * head_step
    to_attention = tl.zeros((TILE_N,), tl.float32)
    to_x = tl.zeros((TILE_N,), tl.float32)
    to_y = tl.zeros((TILE_N,), tl.float32)
    for start in range(0, D, TILE_D):
        d = start + tl.arange(0, TILE_D)
        g = tl.load(gradient + program * D + d, mask=d < D, other=0.0).to(tl.float32)
        for corner in tl.static_range(4):
            dx = corner % 2
            dy = corner // 2
            along_x = x if dx else 1 - x
            along_y = y if dy else 1 - y
            inside = near & (column + dx >= 0) & (column + dx < width) & (row + dy >= 0) & (row + dy < height)
            token = first + (row + dy) * width + column + dx
            mask = inside[:, None] & (d < D)[None, :]
            pixel = tl.load(base + token[:, None] * token_step + d[None, :], mask=mask, other=0.0).to(tl.float32)
            along = tl.sum(pixel * g[None, :], 1)
            to_attention += along_x * along_y * along
            to_x += along_y * along * (2 * dx - 1)
            to_y += along_x * along * (2 * dy - 1)
            if VALUE_GRADIENT:
                place = (((bq // Q) * S + token) * H + program % H) * D
                share = (attention * along_x * along_y)[:, None] * g[None, :]
                tl.atomic_add(to_value + place[:, None] + d[None, :], share, mask=mask, sem="relaxed")
    n = tl.arange(0, TILE_N)
    real = n < L * P
    mean = tl.sum(attention * to_attention, 0)
    kind = to_logits.dtype.element_ty
    tl.store(to_logits + program * L * P + n, (attention * (to_attention - mean)).to(kind), mask=real)
    where = to_offsets + program * L * P * 2 + n * 2
    kind = to_offsets.dtype.element_ty
    tl.store(where, (attention * to_x).to(kind), mask=real)
    tl.store(where + 1, (attention * to_y).to(kind), mask=real)
