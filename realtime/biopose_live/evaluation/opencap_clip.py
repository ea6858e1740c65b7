"""Scores recordings of OpenCap Monocular's sample clips against marker-based OpenSim inverse kinematics.

The folder holds video.mp4 (60 Hz), sample_mocap.json (truth, 100 Hz) and perhaps sample_mono.json and sample_wham.json:
what OpenCap Monocular and WHAM with inverse kinematics made of the same video.  Those files give each body's rotation
as X-Y-Z Euler angles; coordinates are read from the rotations between bodies in OpenSim's order Z-X-Y.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.evaluation.angle_errors import FRAME_RATE, AngleErrors, angle_errors
from biopose_live.evaluation.recorded_motion import read_motion

Floats = NDArray[np.float64]

COORDINATES = tuple(
    f"{name}_{side}" for name in ("hip_flexion", "hip_adduction", "knee_angle", "ankle_angle") for side in ("r", "l")
)
_PEERS = {"OpenCap Monocular": "sample_mono.json", "WHAM + IK": "sample_wham.json"}


@dataclass(frozen=True)
class Angles:
    """Angles over time; F frames."""

    time: Floats  # (F,) s
    degrees: Floats  # (F, len(COORDINATES))


@dataclass(frozen=True)
class OpenCapClip:
    """A video, its truth and what others made of it."""

    folder: Path
    truth: Angles
    peers: dict[str, Angles]

    @property
    def video(self) -> Path:
        return self.folder / "video.mp4"

    def score(self, recording: Path) -> AngleErrors:
        """-> errors of a recording of the video; raises UserError when it cannot be used."""
        q = np.degrees(read_motion(recording).coordinates(COORDINATES))
        return self._score(Angles(np.arange(len(q)) / FRAME_RATE, q))

    def score_peer(self, name: str) -> AngleErrors:
        """-> errors of one of `peers`."""
        return self._score(self.peers[name])

    def _score(self, angles: Angles) -> AngleErrors:
        return angle_errors(angles.time, angles.degrees, self.truth.time, self.truth.degrees)


def read_opencap(folder: Path) -> OpenCapClip:
    """-> the clip in `folder`; raises UserError when a file is missing or holds something else."""
    if not (folder / "video.mp4").is_file():
        raise UserError(f"{folder} holds no video.mp4: see bench/README.md.", EXIT_SOURCE)
    peers = {name: read_angles(folder / file) for name, file in _PEERS.items() if (folder / file).exists()}
    return OpenCapClip(folder, read_angles(folder / "sample_mocap.json"), peers)


def read_angles(path: Path) -> Angles:
    """-> coordinates of a body-rotation file of OpenCap's viewer; raises UserError when it is not one."""
    try:
        data = json.loads(path.read_text())
        time = np.asarray(data["time"], np.float64)
        rotation = {
            name: _from_euler(np.asarray(data["bodies"][name]["rotation"], np.float64))
            for name in ("pelvis", *(f"{b}_{s}" for b in ("femur", "tibia", "calcn") for s in "rl"))
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read as body rotations ({error}): see bench/README.md.", EXIT_SOURCE
        ) from error
    return Angles(time, np.stack([_coordinate(name, rotation) for name in COORDINATES], 1))


def read_places(path: Path, bodies: Sequence[str]) -> tuple[Floats, Floats]:
    """-> time (F,) s and the bodies' origins (F, len(bodies), 3) m in the laboratory's frame: a body's origin is the
    centre of the joint that it turns about.  Raises UserError when the file does not hold them."""
    try:
        data = json.loads(path.read_text())
        places = [np.asarray(data["bodies"][name]["translation"], np.float64) for name in bodies]
        return np.asarray(data["time"], np.float64), np.stack(places, 1)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read as body places ({error}): see bench/README.md.", EXIT_SOURCE) from error


def _from_euler(angles: Floats) -> Floats:
    """(F, 3) rad -> (F, 3, 3), rotation about x, then the turned y, then the turned z."""
    cosine, sine = np.cos(angles), np.sin(angles)
    out = np.tile(np.eye(3), (3, len(angles), 1, 1))
    for axis, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        out[axis, :, i, i] = out[axis, :, j, j] = cosine[:, axis]
        out[axis, :, j, i] = sine[:, axis]
        out[axis, :, i, j] = -sine[:, axis]
    return out[0] @ out[1] @ out[2]


def _coordinate(name: str, rotation: dict[str, Floats]) -> Floats:
    joint, side = name[:-2], name[-1]
    parent, child = {
        "hip_flexion": ("pelvis", f"femur_{side}"),
        "hip_adduction": ("pelvis", f"femur_{side}"),
        "knee_angle": (f"femur_{side}", f"tibia_{side}"),
        "ankle_angle": (f"tibia_{side}", f"calcn_{side}"),
    }[joint]
    between = np.swapaxes(rotation[parent], 1, 2) @ rotation[child]  # Rz(flexion) Rx(adduction) Ry(rotation)
    if joint == "hip_adduction":
        adduction = np.degrees(np.arcsin(np.clip(between[:, 2, 1], -1.0, 1.0)))
        return adduction if side == "r" else -adduction
    flexion = np.degrees(np.arctan2(-between[:, 0, 1], between[:, 1, 1]))
    return np.abs(flexion) if joint == "knee_angle" else flexion  # knee flexion is negative in these files
