"""Kernels, operations and bytes, by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from biopose_kernels import msda
from network_cost import count


def test_a_product_and_what_follows() -> None:
    with FakeTensorMode(), torch.no_grad():
        x, weight, bias = torch.zeros(96, 256), torch.zeros(512, 256), torch.zeros(512)
        cost = count(lambda: F.gelu(F.linear(x, weight, bias)).mul(2).add(1))
    assert [kernel.name for kernel in cost.kernels] == ["addmm", "gelu", "mul", "add"]
    assert [kernel.kind for kernel in cost.fused] == ["product", "small"]
    product, chain = cost.fused
    assert product.operations == 2 * 96 * 256 * 512
    assert product.bytes == 2 * (96 * 256 + 512 * 256 + 512 + 96 * 512)
    assert product.blocks == 2 * 8
    assert chain.bytes == 2 * (2 * 96 * 512)  # read once, written once
    assert [kernel.bytes for kernel in cost.kernels[1:]] == [2 * (2 * 96 * 512)] * 3


def test_what_is_read_later_is_written() -> None:
    with FakeTensorMode(), torch.no_grad():
        x, weight = torch.zeros(64, 64), torch.zeros(64, 64)

        def code() -> torch.Tensor:
            first = x + 1
            second = first * 2
            return second @ weight + first

        cost = count(code)
    assert [kernel.bytes for kernel in cost.fused] == [2 * 64 * 64 * 3, 2 * 64 * 64 * 3, 2 * 64 * 64 * 3]


def test_views_are_free_and_expanded_axes_are_read_once() -> None:
    with FakeTensorMode(), torch.no_grad():
        x = torch.zeros(64, 1, 32)
        cost = count(lambda: x.expand(64, 8, 32).transpose(0, 1).add(1))
    assert [kernel.bytes for kernel in cost.kernels] == [2 * (64 * 32 + 64 * 8 * 32)]


@pytest.mark.parametrize("learns", [False, True])
def test_products_are_those_that_torch_counts(learns: bool) -> None:
    convolution = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.ConvTranspose2d(8, 8, 2, stride=2))
    x, leaf = torch.zeros(2, 3, 16, 16), torch.zeros(2, 5, 8, requires_grad=learns)
    attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    def code() -> list[torch.Tensor]:
        with torch.no_grad():
            mapped = convolution(x)
        y = leaf * 1  # torch's counter refuses leaves
        attended = attention(y, y, y, need_weights=True)[0]
        if learns:
            return [mapped, *torch.autograd.grad(attended.sum(), leaf)]
        return [mapped, attended]

    with FlopCounterMode(display=False) as theirs, torch.set_grad_enabled(learns):
        torch.backends.mha.set_fastpath_enabled(False)
        cost = count(code)
        torch.backends.mha.set_fastpath_enabled(True)
    assert cost.operations == theirs.get_total_flops()


def test_attention_without_weights() -> None:
    with FakeTensorMode(), torch.no_grad():
        q = torch.zeros(1, 16, 192, 80)
        cost = count(lambda: F.scaled_dot_product_attention(q, q, q))
    [kernel] = cost.kernels
    assert kernel.kind == "attention"
    assert kernel.operations == 2 * 2 * 16 * 192 * 192 * 80
    assert kernel.blocks == 16 * 3


def test_deformable_attention_reads_no_more_than_it_samples() -> None:
    shapes = ((64, 48), (32, 24))
    tokens = 64 * 48 + 32 * 24
    with FakeTensorMode():
        for queries in (1, 1000):
            value = torch.zeros(1, tokens, 8, 32)
            rest = [torch.zeros(1, queries, 2, 2), torch.zeros(1, queries, 8, 2, 4, 2), torch.zeros(1, queries, 8, 8)]
            cost = count(lambda v=value, r=rest: msda(v, shapes, *r))  # type: ignore[misc]
            values = min(tokens * 8 * 32, 4 * queries * 8 * 8 * 32)
            assert [kernel.bytes for kernel in cost.kernels] == [
                2 * (values + sum(tensor.numel() for tensor in rest) + queries * 256)
            ]
