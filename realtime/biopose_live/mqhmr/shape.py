"""A person's shape, learnt over the first seconds and then held, so that bones keep their length.

Every refined frame holds some information on the shape (what is left of the cost's Hessian once the pose is free to
move: its Schur complement).  It is added up as a Kalman filter would, scaled down because successive frames repeat each
other's errors.  A known stature enters as one exact measurement.

Letters: S = 10 shape coefficients, which have a unit Gaussian prior by the body file's construction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SETTLE_S = 5.0  # seconds of good frames until the shape is held
CORRELATION_S = 0.5
STATURE_SIGMA_M = 0.004  # a given height is taken at its word: no frame knows the scale better


class ShapeEstimate:
    """betas (S,), their information (S, S), and whether they are `settled` (no longer changing)."""

    def __init__(
        self,
        size: int,
        stature: float,
        stature_gradient: Floats,
        height: float | None,
        known: Floats | None = None,
        settle_s: float = SETTLE_S,
    ) -> None:
        """stature (m) of the mean shape and its gradient (S,); height (m) when the user gave it; `known` betas (S,)
        from a calibration are held from the first frame on; `settle_s` of good frames settle any other shape."""
        self.betas: Floats = np.zeros(size)
        self.information: Floats = np.eye(size)
        self.settled = known is not None
        self.seconds = 0.0  # of good frames so far
        self._settle_s = settle_s
        self._last: float | None = None
        if known is not None:
            self.betas = np.array(known, np.float64)
            return
        if height is not None:
            self.information += np.outer(stature_gradient, stature_gradient) / STATURE_SIGMA_M**2
            target = stature_gradient * (height - stature) / STATURE_SIGMA_M**2
            self.betas = np.asarray(np.linalg.solve(self.information, target), np.float64)

    @property
    def progress(self) -> float:
        """How far it has settled: 0 at first, 1 once it is held."""
        return 1.0 if self.settled else min(self.seconds / self._settle_s, 1.0)

    def update(self, t: float, betas: Floats, information: Floats, pose_size: int, quality: float) -> None:
        """Adds one refined frame at time t (s).

        betas: that frame's solution (it holds all earlier information through the prior).  information: the frame's
        whole Hessian / 2, pose entries first; quality 0..1 how much of the body was seen well.
        """
        if self.settled:
            return
        step = 0.0 if self._last is None else min(max(t - self._last, 0.0), 0.1)
        self._last = t
        pose, cross = information[:pose_size, :pose_size], information[:pose_size, pose_size:]
        conditioned = pose + 1e-6 * np.eye(pose_size)
        own = information[pose_size:, pose_size:] - self.information
        seen = own - cross.T @ np.linalg.solve(conditioned, cross)
        values, vectors = np.linalg.eigh(0.5 * (seen + seen.T))
        share = quality * step / CORRELATION_S
        gained = share * (vectors * np.maximum(values, 0.0)) @ vectors.T
        # The frame's solution weighs its own data in full; only `share` of that is new.
        whole = self.information + (vectors * np.maximum(values, 0.0)) @ vectors.T
        pull = whole @ (betas - self.betas)
        self.information = self.information + gained
        self.betas = self.betas + np.linalg.solve(self.information, share * pull)
        self.seconds += quality * step
        self.settled = self.seconds >= self._settle_s
