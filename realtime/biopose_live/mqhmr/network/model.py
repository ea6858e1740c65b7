"""MQ-HMR (paper section 3.2): picture or feature maps -> a posed body before the camera, and dense anatomical markers.

    encode     picture -> ViT -> pyramid, or ready-made maps -> pyramid
    start      query tokens, pose anchors
    decode     tokens over the pyramid -> heads -> body

They are separate so that the refinement (`token_refinement`) can decode again and again over one encoded picture.

Letters: B people, Q query tokens, C channels, J = 24 joints, S shape coefficients.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from biopose_kernels.op import Gradients
from biopose_live.body.model import BodyModel
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.network.architecture import Architecture
from biopose_live.mqhmr.network.body_points import BodyPoints, PosedPoints
from biopose_live.mqhmr.network.crop_camera import CropCamera
from biopose_live.mqhmr.network.decoder import Decoder, Memory, QueryStart, Start
from biopose_live.mqhmr.network.heads import DenseMarkers, Heads
from biopose_live.mqhmr.network.network_file import read_header
from biopose_live.mqhmr.network.pyramid import MapsPyramid, Pyramid, UpsampledPyramid
from biopose_live.mqhmr.network.vit import ViT


@dataclass(frozen=True, eq=False)
class Prediction:
    """rotations (B, J, 3, 3), each from its parent, the first in the camera frame; betas (B, S); pelvis (B, 3) m,
    camera frame; points of the body; dense markers in the crop."""

    rotations: Tensor
    betas: Tensor
    pelvis: Tensor
    points: PosedPoints
    dense: DenseMarkers


class MQHMR(nn.Module):
    """The whole network on one body."""

    def __init__(self, architecture: Architecture, body: BodyModel | None = None) -> None:
        """body: the embedded one unless given.  Raises UserError where the architecture does not fit itself or the
        body."""
        super().__init__()
        architecture.check()
        body = body or BodyModel.load()
        if (architecture.shape, architecture.markers) != (body.n_shape, len(body.marker_names)):
            raise UserError(
                f"The network is for bodies of {architecture.shape} shape coefficients and {architecture.markers} "
                f"markers, this one has {body.n_shape} and {len(body.marker_names)}; give another body or network.",
                EXIT_MODEL,
            )
        a = self.architecture = architecture
        self.vit: ViT | None = None
        self.pyramid: UpsampledPyramid | MapsPyramid
        if a.encoder == "vit":
            self.vit = ViT(a.height, a.width, a.embed, a.depth, a.vit_heads)
            self.pyramid = UpsampledPyramid(a.embed, a.width_model, a.scales)
        else:
            self.pyramid = MapsPyramid(a.map_channels, a.width_model)
        self.query_start, self.decoder, self.heads = QueryStart(a), Decoder(a), Heads(a)
        with torch.device("cpu"):  # it has its numbers, also where the weights' come later (`load_network`)
            self.body = BodyPoints(body)

    def encode(self, inputs: Tensor | Sequence[Tensor]) -> Pyramid:
        """inputs: pictures (B, 3, height, width) as `vit.normalised` makes them, or the maps (B, C_l, H_l, W_l).

        Raises ValueError where the inputs are not those of the encoder.
        """
        if isinstance(inputs, Tensor) == (self.vit is None):
            raise ValueError(
                f"The encoder {self.architecture.encoder!r} takes pictures (vit) or a list of maps (maps)."
            )
        pyramid: Pyramid = self.pyramid(inputs if self.vit is None else self.vit(inputs))
        return pyramid

    def start(self, camera: CropCamera, keypoints: Tensor | None = None) -> Start:
        """keypoints (B, 33, 3): places in the crop and scores, or None for the paper's zero tokens."""
        start: Start = self.query_start(camera.told, keypoints)
        return start

    def decode(self, start: Start, memory: Memory, camera: CropCamera, gradients: Gradients = "full") -> Prediction:
        """One run of the decoder, the heads and the body."""
        tokens, anchors = self.decoder(start, memory, gradients)
        raw = self.heads(tokens, anchors)
        with torch.autocast(tokens.device.type, enabled=False):
            root = camera.orientation(raw.rotations[:, 0])
            rotations = torch.cat([root[:, None], raw.rotations[:, 1:]], 1)
            pelvis = camera.position(raw.place, raw.log_size)
            points = self.body(rotations, raw.betas, pelvis)
        return Prediction(rotations, raw.betas, pelvis, points, raw.dense)

    def forward(
        self, inputs: Tensor | Sequence[Tensor], camera: CropCamera, keypoints: Tensor | None = None
    ) -> Prediction:
        """`encode`, `start` and `decode`."""
        return self.decode(self.start(camera, keypoints), Memory(self.encode(inputs)), camera)


def with_tokens(start: Start, tokens: Tensor) -> Start:
    """The same start with other tokens (B, Q, C)."""
    return replace(start, tokens=tokens)


def save_network(network: MQHMR, path: Path, settings: dict[str, str] | None = None) -> None:
    """Writes the weights (.safetensors) with the architecture; the file is complete when it appears under its name."""
    metadata = {
        "architecture": msgspec.json.encode(network.architecture).decode(),
        "settings": json.dumps(settings or {}),
    }
    partial = path.with_name(path.name + ".partial")
    save_file({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}, partial, metadata)
    partial.replace(path)


def load_network(path: Path, body: BodyModel | None = None) -> MQHMR:
    """A network that `save_network` wrote.  Raises UserError where the file is missing, damaged or another's."""
    header = read_header(path)
    # Without numbers at first: a paper-size network would be filled with random ones for a quarter of a minute.
    with torch.device("meta"):
        network = MQHMR(header.architecture, body)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    names = sorted({*expected, *header.shapes})
    wrong = next((name for name in names if expected.get(name) != header.shapes.get(name)), "")
    if wrong:
        found, wanted = (shapes.get(wrong, "missing") for shapes in (header.shapes, expected))
        raise UserError(
            f"{path} does not hold the weights that it says ({wrong} is {found}, not {wanted}); fetch it again.",
            EXIT_MODEL,
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}); fetch it again.", EXIT_MODEL) from error
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return network.eval()
