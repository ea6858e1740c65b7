"""How far predicted joints lie from true ones: MPJPE and PA-MPJPE, as the field's benchmarks define them.

MPJPE (Ionescu et al. 2014, Human3.6M, "protocol 1"): mean distance over joints after both sets were moved so that the
middle of the hips is the origin.  PA-MPJPE ("protocol 2"): the same after the best similarity transform, that is
rotation, translation and uniform scale (Procrustes analysis; Umeyama 1991), no reflection.

Dimension letters: F frames, J joints (12 limb joints unless said otherwise).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MM = 1e3
LIMB_JOINTS = tuple(
    f"{joint}_{side}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("l", "r")
)


@dataclass(frozen=True, slots=True)
class JointErrors:
    """Errors per frame, mm."""

    mpjpe: Floats  # (F,)
    pa_mpjpe: Floats  # (F,)

    def with_missing(self, count: int) -> JointErrors:
        """-> the same and `count` further frames that were not found, each as bad as the worst one that was."""
        if not count:
            return self
        worst = (np.full(count, values.max() if len(values) else np.inf) for values in (self.mpjpe, self.pa_mpjpe))
        return JointErrors(*(np.append(v, w) for v, w in zip((self.mpjpe, self.pa_mpjpe), worst, strict=True)))


def pooled(errors: Sequence[JointErrors]) -> JointErrors:
    """-> all frames of several clips as if they were one clip."""
    return JointErrors(np.concatenate([e.mpjpe for e in errors]), np.concatenate([e.pa_mpjpe for e in errors]))


def similarity_aligned(points: Floats, target: Floats) -> Floats:
    """-> `points` (..., J, 3) moved onto `target` (..., J, 3) by the least-squares similarity transform of each set.

    Umeyama 1991, eqs. 40-42: the rotation from the singular vectors of the covariance, its last axis turned over where
    the best orthogonal matrix would be a reflection.
    """
    centre = target.mean(-2, keepdims=True)
    moved = points - points.mean(-2, keepdims=True)
    covariance = np.swapaxes(moved, -1, -2) @ (target - centre)
    left, values, right = np.linalg.svd(covariance)
    proper = np.where(np.linalg.det(left @ right) < 0, -1.0, 1.0)
    left[..., :, -1] *= proper[..., None]
    values[..., -1] *= proper
    spread = (moved**2).sum((-2, -1))
    scale = np.divide(values.sum(-1), spread, out=np.zeros_like(spread), where=spread > 0)
    return scale[..., None, None] * (moved @ (left @ right)) + centre


def joint_errors(predicted: Floats, truth: Floats, names: Sequence[str] = LIMB_JOINTS) -> JointErrors:
    """-> errors of (F, J, 3) predicted against (F, J, 3) true joints, m, any frame that both share.

    `names` labels J; raises ValueError when `hip_l` or `hip_r` is not among them or the shapes differ.
    """
    if predicted.shape != truth.shape or predicted.shape[1:] != (len(names), 3):
        raise ValueError(f"joints are (F, {len(names)}, 3) each, not {predicted.shape} and {truth.shape}")
    hips = [list(names).index("hip_l"), list(names).index("hip_r")]
    p = predicted - predicted[:, hips].mean(1, keepdims=True)
    g = truth - truth[:, hips].mean(1, keepdims=True)
    return JointErrors(
        mpjpe=np.linalg.norm(p - g, axis=-1).mean(-1) * _MM,
        pa_mpjpe=np.linalg.norm(similarity_aligned(p, g) - g, axis=-1).mean(-1) * _MM,
    )
