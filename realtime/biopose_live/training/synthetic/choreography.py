"""Motion for rendering: pieces of motion-capture clips joined into one, turned as wanted, feet on the floor.

Poses come from the retargeted pose set (`training/motion`): theta [N, 24, 3] axis-angle, trans [N, 3] m (the pelvis),
clip_index [N] and clip_names [C]. World frame: y up, floor at y = 0.

Dimension letters: T frames, N all frames of the set, C clips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d, minimum_filter1d
from scipy.spatial.transform import Rotation

from biopose_live.errors import EXIT_SOURCE, UserError


@dataclass(frozen=True)
class Motion:
    """theta [T, 24, 3] axis-angle rad, transl [T, 3] m, in the world."""

    theta: np.ndarray
    transl: np.ndarray

    def __len__(self) -> int:
        return len(self.theta)


@dataclass(frozen=True)
class PoseSet:
    """A retargeted pose set, as in its file."""

    theta: np.ndarray
    trans: np.ndarray
    clip_index: np.ndarray
    clip_names: tuple[str, ...]

    def clip(self, name: str, start: int = 0, stop: int | None = None) -> Motion:
        """Frames start..stop of the clip whose name ends with `name`. Raises UserError when there are none."""
        matching = [i for i, n in enumerate(self.clip_names) if n.endswith(name)]
        if len(matching) != 1:
            raise UserError(f"The pose set has {len(matching)} clips named {name}; give the complete set.", EXIT_SOURCE)
        frames = np.where(self.clip_index == matching[0])[0][start:stop]
        if len(frames) < 2:
            raise UserError(f"The clip {name} ends before frame {start + 2}; give the complete pose set.", EXIT_SOURCE)
        return Motion(self.theta[frames].astype(np.float64), self.trans[frames].astype(np.float64))


def read_pose_set(path: Path) -> PoseSet:
    """Read poses.npz. Raises UserError when the file is missing or lacks an array."""
    try:
        with np.load(path, allow_pickle=False) as data:
            names = tuple(str(n) for n in data["clip_names"])
            return PoseSet(data["theta"], data["trans"], data["clip_index"], names)
    except (OSError, KeyError, ValueError) as problem:
        raise UserError(
            f"The pose set {path} cannot be read ({problem}); build it with python -m biopose_live.training.motion.",
            EXIT_SOURCE,
        ) from problem


def heading(theta: np.ndarray) -> float:
    """Angle (rad) about the vertical that the pelvis faces; 0 faces +z. theta [24, 3]."""
    forward = Rotation.from_rotvec(theta[0]).as_matrix()[:, 2]
    return float(np.arctan2(forward[0], forward[2]))


def turned(motion: Motion, angle: float, pivot: np.ndarray, to: np.ndarray) -> Motion:
    """Turn a motion about the vertical by `angle` (rad) around the floor point under `pivot` [3], then carry that point
    to `to` [3] (heights stay)."""
    turn = Rotation.from_rotvec([0.0, angle, 0.0])
    theta = motion.theta.copy()
    theta[:, 0] = (turn * Rotation.from_rotvec(motion.theta[:, 0])).as_rotvec()
    level = np.array([1.0, 0.0, 1.0])
    transl = turn.apply(motion.transl - pivot * level) + to * level
    return Motion(theta, transl)


def facing(motion: Motion, angle: float, to: np.ndarray, frame: int = 0) -> Motion:
    """The motion turned and carried so that at `frame` the pelvis faces `angle` (rad) above the floor point `to`."""
    return turned(motion, angle - heading(motion.theta[frame]), motion.transl[frame], to)


def joined(pieces: list[Motion], overlap: int) -> Motion:
    """One motion: each piece starts where and as the one before ends, cross-faded over `overlap` frames."""
    whole = pieces[0]
    for piece in pieces[1:]:
        middle = overlap // 2
        anchor = len(whole) - overlap + middle
        piece = facing(piece, heading(whole.theta[anchor]), whole.transl[anchor], middle)
        share = np.linspace(0.0, 1.0, overlap + 2)[1:-1]
        share = share * share * (3.0 - 2.0 * share)
        before = Rotation.from_rotvec(whole.theta[-overlap:].reshape(-1, 3))
        after = Rotation.from_rotvec(piece.theta[:overlap].reshape(-1, 3))
        step = (before.inv() * after).as_rotvec() * np.repeat(share, 24)[:, None]
        theta = (before * Rotation.from_rotvec(step)).as_rotvec().reshape(overlap, 24, 3)
        w = share[:, None]
        transl = (1.0 - w) * whole.transl[-overlap:] + w * piece.transl[:overlap]
        whole = Motion(
            np.concatenate([whole.theta[:-overlap], theta, piece.theta[overlap:]]),
            np.concatenate([whole.transl[:-overlap], transl, piece.transl[overlap:]]),
        )
    return whole


def grounded(motion: Motion, lowest: Callable[[np.ndarray, np.ndarray], float], flight: int = 21) -> Motion:
    """Shift the motion vertically so that its lowest point touches the floor, jumps of up to `flight` frames kept.

    `lowest(theta, transl)` is the height (m) of the lowest point of the dressed body in a pose.
    """
    height = np.array([lowest(t, x) for t, x in zip(motion.theta, motion.transl, strict=True)])
    floor = gaussian_filter1d(minimum_filter1d(height, flight, mode="nearest"), 4.0, mode="nearest")
    # After smoothing the body may sink by millimetres; lift those frames exactly to the floor.
    floor = np.minimum(floor, height)
    transl = motion.transl.copy()
    transl[:, 1] -= floor
    return Motion(motion.theta, transl)
