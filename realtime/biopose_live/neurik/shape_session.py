"""One shape from a whole session of frames: precision-weighted, seconds that contradict the rest weighed less.

Each second's frames add information on the shape, which `ShapeEstimate` sums up.  Taken apart again into blocks, the
sum can be made anew: a block that lies far from what all say together (a wrong turn of the pose, somebody else in the
picture) counts in inverse proportion to its distance (Huber 1964), by iterated reweighting.  The differences between
the blocks tell the spread.

Letters: S shape coefficients, N blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.shape import ShapeEstimate

Floats = NDArray[np.float64]

BLOCK_S = 1.0
TYPICAL = 2.0  # times the median distance: from here on a block counts less
SWEEPS = 20
HEIGHT_STEPS = 5
LIMBS = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))


@dataclass(frozen=True, eq=False)
class Block:
    """What about a second of frames adds: information (S, S), and information times betas (S,)."""

    information: Floats
    vector: Floats


@dataclass(frozen=True, eq=False)
class Combined:
    """betas (S,), their information (S, S), the blocks' weights (N,) 0 to 1."""

    betas: Floats
    information: Floats
    weights: Floats


class ShapeSession:
    """Collects blocks: `add` after every frame; `combine` at the end."""

    def __init__(self, prior: ShapeEstimate) -> None:
        """`prior`: an estimate that has seen nothing; it holds what is known beforehand, such as the stature."""
        self._prior = Block(prior.information.copy(), prior.information @ prior.betas)
        self._tracks: dict[int, tuple[float, Block]] = {}
        self.blocks: list[Block] = []
        self.frames = 0
        self._seconds: dict[int, float] = {}

    @property
    def seconds(self) -> float:
        """Seconds of good frames so far."""
        return sum(self._seconds.values())

    def add(self, person_id: int, shape: ShapeEstimate) -> bool:
        """Takes what a frame of this track added to `shape`; -> whether that was anything."""
        gained = shape.seconds > self._seconds.get(person_id, 0.0)
        self._seconds[person_id] = shape.seconds
        self.frames += gained
        begun, before = self._tracks.setdefault(person_id, (0.0, self._prior))
        if shape.seconds - begun >= BLOCK_S:
            now = Block(shape.information.copy(), shape.information @ shape.betas)
            self.blocks.append(Block(now.information - before.information, now.vector - before.vector))
            self._tracks[person_id] = (shape.seconds, now)
        return gained

    def combine(self, without: int | None = None) -> Combined:
        """-> the shape of all blocks, or of all but one.  Raises ValueError when there is none."""
        blocks = [block for number, block in enumerate(self.blocks) if number != without]
        if not blocks:
            raise ValueError("no second of good frames was collected")
        weights = np.ones(len(blocks))
        for _ in range(SWEEPS):
            betas, information = self._solve(blocks, weights)
            distance = np.array([_distance(block, betas) for block in blocks])
            before, typical = weights, TYPICAL * float(np.median(distance))
            weights = np.where(distance > typical, typical / np.maximum(distance, 1e-12), 1.0)
            if np.abs(weights - before).max() < 1e-6:
                break
        return Combined(betas, information, weights)

    def _solve(self, blocks: list[Block], weights: Floats) -> tuple[Floats, Floats]:
        information, vector = self._prior.information.copy(), self._prior.vector.copy()
        for block, weight in zip(blocks, weights, strict=True):
            information += weight * block.information
            vector += weight * block.vector
        return np.asarray(np.linalg.solve(information, vector), np.float64), information

    def spread(self, body: BodyModel) -> float:
        """-> one-sigma (m) of the limb bones' lengths, root mean square over bones: the jackknife over blocks."""
        count = len(self.blocks)
        if count < 2:
            return float("nan")
        lengths = np.array([bone_lengths(body, self.combine(without=n).betas) for n in range(count)])
        variance = (count - 1) / count * np.sum((lengths - lengths.mean(axis=0)) ** 2, axis=0)
        return float(np.sqrt(variance.mean()))


def _distance(block: Block, betas: Floats) -> float:
    """How far a block's own answer is from `betas`, in its own sigmas, per direction that it tells anything about."""
    residual = block.vector - block.information @ betas
    values, vectors = np.linalg.eigh(block.information)
    told = values > 1e-6 * max(float(values[-1]), 1e-12)
    along = (vectors.T @ residual)[told] ** 2 / values[told]
    return float(np.sqrt(along.mean())) if told.any() else 0.0


def bone_lengths(body: BodyModel, betas: Floats) -> Floats:
    """-> (8,) m: thighs, shanks, upper arms, forearms of a shape."""
    joints = body.rest_joints(betas)
    ends = [
        [body.joint_names.index(f"{side}_{joint}") for joint in limb] for side in ("left", "right") for limb in LIMBS
    ]
    lengths: Floats = np.array([np.linalg.norm(joints[a] - joints[b]) for a, b in ends])
    return lengths


def with_stature(body: BodyModel, found: Combined, height: float) -> Floats:
    """-> the betas (S,) of exactly this stature (m) that contradict the session least."""
    betas = found.betas.copy()
    for _ in range(HEIGHT_STEPS):
        stature = body.stature(betas)
        gradient = np.array([(body.stature(betas + step) - stature) / 1e-4 for step in 1e-4 * np.eye(len(betas))])
        along = np.linalg.solve(found.information, gradient)
        betas = betas + along * (height - stature) / (gradient @ along)
    return betas
