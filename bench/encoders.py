"""Engines side by side on the landmark network that gives the feature maps of a person's crop, on the CPU.

    python bench/encoders.py [--quick] [--json FILE]

Each row is a network (`lite`, `full`, `heavy`), what it is asked for (its four feature maps; maps and landmarks; the
whole network as MediaPipe ships it, segmentation included) and a number of threads.  The engines get the same cut
network: LiteRT, which biopose-live runs on, with and without XNNPACK's kernels; OpenVINO with 32-bit floats and, for
what the processor gains by it, with bfloat16; ONNX Runtime.  All but LiteRT are optional: what is not installed is
named and left out.

Before anything is timed the results are compared with LiteRT's: `error` is the largest difference in any map, in
standard deviations of that map.  The engines take turns, one untimed call and five timed ones each, so that a busy
machine hits all of them alike.  `wall_ms` and `cpu_ms` are medians over the calls: time passed, and processor time of
all threads, which other programs on the machine lengthen less.  `start_ms` is the engine's own start on a network that
is cut already.  Making floats of the crop's bytes is not counted; it is the same for all.

`installed_mb` is what the package's own files take, without what it depends on.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import av
import msgspec
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from rich.table import Table

import result_file
from biopose_live.detection.pose_landmarker import MODELS, PoseLandmarker, model_path
from biopose_live.mqhmr.encoder import LandmarkEncoder
from biopose_live.mqhmr.encoder_graph import LandmarkGraph, read_landmark_network
from biopose_live.mqhmr.person_crop import person_crop
from machine import Machine, describe, table_console

Numbers = NDArray[np.float32]
Network = Callable[[Numbers], list[Numbers]]
Engine = Callable[[bytes, int], Network]

CALLS_A_TURN = 5
MAPS, LANDMARKS, WHOLE = "maps", "maps and landmarks", "whole"
HEADS = ("keypoints", "world", "presence", "heatmaps")
LEVELS = 4
FRAME = 150  # of the demo clip


class Row(msgspec.Struct):
    """One engine on one network."""

    engine: str
    network: str
    outputs: str
    threads: int
    wall_ms: float
    cpu_ms: float
    start_ms: float
    error: float | None


class Package(msgspec.Struct):
    engine: str
    package: str
    version: str
    installed_mb: float
    licence: str


class Report(msgspec.Struct):
    machine: Machine
    encoder_call_ms: dict[str, float]  # of `LandmarkEncoder` as live mode makes it, bytes to maps
    packages: list[Package]
    missing: list[str]
    rows: list[Row]


def litert(network: bytes, threads: int, xnnpack: bool = True) -> Network:
    kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=network, num_threads=threads, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    wanted = [details["index"] for details in interpreter.get_output_details()]

    def run(pixels: Numbers) -> list[Numbers]:
        interpreter.set_tensor(given, pixels)
        interpreter.invoke()
        return [interpreter.get_tensor(tensor) for tensor in wanted]

    return run


def openvino(network: bytes, threads: int, precision: str = "f32") -> Network:
    import openvino as ov

    core = ov.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "landmarks.tflite"  # its reader goes by the name
        path.write_bytes(network)
        request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()

    def run(pixels: Numbers) -> list[Numbers]:
        request.infer([ov.Tensor(pixels, shared_memory=True)])
        return [request.get_output_tensor(i).data.copy() for i in range(len(request.model_outputs))]

    return run


def onnx_runtime(network: bytes, threads: int) -> Network:
    import onnxruntime

    from landmark_onnx import Conversion

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(Conversion(network)(), options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"input": pixels})


ENGINES: dict[str, Engine] = {
    "LiteRT": litert,
    "LiteRT without XNNPACK": lambda network, threads: litert(network, threads, xnnpack=False),
    "OpenVINO": openvino,
    "OpenVINO, bfloat16": lambda network, threads: openvino(network, threads, "bf16"),
    "ONNX Runtime": onnx_runtime,
}
PACKAGES = {
    "ai-edge-litert": ("LiteRT", "Apache-2.0"),
    "openvino": ("OpenVINO", "Apache-2.0"),
    "onnxruntime": ("ONNX Runtime", "MIT"),
}
NEEDED_BESIDE = {"onnxruntime": ("onnx",)}  # the conversion is written with it


def installed() -> tuple[list[Package], list[str]]:
    """-> the packages there are, and names of those that are missing."""
    there, missing = [], []
    for package, (engine, licence) in PACKAGES.items():
        absent = [name for name in (package, *NEEDED_BESIDE.get(package, ())) if not is_installed(name)]
        missing += absent
        if not absent:
            found = distribution(package)
            files = [Path(str(found.locate_file(file))) for file in found.files or []]
            size = sum(file.stat().st_size for file in files if file.is_file())
            there.append(Package(engine, package, found.version, round(size / 1e6, 1), licence))
    return there, missing


def engines_of(packages: list[Package]) -> list[str]:
    """-> names of the engines that these packages bring, in `ENGINES`' order."""
    return [name for name in ENGINES if any(name.startswith(package.engine) for package in packages)]


def is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def network_of(model: str, outputs: str) -> bytes:
    """-> the .tflite file that computes what is asked for."""
    network = read_landmark_network(model_path(model))
    if outputs == WHOLE:
        return network
    graph = LandmarkGraph(network, model)
    heads = HEADS if outputs == LANDMARKS else ()
    return graph.cut([*graph.maps, *(graph.heads[name] for name in heads)])[0]


def demo_crop() -> NDArray[np.uint8]:
    """-> the crop of the demo clip's person, as live mode cuts it."""
    with av.open(str(MODELS.parent / "demo" / "demo.mp4")) as clip:
        image = next(f.to_ndarray(format="rgb24") for i, f in enumerate(clip.decode(video=0)) if i == FRAME)
    with PoseLandmarker("full") as landmarker:
        (person,) = landmarker(image, 0)
    return person_crop(person.keypoints[:, :2].astype(np.float64)).cut(image)


def worst_error(found: list[Numbers], expected: list[Numbers]) -> float:
    pairs = zip(found[:LEVELS], expected[:LEVELS], strict=True)
    return max(float(np.abs(f - e).max() / e.std()) for f, e in pairs)


def rows_of(model: str, outputs: str, threads: int, names: list[str], pixels: Numbers, seconds: float) -> list[Row]:
    """-> a row of each engine, timed in turns for about `seconds` each."""
    network = network_of(model, outputs)
    runs: dict[str, Network] = {}
    start: dict[str, float] = {}
    for name in names:
        begun = time.perf_counter()
        runs[name] = ENGINES[name](network, threads)
        start[name] = (time.perf_counter() - begun) * 1e3
    results = {name: run(pixels) for name, run in runs.items()}
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    end = time.perf_counter() + seconds * len(names)
    while not wall[names[0]] or time.perf_counter() < end:
        for name, run in runs.items():
            run(pixels)
            for _ in range(CALLS_A_TURN):
                begun, used = time.perf_counter(), time.process_time()
                run(pixels)
                cpu[name].append((time.process_time() - used) * 1e3)
                wall[name].append((time.perf_counter() - begun) * 1e3)
    return [
        Row(
            engine=name,
            network=model,
            outputs=outputs,
            threads=threads,
            wall_ms=round(statistics.median(wall[name]), 2),
            cpu_ms=round(statistics.median(cpu[name]), 2),
            start_ms=round(start[name], 1),
            error=None if outputs == WHOLE else round(worst_error(results[name], results[names[0]]), 5),
        )
        for name in names
    ]


def encoder_call_ms(model: str, crop: NDArray[np.uint8], calls: int) -> float:
    encoder = LandmarkEncoder(model, landmarks=False)
    encoder(crop)
    taken = []
    for _ in range(calls):
        begun = time.perf_counter()
        encoder(crop)
        taken.append((time.perf_counter() - begun) * 1e3)
    return round(statistics.median(taken), 2)


def table(rows: list[Row]) -> Table:
    shown = Table("network", "outputs", "threads", "engine", "wall ms", "CPU ms", "start ms", "error")
    for row in rows:
        error = "" if row.error is None else f"{row.error:.1e}"
        shown.add_row(
            *(row.network, row.outputs, str(row.threads), row.engine),
            *(f"{row.wall_ms:.1f}", f"{row.cpu_ms:.1f}", f"{row.start_ms:.0f}", error),
        )
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="`full` on one thread only, seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report there")
    options = parser.parse_args()
    machine = describe()
    packages, missing = installed()
    names = engines_of(packages)
    if missing:
        print(f"Engines were left out, since these packages are not installed: {', '.join(missing)}.")
    crop = demo_crop()
    pixels = crop[None].astype(np.float32) / 255
    models = ("full",) if options.quick else ("lite", "full", "heavy")
    calls = {model: encoder_call_ms(model, crop, 60) for model in models}
    seconds = 0.5 if options.quick else 0.8
    rows = []
    for model in models:
        for outputs in (MAPS, LANDMARKS, WHOLE):
            for threads in (1,) if options.quick or outputs != MAPS else (1, 2):
                rows += rows_of(model, outputs, threads, names, pixels, seconds)
    console = table_console()
    console.print(table(rows))
    for package in packages:
        console.print(f"{package.package} {package.version}: {package.installed_mb:.0f} MB, {package.licence}")
    console.print(f"LandmarkEncoder, bytes to maps: {calls} ms; load average before the run {machine.load}")
    if options.json:
        report = Report(machine, calls, packages, missing, rows)
        result_file.write(options.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
