"""Draws sequences of motion for NeurIK's training: motion capture, varied within what joints allow, and squats, lunges
and the like made by rule, all at any frame rate.

Body frame: x to the subject's left, y up, z forward, m; row 0 of the rotations turns the body in a world with y up.

Letters: T frames, J = 24 body joints (SMPL order).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
from biopose_live.training.motion.dataset import PoseSet

Floats = NDArray[np.float64]

JOINTS = 24
MIRROR = np.array([0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22])
PROCEDURAL = 0.2  # share of sequences whose legs and trunk are made by rule
OTHER_ARMS = 0.25  # share that gets the arms of another clip
SHORTEST = 30  # frames of a clip that is worth drawing from


@dataclass(frozen=True, eq=False)
class Sequence:
    """One person moving. times (T,) s; rotations (T, J, 3, 3) local, row 0 in the world; trans (T, 3) m of the root
    joint from its rest place; planted: `trans` says nothing, the feet stand."""

    times: Floats
    rotations: Floats
    trans: Floats
    planted: bool


class MotionBank:
    """The clips of a pose data set (`python -m biopose_live.training.motion`), of some subjects."""

    def __init__(self, poses: PoseSet, chosen: list[int], as_captured: bool = False) -> None:
        """chosen: indices of the clips to draw from; as_captured: people move as they did, for tests: nobody's arms or
        habits are changed, and nothing is made by rule.  Raises ValueError when no clip is long enough."""
        self._as_captured = as_captured
        self._fps = poses.fps
        self._clips: list[tuple[Floats, Floats]] = []
        for clip in chosen:
            frames = np.flatnonzero(poses.clip_index == clip)
            if len(frames) >= SHORTEST:
                rotations = to_matrix(poses.theta[frames].astype(np.float64))
                self._clips.append((rotations, poses.trans[frames].astype(np.float64)))
        if not self._clips:
            raise ValueError(f"none of the {len(chosen)} clips has {SHORTEST} frames")
        # Long clips of one activity must not drown the rare ones.
        weight = np.sqrt([len(rotations) for rotations, _ in self._clips])
        self._share = weight / weight.sum()

    def draw(self, times: Floats, rng: np.random.Generator) -> Sequence:
        """times (T,) s from 0 -> a sequence at those times."""
        rotations, trans = self._clip(times, rng)
        if self._as_captured:
            return Sequence(times, rotations, trans, planted=False)
        if rng.random() < OTHER_ARMS:
            rotations[:, ARMS] = self._clip(times, rng)[0][:, ARMS]
        planted = bool(rng.random() < PROCEDURAL)
        if planted:
            rotations = _by_rule(rotations, times, rng)
        return Sequence(times, _varied(rotations, rng), trans, planted)

    def _clip(self, times: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """A stretch of one clip, played at its own speed or another, forwards and back where it is too short."""
        rotations, trans = self._clips[rng.choice(len(self._clips), p=self._share)]
        speed = float(np.clip(np.exp(rng.normal(0.0, 0.2)), 0.6, 1.6)) * (0.0 if rng.random() < 0.04 else 1.0)
        last = len(rotations) - 1
        place = rng.uniform(0.0, last) + times * self._fps * speed * rng.choice([-1.0, 1.0], p=[0.15, 0.85])
        place = last - np.abs(place % (2 * last) - last)
        before = np.minimum(place.astype(int), last - 1)
        share = place - before
        turn = to_vector(np.swapaxes(rotations[before], -1, -2) @ rotations[before + 1])
        out = rotations[before] @ to_matrix(share[:, None, None] * turn)
        where = trans[before] + share[:, None] * (trans[before + 1] - trans[before])
        if rng.random() < 0.5:
            # A mirror in the sagittal plane turns rotation vectors' y and z round.
            flip = np.diag([-1.0, 1.0, 1.0])
            out, where = flip @ out[:, MIRROR] @ flip, where * np.array([-1.0, 1.0, 1.0])
        return out, where - where[0]


def _by_rule(rotations: Floats, times: Floats, rng: np.random.Generator) -> Floats:
    import torch

    root, legs, spine = procedural_legs(1, rng, -times)
    out = rotations.copy()
    # The clip's heading stays out of it: a person who squats does so on the spot.
    out[:, 0] = root[0].numpy()
    out[:, LEGS] = legs[0].numpy().astype(np.float64)
    vectors = torch.stack([spine[0] / 3, torch.zeros_like(spine[0]), torch.zeros_like(spine[0])], -1).double().numpy()
    out[:, SPINE] = to_matrix(vectors)[:, None]
    return out


def _varied(rotations: Floats, rng: np.random.Generator) -> Floats:
    """Another person's habits: a constant change of each joint, another share of the trunk's lean for the spine."""
    out = rotations.copy()
    back = np.radians(rng.normal(0.0, LUMBOPELVIC_DEG))
    whole, part = to_matrix(np.array([back, 0.0, 0.0])), to_matrix(np.array([back / 3, 0.0, 0.0]))
    out[:, 0] = out[:, 0] @ whole.T
    for joint in HIPS:
        out[:, joint] = whole @ out[:, joint]
    for joint in SPINE:
        out[:, joint] = part @ out[:, joint]
    strength = rng.choice([0.0, 0.6, 1.2], p=[0.3, 0.45, 0.25])
    sigma = np.radians([VARIATION_DEG.get(joint, (3.0, 3.0, 3.0)) for joint in range(JOINTS)])
    result: Floats = out @ to_matrix(strength * sigma * rng.normal(size=(JOINTS, 3)))
    return result


def clips_of(poses: PoseSet, held_out: frozenset[str]) -> tuple[list[int], list[int]]:
    """-> indices of the clips to train on and of those held out.

    held_out: names of subjects, or parts of clips' names for archives that do not name their subjects.
    """
    train: list[int] = []
    held: list[int] = []
    for clip, (name, subject) in enumerate(zip(poses.clip_names, poses.subject, strict=True)):
        away = subject in held_out or any(part in name for part in held_out)
        (held if away else train).append(clip)
    return train, held
