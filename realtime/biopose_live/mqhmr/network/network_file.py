"""What a file of the image network says of itself, read without PyTorch: a moment, before any process starts for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import msgspec
from safetensors import SafetensorError, safe_open

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.network.architecture import Architecture

DENSE_HEADS = "heads.dense.weight"


@dataclass(frozen=True)
class Header:
    """The network's sizes, and its tensors' shapes by name."""

    architecture: Architecture
    shapes: dict[str, tuple[int, ...]]

    @property
    def described(self) -> str:
        """In a few words, for people."""
        a = self.architecture
        weights = sum(math.prod(shape) for shape in self.shapes.values())
        encoder = f"ViT of {a.depth} layers at {a.width} x {a.height} px" if a.encoder == "vit" else "ready-made maps"
        return f"{encoder}, {a.queries} query tokens, {weights / 1e6:.3g} M weights"


def read_header(path: Path) -> Header:
    """Raises UserError, one sentence, where the file is missing, damaged or another's."""
    if not path.is_file():
        raise UserError(f"There is no network {path}; give the path of its .safetensors file.", EXIT_MODEL)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        if "architecture" not in metadata:
            raise UserError(
                f"{path} is no file of the image network: it does not say its sizes; give a file that biopose-train "
                "mqhmr wrote.",
                EXIT_MODEL,
            )
        architecture = msgspec.json.decode(metadata["architecture"], type=Architecture)
    except (SafetensorError, msgspec.DecodeError, OSError) as error:
        raise UserError(
            f"{path} is no file of the image network ({type(error).__name__}: {error}); train or fetch one.", EXIT_MODEL
        ) from error
    architecture.check()
    if max(architecture.depth * (architecture.encoder == "vit"), architecture.layers) > len(shapes):
        raise UserError(
            f"{path} does not hold the weights that it says ({len(shapes)} tensors for {architecture.layers} layers of "
            "the decoder); fetch it again.",
            EXIT_MODEL,
        )
    return Header(architecture, shapes)


def check_live(path: Path) -> Header:
    """-> the header of a network that a live run can use.  Raises UserError as `read_header`, and where the network
    reads ready-made maps or has no heads for dense markers."""
    header = read_header(path)
    if header.architecture.encoder != "vit":
        raise UserError(
            f"{path} reads ready-made feature maps, a live run gives it pictures; train one with a vit encoder.",
            EXIT_MODEL,
        )
    if DENSE_HEADS not in header.shapes:
        raise UserError(
            f"{path} has no heads for dense markers ({DENSE_HEADS}), which a live run needs; give a file that "
            "biopose-train mqhmr wrote.",
            EXIT_MODEL,
        )
    return header
