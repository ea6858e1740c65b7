"""Predicts the time of one frame on an NVIDIA RTX A4000 from what the network asks of a GPU. Nothing is timed here.

    python bench/a4000_model.py [--people 1,2,4] [--iterations 5] [--measured FILE ...] [--json FILE]

`network_cost.py` counts kernels, operations and bytes of the ViT-H encoder, the decoder and K iterations of its
refinement, on fake tensors. A kernel then takes

    max(operations / (peak * efficiency * busy), bytes / (bandwidth * efficiency), floor)

where `busy` is the share of the multiprocessors that its 64 x 64 tiles fill. Every byte counts as one from memory, also
where the second-level cache would have it. Three ways to run it: "graph", neighbours fused and the whole frame one CUDA
graph, so that the host does not count; "compiled", fused, but launched one by one; "eager", every operator a kernel of
its own, launched one by one. NeurIK is not predicted: it runs on the CPU, and its time is that in results/neurik.json,
on that file's machine.

Efficiencies, floor and launch are assumptions (`Assumptions`). --measured takes files of bench/msda.py and
bench/refine.py from a GPU whose figures are known here (`GPUS`): the model predicts the same rows on that GPU, and the
median ratio of measured to predicted then multiplies its part of the prediction (bench/msda.py's: the attention's own
kernels, in parts that were not measured themselves). Without such a file the prediction
says that it is uncalibrated.

Peak figures: NVIDIA's data sheets. RTX A4000 (2021): 48 multiprocessors, 448 GB/s, 153.4 TFLOPS of the tensor cores
with sparsity, hence 76.7 without. H100 SXM: 132, 3350 GB/s, 1979 / 2 TFLOPS. H200 SXM: 132, 4800 GB/s, 1979 / 2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import result_file
from biopose_kernels import msda
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.network.architecture import vit_h
from biopose_live.mqhmr.network.crop_camera import CropCamera
from biopose_live.mqhmr.network.model import MQHMR
from biopose_live.mqhmr.network.token_refinement import Refiner
from machine import describe
from network_cost import Cost, Kernel, count

NEURIK = Path(__file__).parent / "results" / "neurik.json"
WAYS = ("graph", "compiled", "eager")
TARGET_MS = 33.0  # per frame
PARTS = ("encoder", "decoder", "refinement")


@dataclass(frozen=True)
class GPU:
    """tera: 10^12 operations a second of the tensor cores, half precision, dense; giga: 10^9 bytes a second."""

    name: str
    multiprocessors: int
    tera: float
    giga: float


A4000 = GPU("NVIDIA RTX A4000", 48, 76.7, 448.0)
GPUS = {"A4000": A4000, "H100": GPU("NVIDIA H100", 132, 989.5, 3350.0), "H200": GPU("NVIDIA H200", 132, 989.5, 4800.0)}


@dataclass(frozen=True)
class Assumptions:
    """Of large products 55 % of the peak (the card's 140 W do not hold its highest clock), of attention 35 %, of the
    memory's bandwidth 75 %; no kernel below 2.5 us; 6 us of the host for a launch outside a graph; 50 us to copy a crop
    and poses over PCIe."""

    product: float = 0.55
    attention: float = 0.35
    bandwidth: float = 0.75
    floor_us: float = 2.5
    launch_us: float = 6.0
    transfer_us: float = 50.0


ASSUMED = Assumptions()


def kernel_us(kernel: Kernel, gpu: GPU, a: Assumptions = ASSUMED, msda_factor: float = 1.0) -> float:
    """-> microseconds of one kernel on `gpu`; msda_factor: how many times more the attention's own kernels take."""
    # Tiles run in rounds of one for each multiprocessor; the last round may be partly empty.
    rounds = -(-kernel.blocks // gpu.multiprocessors)
    busy = kernel.blocks / (rounds * gpu.multiprocessors)
    efficiency = a.attention if kernel.kind == "attention" else a.product
    compute = kernel.operations / (gpu.tera * efficiency * busy) * 1e-6
    memory = kernel.bytes / (gpu.giga * a.bandwidth) * 1e-3
    return max(compute, memory, a.floor_us) * (msda_factor if kernel.kind == "msda" else 1.0)


def part_ms(cost: Cost, gpu: GPU, way: str, a: Assumptions = ASSUMED, msda_factor: float = 1.0) -> float:
    """-> milliseconds of all kernels in one of WAYS: the GPU's time or the host's, whichever is longer."""
    kernels = cost.kernels if way == "eager" else cost.fused
    busy = sum(kernel_us(kernel, gpu, a, msda_factor) for kernel in kernels)
    return max(busy, 0.0 if way == "graph" else len(kernels) * a.launch_us) / 1e3


@lru_cache(maxsize=16)
def network_costs(people: int, iterations: int) -> dict[str, Cost]:
    """-> what each of PARTS asks for: the encoder of all crops; the decoder's first run and its map's projection; the
    iterations, each a backward pass, a step and another run."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        # This filling draws again and again until all is in range, which fake numbers never are.
        with FakeTensorMode(allow_non_fake_inputs=True), patch.object(
            torch.nn.init, "trunc_normal_", lambda tensor, **_: tensor
        ):  # fmt: skip
            network = MQHMR(vit_h()).eval()
            one = torch.ones(people)
            camera = CropCamera(one, torch.ones(people, 2), one, torch.ones(people, 2), torch.ones(people, 2))
            with torch.no_grad():
                pictures = torch.zeros(people, 3, network.architecture.height, network.architecture.width)
                encoder = count(lambda: network.encode(pictures))
                pyramid, start = network.encode(pictures), network.start(camera)
            keypoints = torch.zeros(people, 33, 3)

            def refined(steps: int) -> Cost:
                return count(lambda: Refiner(iterations=steps).refine(network, pyramid, start, camera, keypoints))

            # What one step more costs, because the first brings the map's projection along.
            one_step, two_steps = refined(1), refined(2)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    more = Cost(_difference(two_steps.kernels, one_step.kernels), _difference(two_steps.fused, one_step.fused))
    decoder = Cost(_difference(one_step.kernels, more.kernels), _difference(one_step.fused, more.fused))
    return {
        "encoder": encoder,
        "decoder": decoder,
        "refinement": Cost(more.kernels * iterations, more.fused * iterations),
    }


def _difference(larger: list[Kernel], smaller: list[Kernel]) -> list[Kernel]:
    """-> the kernels of `larger` but as many of each kind as `smaller` has."""
    left: dict[Kernel, int] = {}
    for kernel in smaller:
        left[kernel] = left.get(kernel, 0) + 1
    rest = []
    for kernel in larger:
        if left.get(kernel, 0):
            left[kernel] -= 1
        else:
            rest.append(kernel)
    return rest


def msda_us(row: dict[str, Any], gpu: GPU) -> float:
    """-> the model's time for a row of bench/msda.py on `gpu`."""
    size = {"float32": 4, "float16": 2, "bfloat16": 2}[row["dtype"]]
    levels = tuple(tuple(level) for level in row["levels"])
    people, queries, tokens = row["people"], row["queries"], sum(h * w for h, w in levels)
    with FakeTensorMode():
        value = torch.zeros(people, tokens, 8, 32)
        rest = [torch.zeros(people, queries, len(levels), 2), torch.zeros(people, queries, 8, len(levels), 4, 2),
                torch.zeros(people, queries, 8, 4 * len(levels))]  # fmt: skip
        if row["pass"] == "forward":
            cost = count(lambda: msda(value, levels, *rest, "none"))
        else:
            leaves = [value.requires_grad_(row["pass"] == "backward"), *(x.requires_grad_() for x in rest)]
            output = msda(leaves[0], levels, *leaves[1:])
            wanted = [leaf for leaf in leaves if leaf.requires_grad]
            cost = count(lambda: torch.autograd.grad(output, wanted, torch.ones_like(output)))
    kernels = [Kernel(k.kind, k.name, k.operations, k.bytes * size // 2, k.blocks) for k in cost.kernels]
    return sum(kernel_us(kernel, gpu) for kernel in kernels)


def calibration(files: Sequence[Path]) -> dict[str, float]:
    """-> measured over predicted: "msda" from bench/msda.py's files, parts from bench/refine.py's.

    Raises UserError for a file that is not theirs, or from a device whose figures are not known here.
    """
    ratios: dict[str, list[float]] = {}
    for path in files:
        try:
            data = json.loads(path.read_text())
            bench, device, rows = data["bench"], data["device"], data["rows"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is no file of bench/msda.py or bench/refine.py ({type(error).__name__}: {error}); "
                "write one there with --json.", EXIT_MODEL
            ) from error  # fmt: skip
        gpu = next((gpu for short, gpu in GPUS.items() if short in device), None)
        if gpu is None or bench not in ("msda", "refine"):
            raise UserError(
                f"{path} was measured by {bench} on {device}; a calibration needs msda or refine on one of "
                f"{', '.join(GPUS)}.", EXIT_MODEL
            )  # fmt: skip
        for row in rows:
            if bench == "msda":
                ratios.setdefault("msda", []).append(1e3 * row["ours_ms"] / msda_us(row, gpu))
            elif row["decoder"] == "vit_h" and row["part"] in ("encoder", "refinement"):
                cost = network_costs(row["people"], row["iterations"])[row["part"]]
                ratios.setdefault(row["part"], []).append(row["ms"] / part_ms(cost, gpu, row["way"]))
    return {part: statistics.median(found) for part, found in ratios.items()}


def predict(people: int, iterations: int, factors: dict[str, float], a: Assumptions = ASSUMED) -> list[dict[str, Any]]:
    """-> a row for each of WAYS: predicted milliseconds of each part and of the frame on the A4000."""
    costs = network_costs(people, iterations)
    neurik = json.loads(NEURIK.read_text())["neurik"]["ms_per_frame"]
    rows = []
    for way in WAYS:
        parts = {
            # A part that was measured as a whole has its attention in that factor.
            part: part_ms(cost, A4000, way, a, 1.0 if part in factors else factors.get("msda", 1.0))
            * factors.get(part, 1.0)
            for part, cost in costs.items()
        }
        frame = sum(parts.values()) + a.transfer_us / 1e3
        rows.append(
            {"people": people, "iterations": iterations, "way": way, "predicted": True}
            | {f"predicted_{part}_ms": round(ms, 2) for part, ms in parts.items()}
            | {"predicted_network_ms": round(frame, 2), "neurik_cpu_ms": round(people * neurik, 2)}
            | {"predicted_frame_ms": round(frame + people * neurik, 2)}
        )
    return rows


def counted(people: int, iterations: int) -> list[dict[str, Any]]:
    """-> a row for each of PARTS: what was counted."""
    return [
        {"part": part, "people": people, "iterations": iterations, "kernels": len(cost.kernels)}
        | {"kernels_fused": len(cost.fused), "giga_operations": round(cost.operations / 1e9, 2)}
        | {"megabytes": round(cost.bytes / 1e6, 1)}
        for part, cost in network_costs(people, iterations).items()
    ]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """-> the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", default="1,2,4", help="people in the picture, separated by commas (1,2,4)")
    parser.add_argument("--iterations", type=int, default=5, metavar="K", help="of the refinement (5)")
    parser.add_argument("--quick", action="store_true", help="one person only")
    parser.add_argument("--measured", type=Path, nargs="*", default=[], metavar="FILE", help="from a GPU: calibrates")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    given = parser.parse_args(arguments)
    try:
        given.people = [1] if given.quick else [int(text) for text in given.people.split(",")]
    except ValueError:
        parser.error(f"--people {given.people} is no list of whole numbers; give e.g. 1,4")
    if min(given.people) < 1 or given.iterations < 1:
        parser.error("--people and --iterations must be 1 or more")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)
    try:
        factors = calibration(given.measured)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    rows = [row for people in given.people for row in predict(people, given.iterations, factors)]
    counts = [row for people in given.people for row in counted(people, given.iterations)]
    state = f"calibrated: {factors}" if factors else "uncalibrated: no measurement from a GPU was given"
    print(f"Predicted, not measured, for the {A4000.name}; {state}.\nAssumed: {ASSUMED}.\n")
    print(f"{'part':12} {'people':>6} {'kernels':>8} {'fused':>6} {'10^9 operations':>16} {'MB':>8}")
    for row in counts:
        print(f"{row['part']:12} {row['people']:>6} {row['kernels']:>8} {row['kernels_fused']:>6} "
              f"{row['giga_operations']:>16} {row['megabytes']:>8}")  # fmt: skip
    heads = " ".join(f"{part + ' ms':>14}" for part in (*PARTS, "network", "neurik", "frame"))
    print(f"\n{'predicted':10} {'people':>6} {heads}")
    for row in rows:
        names = [*(f"predicted_{part}_ms" for part in (*PARTS, "network")), "neurik_cpu_ms", "predicted_frame_ms"]
        print(f"{row['way']:10} {row['people']:>6} " + " ".join(f"{row[name]:>14.2f}" for name in names))
    print(f"\nThe target is {TARGET_MS:g} ms a frame. NeurIK's time is measured, on a CPU; detection is not included.")
    if given.json:
        report = {"bench": "a4000_model", "predicted": True, "calibration": factors, "state": state}
        report |= {"gpu": asdict(A4000), "assumptions": asdict(ASSUMED), "target_frame_ms": TARGET_MS}
        report |= {"machine": msgspec.to_builtins(describe()), "counted": counts, "rows": rows}
        result_file.write(given.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
