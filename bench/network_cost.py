"""What a piece of PyTorch code asks of a GPU: kernels, multiplications and bytes, counted without running it.

The code runs on fake tensors (shapes without numbers), so that a network of 639 million weights costs no memory. Every
operator that is not a view is a kernel. Neighbouring kernels that are no matrix products are also counted as one, as a
compiler would fuse them: such a group reads what it did not make itself and writes what somebody reads later.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "convolution"}
ATTENTION = "_scaled_dot_product"
OWN = {"msda", "msda_frozen_backward", "msda_backward"}
# Made without a kernel, or views of something that is there.
FREE = {
    "view", "_unsafe_view", "t", "transpose", "permute", "expand", "slice", "select", "unsqueeze", "squeeze", "detach",
    "alias", "as_strided", "split", "split_with_sizes", "unbind", "empty", "empty_like", "new_empty", "unfold",
    "lift_fresh", "_reshape_alias", "diagonal", "new_empty_strided", "empty_strided", "unsafe_split",
}  # fmt: skip


@dataclass(frozen=True)
class Kernel:
    """kind: "product", "attention", "msda" or "small"; multiplications counted as two operations; blocks: tiles of
    64 x 64 results, which run on one multiprocessor each; bytes at two a number."""

    kind: str
    name: str
    operations: int
    bytes: int
    blocks: int


@dataclass
class _Call:
    kind: str
    name: str
    operations: int
    blocks: int
    reads: dict[int, int]  # storage -> numbers
    writes: dict[int, int]
    moved: int | None = None  # numbers, where the operator does not touch all of its inputs


@dataclass
class Cost:
    """kernels: one for each operator; fused: with neighbours as one."""

    kernels: list[Kernel] = field(default_factory=list)
    fused: list[Kernel] = field(default_factory=list)

    @property
    def operations(self) -> int:
        return sum(kernel.operations for kernel in self.fused)

    @property
    def bytes(self) -> int:
        return sum(kernel.bytes for kernel in self.fused)


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Call] = []
        self.kept: list[Tensor] = []  # or another storage could get the same number

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function.name().split("::")[1].split(".")[0]
        ins = [x for x in tree_flatten((args, kwargs or {}))[0] if isinstance(x, Tensor)]
        outs = [x for x in tree_flatten(result)[0] if isinstance(x, Tensor)]
        self.kept += ins + outs
        if name in FREE or not outs:
            return result
        kind, operations, blocks, moved = "small", 0, math.ceil(sum(x.numel() for x in outs) / 4096), None
        if name in PRODUCTS:
            kind, operations = "product", _operations(name, ins, outs[0])
            blocks = _blocks(outs[0])
        elif name.startswith(ATTENTION):
            backward = "backward" in name
            query, key = (ins[1], ins[2]) if backward else (ins[0], ins[1])
            kind = "attention"
            operations = (10 if backward else 4) * query.numel() * key.shape[-2]
            blocks = query.shape[0] * query.shape[1] * math.ceil(query.shape[2] / 64)
        elif name in OWN:
            kind = "msda"
            value, offsets = (ins[1], ins[3]) if "backward" in name else (ins[0], ins[2])
            blocks = math.ceil(offsets.shape[0] * offsets.shape[1] * offsets.shape[2] / 8)  # warps, eight at a time
            sampled = min(value.numel(), 4 * value.shape[3] * offsets.numel() // 2)
            moved = sampled + sum(x.numel() for x in [*ins, *outs] if x is not value)
            if name == "msda_backward":
                moved += value.numel()
        self.calls.append(_Call(kind, name, operations, max(1, blocks), _numbers(ins), _numbers(outs), moved))
        return result


def count(code: Callable[[], object]) -> Cost:
    """Runs `code`, whose tensors should be fake, and counts."""
    with _Recorder() as recorder:
        kept = code()
    calls, cost = recorder.calls, Cost()
    # What the caller keeps is read later.
    later = {x.untyped_storage()._cdata for x in tree_flatten(kept)[0] if isinstance(x, Tensor)}
    group: list[_Call] = []
    needed: list[set[int]] = []  # after each call
    for call in reversed(calls):
        needed.append(set(later))
        later |= set(call.reads)
    needed.reverse()
    for index, call in enumerate(calls):
        cost.kernels.append(_kernel([call], set(call.writes)))
        if call.kind == "small":
            group.append(call)
        if group and (call.kind != "small" or index + 1 == len(calls)):
            cost.fused.append(_kernel(group, needed[index - (call.kind != "small")]))
            group = []
        if call.kind != "small":
            cost.fused.append(_kernel([call], set(call.writes)))
    return cost


def _kernel(group: list[_Call], wanted: set[int]) -> Kernel:
    """Several calls as one: reads what none of them made, writes what is wanted afterwards."""
    made: dict[int, int] = {}
    read: dict[int, int] = {}
    for call in group:
        for storage, numbers in call.reads.items():
            if storage not in made:
                read[storage] = max(read.get(storage, 0), numbers)
        made |= call.writes
    numbers = sum(read.values()) + sum(size for storage, size in made.items() if storage in wanted)
    if group[0].moved is not None:
        numbers = group[0].moved
    last = group[-1]
    return Kernel(
        last.kind, last.name, sum(call.operations for call in group), 2 * numbers, max(c.blocks for c in group)
    )


def _numbers(tensors: list[Tensor]) -> dict[int, int]:
    """Of each storage the numbers that its largest view spans; an expanded axis is read once."""
    sizes: dict[int, int] = {}
    for tensor in tensors:
        distinct = math.prod(n for n, step in zip(tensor.shape, tensor.stride(), strict=True) if step != 0)
        key = tensor.untyped_storage()._cdata
        sizes[key] = max(sizes.get(key, 0), distinct)
    return sizes


def _operations(name: str, ins: list[Tensor], out: Tensor) -> int:
    if name == "convolution":
        # Transposed or not: every weight meets every place of the coarser map once.
        picture, weight = ins[0], ins[1]
        places = picture.shape[0] * min(math.prod(picture.shape[2:]), math.prod(out.shape[2:]))
        return 2 * places * weight.numel()
    left = ins[1] if name in ("addmm", "baddbmm") else ins[0]
    return 2 * out.numel() * left.shape[-1]


def _blocks(out: Tensor) -> int:
    if out.dim() == 4:  # a map: channels by places
        return out.shape[0] * math.ceil(out.shape[1] / 64) * math.ceil(out.shape[2] * out.shape[3] / 64)
    return math.prod(out.shape[:-2]) * math.ceil(out.shape[-2] / 64) * math.ceil(out.shape[-1] / 64)
