"""The operator's contracts with PyTorch: schema, fake tensors, derivatives, compile, export, and its three modes."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from biopose_kernels import msda, use_backend

SHAPES = ((4, 3), (0, 2), (2, 2))
FLAT = [4, 3, 0, 2, 2, 2]


@pytest.fixture
def inputs(make_inputs):
    return make_inputs(SHAPES, 2, 3, 2, 2, 4)


class _Calls(TorchDispatchMode):
    """The operators called within it, each with the shapes of what it returned."""

    def __init__(self):
        super().__init__()
        self.returned = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = result if isinstance(result, (tuple, list)) else [result]
        self.returned.append((function.name(), [tuple(t.shape) for t in tensors if isinstance(t, torch.Tensor)]))
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("value_learns", [True, False])
def test_opcheck(backend, inputs, dtype, value_learns):
    value, reference, offsets, logits = (tensor.to(dtype).requires_grad_() for tensor in inputs)
    value = value.detach().requires_grad_(value_learns)
    with use_backend(backend):
        torch.library.opcheck(torch.ops.biopose.msda.default, (value, FLAT, reference, offsets, logits))


def test_opcheck_of_the_backward_operators(backend, inputs):
    value, reference, offsets, logits = inputs
    gradient = torch.ones(2, 3, 8, dtype=torch.float64)
    with use_backend(backend):
        for operator in (torch.ops.biopose.msda_backward.default, torch.ops.biopose.msda_frozen_backward.default):
            torch.library.opcheck(operator, (gradient, value, FLAT, reference, offsets, logits))
        torch.library.opcheck(torch.ops.biopose.msda_reference_gradient.default, (offsets, FLAT, reference))


@pytest.mark.parametrize("batch", [0, 1])
def test_opcheck_with_transposed_inputs(backend, make_inputs, batch):
    value, reference, offsets, logits = (tensor.float() for tensor in make_inputs(SHAPES, batch, 3, 2, 2, 4))
    strided = [tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in (value, reference, offsets, logits)]
    value, *rest = (tensor.requires_grad_() for tensor in strided)
    with use_backend(backend):
        torch.library.opcheck(torch.ops.biopose.msda.default, (value, FLAT, *rest))


@pytest.mark.parametrize("value_learns", [True, False])
def test_gradcheck(backend, inputs, value_learns):
    value, *rest = (tensor.requires_grad_() for tensor in inputs)
    value = value.detach().requires_grad_(value_learns)
    with use_backend(backend):
        assert torch.autograd.gradcheck(lambda *tensors: msda(tensors[0], SHAPES, *tensors[1:]), (value, *rest))


def test_frozen_values_leave_no_trace_of_a_value_gradient(backend, inputs):
    leaves = [tensor.requires_grad_() for tensor in inputs]
    with use_backend(backend), _Calls() as calls:
        msda(leaves[0], SHAPES, *leaves[1:], gradients="frozen_values").sum().backward()
    assert leaves[0].grad is None
    assert all(leaf.grad is not None for leaf in leaves[1:])
    names = [name for name, _ in calls.returned]
    assert "biopose::msda_frozen_backward" in names
    assert "biopose::msda_backward" not in names
    assert not any(leaves[0].shape in shapes for name, shapes in calls.returned if name != "aten::detach")


def test_values_that_need_no_gradient_are_frozen_without_being_told(backend, inputs, run_both_ways):
    value, *rest = inputs
    rest = [tensor.requires_grad_() for tensor in rest]
    with use_backend(backend), _Calls() as calls:
        msda(value, SHAPES, *rest).sum().backward()
    assert "biopose::msda_backward" not in [name for name, _ in calls.returned]
    with use_backend(backend):
        full = run_both_ways(msda, SHAPES, inputs)
        frozen = run_both_ways(msda, SHAPES, inputs, True)
    for found, expected in zip(frozen[1:], full[2:], strict=True):
        torch.testing.assert_close(found, expected)


def test_no_gradients(backend, inputs):
    leaves = [tensor.requires_grad_() for tensor in inputs]
    with use_backend(backend):
        assert not msda(leaves[0], SHAPES, *leaves[1:], gradients="none").requires_grad


def test_second_derivatives_are_refused_not_wrong(inputs):
    leaves = [tensor.requires_grad_() for tensor in inputs]
    output = msda(leaves[0], SHAPES, *leaves[1:])
    first = torch.autograd.grad(output.square().sum(), leaves[2], create_graph=True)[0]
    with pytest.raises(RuntimeError, match="no autograd formula"):
        first.sum().backward()


def test_shapes_may_be_a_tensor(inputs):
    value, *rest = inputs
    assert torch.equal(msda(value, torch.tensor(SHAPES), *rest), msda(value, SHAPES, *rest))


@pytest.mark.parametrize("compiler", ["aot_eager", "inductor"])
def test_compile_without_graph_breaks(backend, inputs, run_both_ways, worst_error, compiler):
    if compiler == "inductor" and not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        pytest.skip("inductor needs a C++ compiler on the CPU")
    torch._dynamo.reset()
    compiled = torch.compile(msda, backend=compiler, fullgraph=True)
    with use_backend(backend):
        for frozen in (False, True):
            expected = run_both_ways(msda, SHAPES, inputs, frozen)
            assert worst_error(run_both_ways(compiled, SHAPES, inputs, frozen), expected) <= 1e-12


class _Layer(torch.nn.Module):
    def forward(self, value, reference, offsets, logits):
        return msda(value * 2, SHAPES, reference, offsets, logits)


def test_export_keeps_the_operator_and_a_free_batch(make_inputs):
    inputs = make_inputs(SHAPES, 2, 3, 2, 2, 4)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(_Layer(), inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))
    assert "biopose.msda.default" in str(exported.graph)
    others = make_inputs(SHAPES, 5, 3, 2, 2, 4, seed=1)
    torch.testing.assert_close(exported.module()(*others), _Layer()(*others))


def test_fake_tensors_have_the_real_shape_and_type(inputs):
    value, *rest = (tensor.to("meta") for tensor in inputs)
    output = msda(value.half(), SHAPES, *rest)
    assert (output.shape, output.dtype, output.device.type) == ((2, 3, 8), torch.float16, "meta")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"value": torch.zeros(2, 17, 2, 4)}, "found 3 levels of 16 tokens"),
        ({"value": torch.zeros(16, 2, 4)}, r"value must be \[B, S, H, D\]; found shape \(16, 2, 4\)"),
        ({"value": torch.zeros(2, 16, 2, 4, dtype=torch.int32)}, "value must be of a floating-point type"),
        ({"value": torch.zeros(3, 16, 2, 4)}, r"value must have shape \(2, 16, 2, 4\)"),
        ({"value": torch.zeros(2, 16, 2, 4, device="meta")}, "one device"),
        ({"spatial_shapes": ((4, 4),)}, "must name 3 levels"),
        ({"spatial_shapes": (4, 4)}, r"must be \(height, width\) pairs"),
        ({"spatial_shapes": ((-4, -4), (0, 0), (0, 0))}, "must not be negative"),
        ({"reference_points": torch.zeros(2, 3, 3, 4)}, r"reference_points must have shape \(2, 3, 3, 2\)"),
        ({"sampling_offsets": torch.zeros(2, 3, 2, 3, 0, 2)}, "At least one level and one point"),
        ({"attention_logits": torch.zeros(2, 3, 2, 5)}, r"attention_logits must have shape \(2, 3, 2, 6\)"),
        ({"gradients": "half"}, "gradients must be full, frozen_values or none; found 'half'"),
    ],
)
def test_misfits_are_told_in_one_sentence(inputs, change, sentence):
    value, reference, offsets, logits = (tensor.float() for tensor in inputs)
    arguments = {
        "value": value,
        "spatial_shapes": SHAPES,
        "reference_points": reference,
        "sampling_offsets": offsets,
        "attention_logits": logits,
    }
    with pytest.raises(ValueError, match=sentence):
        msda(**(arguments | change))


def test_flat_shapes_must_come_in_pairs(inputs):
    value, *rest = inputs
    with pytest.raises(ValueError, match="a height and a width for each level"):
        torch.ops.biopose.msda(value, [4, 3, 1], *rest)
