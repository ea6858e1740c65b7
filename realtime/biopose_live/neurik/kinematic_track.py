"""`--kinematics ik`: one person's joint angles from virtual markers, frame by frame, by inverse kinematics.

The skeleton is calibrated to the person's body shape while that settles, then held.  Each frame is solved from the last
one's coordinates; a jump or a poor fit starts again from scratch.

Letters: Q coordinates, B bodies, M virtual markers.  World: OpenSim's axes (x forward, y up, z right); metres; radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biopose_live.neurik.calibration import Calibration, Calibrator
from biopose_live.skeleton.inverse_kinematics import IKResult, InverseKinematics
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import GROUND, SkeletonModel

Floats = NDArray[np.float64]

ITERATIONS = 4
POOR_FIT_M = 0.06
GOOD_FIT_M = 0.025
MARKER_SIGMA_M = 0.02
RECALIBRATE_BETA = 0.15  # the shape must have moved this far before the skeleton follows
RECALIBRATE_S = 0.4
# The shoulder first, then what moves with it.
ARM_COORDINATES = (
    "arm_flex", "arm_add", "arm_rot", "elbow_flex", "pro_sup", "wrist_flex", "wrist_dev",
    "scapula_abduction", "scapula_elevation", "scapula_upward_rot",
)  # fmt: skip
ARM_NEEDED = 4
ARM_STARTS = tuple(
    (math.radians(flexion), math.radians(adduction))
    for flexion, adduction in ((0, -20), (90, 0), (0, -90), (150, 0), (90, -60), (-40, -20))
)
ARM_ITERATIONS = 12
PINNED = math.radians(0.5)
FINE_FIT_M = 0.010
# Markers see these only together with a neighbour, or hardly at all; each is drawn to zero with its usual range of
# motion as one-sigma: a weight of (marker sigma / own sigma)^2 beside a marker's weight of one.
SHARED_SIGMA = {
    "lumbar": math.radians(20.0),
    "thorax": math.radians(20.0),
    "scapula": math.radians(12.0),
    "subtalar": math.radians(8.0),
    "mtp": math.radians(12.0),
}


# In other people's models, also every coordinate that nothing else holds: one that no marker moves (a neck without a
# head, a knee that may slide) stays where the anatomical position has it.
OTHER_SIGMA = math.radians(180.0)  # so weak that one which markers do see is not moved by it
OTHER_SIGMA_M = 0.005


def pulls(model: SkeletonModel, general: bool) -> Floats:
    """-> (Q,) weights, beside a marker's weight of one, of the pull towards the anatomical position."""
    pull = np.zeros(len(model.coordinates))
    for number, coordinate in enumerate(model.coordinates):
        for start, sigma in SHARED_SIGMA.items():
            if coordinate.name.startswith(start):
                pull[number] = (MARKER_SIGMA_M / sigma) ** 2
        if general and pull[number] == 0.0 and model.joints[coordinate.joint].parent != GROUND:
            pull[number] = (MARKER_SIGMA_M / (OTHER_SIGMA if coordinate.rotational else OTHER_SIGMA_M)) ** 2
    return pull


def arms(model: SkeletonModel) -> list[NDArray[np.int64]]:
    """-> for each arm that has them, the numbers of `ARM_COORDINATES`; those of the shoulder and elbow come first."""
    names = model.coordinate_names
    found = []
    for side in "rl":
        own = [f"{coordinate}_{side}" for coordinate in ARM_COORDINATES]
        if all(name in names for name in own[:ARM_NEEDED]):
            found.append(np.array([names.index(name) for name in own if name in names], np.int64))
    return found


@dataclass(slots=True)
class Solved:
    """q (Q,); one-sigma (Q,); rotations (B, 3, 3) and origins (B, 3) of the bodies in the world; rms (m) of the fit."""

    q: Floats
    sigma: Floats
    rotations: Floats
    origins: Floats
    scales: Floats
    rms: float


class KinematicTrack:
    """What one person needs from frame to frame."""

    def __init__(self, model: SkeletonModel, calibrator: Calibrator) -> None:
        self._model, self._calibrator, self._kinematics = model, calibrator, Kinematics(model)
        self._calibration: Calibration | None = None
        self._solver: InverseKinematics | None = None
        self._betas = np.zeros(0)
        self._t_calibrated = -math.inf
        self._settled = False
        self._q: Floats | None = None
        self._pull = pulls(model, calibrator.general)
        self._rest = calibrator.standing
        self._arms = arms(model)
        # Other people's models may stop a forearm where real ones go on turning: that is no wrong half of a shoulder.
        self._telling = 3 if calibrator.general else len(ARM_COORDINATES)

    def update(self, t: float, markers: Floats, betas: Floats, settled: bool) -> Solved:
        """markers (M, 3) m in the world; betas of the person's shape -> the frame's coordinates."""
        solver, calibration = self._calibrated(t, betas, settled)
        result = None
        if self._q is not None:
            result = solver.solve(markers, self._q, ITERATIONS, self._rest, self._pull)
        if result is None or not result.rms < POOR_FIT_M:
            fresh = solver.fit_from_any_pose(markers, self._rest, self._pull, tolerance=GOOD_FIT_M)
            if result is None or fresh.rms < result.rms:
                result = fresh
        result = self._unpinned(solver, markers, result)
        self._q = result.q
        sigma = solver.sigma(result.q, MARKER_SIGMA_M, prior_weight=self._pull)
        rotations, origins = self._kinematics.forward(result.q, calibration.scales)
        return Solved(result.q, sigma, rotations, origins, calibration.scales, result.rms)

    def _unpinned(self, solver: InverseKinematics, markers: Floats, result: IKResult) -> IKResult:
        """Frees an arm that ran into its limits on the wrong side of the shoulder.

        A shoulder's three angles describe each posture twice; tracked through its singular pose the wrong half can be
        followed until a limit stops it.  Such an arm is solved afresh from a few postures, and the best fit stays.
        """
        for arm in self._arms:
            low, high = solver.limits[arm, 0], solver.limits[arm, 1]
            pinned = (result.q[arm] < low + PINNED) | (result.q[arm] > high - PINNED)
            if not pinned[: self._telling].any() or result.rms < FINE_FIT_M:
                continue
            free = np.zeros(len(result.q), bool)
            free[arm] = True
            for flexion, adduction in ARM_STARTS:
                start = result.q.copy()
                start[arm] = 0.0
                start[arm[0]], start[arm[1]], start[arm[3]] = flexion, adduction, 0.5
                fresh = solver.solve(markers, start, ARM_ITERATIONS, self._rest, self._pull, free=free)
                if fresh.rms < result.rms - 1e-4:
                    result = fresh
        return result

    def _calibrated(self, t: float, betas: Floats, settled: bool) -> tuple[InverseKinematics, Calibration]:
        if self._solver is not None and self._calibration is not None:
            moved = np.linalg.norm(betas - self._betas)
            due = t - self._t_calibrated >= RECALIBRATE_S and moved > RECALIBRATE_BETA
            if not due and (settled == self._settled or moved == 0.0):
                return self._solver, self._calibration
        self._calibration = self._calibrator(betas)
        self._solver = InverseKinematics(
            self._model,
            self._calibration.marker_bodies,
            self._calibration.marker_locations,
            self._calibrator.marker_weights,
            self._calibration.scales,
        )
        self._betas, self._t_calibrated, self._settled = betas.copy(), t, settled
        return self._solver, self._calibration
