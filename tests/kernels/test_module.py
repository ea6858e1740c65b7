"""The attention layer: the original's parameters and initial values, checkpoints, and both orders of projection."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from biopose_kernels import MSDeformAttn

SHAPES = ((6, 5), (3, 2), (1, 1))
TOKENS = 37


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = MSDeformAttn(d_model=24, n_levels=3, n_heads=4, n_points=2)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer


@pytest.fixture
def arguments():
    random = torch.Generator().manual_seed(1)
    query, features = torch.randn(2, 5, 24, generator=random), torch.randn(2, TOKENS, 24, generator=random)
    return query, 1.4 * torch.rand(2, 5, 3, 2, generator=random) - 0.2, features


def _original_layer(layer, oracle, query, reference, features, padding=None):
    """The published layer's steps, with grid_sample."""
    value = layer.value_proj(features)
    if padding is not None:
        value = value.masked_fill(padding[..., None], 0.0)
    offsets = layer.sampling_offsets(query).view(2, 5, 4, 3, 2, 2)
    if reference.shape[-1] == 4:
        size = torch.tensor([(w, h) for h, w in SHAPES])
        offsets = offsets / 2 * reference[:, :, None, :, None, 2:] * 0.5 * size[:, None]
    logits = layer.attention_weights(query).view(2, 5, 4, 6)
    return layer.output_proj(oracle(value.view(2, TOKENS, 4, 6), SHAPES, reference[..., :2], offsets, logits))


def test_parameters_have_the_original_names_and_shapes():
    shapes = {name: tuple(parameter.shape) for name, parameter in MSDeformAttn().named_parameters()}
    assert shapes == {
        "sampling_offsets.weight": (256, 256),
        "sampling_offsets.bias": (256,),
        "attention_weights.weight": (128, 256),
        "attention_weights.bias": (128,),
        "value_proj.weight": (256, 256),
        "value_proj.bias": (256,),
        "output_proj.weight": (256, 256),
        "output_proj.bias": (256,),
    }
    assert not list(MSDeformAttn().buffers())


def test_initial_values():
    layer = MSDeformAttn(d_model=64, n_levels=3, n_heads=8, n_points=4)
    start = layer.sampling_offsets.bias.detach().view(8, 3, 4, 2)
    right_down = [[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]]  # clockwise, as y points down
    for point in range(4):
        expected = torch.tensor(right_down, dtype=torch.float32)[:, None] * (point + 1)
        torch.testing.assert_close(start[:, :, point], expected.expand(8, 3, 2), atol=1e-5, rtol=0)
    for zero in (layer.sampling_offsets.weight, layer.attention_weights.weight, layer.attention_weights.bias,
                 layer.value_proj.bias, layer.output_proj.bias):  # fmt: skip
        assert not zero.any()
    bound = math.sqrt(6 / (64 + 64))
    for projection in (layer.value_proj, layer.output_proj):
        assert 0.95 * bound < projection.weight.abs().max() <= bound


@pytest.mark.parametrize("order", ["project_first", "sample_first", "auto"])
@pytest.mark.parametrize("boxes", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_equals_the_published_steps(layer, arguments, oracle, order, boxes, padded):
    query, reference, features = arguments
    if boxes:
        reference = torch.cat([reference, torch.rand(2, 5, 3, 2, generator=torch.Generator().manual_seed(2))], -1)
    padding = (torch.arange(TOKENS) % 5 == 0).expand(2, -1) if padded else None
    expected = _original_layer(layer, oracle, query, reference, features, padding)
    starts = torch.tensor([0, 30, 36])
    found = layer(query, reference, features, torch.tensor(SHAPES), starts, padding, order=order)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_both_orders_have_the_same_gradients(layer, arguments):
    query, reference, features = (tensor.double().requires_grad_() for tensor in arguments)
    layer.double()
    learnt = [query, reference, features, *layer.parameters()]
    gradients = []
    for order in ("project_first", "sample_first"):
        output = layer(query, reference, features, SHAPES, order=order)
        gradients.append(torch.autograd.grad(output.sin().sum(), learnt))
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("order", ["project_first", "sample_first"])
def test_frozen_values_hold_the_map_and_its_projection(layer, arguments, order):
    query, reference, features = (tensor.requires_grad_() for tensor in arguments)
    layer(query, reference, features, SHAPES, order=order, gradients="frozen_values").sum().backward()
    assert features.grad is None
    assert layer.value_proj.weight.grad is None
    assert layer.value_proj.bias.grad is None
    assert query.grad.any()
    assert reference.grad.any()
    assert layer.sampling_offsets.weight.grad.any()


def test_a_map_projected_once_serves_every_iteration(layer, arguments):
    query, reference, features = arguments
    value = layer.project_value(features)
    for scale in (1.0, 0.5):
        expected = layer(scale * query, reference, features, SHAPES)
        torch.testing.assert_close(layer.attend(scale * query, reference, value, SHAPES), expected)


def test_the_order_follows_the_shape():
    layer = MSDeformAttn()
    large, small = torch.zeros(1, 4080, 256), torch.zeros(1, 64, 256)
    assert layer._cheaper_order(96, large, "frozen_values") == "sample_first"
    assert layer._cheaper_order(96, small, "frozen_values") == "project_first"
    assert layer._cheaper_order(4080, large, "frozen_values") == "project_first"
    assert layer._cheaper_order(96, large, "full") == "project_first"  # the map's gradient would be H times as large
    with torch.no_grad():
        assert layer._cheaper_order(96, large, "full") == "sample_first"


def test_export_and_compile(layer, arguments):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = layer

        def forward(self, query, reference, features):
            return self.attention(query, reference, features, SHAPES)

    expected = Fixed()(*arguments)
    exported = torch.export.export(Fixed(), arguments)
    assert "biopose.msda.default" in str(exported.graph)
    torch.testing.assert_close(exported.module()(*arguments), expected)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(Fixed(), backend="aot_eager", fullgraph=True)(*arguments), expected)


def test_half_under_autocast(layer, arguments):
    expected = layer(*arguments, SHAPES)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(*arguments, SHAPES)
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).abs().max() <= 0.05 * expected.abs().max()


def test_misuse_is_told(layer, arguments):
    query, reference, features = arguments
    with pytest.raises(ValueError, match="n_heads must divide d_model; found d_model 10 and n_heads 4"):
        MSDeformAttn(10, 1, 4, 1)
    with pytest.raises(ValueError, match="order must be auto"):
        layer(query, reference, features, SHAPES, order="first")
    with pytest.raises(ValueError, match=r"must end with 2 .* found 3"):
        layer(query, torch.zeros(2, 5, 3, 3), features, SHAPES)
