"""The feature pyramid that deformable attention samples: shapes of its levels, and the checks of an attention's inputs.

PyTorch is not needed to import this. All levels lie behind each other on one token axis, each row by row (Zhu et al.
2021, Deformable DETR, section 4.2).

Dimension letters: B images (people), S tokens of all levels together, H heads, D channels of a head, Q queries,
L levels, P points of a level, N = L * P points of a query and head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Shapes = tuple[tuple[int, int], ...]

FORMS = {
    "value": "[B, S, H, D]",
    "reference_points": "[B, Q, L, 2]",
    "sampling_offsets": "[B, Q, H, L, P, 2]",
    "attention_logits": "[B, Q, H, L * P]",
}


def level_shapes(spatial_shapes: Tensor | NDArray[np.integer] | Sequence[Sequence[int]]) -> Shapes:
    """(height, width) of every level, from pairs or from an integer tensor or array [L, 2].

    A tensor on a GPU is read back, which waits for the GPU, and cannot be traced: pass pairs wherever that matters.
    Raises ValueError for anything else.
    """
    rows = spatial_shapes.tolist() if hasattr(spatial_shapes, "tolist") else spatial_shapes
    try:
        shapes = tuple((int(height), int(width)) for height, width in rows)
    except (TypeError, ValueError):
        raise ValueError(f"spatial_shapes must be (height, width) pairs, one a level; found {rows!r}.") from None
    if any(height < 0 or width < 0 for height, width in shapes):
        raise ValueError(f"spatial_shapes must not be negative; found {shapes}.")
    return shapes


def paired(flat: Sequence[int]) -> Shapes:
    """Pairs from the flat list (h0, w0, h1, w1, ...) in which an operator's schema carries them."""
    if len(flat) % 2:
        raise ValueError(f"spatial_shapes must hold a height and a width for each level; found {list(flat)}.")
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def level_rows(shapes: Shapes) -> list[tuple[int, int, int]]:
    """(height, width, first token) of every level."""
    rows, first = [], 0
    for height, width in shapes:
        rows.append((height, width, first))
        first += height * width
    return rows


def check(value: Tensor, shapes: Shapes, reference_points: Tensor, offsets: Tensor, logits: Tensor) -> None:
    """Raises ValueError, one sentence, where shapes, types or devices of an attention's inputs do not fit together."""
    tensors = {
        "value": value,
        "reference_points": reference_points,
        "sampling_offsets": offsets,
        "attention_logits": logits,
    }
    check_ranks({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{name} must be of a floating-point type; found {tensor.dtype}.")
        if tensor.device != value.device:
            raise ValueError(
                f"All inputs must be on one device; found value on {value.device}, {name} on {tensor.device}."
            )
    check_sizes({name: tuple(tensor.shape) for name, tensor in tensors.items()}, shapes)


def check_ranks(found: Mapping[str, tuple[int, ...]]) -> None:
    """Raises ValueError where one of the four inputs' shapes, by name, has too few or too many axes."""
    for name, form in FORMS.items():
        if len(found[name]) != form.count(",") + 1:
            raise ValueError(f"{name} must be {form}; found shape {found[name]}.")


def check_sizes(found: Mapping[str, tuple[int, ...]], shapes: Shapes) -> None:
    """Raises ValueError where the four inputs' shapes, by name and of the right ranks, do not fit together."""
    batch, queries, heads, levels, points, _ = found["sampling_offsets"]
    if levels == 0 or points == 0:
        raise ValueError(
            f"At least one level and one point are needed; found sampling_offsets {found['sampling_offsets']}."
        )
    tokens = sum(height * width for height, width in shapes)
    given, depth = found["value"][1], found["value"][3]
    if len(shapes) != levels or given != tokens:
        raise ValueError(
            f"spatial_shapes {shapes} must name {levels} levels, as sampling_offsets has, of "
            f"{given} tokens in all, as value has; found {len(shapes)} levels of {tokens} tokens."
        )
    expected = {
        "value": (batch, tokens, heads, depth),
        "reference_points": (batch, queries, levels, 2),
        "sampling_offsets": (batch, queries, heads, levels, points, 2),
        "attention_logits": (batch, queries, heads, levels * points),
    }
    for name, shape in expected.items():
        if found[name] != shape:
            raise ValueError(f"{name} must have shape {shape} to fit the other inputs; found {found[name]}.")
