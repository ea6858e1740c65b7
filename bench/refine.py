"""Times the decoder and the refinement of query tokens, one iteration and K of them.

    python bench/refine.py [--device cpu|cuda] [--quick] [--json FILE]

Decoders: "lite", 24 query tokens over the maps of a light encoder on a 256 px crop (strides 4 to 32), and "vit_h", the
paper's: 96 query tokens over a pyramid of 64,704 tokens. Weights are random: the time does not depend on them. Feature
maps are made up; on a GPU the ViT-H encoder is timed as well.

A row is a part: "projection", of the map's values for all layers, once a frame; "decoder", the first run over it;
"refinement", K iterations, each a backward pass, a step and another run: the time of the refinement over a projected
map, less that of the first run in it; "all", the sum as it is used; on a GPU also "encoder". Times are medians of wall
time over --runs, in turns, on a GPU with a synchronisation before and after. `way` is "eager" on a CPU; on a GPU also
"graph", the whole refinement as one CUDA graph, of which only "all" can be timed.

This has been run on a CPU only so far.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import torch
from torch import Tensor

import result_file
from biopose_live.mqhmr.network.architecture import Architecture, vit_h
from biopose_live.mqhmr.network.crop_camera import CropCamera
from biopose_live.mqhmr.network.cuda_graph import GraphedRefiner
from biopose_live.mqhmr.network.model import MQHMR
from biopose_live.mqhmr.network.pyramid import Pyramid
from biopose_live.mqhmr.network.token_refinement import Refiner
from machine import describe

Shapes = tuple[tuple[int, int], ...]
LITE = Architecture(
    encoder="maps", map_channels=(48, 48, 48, 288), queries=24, width_model=128, layers=2, heads=4, feed=256
)
LITE_SHAPES = ((64, 64), (32, 32), (16, 16), (8, 8))
VIT_H_SHAPES = ((16, 12), (64, 48), (128, 96), (256, 192))
STEP_TARGET_MS = 0.4  # one iteration of six layers, one person, on an H200


def decoder_alone(a: Architecture) -> Architecture:
    """The same decoder behind an encoder of ready-made maps, so that no encoder's weights are needed."""
    return msgspec.structs.replace(a, encoder="maps", map_channels=(1,) * a.levels)


def made_up(a: Architecture, shapes: Shapes, people: int, device: str) -> tuple[Pyramid, CropCamera, Tensor]:
    """A pyramid, a camera and keypoints."""
    random = torch.Generator().manual_seed(0)
    tokens = torch.randn(people, sum(h * w for h, w in shapes), a.width_model, generator=random).to(device)
    centre = torch.full((people, 2), 360.0, device=device)
    camera = CropCamera(centre[:, 0] * 3, centre, 0 * centre[:, 0], centre, centre + centre.new_tensor([0.0, 120.0]))
    return Pyramid(tokens, shapes), camera, torch.rand(people, 33, 3, generator=random).to(device)


def medians_ms(codes: dict[str, Callable[[], object]], device: str, runs: int) -> dict[str, float]:
    """Medians of wall time, in turns, after one call of each that is not timed."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    times: dict[str, list[float]] = {name: [] for name in codes}
    for run in range(runs + 1):
        for name, code in codes.items():
            wait()
            start = time.perf_counter()
            code()
            wait()
            if run:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(found) for name, found in times.items()}


def decoder_rows(
    name: str, a: Architecture, shapes: Shapes, people: int, iterations: Sequence[int], device: str, runs: int
) -> list[dict[str, Any]]:
    """Of one decoder: rows of what comes first, and of each number of iterations."""
    torch.manual_seed(0)
    network = MQHMR(decoder_alone(a)).to(device).eval()
    pyramid, camera, keypoints = made_up(a, shapes, people, device)
    with torch.no_grad():
        start, memory = network.start(camera, keypoints), network.decoder.remember(pyramid)

    def projection() -> None:
        with torch.no_grad():
            network.decoder.remember(pyramid)

    def refined(count: int, projected: bool) -> None:
        with patch.object(network.decoder, "remember", lambda _: memory) if projected else nullcontext():
            Refiner(iterations=count).refine(network, memory.pyramid, start, camera, keypoints)

    def first() -> None:
        with torch.no_grad():
            network.decode(start, memory, camera)

    codes: dict[str, Callable[[], object]] = {"projection": projection, "first": first}
    for count in iterations:
        codes[f"projected {count}"] = partial(refined, count, True)
        codes[f"all {count}"] = partial(refined, count, False)
        if device == "cuda":
            graph = GraphedRefiner(network, Refiner(iterations=count), shapes, buckets=(people,))
            codes[f"graph {count}"] = partial(graph, pyramid.tokens, start, camera, keypoints)
    ms = medians_ms(codes, device, runs)

    about = {"decoder": name, "people": people, "queries": a.queries, "layers": a.layers, "dtype": "float32"}
    about |= {"tokens": pyramid.tokens.shape[1]}

    def row(part: str, count: int, found: float, way: str = "eager") -> dict[str, Any]:
        return about | {"part": part, "iterations": count, "way": way, "ms": round(found, 3)}

    rows = [row("projection", 0, ms["projection"]), row("decoder", 0, ms["first"])]
    for count in iterations:
        rows.append(row("refinement", count, ms[f"projected {count}"] - ms["first"]))
        rows.append(row("all", count, ms[f"all {count}"]))
        if f"graph {count}" in ms:
            rows.append(row("all", count, ms[f"graph {count}"], "graph"))
    return rows


def encoder_row(name: str, a: Architecture, people: int, device: str, runs: int) -> dict[str, Any]:
    """The encoder with its pyramid, in half precision by autocast."""
    network = MQHMR(a).to(device).eval()
    pictures = torch.zeros(people, 3, a.height, a.width, device=device)
    with torch.no_grad(), torch.autocast(device, torch.bfloat16):
        ms = medians_ms({"encoder": lambda: network.encode(pictures)}, device, runs)["encoder"]
    return {"decoder": name, "people": people, "part": "encoder", "way": "eager", "iterations": 0, "dtype": "bfloat16",
            "ms": round(ms, 3)}  # fmt: skip


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """-> the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="one person, fewer runs: under a minute")
    parser.add_argument("--runs", type=int, metavar="N", help="timed runs of each (9; 3 if --quick)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    given = parser.parse_args(arguments)
    if given.runs is None:
        given.runs = 3 if given.quick else 9
    if given.runs < 1:
        parser.error("--runs must be 1 or more")
    return given


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("--device cuda needs a GPU that PyTorch can use, and none was found; run with --device cpu.")
    if given.device == "cpu":
        torch.set_num_threads(1)
    machine = describe()
    rows: list[dict[str, Any]] = []
    print(f"{'decoder':8} {'people':>6} {'part':12} {'K':>2} {'way':6} {'ms':>10}")
    for name, a, shapes in (("lite", LITE, LITE_SHAPES), ("vit_h", vit_h(), VIT_H_SHAPES)):
        for people in (1,) if given.quick or (given.device == "cpu" and name == "vit_h") else (1, 4):
            made = decoder_rows(name, a, shapes, people, (1, 5), given.device, given.runs)
            if given.device == "cuda" and name == "vit_h":
                made.append(encoder_row(name, a, people, given.device, given.runs))
            rows += made
            for row in made:
                print(f"{name:8} {people:>6} {row['part']:12} {row['iterations']:>2} {row['way']:6} {row['ms']:>10.2f}")
            sys.stdout.flush()
    print(f"Load before the run: {machine.load}.")
    missing = {} if given.device == "cuda" else {"encoder, graph": "they need --device cuda"}
    for what, reason in missing.items():
        print(f"Not run: {what}: {reason}.")
    if given.json:
        device = torch.cuda.get_device_name() if given.device == "cuda" else "cpu"
        report = {"bench": "refine", "device": device, "machine": msgspec.to_builtins(machine), "runs": given.runs}
        report |= {"not_run": missing, "rows": rows}
        result_file.write(given.json, report)


if __name__ == "__main__":
    main()
