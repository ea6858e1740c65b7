"""`--kinematics neurik`: one person's joint angles from virtual markers, frame by frame, by the NeurIK network.

The network answers every frame with coordinates, their one-sigma and bone scales.  The scales are averaged while the
person's shape settles and then held, so that bones keep their length; a calibration made beforehand takes their place.
The skeleton is put where its markers lie nearest to the ones that were seen: the network's own answer to that was seen
decimetres off on short clips.

Letters: Q coordinates, B bodies, M virtual markers, O outputs.  World: OpenSim's axes (x forward, y up, z right), its x
pointing to the camera; m; rad.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.neurik.calibration import Calibrator
from biopose_live.neurik.kinematic_track import Solved
from biopose_live.neurik.observation import MOTION, Observation, Observer, about_y, motion
from biopose_live.neurik.outputs import (
    HIGHEST_LOG_SIGMA,
    LOWEST_LOG_SIGMA,
    SCALE_UNIT,
    OutputLayout,
)
from biopose_live.neurik.stream import Memory, StreamedNetwork
from biopose_live.neurik.trends import Trends, trend_features
from biopose_live.rotations import from_six
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import SkeletonModel

Floats = NDArray[np.float64]


class NeuralSolver:
    """What all people share: the network, and what its answers mean for a skeleton."""

    def __init__(self, model: SkeletonModel, marker_names: tuple[str, ...], network: StreamedNetwork) -> None:
        """Raises UserError where the network is one for other markers, another skeleton, or another way of seeing."""
        self.model, self.network = model, network
        self.layout = OutputLayout(model)
        a, turns = network.architecture, Observer.features + trend_features(Observer.features)
        found = (a.markers, a.turns, a.motion, a.outputs)
        wanted = (len(marker_names), turns, MOTION, self.layout.size)
        if found != wanted:
            raise UserError(
                "NeurIK's weights are of another version: markers, turns, motion and outputs are "
                f"{_listed(found)}, wanted {_listed(wanted)}; use the file that came with this version.",
                EXIT_MODEL,
            )
        self.observer = Observer(marker_names, network.standing)
        self.kinematics = Kinematics(model)
        self.turned = int(self.layout.free[0].coordinates[0])


def _listed(sizes: tuple[int, ...]) -> str:
    return ", ".join(str(size) for size in sizes)


class NeuralTrack:
    """What one person needs from frame to frame; the twin of `kinematic_track.KinematicTrack`."""

    def __init__(self, solver: NeuralSolver, calibrator: Calibrator) -> None:
        self._solver, self._calibrator = solver, calibrator
        self._memory = Memory(solver.network.architecture)
        self._trends = Trends()
        self._t = -math.inf
        self._seen: Observation | None = None
        self._solved: Solved | None = None
        self._scale_sum = np.zeros((solver.layout.bodies, 3))
        self._frames = 0
        self._held: Floats | None = None
        self._sockets: tuple[NDArray[np.int64], Floats] | None = None
        self._held_betas = np.zeros(0)  # those of the settled shape

    def update(self, t: float, markers: Floats, betas: Floats, settled: bool) -> Solved:
        """markers (M, 3) m in the world at `t` s; betas of the person's shape -> the frame's coordinates.

        A frame that is not later than the last one is answered with the last answer.
        """
        if self._solved is not None and t <= self._t:
            return self._solved
        solver, layout = self._solver, self._solver.layout
        seen = solver.observer(markers)
        step = 0.0 if self._seen is None else t - self._t
        before = seen if self._seen is None else self._seen
        moved = motion(seen.heading, seen.origin, before.heading, before.origin, np.asarray(step))
        turns = np.concatenate([seen.turns, self._trends.update(t, seen)])
        raw = solver.network.step(self._memory, seen.markers, turns, moved, t).astype(np.float64)
        self._seen, self._t = seen, t
        scales = self._scales(np.exp(SCALE_UNIT * raw[layout.scale_part]).reshape(-1, 3), betas, settled)
        q = np.zeros(layout.coordinates)
        q[layout.ranged] = np.clip(raw[layout.ranged_part], layout.low, layout.high)
        rotations = from_six(raw[layout.six_part].reshape(-1, 6))
        last = np.zeros(layout.coordinates) if self._solved is None else self._solved.q.copy()
        if self._solved is None:
            last[solver.turned] = seen.heading
        rotations[0] = about_y(seen.heading) @ rotations[0]
        for joint, rotation in zip(layout.free, rotations, strict=True):
            q[joint.coordinates] = joint.angles_near(rotation, last[joint.coordinates])
        sigma = np.exp(np.clip(raw[layout.sigma_part], LOWEST_LOG_SIGMA, HIGHEST_LOG_SIGMA))
        body_rotations, origins = solver.kinematics.forward(q, scales)
        bodies, places = self._marker_sockets(betas)
        carried = origins[bodies] + (body_rotations[bodies] @ (scales[bodies] * places)[..., None])[..., 0]
        shift = (markers - carried).mean(0)
        q[layout.place] = shift
        origins = origins + shift
        self._solved = Solved(q, sigma, body_rotations, origins, scales, math.nan)
        return self._solved

    def _marker_sockets(self, betas: Floats) -> tuple[NDArray[np.int64], Floats]:
        """-> the body (M,) that carries each marker and its place (M, 3) m there before scaling, of the mean person."""
        if self._sockets is None:
            mean = self._calibrator(np.zeros_like(betas))
            self._sockets = mean.marker_bodies, mean.marker_locations / mean.scales[mean.marker_bodies]
        return self._sockets

    def _scales(self, now: Floats, betas: Floats, settled: bool) -> Floats:
        """-> (B, 3) to use for this frame."""
        known = not self._frames if self._held is None else not np.array_equal(betas, self._held_betas)
        if settled and known:
            # Settled before anything was seen, or another shape than the one that settled: the person was calibrated.
            self._held, self._held_betas = self._calibrator(betas).scales, betas.copy()
        if self._held is not None:
            return self._held
        self._scale_sum += np.log(now)
        self._frames += 1
        mean: Floats = np.exp(self._scale_sum / self._frames)
        if settled:
            self._held, self._held_betas = mean, betas.copy()
        return mean
