"""Which way is up in the camera frame: given by the user, or learnt from people who stand.

A camera that nobody has levelled is assumed to be level within 15 degrees.  Every frame the network says how far
gravity lies from there, with its one-sigma (people mostly stand on their feet, and the network has learnt how that
looks from any height).  Successive frames repeat each other's errors, so one second counts as little more than one
measurement.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from biopose_live.rotations import to_matrix

Floats = NDArray[np.float64]

LEVEL = np.array([0.0, -1.0, 0.0])
UNKNOWN_SIGMA = math.radians(15.0)
BEST_SIGMA = math.radians(2.5)  # people do lean: no amount of watching makes gravity exact
CORRELATION_S = 0.7
FORGET_S = 120.0  # a camera may be moved


def pitched(pitch: float) -> Floats:
    """-> up (3,) in the camera frame of a camera tilted downward by `pitch`, rad."""
    return np.array([0.0, -math.cos(pitch), -math.sin(pitch)])


def tilted(view: Floats, assumed_elevation: float, tilt: Floats) -> Floats:
    """What the network says: -> up (3,) in the camera frame.

    view (3, 3): camera to view, built from the assumed up; tilt (2,): roll and elevation of the true up against the
    assumed one, rad.
    """
    elevation = assumed_elevation + tilt[1]
    up = np.array([0.0, -math.cos(elevation), math.sin(elevation)])
    return view.T @ (to_matrix(np.array([0.0, 0.0, tilt[0]])) @ up)


class Gravity:
    """The running estimate. `up` (3,) unit vector against gravity in the camera frame, `sigma` rad."""

    def __init__(self, camera_pitch: float | None = None) -> None:
        """camera_pitch: downward tilt, rad, when the user knows it."""
        self._fixed = camera_pitch is not None
        self.up = LEVEL.copy() if camera_pitch is None else pitched(camera_pitch)
        self.sigma = UNKNOWN_SIGMA if camera_pitch is None else math.radians(2.0)
        self._prior_information = 1.0 / UNKNOWN_SIGMA**2
        self._information = self._prior_information
        self._weighted = self._prior_information * self.up
        self._last: float | None = None

    def update(self, t: float, up: Floats, sigma: float) -> None:
        """Adds one frame's measurement: up (3,) camera frame with one-sigma (rad) at time t (s)."""
        if self._fixed:
            return
        step = 0.0 if self._last is None else min(max(t - self._last, 0.0), 0.25)
        self._last = t
        weight = min(step / CORRELATION_S, 1.0) / max(sigma, BEST_SIGMA) ** 2
        keep = math.exp(-step / FORGET_S)
        self._information = keep * self._information + weight
        self._weighted = keep * self._weighted + weight * up
        self.up = self._weighted / np.linalg.norm(self._weighted)
        self.sigma = max(1.0 / math.sqrt(self._information), BEST_SIGMA)
