"""MQ-HMR's losses (paper section 3.2, equation 1): L = L_smpl + L_3D + L_2D, and one for the dense markers.

Every term is a mean over what is labelled, so that datasets with few labels weigh as much as others where they have
them.  3D keypoints are compared after both sets were moved to their common supervised keypoints' mean: datasets put
their pelvis in other places than the body does.

Letters: B people, K = 44 keypoints, D dense points (markers, then joints).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biopose_live.mqhmr.network.heads import DenseMarkers
from biopose_live.mqhmr.network.model import Prediction
from biopose_live.torch_rotations import squared_chord
from biopose_live.training.mqhmr.batches import Batch
from biopose_live.training.mqhmr.keypoints44 import Keypoints44

FARTHEST = 2.0  # crop heights: no keypoint counts as farther off than this


@dataclass(frozen=True)
class Weights:
    """Of each term: rad^2, unit shape coefficients, metres, crop heights, natural logarithms."""

    root: float = 1.0
    pose: float = 1.0
    shape: float = 0.02
    points_3d: float = 5.0
    points_2d: float = 10.0
    markers: float = 0.1
    visible: float = 0.1


class Losses(nn.Module):
    """Holds which keypoints the body has."""

    def __init__(self, marker_names: Sequence[str], weights: Weights | None = None) -> None:
        super().__init__()
        self.keypoints = Keypoints44(marker_names)
        self.weights = weights or Weights()

    def forward(self, found: Prediction, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """-> the loss, and what to report: degrees, mm, shares of the crop's height."""
        w, terms = self.weights, self.terms(found, batch)
        total = sum(
            (getattr(w, name) * value for name, value in terms.items()), torch.zeros((), device=batch.betas.device)
        )
        with torch.no_grad():
            report = {
                "loss": total.item(),
                "root_degrees": terms["root"].sqrt().rad2deg().item(),
                "pose_degrees": terms["pose"].sqrt().rad2deg().item(),
                "points_3d_mm": 1e3 * terms["points_3d"].item(),
                "points_2d_percent": 1e2 * terms["points_2d"].item(),
                "markers_nll": terms["markers"].item(),
            }
        return total, report

    def terms(self, found: Prediction, batch: Batch) -> dict[str, Tensor]:
        """Each term before its weight, by the names of `Weights`: L_smpl is root, pose and shape."""
        turns = squared_chord(found.rotations, batch.rotations)
        keypoints = self.keypoints(found.points.all)
        markers, visible = dense_terms(found.dense, batch)
        return {
            "root": mean_of(turns[:, 0], batch.has_root),
            "pose": mean_of(turns[:, 1:].mean(1), batch.has_pose),
            "shape": mean_of((found.betas - batch.betas).square().mean(1), batch.has_betas),
            "points_3d": self._points_3d(keypoints, batch),
            "points_2d": self._points_2d(keypoints, batch),
            "markers": markers,
            "visible": visible,
        }

    def _points_3d(self, keypoints: Tensor, batch: Batch) -> Tensor:
        weight = batch.keypoints_3d[..., 3] * self.keypoints.supervised
        share = weight[..., None] / weight.sum(1).clamp(min=1e-6)[:, None, None]
        error = keypoints - batch.keypoints_3d[..., :3]
        error = error - (share * error).sum(1, keepdim=True)
        return mean_of(error.abs().sum(-1), weight)

    def _points_2d(self, keypoints: Tensor, batch: Batch) -> Tensor:
        weight = batch.keypoints_2d[..., 2] * self.keypoints.supervised
        places = batch.camera.into_crop(batch.camera.project(keypoints))
        error = batch.camera.in_heights(places - batch.keypoints_2d[..., :2])
        return mean_of(error.abs().sum(-1).clamp(max=FARTHEST), weight)


def dense_terms(dense: DenseMarkers, batch: Batch) -> tuple[Tensor, Tensor]:
    """The negative log-likelihood of the true places under the markers' normal distributions, less its constant
    log(2 pi); and the cross-entropy of being seen."""
    known, visible = batch.dense[..., 2], batch.dense[..., 3]
    offset = batch.camera.in_heights(dense.place - batch.dense[..., :2])
    offset = torch.where(known[..., None] > 0, offset, torch.zeros_like(offset))
    whitened = torch.linalg.solve_triangular(dense.cholesky, offset[..., None], upper=False)
    logs = dense.cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    likelihood = 0.5 * whitened.square().sum((-2, -1)) + logs
    told = (visible >= 0).to(known.dtype)
    entropy = F.binary_cross_entropy_with_logits(dense.visible, visible.clamp(0, 1), reduction="none")
    return mean_of(likelihood, known), mean_of(entropy, told)


def mean_of(values: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean; zero, with zero gradient, where nothing has weight."""
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)
