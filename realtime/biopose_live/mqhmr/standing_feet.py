"""Which feet stand: a foot whose heel and toe keep their place in the picture most likely lies flat on the floor.

Heel and toe keypoints say little about the pitch of a foot; that it stands says more.  It is a pull, not a rule:
somebody on tiptoe stands still, too, and the refinement weighs this robustly.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LANDMARKS = ((29, 31), (30, 32))  # heel and toe, left and right, in MediaPipe's order
FLAT_SIGMA = math.radians(6.0)
MOVING = 0.35  # the person's sizes (about 0.45 m) per second
SMOOTH_S = 0.1
FAINT = 0.3  # below this score a foot is a guess


class StandingFeet:
    """Follows the speed of both feet."""

    def __init__(self) -> None:
        self._t = -math.inf
        self._places = np.zeros((2, 2, 2))
        self._speed = np.full(2, np.inf)

    def precision(self, t: float, keypoints: Floats, scores: Floats, up_sigma: float) -> Floats:
        """keypoints (33, 2) px, scores (33,) at time t (s), `up_sigma` (rad) of gravity -> (2,) 1 / rad^2."""
        places = keypoints[np.array(LANDMARKS)]
        step = t - self._t
        if 0.0 < step < 0.5:
            size = max(float(np.sqrt(((keypoints[11:33] - keypoints[23:25].mean(0)) ** 2).sum(-1).mean())), 1.0)
            speed = np.linalg.norm(places - self._places, axis=-1).max(1) / size / step
            share = 1.0 - math.exp(-step / SMOOTH_S)
            known = np.isfinite(self._speed)
            self._speed = np.where(known, self._speed + share * (speed - np.where(known, self._speed, 0.0)), speed)
        else:
            self._speed = np.full(2, np.inf)
        self._t, self._places = t, places
        stands = np.clip(1.0 - self._speed / MOVING, 0.0, 1.0)
        seen = scores[np.array(LANDMARKS)].min(1) > FAINT
        result: Floats = np.where(seen, stands, 0.0) / (FLAT_SIGMA**2 + up_sigma**2)
        return result
