"""The labels of NeurIK's training: a person's bone scales, and the coordinates that fit that person's true markers.

What the paper takes from OpenSim (its equation 1) comes from the same two steps here: the skeleton is scaled to the
person's shape (`neurik.calibration`), then every frame is solved by Levenberg-Marquardt inverse kinematics.

Letters: T frames, M virtual markers, Q coordinates, B bodies, S shape coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biopose_live.neurik.calibration import Calibrator
from biopose_live.neurik.kinematic_track import KinematicTrack
from biopose_live.skeleton.model import SkeletonModel

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Labels:
    """q (T, Q) rad and m; scales (B, 3); worst marker fit of each frame's mean (T,) m."""

    q: Floats
    scales: Floats
    rms: Floats


def label(times: Floats, markers: Floats, betas: Floats, model: SkeletonModel, calibrator: Calibrator) -> Labels:
    """markers (T, M, 3) m in the world, without noise; betas (S,) of the person -> that motion's labels."""
    track = KinematicTrack(model, calibrator)
    q, rms = [], []
    scales = np.ones((len(model.bodies), 3))
    for t, frame in zip(times, markers, strict=True):
        solved = track.update(float(t), frame, betas, True)
        q.append(solved.q)
        rms.append(solved.rms)
        scales = solved.scales
    return Labels(np.array(q), scales, np.array(rms))
