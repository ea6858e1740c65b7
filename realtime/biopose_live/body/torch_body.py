"""The body as a torch module: a batch of shapes and poses to joints, markers and surface, differentiable.

Same equations as `model.BodyModel` (Loper et al. 2015), batched over people; kinematics take one product per depth of
the joint tree. Dimension letters: B people, J = 24 joints, V vertices, M markers, K shape coefficients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from biopose_live.body.model import BodyModel


class TorchBody(torch.nn.Module):
    """Built by `BodyModel.torch`. Buffers only, no parameters; a body's dtype and device move with `.to`."""

    joint_template: torch.Tensor
    joint_dirs: torch.Tensor
    marker_template: torch.Tensor
    marker_dirs: torch.Tensor
    marker_weights: torch.Tensor
    v_template: torch.Tensor
    shapedirs: torch.Tensor
    weights: torch.Tensor
    posedirs: torch.Tensor | None
    marker_posedirs: torch.Tensor | None
    parents: torch.Tensor
    rank: torch.Tensor

    def __init__(self, body: BodyModel, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        arrays = body.arrays

        def keep(name: str, value: np.ndarray | None) -> None:
            tensor = None if value is None else torch.as_tensor(np.ascontiguousarray(value), dtype=dtype)
            self.register_buffer(name, tensor, persistent=False)

        keep("joint_template", body.joint_template)
        keep("joint_dirs", body.joint_dirs)
        keep("marker_template", body.marker_template)
        keep("marker_dirs", body.marker_dirs)
        keep("marker_weights", body.marker_weights)
        keep("marker_posedirs", body.marker_pose_dirs)
        keep("v_template", arrays.v_template)
        keep("shapedirs", arrays.shapedirs)
        keep("weights", arrays.weights)
        keep("posedirs", arrays.posedirs)
        self.n_joints = len(body.parents)
        # In depth order a level's joints are contiguous, so levels concatenate; `rank` puts joints back in SMPL order.
        levels = [level.tolist() for level in body.levels]
        order = [0, *(j for level in levels for j in level)]
        position = {j: i for i, j in enumerate(order)}

        # Indices lie beside the numbers: a list would be copied to the GPU, and waited for, each time it is used.
        def keep_index(name: str, places: list[int]) -> None:
            self.register_buffer(name, torch.tensor(places), persistent=False)

        keep_index("rank", [position[j] for j in range(self.n_joints)])
        keep_index("parents", [max(int(p), 0) for p in body.parents])
        self.depth = len(levels)
        for i, level in enumerate(levels):
            keep_index(f"level_{i}", level)
            keep_index(f"above_{i}", [position[int(body.parents[j])] for j in level])

    def rest_joints(self, betas: torch.Tensor) -> torch.Tensor:
        """Rest joint centres [B, 24, 3] in metres for betas [B, K]."""
        return self.joint_template + torch.einsum("jck,bk->bjc", self.joint_dirs, betas)

    def kinematics(
        self, rotmats: torch.Tensor, rest: torch.Tensor, transl: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Global rotations [B, 24, 3, 3] and joint centres [B, 24, 3] from local rotations and rest joints (m)."""
        offsets = rest - rest.index_select(1, self.parents)
        rotations, joints = rotmats[:, :1], rest[:, :1] + transl[:, None]
        for i in range(self.depth):
            level, parents = self.get_buffer(f"level_{i}"), self.get_buffer(f"above_{i}")
            above = rotations.index_select(1, parents)
            moved = (above @ offsets.index_select(1, level)[..., None])[..., 0]
            placed = joints.index_select(1, parents) + moved
            rotations = torch.cat([rotations, above @ rotmats.index_select(1, level)], dim=1)
            joints = torch.cat([joints, placed], dim=1)
        return rotations.index_select(1, self.rank), joints.index_select(1, self.rank)

    def forward(
        self, rotmats: torch.Tensor, betas: torch.Tensor, transl: torch.Tensor, vertices: bool = False
    ) -> tuple[torch.Tensor, ...]:
        """Local rotations [B, 24, 3, 3], betas [B, K], transl [B, 3] (m) to joints [B, 24, 3] and markers [B, M, 3],
        and with `vertices` also the surface [B, V, 3], all in metres."""
        rest = self.rest_joints(betas)
        rotations, joints = self.kinematics(rotmats, rest, transl)
        shifts = joints - (rotations @ rest[..., None])[..., 0]
        feature = (rotmats[:, 1:] - torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)).flatten(1)
        points = self.marker_template + torch.einsum("mck,bk->bmc", self.marker_dirs, betas)
        if self.marker_posedirs is not None:
            points = points + torch.einsum("mcp,bp->bmc", self.marker_posedirs, feature)
        markers = _skin(self.marker_weights, rotations, shifts, points)
        if not vertices:
            return joints, markers
        points = self.v_template + torch.einsum("vck,bk->bvc", self.shapedirs, betas)
        if self.posedirs is not None:
            points = points + torch.einsum("vcp,bp->bvc", self.posedirs, feature)
        return joints, markers, _skin(self.weights, rotations, shifts, points)


def _skin(weights: torch.Tensor, rotations: torch.Tensor, shifts: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Linear blend skinning of points [B, P, 3] under joint transforms x -> R x + shift, weights [P, 24]."""
    blended = torch.einsum("pj,bji->bpi", weights, torch.cat([rotations.flatten(2), shifts], dim=2))
    return (blended[..., :9].unflatten(2, (3, 3)) @ points[..., None])[..., 0] + blended[..., 9:]
