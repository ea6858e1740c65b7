"""Where MediaPipe's 33 landmarks lie on our body, and how far its detections stray from there.

The body's own table puts each landmark at an anatomical place (a joint centre, a knuckle, the tip of the nose).  A
detector learnt from people's annotations has habits of its own: `assets/landmarks/mediapipe.npz` holds, for every
landmark, the mean offset and the spread that were measured on rendered people of known pose
(`training.lifter.landmark_bias`).  No real video is involved.

Letters: K = 33 landmarks, J = 24 body joints, S shape coefficients.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.keypoints import body_keypoints
from biopose_live.body.model import BodyModel
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.lite.points import dense_points
from biopose_live.mqhmr.refinement import BodyPoints, place
from biopose_live.mqhmr.view import KEYPOINTS

Floats = NDArray[np.float64]

MEASURED = Path(__file__).parent.parent / "assets" / "landmarks" / "mediapipe.npz"
# The landmarks that pull at the pose: the lifter's and the thumbs; not the face's other eight.
FITTED = (*KEYPOINTS, 21, 22)
# What NumPy and its zip reader raise on damaged bytes.
_UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
FAINT = 0.05  # what is left of a landmark that MediaPipe gives no credit


def body_points(body: BodyModel, offsets: Floats | None = None) -> BodyPoints:
    """-> the body's joints and landmarks; offsets (K, 3) m move the landmarks in their joint's rest frame."""
    keypoints = body_keypoints(body)
    template = np.array(keypoints.template, np.float64)
    if offsets is not None:
        template = template + offsets
    return BodyPoints(
        np.array(body.parents, np.int64),
        np.ascontiguousarray(body.joint_template, np.float64),
        np.ascontiguousarray(body.joint_dirs, np.float64),
        np.array(keypoints.joint, np.int64),
        template,
        np.ascontiguousarray(keypoints.dirs, np.float64),
    )


def measured(path: Path = MEASURED) -> tuple[Floats, Floats]:
    """-> offsets (K, 3) m and spread (K,) in units of the person's size; raises UserError when the file is missing or
    damaged."""
    try:
        with np.load(path, allow_pickle=False) as data:
            offsets, spread = data["offsets"].astype(np.float64), data["spread"].astype(np.float64)
    except _UNREADABLE as error:
        found = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"The landmark table {path} cannot be read ({found}); reinstall biopose-live.", EXIT_MODEL
        ) from error
    if offsets.shape != (33, 3) or spread.shape != (33,):
        raise UserError(
            f"The landmark table {path} holds offsets {offsets.shape} and spread {spread.shape}, expected (33, 3) and "
            "(33,); reinstall biopose-live.",
            EXIT_MODEL,
        )
    if not (np.isfinite(offsets).all() and np.isfinite(spread).all() and (spread > 0).all()):
        raise UserError(
            f"The landmark table {path} holds numbers that are no lengths; reinstall biopose-live.", EXIT_MODEL
        )
    return offsets, spread


class Landmarks:
    """MediaPipe's landmarks on one body (`points`); its dense anatomical points (`dense`)."""

    def __init__(self, body: BodyModel, path: Path = MEASURED) -> None:
        """Raises UserError when the table is missing or damaged."""
        offsets, self.spread = measured(path)
        self.points = body_points(body, offsets)
        self.dense = dense_points(body)
        self._used = np.zeros(33)
        self._used[list(FITTED)] = 1.0

    def place(self, rotations: Floats, betas: Floats) -> Floats:
        """rotations (J, 3, 3) local, betas (S,) -> landmarks (K, 3) m of the body at translation zero."""
        return place(self.points, rotations, np.zeros(3), betas)[0]

    def precision(self, keypoints: Floats, scores: Floats) -> Floats:
        """keypoints (K, 2) px, scores (K,) -> 1 / sigma^2 (K,), 1 / px^2; 0 for landmarks that are not used."""
        limbs = keypoints[list(KEYPOINTS)]
        size = float(np.sqrt(((limbs - keypoints[[23, 24]].mean(0)) ** 2).sum(-1).mean()))
        sigma = np.maximum(self.spread * size, 0.5)
        return self._used * np.clip(scores, FAINT, 1.0) ** 2 / sigma**2
