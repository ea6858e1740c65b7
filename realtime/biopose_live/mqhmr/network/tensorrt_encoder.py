"""The encoder (ViT and pyramid) as a TensorRT engine by torch-tensorrt 2.13: how one is built, and how it is run.

The engine holds the encoder alone.  Deformable attention samples in the decoder, in its own kernel behind PyTorch's
operator, so that TensorRT's GridSample is not used at all: from 10.14 on it silently gives wrong results (issue 4074 of
pytorch/TensorRT).  The network is strongly typed, as TensorRT 11 wants it: what runs in which precision is what
`half.halve` made.  Shapes are fixed: an engine for each number of people.

Building takes minutes, so it is done before a run starts and in a process of its own (`python -m` this module), whose
memory is free again afterwards.  **Nothing here has been run: torch-tensorrt needs NVIDIA's libraries and a GPU, and
none was at hand;** names and arguments are those of its release 2.13.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor, nn

from biopose_live.body.model import BodyModel
from biopose_live.errors import EXIT_FAILURE, EXIT_OK, UserError
from biopose_live.mqhmr.network import tensorrt_cache
from biopose_live.mqhmr.network.device import Gpu, find_gpu, half_kind
from biopose_live.mqhmr.network.frame import Frame
from biopose_live.mqhmr.network.half import halve
from biopose_live.mqhmr.network.model import load_network
from biopose_live.mqhmr.network.network_file import Header, check_live
from biopose_live.mqhmr.network.tensorrt_cache import EngineError, Key
from biopose_live.mqhmr.network.token_refinement import Refiner

INSTALL = "pip install 'biopose-live[tensorrt]'"


class Encoder(nn.Module):
    """What is exported: normalised pictures (B, 3, h, w) -> tokens (B, S, C)."""

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.frame = frame

    def forward(self, pictures: Tensor) -> Tensor:
        return self.frame.encode_normalised(pictures)


def sizes(max_people: int) -> tuple[int, ...]:
    """The numbers of people for which there are engines: each has its own copy of the weights, so few."""
    return (1,) if max_people == 1 else (1, max_people)


def installed() -> str:
    """-> "" where torch-tensorrt can be used, else a clause that says why not."""
    try:
        version("torch-tensorrt")
        import_module("torch_tensorrt")
    except PackageNotFoundError:
        return f"torch-tensorrt is not installed ({INSTALL})"
    except (ImportError, OSError) as error:  # its libraries are missing, or were built for another PyTorch
        return f"torch-tensorrt does not load ({str(error).splitlines()[0]})"
    return ""


def key_for(network: str, header: Header, people: int, gpu: Gpu) -> Key:
    """network: its file's `tensorrt_cache.fingerprint`.  Raises EngineError where torch-tensorrt is not installed."""
    a = header.architecture
    try:
        trt, tensorrt = version("torch-tensorrt"), version("tensorrt")
    except PackageNotFoundError as error:
        raise EngineError(f"{error.name} is not installed ({INSTALL})") from error
    kind = str(half_kind(gpu)).removeprefix("torch.")
    shape = (people, 3, a.height, a.width)
    return Key(gpu.name, gpu.capability, str(torch.__version__), trt, tensorrt, network, shape, kind)


def build(frame: Frame, people: int) -> bytes:
    """-> the serialised engine of a frame's encoder, which is on the GPU and in half precision.  Raises EngineError."""
    dynamo = import_module("torch_tensorrt.dynamo")
    a = frame.network.architecture
    assert frame.network.vit is not None
    kind = frame.network.vit.pos_embed.dtype
    example = torch.zeros(people, 3, a.height, a.width, dtype=kind, device="cuda")
    try:
        with torch.no_grad():
            exported = torch.export.export(Encoder(frame).eval(), (example,))
        engine: bytes = dynamo.convert_exported_program_to_serialized_trt_engine(exported, arg_inputs=[example])
    except Exception as error:  # it raises whatever its converters raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EngineError(f"TensorRT cannot build it ({reason})") from error
    return engine


def load(engine: bytes) -> Callable[[Tensor], Tensor]:
    """-> what runs an engine that `build` made.  Raises EngineError."""
    try:
        runtime = import_module("torch_tensorrt.dynamo.runtime")
        # The names: the exported function's argument, and torch-tensorrt's for what it gives.
        module = runtime.TorchTensorRTModule(
            serialized_engine=engine, input_binding_names=["pictures"], output_binding_names=["output0"], name="encoder"
        )
    except (ImportError, OSError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EngineError(f"TensorRT does not take it ({reason})") from error

    def run(pictures: Tensor) -> Tensor:
        found = module(pictures)
        return found[0] if isinstance(found, (list, tuple)) else found

    return run


def build_missing(path: Path, body: Path | None, max_people: int, say: Callable[[str], None]) -> None:
    """Builds what the cache lacks for a network.  Raises UserError for a file that is none, EngineError where engines
    cannot be built here."""
    header = check_live(path)
    gpu = find_gpu()
    if not gpu.usable:
        raise EngineError(gpu.reason)
    if reason := installed():
        raise EngineError(reason)
    network = tensorrt_cache.fingerprint(path)
    frame: Frame | None = None
    for people in sizes(max_people):
        key = key_for(network, header, people, gpu)
        try:
            tensorrt_cache.read(key)
            continue
        except EngineError as error:
            say(f"Building the TensorRT engine for {people} at a time ({error}): some minutes, once.")
        if frame is None:
            loaded = load_network(path, BodyModel.load(body))
            halve(loaded, half_kind(gpu))
            frame = Frame(loaded, Refiner()).cuda()
        try:
            kept = tensorrt_cache.write(key, build(frame, people))
        except OSError as error:
            raise EngineError(f"it cannot be kept in {tensorrt_cache.cache_folder()} ({error.strerror})") from error
        say(f"Kept in {kept}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code; the last line on standard error is the clause that says why there is no engine."""
    parser = argparse.ArgumentParser(prog="tensorrt_encoder", description="Builds the engines of an image network.")
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--body", type=Path)
    parser.add_argument("--max-people", type=int, default=1)
    given = parser.parse_args(arguments)
    try:
        build_missing(given.network, given.body, given.max_people, lambda text: print(text, flush=True))
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except EngineError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILURE
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
