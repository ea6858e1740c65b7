"""What NeurIK's numbers mean: coordinates inside their ranges, rotations of the joints that turn freely, bone scales.

A coordinate with limits is cut off at them, so that no answer leaves the range (paper section 3.3).  The
pelvis and the shoulders turn freely: three angles of a shoulder are singular in the T-pose and jump from one way of
writing a posture to the other, which no network should have to learn.  Their rotations come out in six numbers (Zhou
et al. 2019); the angles are read off them, of two ways of writing the same rotation the one that lies in the ranges and
nearer to the last frame's.

Frames: the pelvis' rotation is told in the person's frame (`observation`).  rad, m.

Letters: Q coordinates, D coordinates with a range of their own, L free joints, B bodies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biopose_live.skeleton.model import SkeletonModel

Floats = NDArray[np.floating]

FREE_JOINTS = ("ground_pelvis", "shoulder_r", "shoulder_l")
ROOT_UNIT_M = 0.1
SCALE_UNIT = 0.1  # of the logarithm of a bone scale
LOWEST_LOG_SIGMA, HIGHEST_LOG_SIGMA = -6.0, 1.5
TURN = 2.0 * np.pi


@dataclass(frozen=True, eq=False)
class FreeJoint:
    """coordinates (3,) the indices of its angles; axes (3, 3), columns: the orthogonal axes that they turn about, in
    order; limits (3, 2) rad, infinite where there are none."""

    coordinates: NDArray[np.int64]
    axes: NDArray[np.float64]
    limits: NDArray[np.float64]

    def rotation(self, q: Floats) -> NDArray[np.float64]:
        """angles (..., 3) -> (..., 3, 3)."""
        c, s = np.cos(self.sign * q), np.sin(self.sign * q)
        (cx, cy, cz), (sx, sy, sz) = np.moveaxis(c, -1, 0), np.moveaxis(s, -1, 0)
        rows = [
            cy * cz, -cy * sz, sy,
            sx * sy * cz + cx * sz, cx * cz - sx * sy * sz, -sx * cy,
            sx * sz - cx * sy * cz, cx * sy * sz + sx * cz, cx * cy,
        ]  # fmt: skip
        result: NDArray[np.float64] = self.axes @ np.stack(rows, -1).reshape(*q.shape[:-1], 3, 3) @ self.axes.T
        return result

    @property
    def sign(self) -> float:
        """-1 where the axes are left-handed: turns about them then run the other way."""
        return float(np.sign(np.linalg.det(self.axes)))

    def angles(self, rotation: Floats) -> NDArray[np.float64]:
        """(..., 3, 3) -> angles (..., 3) rad, the middle one within a quarter turn."""
        r = self.axes.T @ rotation @ self.axes
        middle = np.arctan2(r[..., 0, 2], np.hypot(r[..., 0, 0], r[..., 0, 1]))
        result: NDArray[np.float64] = self.sign * np.stack(
            [np.arctan2(-r[..., 1, 2], r[..., 2, 2]), middle, np.arctan2(-r[..., 0, 1], r[..., 0, 0])], -1
        )
        return result

    def angles_near(self, rotation: NDArray[np.float64], last: NDArray[np.float64]) -> NDArray[np.float64]:
        """rotation (3, 3), the last frame's angles (3,) -> the angles of this rotation nearest to them, within limits.

        Of the two ways of writing it the one that lies nearer, where straying beyond a limit weighs ten times and is
        then cut off: a joint a little beyond its limit must not flip to the other way.
        """
        one = self.angles(rotation)
        other = np.array([one[0] + np.pi, np.pi - one[1], one[2] + np.pi])
        low, high = self.limits[:, 0], self.limits[:, 1]
        best, best_cost = one, np.inf
        for way in (one, other):
            way = way + TURN * np.round((last - way) / TURN)
            # A whole turn may bring an angle into its range.
            way = way - TURN * np.ceil(np.maximum(way - high - 1e-9, 0.0) / TURN) * (way - TURN >= low)
            way = way + TURN * np.ceil(np.maximum(low - way - 1e-9, 0.0) / TURN) * (way + TURN <= high)
            outside = np.maximum(way - high, 0.0) + np.maximum(low - way, 0.0)
            cost = float(np.abs(way - last).sum() + 10.0 * outside.sum())
            if cost < best_cost:
                best, best_cost = way, cost
        result: NDArray[np.float64] = np.clip(best, low, high)
        return result


class OutputLayout:
    """Where each number of the network's answer belongs, for one skeleton."""

    def __init__(self, model: SkeletonModel) -> None:
        """Raises KeyError when the skeleton lacks one of the free joints."""
        joints = {joint.name: joint for joint in model.joints}
        self.free = []
        for name in FREE_JOINTS:
            axes = joints[name].axes[:3]
            coordinates = np.array([-1 if axis.coordinate is None else axis.coordinate for axis in axes])
            ranges = [
                model.coordinates[c].range if model.coordinates[c].clamped else (-np.inf, np.inf) for c in coordinates
            ]
            self.free.append(FreeJoint(coordinates, np.stack([a.direction for a in axes], 1), np.array(ranges)))
        root = model.joints[0]
        self.place = np.array([axis.coordinate for axis in root.axes[3:]], np.int64)
        taken = {int(c) for joint in self.free for c in joint.coordinates} | {int(c) for c in self.place}
        self.ranged = np.array([i for i in range(len(model.coordinates)) if i not in taken], np.int64)
        limits = np.array([model.coordinates[i].range for i in self.ranged])
        self.low, self.high = limits[:, 0], limits[:, 1]
        self.coordinates, self.bodies = len(model.coordinates), len(model.bodies)
        sizes = [len(self.ranged), 6 * len(self.free), 3, 3 * self.bodies, self.coordinates]
        ends = np.cumsum(sizes)
        starts = ends - sizes
        self.ranged_part, self.six_part, self.place_part, self.scale_part, self.sigma_part = (
            slice(int(a), int(b)) for a, b in zip(starts, ends, strict=True)
        )
        self.size = int(ends[-1])
