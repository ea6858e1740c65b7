"""`biopose::msda`, multi-scale deformable attention as one PyTorch operator: softmax, locations, sampling and sum.

BioPose, section 3.2 (DAM); Zhu et al. 2021, Deformable DETR, equation 3. `reference.py` has the formula. Autograd,
torch.compile, torch.export and engines see the operator's name only; `backend.py` says what runs behind it.

Three backward modes: full; with frozen values, where no gradient of the values exists and none is allocated, which is
what a refinement of queries needs; and none, where nothing is kept. First derivatives only.

Dimension letters: B images (people), S tokens of all levels together, H heads, D channels of a head, Q queries,
L levels, P points of a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from biopose_kernels.backend import backend_for
from biopose_kernels.pyramid import Shapes, check, level_shapes, paired

Gradients = Literal["full", "frozen_values", "none"]


def msda(
    value: Tensor,
    spatial_shapes: Tensor | Sequence[Sequence[int]],
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    gradients: Gradients = "full",
) -> Tensor:
    """Sample a feature pyramid around reference points and add up the samples, weighted by attention.

    value [B, S, H, D]: projected features, levels behind each other, each row by row; any strides (an expanded head
    axis is not copied).
    spatial_shapes: (height, width) of each level, or an integer tensor [L, 2]; pairs for compiled and exported code.
    A level may be empty: it adds nothing, but keeps its share of the softmax.
    reference_points [B, Q, L, 2]: (x, y), 0..1 from a level's left upper to its right lower edge.
    sampling_offsets [B, Q, H, L, P, 2]: (x, y) in pixels of their level, which Deformable DETR divides by the level's
    size before it adds them: location in pixels = reference * (width, height) + offset - 0.5.
    attention_logits [B, Q, H, L * P]: before the softmax over levels and points.
    gradients: "full"; "frozen_values": `value` is taken as constant, also if it requires a gradient (it is so anyway
    where it does not); "none": the result is detached.

    Sampling is bilinear with zeros outside, as grid_sample's align_corners=False; a location that is not finite counts
    as outside. Returns [B, Q, H * D] in value's type; each gradient has its input's type. Sums are in float32, float64
    for float64 values. Raises ValueError where shapes, types or devices do not fit.
    """
    if gradients not in ("full", "frozen_values", "none"):
        raise ValueError(f"gradients must be full, frozen_values or none; found {gradients!r}.")
    if gradients != "full":
        value = value.detach()
    if gradients == "none":
        reference_points, sampling_offsets = reference_points.detach(), sampling_offsets.detach()
        attention_logits = attention_logits.detach()
    flat = [size for pair in level_shapes(spatial_shapes) for size in pair]
    return _attend(value, flat, reference_points, sampling_offsets, attention_logits)


@torch.library.custom_op("biopose::msda", mutates_args=())
def _attend(
    value: Tensor,
    spatial_shapes: Sequence[int],
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> Tensor:
    shapes = paired(spatial_shapes)
    check(value, shapes, reference_points, sampling_offsets, attention_logits)
    backend = backend_for(value.device, value.dtype).module
    output: Tensor = backend.forward(value, shapes, reference_points, sampling_offsets, attention_logits)
    return output


@_attend.register_fake
def _(
    value: Tensor,
    spatial_shapes: Sequence[int],
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> Tensor:
    check(value, paired(spatial_shapes), reference_points, sampling_offsets, attention_logits)
    return value.new_empty((value.shape[0], sampling_offsets.shape[1], value.shape[2] * value.shape[3]))


@torch.library.custom_op("biopose::msda_backward", mutates_args=())
def _full_backward(
    gradient: Tensor,
    value: Tensor,
    spatial_shapes: Sequence[int],
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value, offsets and logits."""
    backend = backend_for(value.device, value.dtype).module
    to_value, to_offsets, to_logits = backend.backward(
        gradient, value, paired(spatial_shapes), reference_points, sampling_offsets, attention_logits, True
    )
    return to_value, to_offsets, to_logits


@_full_backward.register_fake
def _(
    gradient: Tensor,
    value: Tensor,
    spatial_shapes: Sequence[int],
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    return value.new_empty(value.shape), _new(sampling_offsets), _new(attention_logits)


@torch.library.custom_op("biopose::msda_frozen_backward", mutates_args=())
def _frozen_backward(
    gradient: Tensor,
    value: Tensor,
    spatial_shapes: Sequence[int],
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> tuple[Tensor, Tensor]:
    """Gradients of offsets and logits; a gradient of value is neither computed nor allocated."""
    backend = backend_for(value.device, value.dtype).module
    _, to_offsets, to_logits = backend.backward(
        gradient, value, paired(spatial_shapes), reference_points, sampling_offsets, attention_logits, False
    )
    return to_offsets, to_logits


@_frozen_backward.register_fake
def _(
    gradient: Tensor,
    value: Tensor,
    spatial_shapes: Sequence[int],
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> tuple[Tensor, Tensor]:
    return _new(sampling_offsets), _new(attention_logits)


def _new(tensor: Tensor) -> Tensor:
    return tensor.new_empty(tensor.shape)


@torch.library.custom_op("biopose::msda_reference_gradient", mutates_args=())
def _reference_gradient(to_offsets: Tensor, spatial_shapes: Sequence[int], reference_points: Tensor) -> Tensor:
    """The reference points' gradient from the offsets': a location moves with its level's size times the point."""
    wide = torch.promote_types(to_offsets.dtype, torch.float32)
    size = _level_sizes(paired(spatial_shapes), to_offsets.device, wide)
    # Heads first, over whole rows: twice as fast on a CPU as one sum over both axes.
    of_points = to_offsets.to(wide).flatten(3).sum(2).unflatten(-1, to_offsets.shape[3:])
    return (of_points.sum(3) * size).to(reference_points.dtype)


@_reference_gradient.register_fake
def _(to_offsets: Tensor, spatial_shapes: Sequence[int], reference_points: Tensor) -> Tensor:
    return _new(reference_points)


@lru_cache(maxsize=64)
def _level_sizes(shapes: Shapes, device: torch.device, kind: torch.dtype) -> Tensor:
    # Kept on the device: a copy for each call would make the host wait, and could not be captured in a CUDA graph.
    return torch.tensor([(width, height) for height, width in shapes], dtype=kind, device=device)


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    value, spatial_shapes, reference_points, sampling_offsets, attention_logits = inputs
    ctx.save_for_backward(value, reference_points, sampling_offsets, attention_logits)
    ctx.spatial_shapes = spatial_shapes


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None, Tensor, Tensor]:
    value, reference_points, offsets, logits = ctx.saved_tensors
    to_value = None
    if ctx.needs_input_grad[0]:
        to_value, to_offsets, to_logits = _full_backward(
            gradient, value, ctx.spatial_shapes, reference_points, offsets, logits
        )
    else:
        to_offsets, to_logits = _frozen_backward(gradient, value, ctx.spatial_shapes, reference_points, offsets, logits)
    to_reference = None
    if ctx.needs_input_grad[2]:
        to_reference = _reference_gradient(to_offsets, ctx.spatial_shapes, reference_points)
    return to_value, None, to_reference, to_offsets, to_logits


_attend.register_autograd(_gradients, setup_context=_keep_inputs)
