"""Undoes a detector's exchange of left and right, and passes over pictures in which everything jumps.

Seen from behind or from the side, a keypoint detector now and then takes the back for the front for half a second:
every left landmark lands on the right limb, and the frames in between hold a mixture.  The person's predicted landmarks
tell: a body does not turn half around between two frames.  Both measures end by themselves, so that a wrong beginning
is not held on to: after `GIVE_IN_S` the detector is believed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# MediaPipe's 33 landmarks with left and right exchanged.
EXCHANGED = np.array([0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9] + [k + 1 if k % 2 else k - 1 for k in range(11, 33)])
LIMBS = slice(11, 33)
# How far from their prediction four in ten limb landmarks may lie, in units of the person's size (about 0.45 m): what
# the detector errs by, and what a fast motion changes its velocity by between two frames.
FAR = 0.12
FAR_PER_S = 6.0
FAR_AT_MOST = 0.5
SHARE = 0.6
GIVE_IN_S = 1.5
DISTRUST_S = 0.3


class SideSwaps:
    """Decides per frame; holds since when it has been overruling the detector."""

    def __init__(self) -> None:
        self._swapped_since = self._wild_since = math.inf
        self._last = -math.inf

    def correct(self, t: float, keypoints: Floats, scores: Floats, predicted: Floats) -> tuple[Floats, Floats] | None:
        """keypoints (33, 2) px, scores (33,), predicted (33, 2) px at time t (s) -> keypoints and scores to use, None
        for a frame to be passed over."""
        far = min(FAR + FAR_PER_S * max(t - self._last, 0.0), FAR_AT_MOST)
        self._last = t
        size = max(float(np.sqrt(((predicted[LIMBS] - predicted[23:25].mean(0)) ** 2).sum(-1).mean())), 1.0)
        exchanged = keypoints[EXCHANGED]
        own = float(np.quantile(np.linalg.norm(keypoints[LIMBS] - predicted[LIMBS], axis=-1), SHARE)) / size
        other = float(np.quantile(np.linalg.norm(exchanged[LIMBS] - predicted[LIMBS], axis=-1), SHARE)) / size
        if own > far and other < 0.5 * own:
            self._swapped_since = min(self._swapped_since, t)
            if t - self._swapped_since < GIVE_IN_S:
                keypoints, scores, own = exchanged, scores[EXCHANGED], other
        else:
            self._swapped_since = math.inf
        if own > far:
            self._wild_since = min(self._wild_since, t)
            if t - self._wild_since < DISTRUST_S:
                return None
        else:
            self._wild_since = math.inf
        return keypoints, scores
