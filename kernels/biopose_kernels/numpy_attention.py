"""Multi-scale deformable attention for NumPy arrays, forward only: for processes that do without PyTorch.

The formula of `reference.py` (BioPose, section 3.2, DAM), by the very loops that PyTorch's backend runs on a CPU
(`loops.py`). Importing this loads NumPy and numba, not torch. The first call compiles for some seconds; numba keeps the
result on disk.

Dimension letters: B images (people), S tokens of all levels together, H heads, D channels of a head, Q queries,
L levels, P points of a level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from biopose_kernels import loops
from biopose_kernels.pyramid import FORMS, check_ranks, check_sizes, level_shapes

Floats = NDArray[np.floating]


def attend(
    value: Floats,
    spatial_shapes: Sequence[Sequence[int]] | NDArray[np.integer],
    reference_points: Floats,
    sampling_offsets: Floats,
    attention: Floats,
    *,
    softmax: bool = True,
) -> Floats:
    """Sample a feature pyramid around reference points and add up the samples, weighted by attention: [B, Q, H * D].

    value [B, S, H, D]: projected features, float32 or float64, levels behind each other, each row by row; channels
    dense, other strides as they come (an axis of heads that `np.broadcast_to` made is not copied).
    spatial_shapes: (height, width) of each level; an empty level adds nothing, but keeps its share of the softmax.
    reference_points [B, Q, L, 2]: (x, y), 0..1 from a level's left upper to its right lower edge.
    sampling_offsets [B, Q, H, L, P, 2]: (x, y) in pixels of their level:
    location in pixels = reference * (width, height) + offset - 0.5.
    attention [B, Q, H, L * P]: logits; or, with softmax=False, weights that are taken as they are.

    Sampling is bilinear with zeros outside; a location that is not finite counts as outside. Computes, and returns, in
    value's type; the other inputs are converted to it. Raises ValueError where shapes or types do not fit.
    """
    arrays = dict(zip(FORMS, (value, reference_points, sampling_offsets, attention), strict=True))
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            raise ValueError(f"{name} must be a floating-point array; found {getattr(array, 'dtype', type(array))}.")
    if value.dtype not in (np.float32, np.float64):
        raise ValueError(f"value must be float32 or float64; found {value.dtype}: convert it first.")
    shapes = level_shapes(spatial_shapes)
    found = {name: array.shape for name, array in arrays.items()}
    check_ranks(found)
    check_sizes(found, shapes)

    batch, queries, heads = sampling_offsets.shape[:3]
    depth = value.shape[3]
    output = np.zeros((batch, queries, heads, depth), value.dtype)
    if value.size and sampling_offsets.size:
        flat, strides = _rows(value)
        centres = np.ascontiguousarray(reference_points, value.dtype)
        offsets = np.ascontiguousarray(sampling_offsets, value.dtype).reshape(batch, queries, heads, -1)
        weights = np.ascontiguousarray(attention, value.dtype)
        if softmax:
            weights = loops.softmax(weights)
        loops.forward(flat, strides, loops.level_table(shapes), centres, offsets, weights, output)
    return output.reshape(batch, queries, heads * depth)


def _rows(value: Floats) -> tuple[Floats, tuple[int, int, int]]:
    """The memory that value spans, flat, and its strides along (B, S, H) in numbers; an expanded axis has stride 0."""
    size = value.itemsize
    dense = value.strides[3] == size or value.shape[3] == 1
    if not dense or not value.flags.aligned or any(step < 0 or step % size for step in value.strides):
        value = np.ascontiguousarray(value)
    steps = (value.strides[0] // size, value.strides[1] // size, value.strides[2] // size)
    extent = value.shape[3] + sum((count - 1) * step for count, step in zip(value.shape[:3], steps, strict=True))
    return np.lib.stride_tricks.as_strided(value, (extent,), (size,), writeable=False), steps
