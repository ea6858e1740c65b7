"""Every backend against grid_sample and against the reference in float64: values and all gradients."""

from __future__ import annotations

import math
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biopose_kernels import msda, use_backend

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # slow
PYRAMID = ((6, 5), (3, 2), (1, 1))
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 1e-2}


def _skip_what_triton_lacks(backend, dtype):
    if backend == "triton" and dtype == torch.float64:
        pytest.skip("the Triton kernels compute in float32")


@settings(max_examples=5 if INTERPRETED else 15, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=4),
    batch=st.integers(0, 2),
    queries=st.integers(0, 3),
    heads=st.integers(1, 3),
    points=st.integers(1, 5),
    depth=st.integers(1, 9),
    seed=st.integers(0, 1000),
)
def test_equals_grid_sample_whatever_the_shapes(
    backend, oracle, make_inputs, run_both_ways, worst_error, shapes, batch, queries, heads, points, depth, seed
):
    dtype = torch.float32 if backend == "triton" else torch.float64
    inputs = make_inputs(shapes, batch, queries, heads, points, depth, seed)
    expected = run_both_ways(oracle, shapes, inputs)
    with use_backend(backend):
        found = run_both_ways(msda, shapes, [tensor.to(dtype) for tensor in inputs])
    assert worst_error(found, expected) <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("frozen", [False, True])
def test_precision_against_the_reference_in_float64(backend, make_inputs, run_both_ways, worst_error, dtype, frozen):
    _skip_what_triton_lacks(backend, dtype)
    inputs = [tensor.to(dtype) for tensor in make_inputs(PYRAMID, 2, 5, 2, 4, 16)]
    with use_backend("reference"):
        expected = run_both_ways(msda, PYRAMID, [tensor.double() for tensor in inputs], frozen)
    with use_backend(backend):
        found = run_both_ways(msda, PYRAMID, inputs, frozen)
    assert {tensor.dtype for tensor in found} == {dtype}
    assert worst_error(found, expected) <= TOLERANCE[dtype]


def test_types_may_differ_between_inputs(backend, make_inputs, run_both_ways, worst_error):
    value, reference, offsets, logits = make_inputs(PYRAMID, 1, 3, 2, 2, 8)
    inputs = (value.half(), reference.float(), offsets.float(), logits.bfloat16())
    with use_backend("reference"):
        expected = run_both_ways(msda, PYRAMID, [tensor.double() for tensor in inputs])
    with use_backend(backend):
        found = run_both_ways(msda, PYRAMID, inputs)
    assert [tensor.dtype for tensor in found] == [torch.float16, *(tensor.dtype for tensor in inputs)]
    assert worst_error(found, expected) <= 1e-2


@pytest.mark.parametrize("x", [-1.5, -1.0, -0.5, 0.0, 0.5, 3.0, 7.0, 7.5, 8.0, 8.5])
def test_ties_and_borders_take_the_same_side_as_grid_sample(backend, oracle, run_both_ways, worst_error, x):
    # Sizes are powers of two, so that grid_sample's way from a location to a pixel does not round the tie away.
    shapes = [(4, 8)]
    value = torch.randn(1, 32, 1, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    offsets = torch.tensor([[x + 0.5, y + 0.5] for y in (-1.0, -0.25, 0.0, 1.0, 3.0, 3.5, 4.0)], dtype=torch.float64)
    inputs = (value, torch.zeros(1, 1, 1, 2).double(), offsets.view(1, 1, 1, 1, 7, 2), torch.zeros(1, 1, 1, 7).double())
    expected = run_both_ways(oracle, shapes, inputs)
    with use_backend(backend):
        found = run_both_ways(msda, shapes, [tensor.to(torch.float32) for tensor in inputs])
    assert worst_error(found, expected) <= 1e-5


@pytest.mark.parametrize("far", [1e4, 1e30, math.inf, -math.inf, math.nan])
def test_far_and_unusable_locations_count_as_outside(backend, make_inputs, run_both_ways, far):
    value, reference, offsets, logits = (tensor.float() for tensor in make_inputs(PYRAMID, 1, 2, 2, 3, 4))
    without = logits.clone().unflatten(-1, (3, 3))
    without[..., 1] = -math.inf
    lost = logits.softmax(-1).unflatten(-1, (3, 3))[..., 1].sum(-1)  # the attention that the far points keep
    offsets[..., 1, :] = far
    with use_backend(backend):
        output, to_value, _, to_offsets, to_logits = run_both_ways(msda, PYRAMID, (value, reference, offsets, logits))
        others = msda(value, PYRAMID, reference, offsets, without.flatten(-2))
    torch.testing.assert_close(output.unflatten(-1, (2, 4)), others.unflatten(-1, (2, 4)) * (1 - lost)[..., None])
    assert not to_offsets[..., 1, :].any()
    assert to_value.isfinite().all()
    assert to_logits.isfinite().all()


def test_any_strides_give_the_same(backend, make_inputs, run_both_ways, worst_error):
    dense = [tensor.float() for tensor in make_inputs(PYRAMID, 2, 3, 2, 4, 8)]
    reversed_axes = [
        tensor.permute(*reversed(range(tensor.dim()))).contiguous().permute(*reversed(range(tensor.dim())))
        for tensor in dense
    ]
    padded = [torch.cat([tensor, tensor], -1)[..., : tensor.shape[-1]] for tensor in dense]
    with use_backend(backend):
        expected = run_both_ways(msda, PYRAMID, dense)
        for strided in (reversed_axes, padded):
            assert not any(tensor.is_contiguous() for tensor in strided)
            assert worst_error(run_both_ways(msda, PYRAMID, strided), expected) <= 1e-6


def test_heads_may_share_one_expanded_map(backend, make_inputs, worst_error):
    value, reference, offsets, logits = (tensor.float() for tensor in make_inputs(PYRAMID, 2, 3, 4, 2, 8))
    shared = value[:, :, :1].expand(-1, -1, 4, -1).requires_grad_(False)
    with use_backend(backend):
        found = msda(shared, PYRAMID, reference, offsets, logits)
        assert worst_error([found], [msda(shared.contiguous(), PYRAMID, reference, offsets, logits)]) <= 1e-6


def test_infinite_neighbours_outside_the_sample_do_not_leak(backend):
    # Right of the row's last pixel lies nothing; the next token in memory, and the first one, are infinite.
    value = torch.tensor([math.inf, 2.0, 3.0, 4.0, math.inf, 6.0, 7.0, 8.0]).view(1, 8, 1, 1)
    offsets = torch.tensor([3.75, 0.5]).view(1, 1, 1, 1, 1, 2)
    with use_backend(backend):
        output = msda(value, [(2, 4)], torch.zeros(1, 1, 1, 2), offsets, torch.zeros(1, 1, 1, 1))
    assert output.item() == 4.0 * 0.75


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("levels", [4, 5])
def test_the_size_that_it_is_made_for(backend, make_inputs, run_both_ways, worst_error, dtype, levels):
    _skip_what_triton_lacks(backend, dtype)
    shapes = ((16, 12), (8, 6), (4, 3), (2, 2), (1, 1))[:levels]
    inputs = [tensor.to(dtype) for tensor in make_inputs(shapes, 1, 1, 2, 4, 32)]
    for frozen in (False, True):
        with use_backend("reference"):
            expected = run_both_ways(msda, shapes, [tensor.double() for tensor in inputs], frozen)
        with use_backend(backend):
            assert worst_error(run_both_ways(msda, shapes, inputs, frozen), expected) <= TOLERANCE[dtype]


@pytest.mark.parametrize("shapes", [((0, 0),), ((0, 3), (3, 0)), ((2, 2), (0, 5), (3, 3))])
@pytest.mark.parametrize(("batch", "queries"), [(0, 2), (1, 0), (2, 2)])
def test_empty_levels_batches_and_queries(
    backend, oracle, make_inputs, run_both_ways, worst_error, shapes, batch, queries
):
    inputs = make_inputs(shapes, batch, queries, 2, 3, 8)
    expected = run_both_ways(oracle, shapes, inputs)
    with use_backend(backend):
        found = run_both_ways(msda, shapes, [tensor.float() for tensor in inputs])
    assert worst_error(found, expected) <= 1e-5
