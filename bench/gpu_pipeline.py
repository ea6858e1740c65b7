"""Times whole frames of a live run with the paper-size network: ViT-H, decoder, refinement and NeurIK.

    python bench/gpu_pipeline.py [--device cpu|cuda] [--people 1,4] [--frames N] [--quick] [--json FILE]

A frame is what the live stages do from crops and keypoints on the host to joint angles: the copy to the device,
encoder, query tokens, decoder and K steps of the refinement, the copy back (`mqhmr.network.engines`), then NeurIK for
each person, on the CPU.  Cutting crops, detection and the Gauss-Newton refinement are not in it; bench/pipeline.py has
those.  Weights are random: the time does not depend on them.

On a GPU the network is ViT-H in half precision, and every engine that runs there is timed, in turns of one frame each:
eager (plain PyTorch), cuda-graph, and tensorrt where torch-tensorrt is installed (its engines are built first, which
takes minutes).  On a CPU it is a small encoder, to try the bench itself out, and eager alone.

Then the best engine runs --frames frames, warm started as in a live run: the slowest against the median, and how much
memory grew meanwhile (the GPU's as PyTorch counts it, else the process').  Targets are of an H200.

**On a GPU this has not been run yet.**
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import torch

import result_file
from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.network import engines, tensorrt_encoder
from biopose_live.mqhmr.network.architecture import Architecture, vit_h
from biopose_live.mqhmr.network.device import find_gpu, half_kind
from biopose_live.mqhmr.network.engines import Engine, Given
from biopose_live.mqhmr.network.frame import Frame, camera_rows
from biopose_live.mqhmr.network.half import halve
from biopose_live.mqhmr.network.model import MQHMR
from biopose_live.mqhmr.network.tensorrt_cache import EngineError
from biopose_live.mqhmr.network.token_refinement import Refiner
from biopose_live.neurik.calibration import BODY_TO_GROUND, Calibrator
from biopose_live.neurik.neural_track import NeuralSolver, NeuralTrack
from biopose_live.neurik.stream import StreamedNetwork
from biopose_live.skeleton.bsk24 import load_bsk24
from machine import describe

SMALL = Architecture(
    height=64, width=48, depth=4, embed=64, vit_heads=4, scales=(1, 4), queries=24, width_model=64, layers=2, heads=4,
    feed=128,
)  # fmt: skip
TARGETS_MS = {1: 8.0, 4: 15.0}  # p95 of a frame on an H200, by people
WORST, FASTER = 2.0, 5.0  # slowest frame over the median; the best engine against eager
FRAME_S = 1 / 30


class Angles:
    """NeurIK for several people, fed with a body that sways."""

    def __init__(self, people: int) -> None:
        body = BodyModel.load()
        calibrator = Calibrator(body, load_bsk24())
        self.betas = np.zeros(body.n_shape)
        _, markers, _ = body.pose_markers(calibrator.standing_pose(self.betas), self.betas, np.zeros(3))
        self.markers = markers @ BODY_TO_GROUND.T
        solver = NeuralSolver(load_bsk24(), body.marker_names, StreamedNetwork.load())
        self.tracks = [NeuralTrack(solver, calibrator) for _ in range(people)]
        self.frame = 0

    def __call__(self) -> None:
        self.frame += 1
        t = self.frame * FRAME_S
        markers = self.markers + 0.02 * np.sin(t) * self.markers[:, 1:2]
        for track in self.tracks:
            track.update(t, markers, self.betas, True)


class Frames:
    """What a live run hands to an engine, frame after frame, for one number of people; pictures are noise."""

    def __init__(self, a: Architecture, people: int) -> None:
        rng = np.random.default_rng(0)
        self.pictures = rng.integers(0, 256, (2, people, a.height, a.width, 3), np.uint8)
        self.keypoints = (rng.random((people, 33, 3)) * [300, 400, 1] + [490, 160, 0]).astype(np.float32)
        boxes = [(0.0, np.array([640.0, 360.0]), np.array([300.0, 400.0]))] * people
        self.camera = camera_rows(1000.0, (640.0, 360.0), boxes)
        self.shift: list[torch.Tensor | None] = [None] * people
        self.count = 0

    def run(self, engine: Engine) -> None:
        self.count += 1
        engine.begin(Given(self.pictures[self.count % 2], self.keypoints, self.camera, self.shift))
        _, shift = engine.finish()
        self.shift = list(shift)


def made_engines(frame: Frame, device: str, most: int) -> tuple[dict[str, Callable[[], Engine]], dict[str, str]]:
    """-> what makes each engine that may run here, best last; and of the others, why they cannot."""
    made: dict[str, Callable[[], Engine]] = {"eager": lambda: engines.eager(frame, device, most)}
    if device == "cpu":
        return made, {"cuda-graph, tensorrt": "they need --device cuda"}
    made["cuda-graph"] = lambda: engines.cuda_graph(frame, most)
    if reason := tensorrt_encoder.installed():
        return made, {"tensorrt": reason}

    def tensorrt() -> Engine:
        sizes = tensorrt_encoder.sizes(most)
        encoders = {people: tensorrt_encoder.load(tensorrt_encoder.build(frame, people)) for people in sizes}
        return engines.tensorrt(frame, encoders, most)

    made["tensorrt"] = tensorrt
    return made, {}


def started(made: dict[str, Callable[[], Engine]], missing: dict[str, str]) -> dict[str, Engine]:
    """The engines that start, warmed; the reasons of the others go to `missing`."""
    found: dict[str, Engine] = {}
    for name, make in made.items():
        try:
            engine = make()
            engine.warm()
            found[name] = engine
        except (EngineError, RuntimeError) as error:
            missing[name] = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return found


def timed(found: dict[str, Engine], a: Architecture, people: int, runs: int) -> list[dict[str, Any]]:
    """Rows of `people` people: each engine's network, NeurIK, and the frame."""
    frames = {name: Frames(a, people) for name in found}
    angles = Angles(people)
    network: dict[str, list[float]] = {name: [] for name in found}
    neurik: list[float] = []
    for run in range(runs + 2):
        for name, engine in found.items():
            began = time.perf_counter()
            frames[name].run(engine)
            between = time.perf_counter()
            angles()
            if run >= 2:
                network[name].append(1e3 * (between - began))
                neurik.append(1e3 * (time.perf_counter() - between))
    rows = [row("neurik", "cpu", people, neurik)]
    for name, ms in network.items():
        whole = np.array(ms) + np.array(neurik).reshape(runs, len(found))[:, list(found).index(name)]
        rows += [row("network", name, people, ms), row("frame", name, people, whole.tolist())]
    return rows


def row(part: str, way: str, people: int, ms: Sequence[float]) -> dict[str, Any]:
    """Of some frames' times."""
    p50, p95 = np.percentile(ms, [50, 95])
    found = {"part": part, "way": way, "people": people, "frames": len(ms), "median_ms": round(float(p50), 3)}
    return found | {"p95_ms": round(float(p95), 3), "worst_ms": round(max(ms), 3)}


def budget(name: str, engine: Engine, a: Architecture, count: int) -> dict[str, Any]:
    """`count` frames of one person: times, and how memory grew from the tenth of them to the last."""
    frames, angles, ms, memory = Frames(a, 1), Angles(1), [], [0, 0]
    process = psutil.Process()

    def held() -> int:
        return torch.cuda.memory_allocated() if engine.device == "cuda" else process.memory_info().rss

    first = max(10, count // 10)
    for i in range(count + first):
        began = time.perf_counter()
        frames.run(engine)
        angles()
        if i >= first:
            ms.append(1e3 * (time.perf_counter() - began))
        if i == first:
            memory[0] = held()
    memory[1] = held()
    found = row("budget", name, 1, ms)
    found["worst_over_median"] = round(found["worst_ms"] / found["median_ms"], 2)
    return found | {"memory_growth_kb": round((memory[1] - memory[0]) / 1e3, 1)}


def verdicts(rows: Sequence[dict[str, Any]], best: str) -> list[str]:
    """Figures beside the targets, a sentence each; the targets are for a GPU."""
    said = []
    medians = {(r["way"], r["people"]): r for r in rows if r["part"] == "frame"}
    for people, target in TARGETS_MS.items():
        if (best, people) in medians:
            p95, eager = medians[best, people]["p95_ms"], medians["eager", people]["median_ms"]
            said.append(f"{people} people by {best}: p95 {p95:.2f} ms, target {target:g}.")
            if best != "eager":
                factor = eager / medians[best, people]["median_ms"]
                said.append(f"{people} people: {factor:.1f} times as fast as eager, target {FASTER:g}.")
    for found in (r for r in rows if r["part"] == "budget"):
        slowest, grown = found["worst_over_median"], found["memory_growth_kb"]
        said.append(
            f"{found['frames']} frames by {found['way']}: the slowest took {slowest:.2f} times the median, "
            f"target {WORST:g}; memory grew by {grown:g} kB."
        )
    return said


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """-> the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--people", default="1,4", help="people in the picture, separated by commas (1,4)")
    parser.add_argument("--iterations", type=int, default=5, metavar="K", help="of the refinement (5)")
    parser.add_argument("--runs", type=int, metavar="N", help="timed frames of each row (200; 20 if --quick)")
    parser.add_argument("--frames", type=int, metavar="N", help="of the budget check (1000; 100 if --quick)")
    parser.add_argument("--quick", action="store_true", help="fewer frames: under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    given = parser.parse_args(arguments)
    try:
        given.people = [int(text) for text in given.people.split(",")]
    except ValueError:
        parser.error(f"--people {given.people} is no list of whole numbers; give e.g. 1,4")
    given.runs = given.runs or (20 if given.quick else 200)
    given.frames = given.frames or (100 if given.quick else 1000)
    if min(*given.people, given.runs, given.frames) < 1 or given.iterations < 0:
        parser.error("--people, --runs and --frames must be 1 or more, --iterations 0 or more")
    return given


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    gpu = find_gpu()
    if given.device == "cuda" and not gpu.usable:
        sys.exit(f"--device cuda needs a GPU that PyTorch can use ({gpu.reason}); run with --device cpu.")
    if given.device == "cpu":
        torch.set_num_threads(1)
    machine = describe()
    torch.manual_seed(0)
    a = vit_h() if given.device == "cuda" else SMALL
    network = MQHMR(a).eval()
    if given.device == "cuda":
        halve(network, half_kind(gpu))
    frame = Frame(network, Refiner(iterations=given.iterations)).to(given.device).eval()
    most = max(given.people)
    made, missing = made_engines(frame, given.device, most)
    found = started(made, missing)
    best = list(found)[-1]

    rows = [made_row for people in given.people for made_row in timed(found, a, people, given.runs)]
    rows.append(budget(best, found[best], a, given.frames))
    print(f"{'part':8} {'way':11} {'people':>6} {'frames':>7} {'median ms':>10} {'p95 ms':>9} {'worst ms':>9}")
    for r in rows:
        print(f"{r['part']:8} {r['way']:11} {r['people']:>6} {r['frames']:>7} {r['median_ms']:>10.2f} "
              f"{r['p95_ms']:>9.2f} {r['worst_ms']:>9.2f}")  # fmt: skip
    device = gpu.name if given.device == "cuda" else "cpu"
    about = f"{device}, {'ViT-H' if a == vit_h() else 'a small encoder'}, K = {given.iterations}"
    print(f"{about}; load before the run: {machine.load}.")
    for sentence in verdicts(rows, best) if given.device == "cuda" else ["The targets are for a GPU: not compared."]:
        print(sentence)
    for name, reason in missing.items():
        print(f"Not run: {name}: {reason}.")
    if given.json:
        report = {"bench": "gpu_pipeline", "device": device, "machine": msgspec.to_builtins(machine)}
        report |= {"architecture": msgspec.to_builtins(a), "iterations": given.iterations, "not_run": missing}
        report |= {"gpu_memory_gb": round(found[best].memory_gb, 2), "rows": rows}
        result_file.write(given.json, report)


if __name__ == "__main__":
    main()
