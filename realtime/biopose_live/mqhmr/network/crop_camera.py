"""The camera of a crop: exact pinhole geometry between a person's crop and the full frame.

The crop is cut out of the frame after the frame was turned about its principal point by `roll`, which is what turning
the camera about its own axis does to a picture; so crop and frame are pictures of one pinhole camera and nothing is
approximated.  CLIFF (Li et al. 2022) tells the network where in the frame its crop lies; here the network's orientation
is moreover relative to the ray through the crop's centre, because that is how a person looks in a crop.

Frames (OpenCV axes: x right, y down, z forward; metres): camera; rolled, the camera after its roll; view, whose z axis
is the ray through the crop's centre.  Pixels count from the left upper edge of the picture: the first pixel's centre is
at 0.5.  Crop places are (x, y) in 0..1 from the crop's left upper to its right lower edge.

Letters: B people, P points.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from biopose_live.torch_rotations import about_z, z_onto

NEAREST_M = 0.05  # points nearer than this, or behind the camera, are projected as if they were so far


@dataclass(frozen=True, eq=False)
class CropCamera:
    """focal (B,) px, centre (B, 2) px of the full frame; roll (B,) rad by which the picture was turned, x towards y;
    box_centre (B, 2) px and box_size (B, 2) px (width, height) of the crop in the turned frame."""

    focal: Tensor
    centre: Tensor
    roll: Tensor
    box_centre: Tensor
    box_size: Tensor

    def to(self, device: torch.device | str) -> CropCamera:
        """-> the same on another device."""
        return CropCamera(*(getattr(self, field.name).to(device) for field in fields(self)))

    @property
    def told(self) -> Tensor:
        """(B, 3) what the network is told of the crop: its centre's ray and its height, in focal lengths (CLIFF)."""
        offset = (self.box_centre - self.centre) / self.focal[:, None]
        return torch.cat([offset, (self.box_size[:, 1] / self.focal)[:, None]], 1)

    def orientation(self, in_view: Tensor) -> Tensor:
        """(B, 3, 3) a rotation into the view -> the same into the camera frame."""
        ray = torch.cat([self.told[:, :2], torch.ones_like(self.focal)[:, None]], 1)
        return about_z(-self.roll) @ z_onto(ray) @ in_view

    def position(self, place: Tensor, log_size: Tensor) -> Tensor:
        """place (B, 2) in the crop, log_size (B,): the logarithm of a metre's length there in crop heights ->
        (B, 3) m, camera frame: the point that lies there, so far away that a metre looks so long."""
        depth = self.focal / (self.box_size[:, 1] * log_size.exp())
        turned = self.box_centre + (place - 0.5) * self.box_size
        rolled = torch.cat([(turned - self.centre) / self.focal[:, None], torch.ones_like(depth)[:, None]], 1)
        return (about_z(-self.roll) @ (rolled * depth[:, None])[..., None])[..., 0]

    def project(self, points: Tensor) -> Tensor:
        """(B, P, 3) m, camera frame -> (B, P, 2) px of the full frame."""
        scaled = points[..., :2] / points[..., 2:].clamp(min=NEAREST_M)
        return scaled * self.focal[:, None, None] + self.centre[:, None]

    def into_crop(self, pixels: Tensor) -> Tensor:
        """(B, P, 2) px of the full frame -> (B, P, 2) places in the crop."""
        turned = (pixels - self.centre[:, None]) @ about_z(self.roll)[:, :2, :2].transpose(1, 2)
        return (turned + (self.centre - self.box_centre)[:, None]) / self.box_size[:, None] + 0.5

    def out_of_crop(self, places: Tensor) -> Tensor:
        """(B, P, 2) places in the crop -> (B, P, 2) px of the full frame."""
        turned = (places - 0.5) * self.box_size[:, None] + (self.box_centre - self.centre)[:, None]
        return turned @ about_z(-self.roll)[:, :2, :2].transpose(1, 2) + self.centre[:, None]

    def in_heights(self, offsets: Tensor) -> Tensor:
        """(B, P, 2) differences of places -> the same in crop heights, in which both axes have one unit."""
        aspect = self.box_size[:, 0] / self.box_size[:, 1]
        return offsets * torch.stack([aspect, torch.ones_like(aspect)], 1)[:, None]


def upright_roll(up: Tensor) -> Tensor:
    """up (B, 3), against gravity in the camera frame -> (B,) the roll that makes gravity point down the picture."""
    return torch.atan2(-up[:, 0], -up[:, 1])
