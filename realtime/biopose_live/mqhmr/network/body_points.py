"""The posed body's points as the network supervises and projects them, batched and differentiable.

Points are joint centres, virtual markers and MediaPipe's 33 landmarks (`body.keypoints`), all carried by bones; one
order of all of them, `POINTS`: markers, joints, landmarks.

Letters: B people, J = 24 joints, M markers, K = 33 landmarks, S shape coefficients, V vertices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from biopose_live.body.keypoints import body_keypoints
from biopose_live.body.model import BodyModel


@dataclass(frozen=True, eq=False)
class PosedPoints:
    """joints (B, J, 3), markers (B, M, 3), landmarks (B, K, 3), all m in the camera frame."""

    joints: Tensor
    markers: Tensor
    landmarks: Tensor

    @property
    def all(self) -> Tensor:
        """(B, M + J + K, 3): markers, joints, landmarks."""
        return torch.cat([self.markers, self.joints, self.landmarks], 1)


class BodyPoints(nn.Module):
    """Buffers only; nothing of it is saved with a network's weights."""

    template: Tensor
    dirs: Tensor
    weights: Tensor

    def __init__(self, body: BodyModel) -> None:
        """Raises ValueError for a body whose markers ride on the skin."""
        super().__init__()
        if body.marker_pose_dirs is not None:
            raise ValueError("The image network needs a body whose markers ride on bones.")
        landmarks = body_keypoints(body)
        self.body = body.torch()
        self.n_markers = len(body.marker_names)
        carrier = np.eye(len(body.parents))[landmarks.joint]

        def keep(name: str, *parts: np.ndarray) -> None:
            self.register_buffer(name, torch.tensor(np.concatenate(parts), dtype=torch.float32), persistent=False)

        keep("template", body.marker_template, landmarks.template)
        keep("dirs", body.marker_dirs, landmarks.dirs)
        keep("weights", body.marker_weights, carrier)

    def forward(self, rotations: Tensor, betas: Tensor, pelvis: Tensor) -> PosedPoints:
        """rotations (B, J, 3, 3) from the parent, the first in the camera frame; betas (B, S); pelvis (B, 3) m, where
        the pelvis joint is."""
        rest = self.body.rest_joints(betas)
        turned, joints = self.body.kinematics(rotations, rest, pelvis - rest[:, 0])
        shifts = joints - (turned @ rest[..., None])[..., 0]
        points = self.template + torch.einsum("pck,bk->bpc", self.dirs, betas)
        blended = torch.einsum("pj,bji->bpi", self.weights, torch.cat([turned.flatten(2), shifts], 2))
        posed = (blended[..., :9].unflatten(2, (3, 3)) @ points[..., None])[..., 0] + blended[..., 9:]
        return PosedPoints(joints, posed[:, : self.n_markers], posed[:, self.n_markers :])

    def surface(self, rotations: Tensor, betas: Tensor, pelvis: Tensor) -> Tensor:
        """-> the skin's vertices (B, V, 3) m; arguments as `forward`."""
        rest = self.body.rest_joints(betas)
        vertices: Tensor = self.body(rotations, betas, pelvis - rest[:, 0], vertices=True)[2]
        return vertices
