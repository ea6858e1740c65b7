"""One frame of several people as tensors in, tensors out: what an engine runs, records or leaves to others.

`Frame.encode` is the part that an engine may replace (TensorRT); `Frame.answer` is the rest: query tokens, decoder, the
refinement (paper section 3.4), and of its result what the live stage reads, in one block, so that one copy brings it
to the host.

Letters: B people, h and w the crop, K = 33 keypoints, Q query tokens, C channels, S tokens of the pyramid, J = 24
joints, P dense points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from biopose_live.body.joints import N_JOINTS
from biopose_live.mqhmr.network.crop_camera import CropCamera
from biopose_live.mqhmr.network.model import MQHMR
from biopose_live.mqhmr.network.pyramid import Pyramid, Shapes
from biopose_live.mqhmr.network.token_refinement import Refined, Refiner
from biopose_live.mqhmr.network.vit import DEVIATION, MEAN

CAMERA = 8  # numbers that a CropCamera has for each person


@dataclass(frozen=True, eq=False)
class Answer:
    """Of B people: rotations (B, J, 3, 3), row 0 into the camera frame; place (B, P, 2) in the crop and cholesky
    (B, P, 3), the entries xx, yx, yy of the covariance's lower factor, in crop heights; visible (B, P) 0..1."""

    rotations: NDArray[np.float32]
    place: NDArray[np.float32]
    cholesky: NDArray[np.float32]
    visible: NDArray[np.float32]


class Frame(nn.Module):
    """A network with the number of its refinement's steps."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: MQHMR, refiner: Refiner) -> None:
        """Raises ValueError where the network has no encoder of pictures."""
        super().__init__()
        if network.vit is None:
            raise ValueError("A live run needs a network that encodes pictures.")
        self.network, self.refiner = network, refiner
        # On the device beforehand: made anew for each frame they would be copied there, which waits.
        self.register_buffer("mean", torch.tensor(MEAN), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION), persistent=False)
        self.points = network.architecture.markers + N_JOINTS
        self.numbers = 9 * N_JOINTS + 6 * self.points  # of a person's packed answer

    @property
    def shapes(self) -> Shapes:
        """(height, width) of the pyramid's levels."""
        assert self.network.vit is not None
        height, width = self.network.vit.grid
        return tuple((scale * height, scale * width) for scale in self.network.architecture.scales)

    def normalised(self, pictures: Tensor) -> Tensor:
        """(B, h, w, 3) uint8 RGB -> (B, 3, h, w) as `encode_normalised` takes it."""
        assert self.network.vit is not None
        kind = self.network.vit.pos_embed.dtype
        centred = (pictures.float() / 255 - self.mean) / self.deviation
        return centred.permute(0, 3, 1, 2).contiguous().to(kind)

    def encode_normalised(self, pictures: Tensor) -> Tensor:
        """(B, 3, h, w) -> the pyramid's tokens (B, S, C)."""
        return self.network.encode(pictures).tokens

    def encode(self, pictures: Tensor) -> Tensor:
        """(B, h, w, 3) uint8 RGB -> the pyramid's tokens (B, S, C)."""
        with torch.no_grad():
            return self.encode_normalised(self.normalised(pictures))

    def answer(self, tokens: Tensor, keypoints: Tensor, camera: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, S, C); keypoints (B, K, 3) px of the frame and scores; camera (B, CAMERA) as `camera_rows` makes
        it; shift (B, Q, C) of the frame before, zeros for whoever is new -> the packed answer and the next shift."""
        crop = _camera_of(camera)
        with torch.no_grad():
            known = torch.cat([crop.into_crop(keypoints[..., :2]), keypoints[..., 2:].clamp(0, 1)], -1)
            start = self.network.start(crop, known)
        refined = self.refiner.refine(self.network, Pyramid(tokens, self.shapes), start, crop, known, shift)
        return _packed(refined), refined.shift

    def forward(self, pictures: Tensor, keypoints: Tensor, camera: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """`encode` and `answer`."""
        return self.answer(self.encode(pictures), keypoints, camera, shift)

    def unpack(self, packed: NDArray[np.float32]) -> Answer:
        """What `answer` packed, on the host."""
        p, turns = self.points, 9 * N_JOINTS
        rotations, place, cholesky, visible = np.split(packed, np.cumsum([turns, 2 * p, 3 * p]), 1)
        return Answer(
            rotations.reshape(-1, N_JOINTS, 3, 3), place.reshape(-1, p, 2), cholesky.reshape(-1, p, 3), visible
        )


def camera_rows(
    focal: float, centre: tuple[float, float], boxes: list[tuple[float, NDArray[np.floating], NDArray[np.floating]]]
) -> NDArray[np.float32]:
    """Of each box (roll, centre (2,), size (2,)) of one frame a row (CAMERA,): the entries of `CropCamera`."""
    rows = [[focal, *centre, roll, *middle, *size] for roll, middle, size in boxes]
    return np.array(rows, np.float32).reshape(-1, CAMERA)


def _camera_of(rows: Tensor) -> CropCamera:
    return CropCamera(rows[:, 0], rows[:, 1:3], rows[:, 3], rows[:, 4:6], rows[:, 6:8])


def _packed(refined: Refined) -> Tensor:
    found = refined.prediction
    lower = found.dense.cholesky
    factor = torch.stack([lower[..., 0, 0], lower[..., 1, 0], lower[..., 1, 1]], -1)
    parts = [found.rotations.flatten(1), found.dense.place.flatten(1), factor.flatten(1), found.dense.visible.sigmoid()]
    return torch.cat(parts, 1)
