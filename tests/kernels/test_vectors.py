"""Rows of channels in fixed-length vectors, against NumPy: every length, both types, rows that are not aligned."""

from __future__ import annotations

import numba as nb
import numpy as np
import pytest

from biopose_kernels import vectors

STEP, START, AT = 90, 3, 5
DEPTHS = [1, 7, 8, 31, 32, 41, 64, 73]


@nb.njit
def weighted_rows(value, token, weight, output, depth):
    vectors.weighted_rows(value, START, STEP, token, weight, token.shape[1], output, AT, depth)


@nb.njit
def add_products(value, token, other, products, depth):
    vectors.add_products(value, START, STEP, token, token.shape[1], other, AT, products, depth)


@nb.njit
def scatter_rows(value, token, weight, other, depth):
    vectors.scatter_rows(value, START, STEP, token, weight, token.shape[1], other, AT, depth)


@nb.njit
def powers(x):
    result = np.empty_like(x)
    for i in range(x.size):
        result[i] = vectors.power_of_e(x[i])
    return result


@pytest.fixture(params=[np.float32, np.float64])
def made(request):
    """value [900], token [5, 3] (the fifth row is not a pixel), weight [4, 3], other [80]."""
    random = np.random.default_rng(0)
    token = random.integers(0, 9, (5, 3)).astype(np.int32)
    token[4] = 2**31 - 1
    return (random.normal(size=900).astype(request.param), token, random.normal(size=(4, 3)).astype(request.param),
            random.normal(size=80).astype(request.param))  # fmt: skip


def rows(value, token, depth):
    """[4, 3, depth]"""
    return value[START + token[:4, :, None].astype(np.int64) * STEP + np.arange(depth)].astype(np.float64)


def near(dtype):
    return {"rtol": 0, "atol": 1e-5 if dtype == np.float32 else 1e-13}


@pytest.mark.parametrize("depth", DEPTHS)
def test_weighted_rows(made, depth):
    value, token, weight, _ = made
    output = np.full(AT + depth + 3, 7, value.dtype)
    weighted_rows(value, token, weight, output, depth)
    expected = (weight[..., None] * rows(value, token, depth)).sum((0, 1))
    np.testing.assert_allclose(output[AT : AT + depth], expected, **near(value.dtype))
    assert (output[:AT] == 7).all()
    assert (output[AT + depth :] == 7).all()


@pytest.mark.parametrize("depth", DEPTHS)
def test_add_products(made, depth):
    value, token, _, other = made
    products = np.ones((4, 3), value.dtype)
    add_products(value, token, other, products, depth)
    expected = 1 + rows(value, token, depth) @ other[AT : AT + depth].astype(np.float64)
    np.testing.assert_allclose(products, expected, **near(value.dtype))


@pytest.mark.parametrize("depth", DEPTHS)
def test_scatter_rows_adds_up_where_pixels_are_the_same(made, depth):
    value, token, weight, other = made
    token[1] = token[0]
    expected = value.astype(np.float64)
    place = START + token[:4, :, None].astype(np.int64) * STEP + np.arange(depth)
    np.add.at(expected, place, weight[..., None] * other[AT : AT + depth])
    scatter_rows(value, token, weight, other, depth)
    np.testing.assert_allclose(value, expected, **near(value.dtype))


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 3e-7), (np.float64, 1e-15)])
def test_powers_of_e(dtype, rtol):
    x = -np.concatenate([np.linspace(0, 86.9, 20_000), np.geomspace(1e-8, 1, 1000)]).astype(dtype)
    np.testing.assert_allclose(powers(x), np.exp(x.astype(np.float64)), rtol=rtol)
    ends = powers(np.array([0.0, -1e4, -np.inf, np.nan], dtype))
    assert ends[0] == 1
    assert not ends[1:3].any()
    assert np.isnan(ends[3])


def test_powers_of_e_are_for_compiled_code():
    with pytest.raises(NotImplementedError, match="compiled code"):
        vectors.power_of_e(-1.0)
