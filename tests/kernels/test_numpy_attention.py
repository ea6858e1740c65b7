"""The NumPy entry: no torch behind it, the reference's numbers, and what it says of inputs that do not fit."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biopose_kernels import cpu, loops, reference
from biopose_kernels.numpy_attention import attend

SHAPES = ((6, 5), (0, 2), (3, 2), (1, 1))
TOLERANCE = {np.float64: 1e-11, np.float32: 1e-5}


def arrays(inputs, dtype=np.float64):
    return [tensor.numpy().astype(dtype) for tensor in inputs]


def test_torch_is_not_loaded():
    program = """
import sys
import numpy as np
import biopose_kernels
from biopose_kernels.numpy_attention import attend
one = np.ones((1, 1, 1, 2), np.float32)
found = attend(one, ((1, 1),), 0.5 * one, np.zeros((1, 1, 1, 1, 1, 2), np.float32), one[..., :1])
assert found.tolist() == [[[1.0, 1.0]]], found
print(sorted(name for name in sys.modules if name.split(".")[0] in ("torch", "triton")))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_same_loops_as_in_torchs_backend():
    assert cpu.loops.forward is loops.forward


def test_the_public_names_are_still_there():
    import biopose_kernels

    assert {"MSDeformAttn", "msda", "use_backend"} <= set(dir(biopose_kernels))
    assert biopose_kernels.msda is biopose_kernels.op.msda
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = biopose_kernels.nonsense


@settings(max_examples=30, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=4),
    batch=st.integers(0, 2),
    queries=st.integers(0, 3),
    heads=st.integers(1, 3),
    points=st.integers(1, 5),
    depth=st.sampled_from([1, 3, 8, 16, 24, 32, 64]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 1000),
)
def test_equals_the_reference_in_float64(make_inputs, shapes, batch, queries, heads, points, depth, dtype, seed):
    inputs = make_inputs(shapes, batch, queries, heads, points, depth, seed)
    value, *rest = inputs
    expected = reference.forward(value, tuple(shapes), *rest).numpy()
    found = attend(arrays(inputs, dtype)[0], shapes, *arrays(inputs, dtype)[1:])
    assert found.dtype == dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype])


def test_weights_instead_of_logits(make_inputs):
    value, centres, offsets, logits = make_inputs(SHAPES, 2, 3, 2, 4, 16)
    given_weights = logits.softmax(-1).numpy()
    with_logits = attend(value.numpy(), SHAPES, centres.numpy(), offsets.numpy(), logits.numpy())
    with_weights = attend(value.numpy(), SHAPES, centres.numpy(), offsets.numpy(), given_weights, softmax=False)
    np.testing.assert_allclose(with_weights, with_logits, atol=1e-12)
    halved = attend(value.numpy(), SHAPES, centres.numpy(), offsets.numpy(), given_weights / 2, softmax=False)
    np.testing.assert_allclose(halved, with_logits / 2, atol=1e-12)


def test_large_logits_do_not_overflow_and_minus_infinity_counts_nothing():
    logits = np.array([[[[1e4, 1e4 - 1, -math.inf, -1e4]]]], np.float32)
    expected = torch.from_numpy(logits).double().softmax(-1).numpy()
    np.testing.assert_allclose(loops.softmax(logits), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_is_torchs(dtype):
    logits = np.random.default_rng(0).normal(0, 5, (3, 7, 19)).astype(dtype)
    expected = torch.from_numpy(logits).double().softmax(-1).numpy()
    np.testing.assert_allclose(loops.softmax(logits), expected, rtol=3e-6 if dtype == np.float32 else 1e-13)


def test_any_strides_give_the_same(make_inputs):
    dense = arrays(make_inputs(SHAPES, 2, 3, 4, 2, 8), np.float32)
    expected = attend(dense[0], SHAPES, *dense[1:])
    for order in ("F", "reversed", "padded"):
        strided = {
            "F": [np.asfortranarray(array) for array in dense],
            "reversed": [array[..., ::-1].copy()[..., ::-1] for array in dense],
            "padded": [np.concatenate([array, array], -1)[..., : array.shape[-1]] for array in dense],
        }[order]
        np.testing.assert_allclose(attend(strided[0], SHAPES, *strided[1:]), expected, atol=1e-6)
    backwards = dense[0][:, :, ::-1].copy()[:, :, ::-1]
    np.testing.assert_allclose(attend(backwards, SHAPES, *dense[1:]), expected, atol=1e-6)


def test_heads_may_share_one_expanded_map(make_inputs):
    value, *rest = arrays(make_inputs(SHAPES, 2, 3, 4, 2, 8), np.float32)
    shared = np.broadcast_to(value[:, :, :1], value.shape)
    np.testing.assert_array_equal(attend(shared, SHAPES, *rest), attend(shared.copy(), SHAPES, *rest))


@pytest.mark.parametrize("far", [1e4, 1e30, math.inf, -math.inf, math.nan])
def test_far_and_unusable_locations_count_as_outside(make_inputs, far):
    value, centres, offsets, logits = arrays(make_inputs(SHAPES, 1, 2, 2, 3, 4), np.float32)
    offsets[..., 1, :] = far
    weights = loops.softmax(logits)
    gone = weights.reshape(*weights.shape[:-1], 4, 3).copy()
    gone[..., 1] = 0
    expected = attend(value, SHAPES, centres, np.nan_to_num(offsets), gone.reshape(weights.shape), softmax=False)
    np.testing.assert_allclose(attend(value, SHAPES, centres, offsets, logits), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"value": np.zeros((2, 17, 2, 4), np.float32)}, "found 3 levels of 16 tokens"),
        ({"value": np.zeros((16, 2, 4), np.float32)}, r"value must be \[B, S, H, D\]; found shape \(16, 2, 4\)"),
        ({"value": np.zeros((2, 16, 2, 4), np.int32)}, "value must be a floating-point array; found int32"),
        ({"value": np.zeros((2, 16, 2, 4), np.float16)}, "value must be float32 or float64; found float16"),
        ({"value": [1.0]}, "value must be a floating-point array; found <class 'list'>"),
        ({"spatial_shapes": (4, 4)}, r"must be \(height, width\) pairs"),
        ({"reference_points": np.zeros((2, 3, 3, 4))}, r"reference_points must have shape \(2, 3, 3, 2\)"),
        ({"sampling_offsets": np.zeros((2, 3, 2, 3, 0, 2))}, "At least one level and one point"),
        ({"attention": np.zeros((2, 3, 2, 5))}, r"attention_logits must have shape \(2, 3, 2, 6\)"),
    ],
)
def test_misfits_are_told_in_one_sentence(make_inputs, change, sentence):
    shapes = ((4, 3), (0, 2), (2, 2))
    value, centres, offsets, logits = arrays(make_inputs(shapes, 2, 3, 2, 2, 4), np.float32)
    arguments = {
        "value": value,
        "spatial_shapes": shapes,
        "reference_points": centres,
        "sampling_offsets": offsets,
        "attention": logits,
    }
    with pytest.raises(ValueError, match=sentence):
        attend(**(arguments | change))


def test_pyramids_too_large_for_32_bit_places_are_refused():
    with pytest.raises(ValueError, match="at most 2147483647 tokens on a CPU"):
        loops.level_table(((2**16, 2**15),))
