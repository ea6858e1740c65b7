"""The loops of multi-scale deformable attention on a CPU core, in numba over NumPy arrays: PyTorch is not needed.

`numpy_attention.py` and `cpu.py`, PyTorch's backend, call the same compiled code. One pass over (image, query, head);
every sample adds four weighted rows of D channels to an accumulator that stays in the first-level cache. One thread:
beside other busy stages a second one costs more than it gives.

Dimension letters: B images (people), S tokens of all levels together, H heads, D channels of a head, Q queries,
L levels, P points of a level, N = L * P points of a query and head.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

from biopose_kernels.pyramid import Shapes, level_rows

# Everything of fast-math but the promise that there are no NaN and infinities: comparisons must go on refusing those.
_FAST = {"contract", "reassoc", "nsz", "arcp"}


@lru_cache(maxsize=64)
def level_table(shapes: Shapes) -> NDArray[np.int64]:
    """(height, width, first token) of every level, as the loops read them."""
    return np.array(level_rows(shapes), np.int64).reshape(-1, 3)


@nb.njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def softmax(logits):  # type: ignore[no-untyped-def]
    """Softmax of [..., N] over its last axis, a new array."""
    N = logits.shape[-1]
    rows = logits.reshape(-1, N)
    powers = np.empty_like(rows)
    for r in range(rows.shape[0]):
        largest = rows[r, 0]
        for n in range(1, N):
            largest = max(largest, rows[r, n])
        total = rows.dtype.type(0)
        for n in range(N):
            powers[r, n] = math.exp(rows[r, n] - largest)
            total += powers[r, n]
        share = rows.dtype.type(1) / total
        for n in range(N):
            powers[r, n] *= share
    return powers.reshape(logits.shape)


@nb.njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def forward(value, strides, levels, reference, offsets, attention, output):  # type: ignore[no-untyped-def]
    B, Q, H, L, P, _ = offsets.shape
    D = output.shape[3]
    one = value.dtype.type(1)
    half = value.dtype.type(0.5)
    total = np.empty(D, value.dtype)
    image_step, token_step, head_step = strides
    for b in range(B):
        for q in range(Q):
            for h in range(H):
                total[:] = 0
                base = b * image_step + h * head_step
                for s in range(L):
                    height, width, first = levels[s]
                    top = value.dtype.type(height)
                    right = value.dtype.type(width)
                    x_centre = reference[b, q, s, 0] * right - half
                    y_centre = reference[b, q, s, 1] * top - half
                    for p in range(P):
                        x = x_centre + offsets[b, q, h, s, p, 0]
                        y = y_centre + offsets[b, q, h, s, p, 1]
                        if not (x >= -one and y >= -one and x < right and y < top):
                            continue
                        x0 = math.floor(x)
                        y0 = math.floor(y)
                        fx = x - value.dtype.type(x0)
                        fy = y - value.dtype.type(y0)
                        a = attention[b, q, h, s * P + p]
                        w00 = a * (one - fy) * (one - fx)
                        w01 = a * (one - fy) * fx
                        w10 = a * fy * (one - fx)
                        w11 = a * fy * fx
                        # Unsigned, because numba tests every signed index for a negative one.
                        corner = base + (first + y0 * width + x0) * token_step
                        row = width * token_step
                        if x0 >= 0 and y0 >= 0 and x0 + 1 < width and y0 + 1 < height:
                            i00 = np.uint64(corner)
                            i01 = np.uint64(corner + token_step)
                            i10 = np.uint64(corner + row)
                            i11 = np.uint64(corner + row + token_step)
                            for k in range(D):
                                d = np.uint64(k)
                                total[d] += (
                                    w00 * value[i00 + d]
                                    + w01 * value[i01 + d]
                                    + w10 * value[i10 + d]
                                    + w11 * value[i11 + d]
                                )
                        else:
                            for c in range(4):
                                column = x0 + (c & 1)
                                line = y0 + (c >> 1)
                                if column >= 0 and line >= 0 and column < width and line < height:
                                    w = w00 if c == 0 else (w01 if c == 1 else (w10 if c == 2 else w11))
                                    i = np.uint64(base + (first + line * width + column) * token_step)
                                    for k in range(D):
                                        d = np.uint64(k)
                                        total[d] += w * value[i + d]
                for k in range(D):
                    output[b, q, h, k] = total[k]


@nb.njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def backward(  # type: ignore[no-untyped-def]
    gradient, value, strides, levels, reference, offsets, attention, to_offsets, to_logits, to_value, value_gradient
):
    B, Q, H, L, P, _ = offsets.shape
    D = gradient.shape[3]
    S = 0
    for s in range(L):
        S += levels[s, 0] * levels[s, 1]
    one = value.dtype.type(1)
    half = value.dtype.type(0.5)
    zero = value.dtype.type(0)
    g = np.empty(D, value.dtype)
    along = np.empty(4, value.dtype)
    image_step, token_step, head_step = strides
    for b in range(B):
        for q in range(Q):
            for h in range(H):
                for k in range(D):
                    g[k] = gradient[b, q, h, k]
                base = b * image_step + h * head_step
                mean = zero
                for s in range(L):
                    height, width, first = levels[s]
                    top = value.dtype.type(height)
                    right = value.dtype.type(width)
                    x_centre = reference[b, q, s, 0] * right - half
                    y_centre = reference[b, q, s, 1] * top - half
                    for p in range(P):
                        n = s * P + p
                        x = x_centre + offsets[b, q, h, s, p, 0]
                        y = y_centre + offsets[b, q, h, s, p, 1]
                        if not (x >= -one and y >= -one and x < right and y < top):
                            continue
                        x0 = math.floor(x)
                        y0 = math.floor(y)
                        fx = x - value.dtype.type(x0)
                        fy = y - value.dtype.type(y0)
                        a = attention[b, q, h, n]
                        corner = base + (first + y0 * width + x0) * token_step
                        row = width * token_step
                        if x0 >= 0 and y0 >= 0 and x0 + 1 < width and y0 + 1 < height:
                            i00 = np.uint64(corner)
                            i01 = np.uint64(corner + token_step)
                            i10 = np.uint64(corner + row)
                            i11 = np.uint64(corner + row + token_step)
                            v00 = zero
                            v01 = zero
                            v10 = zero
                            v11 = zero
                            for k in range(D):
                                d = np.uint64(k)
                                v00 += g[d] * value[i00 + d]
                                v01 += g[d] * value[i01 + d]
                                v10 += g[d] * value[i10 + d]
                                v11 += g[d] * value[i11 + d]
                        else:
                            for c in range(4):
                                column = x0 + (c & 1)
                                line = y0 + (c >> 1)
                                v = zero
                                if column >= 0 and line >= 0 and column < width and line < height:
                                    i = np.uint64(base + (first + line * width + column) * token_step)
                                    for k in range(D):
                                        d = np.uint64(k)
                                        v += g[d] * value[i + d]
                                along[c] = v
                            v00, v01, v10, v11 = along[0], along[1], along[2], along[3]
                        to_offsets[b, q, h, s, p, 0] = a * ((v01 - v00) * (one - fy) + (v11 - v10) * fy)
                        to_offsets[b, q, h, s, p, 1] = a * ((v10 - v00) * (one - fx) + (v11 - v01) * fx)
                        sampled = (one - fy) * ((one - fx) * v00 + fx * v01) + fy * ((one - fx) * v10 + fx * v11)
                        to_logits[b, q, h, n] = sampled
                        mean += a * sampled
                        if value_gradient:
                            for c in range(4):
                                column = x0 + (c & 1)
                                line = y0 + (c >> 1)
                                if column >= 0 and line >= 0 and column < width and line < height:
                                    w = a * (fy if c >> 1 else one - fy) * (fx if c & 1 else one - fx)
                                    i = np.uint64(((b * S + first + line * width + column) * H + h) * D)
                                    for k in range(D):
                                        d = np.uint64(k)
                                        to_value[i + d] += w * g[d]
                for n in range(L * P):
                    to_logits[b, q, h, n] = attention[b, q, h, n] * (to_logits[b, q, h, n] - mean)
