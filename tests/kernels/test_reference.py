"""The reference's written-out backward pass against autograd of its forward pass, and one value by hand."""

from __future__ import annotations

import pytest
import torch

from biopose_kernels import reference

SHAPES = ((3, 4), (0, 0), (2, 1))


def test_backward_is_the_derivative_of_forward(make_inputs):
    value, centres, offsets, logits = make_inputs(SHAPES, 2, 3, 2, 3, 5)
    leaves = [tensor.requires_grad_() for tensor in (value, offsets, logits)]
    output = reference.forward(value, SHAPES, centres, offsets, logits)
    cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.autograd.grad(output, leaves, cotangent)
    with torch.no_grad():
        found = reference.backward(cotangent, value, SHAPES, centres, offsets, logits, True)
    for mine, autograd in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, autograd, rtol=1e-12, atol=1e-12)


def test_two_points_by_hand():
    value = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1)  # a 2 x 2 level
    centre = torch.full((1, 1, 1, 2), 0.5)  # its middle: the mean of all four pixels
    offsets = torch.tensor([[0.0, 0.0], [0.5, 0.5]]).view(1, 1, 1, 1, 2, 2)  # the second: the centre of pixel 4
    logits = torch.tensor([3.0, 1.0]).log().view(1, 1, 1, 2)
    output = reference.forward(value, ((2, 2),), centre, offsets, logits)
    assert output.item() == pytest.approx(0.75 * 2.5 + 0.25 * 4.0, rel=1e-6)
