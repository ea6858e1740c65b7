"""The loops of multi-scale deformable attention on a CPU core, in numba over NumPy arrays: PyTorch is not needed.

`numpy_attention.py` and `cpu.py`, PyTorch's backend, call the same compiled code. One pass over (image, query, head):
first the places and weights of all samples, then their channels (`vectors.py`), whose sum stays in registers. One
thread: beside other busy stages a second one costs more than it gives.

Dimension letters: B images (people), S tokens of all levels together, H heads, D channels of a head, Q queries,
L levels, P points of a level, N = L * P points of a query and head.
"""

from __future__ import annotations

from functools import lru_cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

from biopose_kernels.pyramid import Shapes, level_rows
from biopose_kernels.vectors import add_products, power_of_e, scatter_rows, weighted_rows

VECTORS_VERSION = 1  # of vectors.py, so that this file changes whenever that one does: see there

# Everything of fast-math but the promise that there are no NaN and infinities: comparisons must go on refusing those.
_FAST = {"contract", "reassoc", "nsz", "arcp"}


@lru_cache(maxsize=64)
def level_table(shapes: Shapes) -> NDArray[np.int64]:
    """(height, width, first token) of every level, as the loops read them. Raises ValueError beyond 2^31 - 1 tokens."""
    tokens = sum(height * width for height, width in shapes)
    if tokens >= 2**31:
        raise ValueError(f"A pyramid may have at most {2**31 - 1} tokens on a CPU; found {tokens} in {shapes}.")
    return np.array(level_rows(shapes), np.int64).reshape(-1, 3)


@nb.njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def softmax(logits):  # type: ignore[no-untyped-def]
    """Softmax of dense [..., N] over its last axis, a new array."""
    N = logits.shape[-1]
    rows = logits.reshape(-1, N)
    powers = np.empty_like(rows)
    for r in range(rows.shape[0]):
        largest = rows[r, 0]
        for n in range(1, N):
            largest = max(largest, rows[r, n])
        for n in range(N):
            powers[r, n] = power_of_e(rows[r, n] - largest)
        total = rows.dtype.type(0)
        for n in range(N):
            total += powers[r, n]
        share = rows.dtype.type(1) / total
        for n in range(N):
            powers[r, n] *= share
    return powers.reshape(logits.shape)


@nb.njit(nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _centres(levels, reference, b, q, P, centre, level):  # type: ignore[no-untyped-def]
    """What the points of one query have in common with those of its other heads.

    centre [4, N]: the reference point in pixels (x, y), the level's width and height; level [3, N]: width, height and
    first token as whole numbers.
    """
    number = centre.dtype.type
    for s in range(levels.shape[0]):
        height, width, first = levels[s]
        x, y = reference[b, q, s, 0] * number(width) - number(0.5), reference[b, q, s, 1] * number(height) - number(0.5)
        for n in range(s * P, (s + 1) * P):
            centre[0, n], centre[1, n] = x, y
            # No location is near an empty level.
            centre[2, n] = number(width if height else -1)
            centre[3, n] = number(height if width else -1)
            level[0, n], level[1, n], level[2, n] = width, height, first


@nb.njit(nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _locate(offset, attention, centre, level, token, part):  # type: ignore[no-untyped-def]
    """Finds the pixels of the samples of one (image, query, head); -> whether any sample touches its level.

    offset [2 N], attention [N] -> token [5, N]: a sample's pixels, (y, x) 00, 01, 10, 11, and if it touches its level;
    part [5, N]: weights of its left and right columns and its upper and lower rows, and its attention. A pixel outside
    of the level has weight 0 and the place of its neighbour; a sample outside has the places of another one and weights
    0: nothing but pixels that count is ever read.
    """
    one, zero = part.dtype.type(1), part.dtype.type(0)
    step, none = np.int32(1), np.int32(0)
    N = attention.shape[0]
    far = 0
    # Without a branch, with 32-bit whole numbers and few arrays: so LLVM's vectoriser takes it (three times as fast).
    for n in range(N):
        x, y = centre[0, n] + offset[2 * n], centre[1, n] + offset[2 * n + 1]
        # A location that is not finite fails this, so that no index is made of it.
        near = (x >= -one) & (y >= -one) & (x < centre[2, n]) & (y < centre[3, n])
        x, y = x if near else zero, y if near else zero
        left, top = np.floor(x), np.floor(y)
        column, line = np.int32(left), np.int32(top)
        x, y = x - left, y - top
        width, height, first = level[0, n], level[1, n], level[2, n]
        part[0, n] = one - x if near & (column >= 0) else zero
        part[1, n] = x if near & (column + step < width) else zero
        part[2, n] = one - y if near & (line >= 0) else zero
        part[3, n] = y if near & (line + step < height) else zero
        upper = first + (line if line >= 0 else none) * width
        lower = first + (line + step if line + step < height else line) * width
        right = column + step if column + step < width else column
        column = column if column >= 0 else none
        token[0, n], token[1, n], token[2, n], token[3, n] = (
            upper + column,
            upper + right,
            lower + column,
            lower + right,
        )
        token[4, n] = near
        far += not near
    for n in range(N):
        part[4, n] = attention[n]
    if far == N:
        return False
    if far:
        near = 0
        while token[4, near] == 0:
            near += 1
        for k in range(4):
            place = token[k, near]
            for n in range(N):
                token[k, n] = token[k, n] if token[4, n] else place
    return True


@nb.njit(nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _weigh(part, weight):  # type: ignore[no-untyped-def]
    """weight [4, N]: of each pixel in the output."""
    for n in range(weight.shape[1]):
        above, below = part[4, n] * part[2, n], part[4, n] * part[3, n]
        weight[0, n], weight[1, n] = above * part[0, n], above * part[1, n]
        weight[2, n], weight[3, n] = below * part[0, n], below * part[1, n]


@nb.njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def forward(value, strides, levels, reference, offsets, attention, output):  # type: ignore[no-untyped-def]
    """Fills output [B, Q, H, D].

    value: flat memory with `strides` along (B, S, H); offsets [B, Q, H, 2 N]; these, reference and attention are dense
    and of value's type.
    """
    B, Q, H, N = attention.shape
    D = output.shape[3]
    image_step, token_step, head_step = strides
    centre, level = np.empty((4, N), value.dtype), np.empty((3, N), np.int32)
    token = np.empty((5, N), np.int32)
    part, weight = np.empty((5, N), value.dtype), np.empty((4, N), value.dtype)
    flat = output.reshape(-1)
    for b in range(B):
        for q in range(Q):
            _centres(levels, reference, b, q, N // levels.shape[0], centre, level)
            for h in range(H):
                if not _locate(offsets[b, q, h], attention[b, q, h], centre, level, token, part):
                    output[b, q, h, :] = 0
                    continue
                _weigh(part, weight)
                start, at = b * image_step + h * head_step, ((b * Q + q) * H + h) * D
                weighted_rows(value, start, token_step, token, weight, N, flat, at, D)


@nb.njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def backward(  # type: ignore[no-untyped-def]
    gradient, value, strides, levels, reference, offsets, attention, to_offsets, to_logits, to_value, value_gradient
):
    """Fills to_offsets [B, Q, H, N, 2] and to_logits [B, Q, H, N], which come as zeros; adds to to_value if asked for.

    gradient: dense [B, Q, H, D]; to_value: flat [B, S, H, D]; the others as in `forward`. `attention` is the softmax of
    the logits.
    """
    B, Q, H, N = attention.shape
    D = gradient.shape[3]
    S = 0
    for s in range(levels.shape[0]):
        S += levels[s, 0] * levels[s, 1]
    zero = value.dtype.type(0)
    image_step, token_step, head_step = strides
    centre, level = np.empty((4, N), value.dtype), np.empty((3, N), np.int32)
    token = np.empty((5, N), np.int32)
    part, weight = np.empty((5, N), value.dtype), np.empty((4, N), value.dtype)
    along = np.empty((4, N), value.dtype)  # each pixel's component along the gradient
    flat = gradient.reshape(-1)
    for b in range(B):
        for q in range(Q):
            _centres(levels, reference, b, q, N // levels.shape[0], centre, level)
            for h in range(H):
                if not _locate(offsets[b, q, h], attention[b, q, h], centre, level, token, part):
                    continue
                start, at = b * image_step + h * head_step, ((b * Q + q) * H + h) * D
                along[:] = 0
                add_products(value, start, token_step, token, N, flat, at, along, D)
                mean = zero
                for n in range(N):
                    v00, v01, v10, v11 = along[0, n], along[1, n], along[2, n], along[3, n]
                    left, right, above, below, a = part[0, n], part[1, n], part[2, n], part[3, n], part[4, n]
                    # A pixel outside was given its neighbour's place: there two are one, and the weight says which.
                    if token[0, n] == token[1, n]:
                        if left > zero:
                            v01 = v11 = zero
                        else:
                            v00 = v10 = zero
                    if token[0, n] == token[2, n]:
                        if above > zero:
                            v10 = v11 = zero
                        else:
                            v00 = v01 = zero
                    to_offsets[b, q, h, n, 0] = a * ((v01 - v00) * above + (v11 - v10) * below)
                    to_offsets[b, q, h, n, 1] = a * ((v10 - v00) * left + (v11 - v01) * right)
                    sampled = above * (left * v00 + right * v01) + below * (left * v10 + right * v11)
                    to_logits[b, q, h, n] = sampled
                    mean += a * sampled
                for n in range(N):
                    to_logits[b, q, h, n] = attention[b, q, h, n] * (to_logits[b, q, h, n] - mean)
                if value_gradient:
                    _weigh(part, weight)
                    start = (b * S * H + h) * D
                    scatter_rows(to_value, start, H * D, token, weight, N, flat, at, D)
