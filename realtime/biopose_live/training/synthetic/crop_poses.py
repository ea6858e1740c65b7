"""Single random poses: motion capture varied within what joints allow, mirrored and mixed, and procedural squats.

The still-picture counterpart of `training.lifter.poses.draw`, with the same kinds and sizes of variation; NumPy alone
per pose. World frame: y up.

Dimension letters: J = 24 joints, N frames of the pose set.
"""

from __future__ import annotations

import numpy as np

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.rotations import to_matrix, to_vector
from biopose_live.training.lifter.poses import (
    ARMS,
    HIPS,
    LEGS,
    LUMBOPELVIC_DEG,
    SPINE,
    VARIATION_DEG,
    procedural_legs,
)
from biopose_live.training.synthetic.choreography import PoseSet

N_PROCEDURAL = 4096
MIRROR = np.array([0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22])
SIGMA = np.radians([VARIATION_DEG.get(j, (3, 3, 3)) for j in range(24)])
PROCEDURAL_SHARE, SWAP_SHARE = 0.25, 0.3


class CropPoses:
    """Draws poses from a pose set."""

    def __init__(self, poses: PoseSet) -> None:
        """Raises UserError when the pose set is empty."""
        if not len(poses.theta):
            raise UserError(
                "The pose set holds no frames; build it with python -m biopose_live.training.motion.", EXIT_MODEL
            )
        self.theta = poses.theta
        counts = np.bincount(poses.clip_index)
        # Long clips of one activity must not drown the rare ones: a clip weighs as the square root of its length.
        self._sum = np.cumsum(1.0 / np.sqrt(counts[poses.clip_index]))
        root, legs, spine = procedural_legs(N_PROCEDURAL, np.random.default_rng(7), np.zeros(1))
        self._root = root[:, 0].numpy().astype(np.float64)
        self._legs = legs[:, 0].numpy().astype(np.float64)
        self._spine = spine[:, 0].numpy().astype(np.float64)

    def _frame(self, rng: np.random.Generator) -> np.ndarray:
        at = min(int(np.searchsorted(self._sum, rng.random() * self._sum[-1])), len(self.theta) - 1)
        theta = self.theta[at].astype(np.float64)
        if rng.random() < 0.5:
            theta = theta[MIRROR] * np.array([1.0, -1.0, -1.0])
        return to_matrix(theta)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """[24, 3] axis-angle, rad; the root in a world with y up, facing anywhere: half of the time about +z."""
        pose = self._frame(rng)
        if rng.random() < SWAP_SHARE:
            pose[ARMS] = self._frame(rng)[ARMS]
        if rng.random() < PROCEDURAL_SHARE:
            i = int(rng.integers(N_PROCEDURAL))
            pose[0], pose[LEGS] = self._root[i], self._legs[i]
            pose[SPINE] = to_matrix(np.array([self._spine[i] / 3.0, 0.0, 0.0]))
        back = rng.normal(0.0, np.radians(LUMBOPELVIC_DEG))
        whole, part = to_matrix(np.array([back, 0.0, 0.0])), to_matrix(np.array([back / 3.0, 0.0, 0.0]))
        pose[0] = pose[0] @ whole.T
        pose[list(HIPS)] = whole @ pose[list(HIPS)]
        pose[SPINE] = part @ pose[SPINE]
        strength = rng.choice([0.0, 1.0, 2.0], p=[0.2, 0.6, 0.2])
        pose = pose @ to_matrix(rng.normal(size=(24, 3)) * SIGMA * strength)
        wanted = rng.uniform(-np.pi, np.pi) if rng.random() < 0.5 else rng.normal(0.0, np.radians(35.0))
        forward = pose[0][:, 2]
        turn = wanted - np.arctan2(forward[0], forward[2])
        pose[0] = to_matrix(np.array([0.0, turn, 0.0])) @ pose[0]
        return to_vector(pose)
