"""What numba lacks for `loops.py`: rows of channels as vectors of a fixed length, and an exponential that vectorises.

The inner loops over a sample's channels are written in LLVM's intermediate language, because numba has no vectors: left
to its loop vectoriser, every sample would test pointers for overlaps and carry its sum through memory. LLVM cuts the
vectors into whatever registers a processor has, so that one source serves SSE, AVX, AVX-512 and NEON.

A sample n is four pixels (c, n), c < 4, of the dense arrays `token` (32-bit), `weight` and `products`, whose last axis
is N long. A pixel's channels begin at value[start + token * step]. Nothing is checked: that is `loops.py`'s task.

numba keeps compiled code by the date of `loops.py` alone: raise VECTORS_VERSION there with every change of this file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.core.cgutils import get_or_insert_function, unpack_tuple
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array

# Sums may be taken in any order; NaN and infinities keep their meaning.
_FLAGS = ("contract", "reassoc", "nsz", "arcp")
_INDEX = ir.IntType(64)
_LANE = ir.IntType(32)


def _weighted_rows(typing, value, start, step, token, weight, samples, output, at, lanes):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        rows = _Rows(context, builder, signature, arguments[0], arguments[1], arguments[2], lanes.literal_value)
        plane = _plane(context, builder, signature.args[3], arguments[3])
        tokens, weights = (_data(context, builder, signature.args[i], arguments[i]) for i in (3, 4))

        def one_pixel(pixel: Any, totals: list[Any]) -> list[Any]:
            weighted = builder.fmul(rows.spread(builder.load(builder.gep(weights, [pixel]))), rows.load(tokens, pixel),
                                    flags=_FLAGS)  # fmt: skip
            return [builder.fadd(totals[0], weighted, flags=_FLAGS)]

        (total,) = _for_each_pixel(builder, plane, arguments[5], [ir.Constant(rows.vector, None)], one_pixel)
        rows.store(total, builder.gep(_data(context, builder, signature.args[6], arguments[6]), [arguments[7]]))
        return context.get_dummy_value()

    return _when_literal(lanes, types.void(value, start, step, token, weight, samples, output, at, lanes), generate)


def _add_products(typing, value, start, step, token, samples, other, at, products, lanes):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        rows = _Rows(context, builder, signature, arguments[0], arguments[1], arguments[2], lanes.literal_value)
        plane = _plane(context, builder, signature.args[3], arguments[3])
        tokens, products = (_data(context, builder, signature.args[i], arguments[i]) for i in (3, 7))
        factor = rows.load_at(builder.gep(_data(context, builder, signature.args[5], arguments[5]), [arguments[6]]))
        name = f"llvm.vector.reduce.fadd.v{rows.vector.count}f{8 * rows.align}"
        kind = ir.FunctionType(rows.number, [rows.number, rows.vector])
        add = get_or_insert_function(builder.module, kind, name)

        def one_pixel(pixel: Any, none: list[Any]) -> list[Any]:
            place = builder.gep(products, [pixel])
            product = builder.fmul(factor, rows.load(tokens, pixel), flags=_FLAGS)
            builder.store(builder.call(add, [builder.load(place), product], fastmath=_FLAGS), place)
            return none

        _for_each_pixel(builder, plane, arguments[4], [], one_pixel)
        return context.get_dummy_value()

    return _when_literal(lanes, types.void(value, start, step, token, samples, other, at, products, lanes), generate)


def _scatter_rows(typing, value, start, step, token, weight, samples, other, at, lanes):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        rows = _Rows(context, builder, signature, arguments[0], arguments[1], arguments[2], lanes.literal_value)
        plane = _plane(context, builder, signature.args[3], arguments[3])
        tokens, weights = (_data(context, builder, signature.args[i], arguments[i]) for i in (3, 4))
        factor = rows.load_at(builder.gep(_data(context, builder, signature.args[6], arguments[6]), [arguments[7]]))

        def one_pixel(pixel: Any, none: list[Any]) -> list[Any]:
            place = rows.place(tokens, pixel)
            weighted = builder.fmul(rows.spread(builder.load(builder.gep(weights, [pixel]))), factor, flags=_FLAGS)
            rows.store(builder.fadd(rows.load_at(place), weighted, flags=_FLAGS), place)
            return none

        _for_each_pixel(builder, plane, arguments[5], [], one_pixel)
        return context.get_dummy_value()

    return _when_literal(lanes, types.void(value, start, step, token, weight, samples, other, at, lanes), generate)


def _when_literal(lanes: Any, signature: Any, generate: Callable[..., Any]) -> Any:
    """numba tries a literal number first; only that says how long a vector is."""
    return (signature, generate) if isinstance(lanes, types.IntegerLiteral) else None


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return make_array(kind)(context, builder, array).data


def _plane(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """N of an array [4 or more, N]."""
    return unpack_tuple(builder, make_array(kind)(context, builder, array).shape, 2)[1]


class _Rows:
    """Reads and writes `lanes` neighbouring numbers of a flat array, which need not be aligned to more than one."""

    def __init__(
        self, context: Any, builder: Any, signature: Any, value: Any, start: Any, step: Any, lanes: int
    ) -> None:
        kind = signature.args[0]
        self.builder, self.step, self.align = builder, step, kind.dtype.bitwidth // 8
        self.number = context.get_data_type(kind.dtype)
        self.vector = ir.VectorType(self.number, lanes)
        self.first = builder.gep(_data(context, builder, kind, value), [start])

    def place(self, tokens: Any, pixel: Any) -> Any:
        token = self.builder.sext(self.builder.load(self.builder.gep(tokens, [pixel])), _INDEX)
        return self.builder.gep(self.first, [self.builder.mul(token, self.step)])

    def load(self, tokens: Any, pixel: Any) -> Any:
        return self.load_at(self.place(tokens, pixel))

    def load_at(self, place: Any) -> Any:
        return self.builder.load(self.builder.bitcast(place, self.vector.as_pointer()), align=self.align)

    def store(self, row: Any, place: Any) -> None:
        self.builder.store(row, self.builder.bitcast(place, self.vector.as_pointer()), align=self.align)

    def spread(self, number: Any) -> Any:
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, number, _LANE(0))
        everywhere = ir.Constant(ir.VectorType(_LANE, self.vector.count), None)
        return self.builder.shuffle_vector(first, undefined, everywhere)


def _for_each_pixel(
    builder: Any, plane: Any, samples: Any, carried: list[Any], one_pixel: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """Emits a loop over at least one sample with its four pixels in a row; -> the carried values after it."""
    before = builder.block
    loop, after = builder.append_basic_block("sample"), builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    sample = builder.phi(_INDEX)
    inside = [builder.phi(value.type) for value in carried]
    now = list(inside)
    for corner in range(4):
        now = one_pixel(builder.add(builder.mul(plane, _INDEX(corner)), sample), now)
    following = builder.add(sample, _INDEX(1))
    sample.add_incoming(_INDEX(0), before)
    sample.add_incoming(following, loop)
    for phi, first, last in zip(inside, carried, now, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(last, loop)
    builder.cbranch(builder.icmp_signed("<", following, samples), loop, after)
    builder.position_at_end(after)
    return now


_weighted_rows_of_lanes: Any = intrinsic(prefer_literal=True)(_weighted_rows)
_add_products_of_lanes: Any = intrinsic(prefer_literal=True)(_add_products)
_scatter_rows_of_lanes: Any = intrinsic(prefer_literal=True)(_scatter_rows)


@nb.njit(nogil=True, inline="always")
def weighted_rows(value, start, step, token, weight, samples, output, at, depth):  # type: ignore[no-untyped-def]
    """output[at + k] = sum over the samples' pixels of weight * value[start + token * step + k], k < depth."""
    d = 0
    while d + 32 <= depth:
        _weighted_rows_of_lanes(value, start + d, step, token, weight, samples, output, at + d, 32)
        d += 32
    while d + 8 <= depth:
        _weighted_rows_of_lanes(value, start + d, step, token, weight, samples, output, at + d, 8)
        d += 8
    while d < depth:
        _weighted_rows_of_lanes(value, start + d, step, token, weight, samples, output, at + d, 1)
        d += 1


@nb.njit(nogil=True, inline="always")
def add_products(value, start, step, token, samples, other, at, products, depth):  # type: ignore[no-untyped-def]
    """products[pixel] += sum over k < depth of other[at + k] * value[start + token * step + k], for every pixel."""
    d = 0
    while d + 32 <= depth:
        _add_products_of_lanes(value, start + d, step, token, samples, other, at + d, products, 32)
        d += 32
    while d + 8 <= depth:
        _add_products_of_lanes(value, start + d, step, token, samples, other, at + d, products, 8)
        d += 8
    while d < depth:
        _add_products_of_lanes(value, start + d, step, token, samples, other, at + d, products, 1)
        d += 1


@nb.njit(nogil=True, inline="always")
def scatter_rows(value, start, step, token, weight, samples, other, at, depth):  # type: ignore[no-untyped-def]
    """value[start + token * step + k] += weight * other[at + k], k < depth, for the samples' pixels one by one."""
    d = 0
    while d + 32 <= depth:
        _scatter_rows_of_lanes(value, start + d, step, token, weight, samples, other, at + d, 32)
        d += 32
    while d + 8 <= depth:
        _scatter_rows_of_lanes(value, start + d, step, token, weight, samples, other, at + d, 8)
        d += 8
    while d < depth:
        _scatter_rows_of_lanes(value, start + d, step, token, weight, samples, other, at + d, 1)
        d += 1


def power_of_e(x: Any) -> Any:
    """exp(x) of a number that is not positive; inside compiled code only, where it vectorises in single precision."""
    raise NotImplementedError("Call this from compiled code.")


@overload(power_of_e, inline="always")
def _power_of_e(x):  # type: ignore[no-untyped-def]
    return _single if x == types.float32 else lambda x: math.exp(x)


def _single(x):  # type: ignore[no-untyped-def]
    # exp(x) = 2^n exp(r) with |r| <= ln(2) / 2: Cody and Waite 1980 (ln 2 in two parts), exp(r) by Taylor's polynomial
    # of degree 7, whose remainder there is below 2^-27. The comparisons let a NaN through and stop what is too small.
    number = np.float32
    low = number(-87.0)
    n = np.floor(max(x, low) * number(1.0 / math.log(2.0)) + number(0.5))
    r = (max(x, low) - n * number(0.693359375)) + n * number(0.693359375 - math.log(2.0))
    series = number(1 / 5040)
    for factor in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        series = series * r + number(factor)
    scale = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(number)
    return series * scale if x > low else (number(0) if x <= low else x)
