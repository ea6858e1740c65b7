"""`biopose-live doctor`: what was found on this machine, what is missing, and what to do about it.

Each check stands alone and changes nothing.  `missing` means that the demo cannot run; `warning` that something else
cannot (no camera, no GPU, a busy port).
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, get_args

import msgspec

from biopose_live.errors import EXIT_FAILURE, EXIT_OK, UserError
from biopose_live.settings import DetectorModel, Settings

State = Literal["ok", "warning", "missing"]

OLDEST_PYTHON = (3, 11)
FEWEST_CPUS = 2
# Package on the index -> module whose import shows that it works here.
PACKAGES = {
    "av": "av",
    "mediapipe": "mediapipe",
    "msgspec": "msgspec",
    "numba": "numba",
    "numpy": "numpy",
    "psutil": "psutil",
    "pyzmq": "zmq",
    "rich": "rich",
    "safetensors": "safetensors",
    "torch": "torch",
}
# Shared libraries that MediaPipe loads on Linux -> Debian's package.
GRAPHICS_LIBRARIES = {"libGL.so.1": "libgl1", "libEGL.so.1": "libegl1", "libGLESv2.so.2": "libgles2"}
CODECS = {"h264": "video files and network streams", "mjpeg": "cameras", "hevc": "phone videos"}


class Finding(msgspec.Struct):
    """One line of the report; `hint` says what to do, and is empty when there is nothing to do."""

    check: str
    state: State
    found: str
    hint: str = ""


def python_version() -> Iterator[Finding]:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    good = sys.version_info >= OLDEST_PYTHON
    hint = "" if good else "use Python 3.11 or newer"
    yield Finding("Python", "ok" if good else "missing", found, hint)


def packages() -> Iterator[Finding]:
    for package, module in PACKAGES.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            yield Finding(package, "missing", "not installed", f"pip install {package}")
            continue
        try:
            importlib.import_module(module)
        except (ImportError, OSError) as error:  # OSError: a shared library that the package needs is not there
            first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
            yield Finding(package, "missing", f"{found}, but it does not load: {first_line}", f"reinstall {package}")
            continue
        yield Finding(package, "ok", found)


def graphics_libraries() -> Iterator[Finding]:
    if sys.platform != "linux":
        return
    for library, package in GRAPHICS_LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            yield Finding(library, "missing", "not found; MediaPipe needs it", f"apt install {package}")
        else:
            yield Finding(library, "ok", "found")


def processors() -> Iterator[Finding]:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    few = count < FEWEST_CPUS
    hint = f"expect a low frame rate below {FEWEST_CPUS} processors" if few else ""
    yield Finding("processors", "warning" if few else "ok", str(count), hint)


def gpu() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError):
        return  # the package's own line says so
    from biopose_live.mqhmr.network.device import find_gpu

    found = find_gpu()
    if found.usable:
        version_found = f"{found.name}, {found.memory_gb:.0f} GB, CUDA {torch.version.cuda}"
        yield Finding("GPU", "ok", f"{version_found}; --network can run on it")
    elif found.present:
        hint = f"{found.cure}; the CPU works too"
        yield Finding("GPU", "warning", f"an NVIDIA card that cannot be used: {found.reason}", hint)
    else:
        yield Finding("GPU", "ok", "none: --network would run on the CPU; nothing else needs one")


def tensorrt() -> Iterator[Finding]:
    from biopose_live.mqhmr.network import tensorrt_cache, tensorrt_encoder
    from biopose_live.mqhmr.network.device import find_gpu

    if not find_gpu().usable:
        return  # it is for GPUs
    if reason := tensorrt_encoder.installed():
        yield Finding("TensorRT", "ok", f"{reason}; --engine cuda-graph does without")
        return
    kept = tensorrt_cache.kept()
    engines = ", ".join(f"{key.gpu}, TensorRT {key.tensorrt}, {key.shape[0]} at a time" for _, key in kept)
    yield Finding("TensorRT", "ok", f"{len(kept)} engines in {tensorrt_cache.cache_folder()} {engines}".rstrip())


def shared_memory() -> Iterator[Finding]:
    path = Path("/dev/shm")
    if sys.platform != "linux":
        return
    if not path.is_dir():
        yield Finding("shared memory", "missing", f"{path} is not there", f"mount a tmpfs on {path}")
        return
    from biopose_live.pipeline.live import slots_that_fit

    free = shutil.disk_usage(path).free
    slots_that_fit(free)
    yield Finding("shared memory", "ok", f"{free / 1e6:.0f} MB free in {path}")


def codecs() -> Iterator[Finding]:
    import av

    for codec, use in CODECS.items():
        try:
            av.codec.Codec(codec, "r")
        except ValueError:  # av.codec.codec.UnknownCodecError
            found = f"this PyAV decodes none, so {use} may not open"
            needed = "missing" if codec == "h264" else "warning"
            yield Finding(f"{codec} decoder", needed, found, "install PyAV from its wheel: pip install av")  # type: ignore[arg-type]
        else:
            yield Finding(f"{codec} decoder", "ok", f"found ({use})")


def pose_models() -> Iterator[Finding]:
    from biopose_live.detection.pose_landmarker import model_path

    for name in get_args(DetectorModel):
        try:
            path = model_path(name)
        except UserError as error:
            yield Finding(
                f"pose model {name}", "missing" if name == Settings().detector else "warning", "no", str(error)
            )
        else:
            yield Finding(f"pose model {name}", "ok", f"{path.name}, {path.stat().st_size / 1e6:.1f} MB")


def body_file() -> Iterator[Finding]:
    from biopose_live.body.body_file import read_body_file
    from biopose_live.body.model import EMBEDDED_BODY

    body = read_body_file(EMBEDDED_BODY)
    yield Finding("body", "ok", f"{EMBEDDED_BODY.name}, {len(body.v_template)} vertices")


def skeleton_file() -> Iterator[Finding]:
    from biopose_live.skeleton.bsk24 import bsk24_path, load_bsk24

    model = load_bsk24()
    found = f"{bsk24_path().name}, {len(model.bodies)} bodies, {len(model.coordinates)} coordinates"
    yield Finding("skeleton", "ok", found)


def lifter_weights() -> Iterator[Finding]:
    from biopose_live.mqhmr.lifter import WEIGHTS, Lifter

    Lifter.load()
    yield Finding("lifter weights", "ok", f"{WEIGHTS.name}, {WEIGHTS.stat().st_size / 1e6:.1f} MB")


def image_weights() -> Iterator[Finding]:
    from biopose_live.mqhmr.encoder import LandmarkEncoder
    from biopose_live.mqhmr.lite.network import WEIGHTS, LiteNetwork

    network = LiteNetwork.load()
    LandmarkEncoder(network.architecture.encoder, landmarks=False)
    yield Finding("image network", "ok", f"{WEIGHTS.name}, {WEIGHTS.stat().st_size / 1e6:.1f} MB, on MediaPipe's maps")


def neurik_weights() -> Iterator[Finding]:
    from biopose_live.neurik.stream import WEIGHTS, StreamedNetwork

    StreamedNetwork.load()
    yield Finding("NeurIK weights", "ok", f"{WEIGHTS.name}, {WEIGHTS.stat().st_size / 1e6:.1f} MB")


def demo_video() -> Iterator[Finding]:
    from biopose_live.capture.demo import demo_clip

    path = demo_clip()
    yield Finding("demo clip", "ok", f"{path.name}, {path.stat().st_size / 1e6:.1f} MB")


def cameras() -> Iterator[Finding]:
    from biopose_live.capture.cameras import list_cameras

    found = list_cameras()
    for camera in found:
        modes = ", ".join(camera.modes) or "its modes are not told (busy, or not allowed?)"
        yield Finding(f"camera {camera.path}", "ok", f"{camera.name}: {modes}")
    if not found:
        yield Finding("cameras", "warning", "none", "connect one for --camera; --video, --url and --demo need none")


def publish_port() -> Iterator[Finding]:
    from biopose_live.sinks.publish import parse_address

    address = parse_address(str(Settings().publish))
    assert address is not None
    with socket.socket() as probe:
        # As ZeroMQ binds: a port whose last user has just left counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            hint = "choose another with --publish tcp://127.0.0.1:PORT, or --publish off"
            yield Finding(f"port {address.port}", "missing", f"cannot be bound ({error.strerror})", hint)
        else:
            yield Finding(f"port {address.port}", "ok", "free")


# Check's name, whether the demo needs it, the check.  The name is used when a check itself fails with a sentence.
CHECKS: tuple[tuple[str, bool, Callable[[], Iterator[Finding]]], ...] = (
    ("Python", True, python_version),
    ("packages", True, packages),
    ("graphics libraries", True, graphics_libraries),
    ("processors", False, processors),
    ("GPU", False, gpu),
    ("TensorRT", False, tensorrt),
    ("shared memory", True, shared_memory),
    ("codecs", True, codecs),
    ("pose models", True, pose_models),
    ("body", True, body_file),
    ("skeleton", True, skeleton_file),
    ("lifter weights", True, lifter_weights),
    ("image network", True, image_weights),
    ("NeurIK weights", True, neurik_weights),
    ("demo clip", True, demo_video),
    ("cameras", False, cameras),
    ("port", True, publish_port),
)


def own_network(path: Path) -> Iterator[Finding]:
    """What `--network` with this file would run, and by what."""
    from biopose_live.mqhmr.network import tensorrt_cache, tensorrt_encoder
    from biopose_live.mqhmr.network.device import find_gpu, place
    from biopose_live.mqhmr.network.engine_choice import TOLD, choose
    from biopose_live.mqhmr.network.network_file import check_live

    header = check_live(path)
    gpu = find_gpu()
    where = place("auto", gpu)
    reason, built = "", False
    if where.device == "cuda" and not (reason := tensorrt_encoder.installed()):
        key = tensorrt_encoder.key_for(tensorrt_cache.fingerprint(path), header, 1, gpu)
        built = tensorrt_cache.fits(key)
    way = choose("auto", where.device, reason, built).ways[0]
    yield Finding("own network", "ok", f"{path.name}: {header.described}; runs by {TOLD[way]}, on {where.told}")


def examine(network: Path | None = None) -> list[Finding]:
    """-> every finding, in the order of `CHECKS`; `network`: a file of --network, looked at last."""
    findings: list[Finding] = []
    checks = list(CHECKS)
    if network is not None:
        checks.append(("own network", False, lambda: own_network(network)))
    for name, needed, check in checks:
        try:
            findings += check()
        except UserError as error:
            findings.append(Finding(name, "missing" if needed else "warning", "not usable", str(error)))
        except ImportError as error:
            found = f"cannot be checked: {error}"
            findings.append(Finding(name, "missing" if needed else "warning", found, "see the packages above"))
    return findings


def report(findings: Sequence[Finding]) -> None:
    """Prints the findings as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles: dict[State, str] = {"ok": "green", "warning": "yellow", "missing": "bold red"}
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        text = finding.found + (f" → {finding.hint}" if finding.hint else "")
        table.add_row(Text(finding.state, style=styles[finding.state]), Text(finding.check), Text(text))
    console = Console(highlight=False)
    console.print(table)
    missing = [finding.check for finding in findings if finding.state == "missing"]
    verdict = f"The demo cannot run yet: {', '.join(missing)}." if missing else "Ready: biopose-live --demo"
    console.print(Text(f"\n{verdict}", style="bold"), soft_wrap=True)


def main(arguments: Sequence[str]) -> int:
    """-> exit code: 0 when the demo could run, else 1."""
    parser = argparse.ArgumentParser(prog="biopose-live doctor", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--network", type=Path, metavar="FILE", help="also look at your own image network")
    options = parser.parse_args(arguments)
    findings = examine(options.network)
    ready = all(finding.state != "missing" for finding in findings)
    if options.json:
        encoded = msgspec.json.encode({"ready": ready, "findings": findings})
        print(msgspec.json.format(encoded, indent=1).decode())
    else:
        report(findings)
    return EXIT_OK if ready else EXIT_FAILURE
