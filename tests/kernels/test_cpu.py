"""The numba backend's own promises: no hidden copies, no value gradient when frozen, one thread, threads beside it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from biopose_kernels import cpu, loops

SHAPES = ((5, 4), (2, 2))


class _Allocations(TorchDispatchMode):
    """Elements of new storage behind each returned tensor."""

    def __init__(self, known):
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.elements = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        returned = function(*args, **(kwargs or {}))
        if isinstance(returned, torch.Tensor) and returned.untyped_storage().data_ptr() not in self.known:
            self.elements.append(returned.untyped_storage().nbytes() // returned.element_size())
        return returned


def test_frozen_backward_allocates_less_than_the_values(make_inputs):
    value, *rest = (tensor.float() for tensor in make_inputs(((40, 40),), 1, 2, 2, 2, 8))
    gradient = torch.ones(1, 2, 16)
    with _Allocations([value, *rest, gradient]) as frozen:
        assert cpu.backward(gradient, value, ((40, 40),), *rest, False)[0] is None
    with _Allocations([value, *rest, gradient]) as full:
        cpu.backward(gradient, value, ((40, 40),), *rest, True)
    assert max(frozen.elements) < value.numel() / 100
    assert max(full.elements) == value.numel()


def test_an_expanded_map_is_not_copied(make_inputs):
    value, *rest = (tensor.float() for tensor in make_inputs(SHAPES, 1, 2, 8, 2, 64))
    shared = value[:, :, :1].expand(-1, -1, 8, -1)
    with _Allocations([value, *rest]) as calls:
        cpu.forward(shared, SHAPES, *rest)
    assert max(calls.elements) <= 2 * 8 * 64  # the output


def test_an_axis_of_channels_that_is_not_dense(make_inputs):
    value, *rest = make_inputs(SHAPES, 2, 2, 2, 2, 6)
    every_second = torch.stack([value, torch.full_like(value, 7.0)], -1).flatten(-2)[..., ::2]
    assert every_second.stride(-1) == 2
    assert torch.equal(cpu.forward(every_second, SHAPES, *rest), cpu.forward(value, SHAPES, *rest))


def test_calls_beside_each_other_do_not_disturb(make_inputs):
    many = [make_inputs(SHAPES, 1, 8, 4, 4, 16, seed) for seed in range(16)]
    alone = [cpu.forward(value, SHAPES, *rest) for value, *rest in many]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda inputs: cpu.forward(inputs[0], SHAPES, *inputs[1:]), many))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("kernel", [loops.forward, loops.backward, loops.softmax])
def test_kernels_start_no_threads_of_their_own(kernel):
    assert isinstance(kernel, numba.core.dispatcher.Dispatcher)
    assert not kernel.targetoptions.get("parallel", False)
