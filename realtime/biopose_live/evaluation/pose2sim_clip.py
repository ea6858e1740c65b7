"""Scores recordings of Pose2Sim's single-person demo (four calibrated cameras) against triangulated truth.

The folder holds cam01.mp4 ... and truth.npz: `landmarks` [33] names, `points_camera_leave_one_out` [cameras, F, 33, 3]
(m, each camera's own frame, triangulated from the OTHER cameras, so the scored camera's 2D errors are not in it) and
`blazepose_world_<lite|full|heavy>` of the same shape, what MediaPipe alone says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.evaluation.joint_errors import LIMB_JOINTS, JointErrors, joint_errors
from biopose_live.evaluation.recorded_motion import read_motion

Floats = NDArray[np.float64]

_SIDES = {"l": "left", "r": "right"}
BLAZEPOSE_LIMBS = tuple(f"{_SIDES[name[-1]]}_{name[:-2]}" for name in LIMB_JOINTS)
_PEER = "blazepose_world_"


@dataclass(frozen=True)
class Pose2SimClip:
    """Truth of every camera; C cameras, F frames, 12 limb joints."""

    folder: Path
    videos: Sequence[Path]  # [C]
    truth: Floats  # (C, F, 12, 3) m
    peers: dict[str, Floats]  # name -> (C, F, 12, 3) m

    def score(self, recordings: Sequence[Path]) -> list[JointErrors]:
        """-> each camera's errors, from one recording per camera; raises UserError when a recording cannot be used."""
        return [self._score(camera, folder) for camera, folder in enumerate(recordings)]

    def limbs(self, camera: int, folder: Path, names: Sequence[str] = LIMB_JOINTS) -> Floats:
        """-> (F, 12, 3) m of a recording of a camera's video, NaN where nobody was found; raises UserError."""
        joints = read_motion(folder).joints(names)[: len(self.truth[camera])]
        missing = np.full((len(self.truth[camera]) - len(joints), *joints.shape[1:]), np.nan)
        return np.concatenate([joints, missing])

    def _score(self, camera: int, folder: Path) -> JointErrors:
        truth = self.truth[camera]
        joints = self.limbs(camera, folder)
        found = np.flatnonzero(~np.isnan(joints[:, 0, 0]))
        if not len(found):
            raise UserError(f"{folder} holds nobody in any frame: there is nothing to score.", EXIT_SOURCE)
        return joint_errors(joints[found], truth[found]).with_missing(len(truth) - len(found))

    def score_peer(self, name: str) -> list[JointErrors]:
        """-> each camera's errors of MediaPipe's own 3D."""
        return [joint_errors(p, g) for p, g in zip(self.peers[name], self.truth, strict=True)]


def read_pose2sim(folder: Path) -> Pose2SimClip:
    """-> the clip in `folder`; raises UserError when a file is missing or holds something else."""
    path = folder / "truth.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = [str(name) for name in arrays["landmarks"]]
            rows = [names.index(name) for name in BLAZEPOSE_LIMBS]
            truth = arrays["points_camera_leave_one_out"][:, :, rows].astype(np.float64)
            peers = {
                f"BlazePose {key.removeprefix(_PEER)}": arrays[key][:, :, rows].astype(np.float64)
                for key in arrays.files
                if key.startswith(_PEER)
            }
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UserError(
            f"{path} cannot be read as Pose2Sim truth ({error}): see bench/README.md.", EXIT_SOURCE
        ) from error
    videos = sorted(folder.glob("cam*.mp4"))
    if len(videos) != len(truth):
        raise UserError(
            f"{folder} holds {len(videos)} cam*.mp4, its truth.npz has {len(truth)} cameras: complete it.", EXIT_SOURCE
        )
    return Pose2SimClip(folder, videos, truth, peers)
