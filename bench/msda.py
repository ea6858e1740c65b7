"""Time deformable attention side by side with what else there is, in one run.

    python bench/msda.py [--device cpu|cuda] [--quick] [--json FILE]

The peers: grid_sample for each level (the usual PyTorch form), torch.compile of the reference, and the package
`deformops` (Triton on a GPU, plain PyTorch on a CPU). A peer that cannot run here is named, with the reason, in the
table's foot and in the file.

Each row is a shape, a pass (forward; backward with all gradients; frozen_backward, without the values' gradient) and a
type. The contestants take turns of one call that is not timed, which brings their data into the caches again, and five
that are (one, where a call takes long), so that a busy machine hits all of them alike. Times are medians of wall time
for one call, on a GPU with a synchronisation before and after it, launches therefore included. Backward times do not
include the forward pass, in which the peers store what their backward pass reads (ours stores nothing). Before anything
is timed the results are compared.

`bytes_moved` counts what has to cross the memory bus at least: each input and output once, of the values no more than
is sampled, and the values' gradient written twice (zeros, then sums). `bandwidth_share` is that over our time, as a
share of what a plain copy reaches on this machine in this run.

Dimension letters: B people (images), S tokens of all levels together, H heads, D channels of a head, Q queries,
L levels, P points of a level.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._functorch import config as functorch_config

import result_file
from biopose_kernels import msda, reference
from machine import Machine, describe

Attention = Callable[..., Tensor]
Shapes = tuple[tuple[int, int], ...]

CALLS_A_TURN = 5
LONG_S = 0.05  # a call from which on one call makes a turn
PASSES = ("forward", "backward", "frozen_backward")
TOLERANCE = {torch.float32: 1e-4, torch.float16: 3e-2, torch.bfloat16: 1e-1}  # a peer rounds in the type itself


@dataclass(frozen=True)
class Case:
    """One shape: 8 heads of 32 channels, 4 points a level."""

    name: str
    levels: Shapes
    queries: int
    people: int = 1
    heads: int = 8
    points: int = 4
    depth: int = 32

    @property
    def tokens(self) -> int:
        return sum(height * width for height, width in self.levels)


BIOPOSE = ((64, 48), (32, 24), (16, 12), (8, 6))
UPSAMPLED = ((256, 192), (128, 96), (64, 48), (16, 12))  # a 16 x 12 map and its 4, 8 and 16 times enlargements
DETECTOR = ((100, 134), (50, 67), (25, 34), (13, 17))
DETECTOR_WIDE = ((100, 150), (50, 75), (25, 38), (13, 19))

QUICK = [Case("biopose", BIOPOSE, 96)]
FULL = [
    *(Case("biopose", BIOPOSE, 96, people) for people in (1, 2, 4, 8)),
    Case("biopose_5_levels", ((128, 96), *BIOPOSE), 96),
    Case("biopose_upsampled", UPSAMPLED, 96),
    *(Case("detector_decoder", DETECTOR, 300, people) for people in (1, 4)),
    Case("detector_encoder", DETECTOR_WIDE, 19947),  # every token asks
]


def grid_sample_attention(value: Tensor, shapes: Shapes, centres: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
    """The usual PyTorch form: grid_sample for each level, then one weighted sum."""
    batch, _, heads, depth = value.shape
    samples = []
    for level, image in enumerate(value.split([height * width for height, width in shapes], 1)):
        height, width = shapes[level]
        location = centres[:, :, None, level, None] + offsets[:, :, :, level] / offsets.new_tensor([width, height])
        grid = (2 * location - 1).transpose(1, 2).flatten(0, 1)
        planes = image.flatten(2).transpose(1, 2).reshape(batch * heads, depth, height, width)
        samples.append(F.grid_sample(planes, grid, padding_mode="zeros", align_corners=False))
    weights = logits.softmax(-1).transpose(1, 2).flatten(0, 1)[:, None]  # [B * H, 1, Q, L * P]
    output = (torch.cat(samples, -1) * weights).sum(-1)  # [B * H, D, Q]
    return output.view(batch, heads * depth, -1).transpose(1, 2).contiguous()


class DeformOps:
    """The peer's functional form, which takes locations in 0..1 instead of points and offsets in pixels."""

    def __init__(self) -> None:
        from deformops.registry import msda as function

        self.function = function
        self.tables: dict[tuple[Shapes, torch.device], tuple[Tensor, Tensor]] = {}

    def __call__(self, value: Tensor, shapes: Shapes, centres: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
        if (shapes, value.device) not in self.tables:
            sizes = torch.tensor(shapes)
            first = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.prod(1).cumsum(0)[:-1]])
            self.tables[shapes, value.device] = sizes.to(value.device), first.to(value.device)
        sizes, first = self.tables[shapes, value.device]
        locations = centres[:, :, None, :, None] + offsets / sizes.flip(1)[:, None].to(offsets.dtype)
        output: Tensor = self.function(value, sizes, first, locations, logits, method="softmax")
        return output


def contestants(device: str) -> tuple[dict[str, Attention], dict[str, str]]:
    """Ours first, then the peers that can run here; and of the others, why they cannot."""
    found: dict[str, Attention] = {"ours": msda, "grid_sample": grid_sample_attention}
    missing: dict[str, str] = {}
    if device == "cpu":
        usable = any(shutil.which(name) for name in ("c++", "g++", "clang++"))
    else:
        usable = importlib.util.find_spec("triton") is not None
    if usable:
        found["compiled_reference"] = torch.compile(reference.forward, dynamic=False)
    else:
        missing["compiled_reference"] = "torch.compile needs a C++ compiler on a CPU and triton on a GPU"
    try:
        found["deformops"] = DeformOps()
    except (ImportError, SyntaxError) as error:
        missing["deformops"] = f"{error}; it needs Python 3.12 or 3.13 and: pip install deformops"
    return found, missing


def inputs_of(case: Case, device: str, dtype: torch.dtype) -> list[Tensor]:
    """value, reference points, offsets of about 2 pixels, logits."""
    random = torch.Generator().manual_seed(0)
    batch, queries, heads, levels = case.people, case.queries, case.heads, len(case.levels)
    made = [
        torch.randn(batch, case.tokens, heads, case.depth, generator=random),
        torch.rand(batch, queries, levels, 2, generator=random),
        2 * torch.randn(batch, queries, heads, levels, case.points, 2, generator=random),
        torch.randn(batch, queries, heads, levels * case.points, generator=random),
    ]
    return [tensor.to(device, dtype) for tensor in made]


def calls_for(
    case: Case, which: str, attentions: dict[str, Attention], inputs: list[Tensor]
) -> dict[str, Callable[[], object]]:
    """A call to time for each contestant; all must have given the same output."""
    calls: dict[str, Callable[[], object]] = {}
    outputs: dict[str, Tensor] = {}
    for name, attention in attentions.items():
        if which == "forward":
            calls[name] = torch.no_grad()(partial(attention, inputs[0], case.levels, *inputs[1:]))
            outputs[name] = attention(inputs[0], case.levels, *inputs[1:])
            continue
        leaves = [tensor.detach().requires_grad_(i > 0 or which == "backward") for i, tensor in enumerate(inputs)]
        outputs[name] = attention(leaves[0], case.levels, *leaves[1:])
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        calls[name] = partial(
            torch.autograd.grad, outputs[name], wanted, torch.ones_like(outputs[name]), retain_graph=True
        )
    ours = outputs["ours"].detach().float()
    for name, output in outputs.items():
        error = float((output.detach().float() - ours).abs().max() / ours.abs().max())
        if not error <= TOLERANCE[inputs[0].dtype]:
            sys.exit(f"{name} and ours differ by {error:.1e} of the largest output at {case.name}; nothing was timed.")
    return calls


def medians_ms(calls: dict[str, Callable[[], object]], device: str, seconds: float) -> dict[str, float]:
    """Medians over at least 5 rounds of turns, for about `seconds` (3 rounds where calls take long)."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    longest = 0.0
    for call in calls.values():
        for _ in range(2):
            call()
        wait()
        before = time.perf_counter()
        call()
        wait()
        longest = max(longest, time.perf_counter() - before)
    rounds, turn = (5, CALLS_A_TURN) if longest < LONG_S else (3, 1)
    times: dict[str, list[float]] = {name: [] for name in calls}
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(next(iter(times.values()))) < rounds * turn:
        for name, call in calls.items():
            call()
            for _ in range(turn):
                wait()
                before = time.perf_counter()
                call()
                wait()
                times[name].append(1e3 * (time.perf_counter() - before))
    return {name: statistics.median(values) for name, values in times.items()}


def bytes_moved(case: Case, which: str, inputs: list[Tensor]) -> int:
    """Least traffic of our kernel: see the module's docstring."""
    size = inputs[0].element_size()
    small = sum(tensor.numel() for tensor in inputs[1:]) * size
    output = case.people * case.queries * case.heads * case.depth * size
    sampled = 4 * case.people * case.queries * case.heads * len(case.levels) * case.points * case.depth * size
    values = min(sampled, inputs[0].numel() * size)
    if which == "forward":
        return values + small + output
    gradients = sum(tensor.numel() for tensor in inputs[2:]) * size
    whole = 2 * inputs[0].numel() * size if which == "backward" else 0
    return values + small + output + gradients + whole


def copy_bandwidth(device: str) -> float:
    """Bytes a second that a copy of 64 MiB reads and writes."""
    source = torch.zeros(2**24, device=device)
    target = torch.empty_like(source)
    calls: dict[str, Callable[[], object]] = {"copy": lambda: target.copy_(source)}
    return 2 * source.numel() * 4 / (medians_ms(calls, device, 0.2)["copy"] / 1e3)


def measured(case: Case, dtype: torch.dtype, attentions: dict[str, Attention], device: str, seconds: float,
             bandwidth: float) -> list[dict[str, object]]:  # fmt: skip
    """A row for each pass."""
    torch._dynamo.reset()
    inputs = inputs_of(case, device, dtype)
    rows: list[dict[str, object]] = []
    for which in PASSES:
        times = medians_ms(calls_for(case, which, attentions, inputs), device, seconds)
        moved = bytes_moved(case, which, inputs)
        row: dict[str, object] = {"shape": case.name, "pass": which, "dtype": str(dtype).removeprefix("torch.")}
        row |= {"people": case.people, "queries": case.queries, "levels": [list(level) for level in case.levels]}
        row |= {f"{name}_ms": round(median, 4) for name, median in times.items()}
        row |= {"bytes_moved": moved, "bandwidth_share": round(moved / (times["ours"] / 1e3) / bandwidth, 4)}
        rows.append(row)
    return rows


def line(row: dict[str, object], names: Sequence[str]) -> str:
    """One row of the table: times, and in brackets how many times ours."""
    shown = " ".join(f"{row[f'{n}_ms']:>14.3f} ({row[f'{n}_ms'] / row['ours_ms']:4.1f}x)" for n in names)  # type: ignore[operator]
    return f"{row['shape']:18} {row['people']:>2} {row['queries']:>6} {row['dtype']:9} {row['pass']:16} {shown}"


def write(
    options: argparse.Namespace,
    machine: Machine,
    missing: dict[str, str],
    bandwidth: float,
    rows: list[dict[str, object]],
) -> None:
    """Writes all rows so far."""
    device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    about: dict[str, object] = {"bench": "msda", "machine": msgspec.to_builtins(machine), "device": device}
    about |= {"torch": str(torch.__version__), "threads": options.threads, "not_run": missing}
    about |= {"copy_bandwidth_gb_s": round(bandwidth / 1e9, 2), "rows": rows}
    result_file.write(options.json, about)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """-> the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="one shape, under a minute")
    parser.add_argument("--seconds", type=float, help="of each row, at least (3; 1 if --quick)")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's threads on a CPU (ours uses one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    given = parser.parse_args(arguments)
    if given.seconds is None:
        given.seconds = 1.0 if given.quick else 3.0
    return given


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("--device cuda needs a GPU that PyTorch can use, and none was found; run with --device cpu.")
    torch.set_num_threads(options.threads)
    functorch_config.donated_buffer = False  # backward passes are repeated on one graph

    machine = describe()
    attentions, missing = contestants(options.device)
    bandwidth = copy_bandwidth(options.device)
    dtypes = [torch.float32] if options.device == "cpu" else list(TOLERANCE)
    rows: list[dict[str, object]] = []
    heads = " ".join(f"{name + ' ms':>22}" for name in attentions)
    print(f"{'shape':18} {'B':>2} {'Q':>6} {'type':9} {'pass':16} {heads}")
    for case in QUICK if options.quick else FULL:
        for dtype in dtypes:
            made = measured(case, dtype, attentions, options.device, options.seconds, bandwidth)
            print("\n".join(line(row, list(attentions)) for row in made), flush=True)
            rows += made
            if options.json:  # after every shape: the large ones take minutes
                write(options, machine, missing, bandwidth, rows)
    print(f"A copy moves {bandwidth / 1e9:.1f} GB/s here. Load before the run: {machine.load}.")
    for name, reason in missing.items():
        print(f"Not run: {name}: {reason}.")


if __name__ == "__main__":
    main()
