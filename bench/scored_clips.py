"""The clips that accuracy is measured on: their videos, how a recording of them is scored, and the peers' rows.

MediaPipe's own 3D on the demo clip is made here, frame by frame in VIDEO mode; the other peers' results come with the
clips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from biopose_live.capture.file import open_video_file
from biopose_live.capture.upright import UprightRGB
from biopose_live.detection.pose_landmarker import PoseLandmarker
from biopose_live.evaluation.angle_errors import AngleErrors
from biopose_live.evaluation.demo_truth import DemoTruth, read_demo_truth
from biopose_live.evaluation.joint_errors import JointErrors, pooled
from biopose_live.evaluation.opencap_clip import COORDINATES, read_opencap
from biopose_live.evaluation.pose2sim_clip import BLAZEPOSE_LIMBS, read_pose2sim
from biopose_live.evaluation.segment_angles import SEGMENT_ANGLES
from biopose_live.sinks.session_meta import KEYPOINT_NAMES
from biopose_live.stages import EndOfStream

BETWEEN_SEGMENTS = "angles between segments"
OPENSIM_COORDINATES = "OpenSim coordinates"


class JointRow(msgspec.Struct):
    """Joint errors of one system on one clip, mm: means over all frames of all its videos."""

    clip: str
    system: str
    mpjpe_mm: float
    pa_mpjpe_mm: float
    pa_per_video: list[float]
    frames: int


class AngleRow(msgspec.Struct):
    """Angle errors of one system on one clip, degrees."""

    clip: str
    kind: str
    system: str
    raw_deg: dict[str, float]
    offset_free_deg: dict[str, float]
    raw_mean: float
    offset_free_mean: float
    at_best_lag_mean: float
    lag: int
    frames: int


Rows = tuple[list[JointRow], list[AngleRow]]


@dataclass(frozen=True)
class ScoredClip:
    """`score(system, recordings)` wants one recording per video, in the same order."""

    name: str
    videos: Sequence[Path]
    peers: Rows
    score: Callable[[str, Sequence[Path]], Rows]


def joint_row(clip: str, system: str, errors: Sequence[JointErrors]) -> JointRow:
    """-> one row for a clip of one or more videos."""
    every = pooled(errors)
    each = [float(e.pa_mpjpe.mean()) for e in errors]
    return JointRow(clip, system, float(every.mpjpe.mean()), float(every.pa_mpjpe.mean()), each, len(every.mpjpe))


def angle_row(clip: str, kind: str, system: str, names: Sequence[str], errors: AngleErrors) -> AngleRow:
    """-> one row; `names` label the errors' angles."""
    return AngleRow(
        clip=clip,
        kind=kind,
        system=system,
        raw_deg=dict(zip(names, errors.raw.tolist(), strict=True)),
        offset_free_deg=dict(zip(names, errors.offset_free.tolist(), strict=True)),
        raw_mean=float(errors.raw.mean()),
        offset_free_mean=float(errors.offset_free.mean()),
        at_best_lag_mean=float(errors.at_best_lag.mean()),
        lag=errors.lag,
        frames=errors.frames,
    )


def demo(detectors: Sequence[str]) -> ScoredClip:
    """-> the embedded demo clip; MediaPipe with each of `detectors` is its peer.  Raises UserError."""
    truth = read_demo_truth()

    def rows(system: str, errors: tuple[JointErrors, AngleErrors]) -> Rows:
        joints, angles = errors
        return [joint_row("demo", system, [joints])], [
            angle_row("demo", BETWEEN_SEGMENTS, system, SEGMENT_ANGLES, angles)
        ]

    peers = [rows(f"MediaPipe {model}", truth.score_joints(mediapipe_limbs(truth, model))) for model in detectors]
    return ScoredClip(
        "demo",
        [truth.video],
        ([row for joints, _ in peers for row in joints], [row for _, angles in peers for row in angles]),
        lambda system, recordings: rows(system, truth.score(recordings[0])),
    )


def mediapipe_limbs(truth: DemoTruth, model: str) -> NDArray[np.float64]:
    """-> (F, 12, 3) m, MediaPipe's world landmarks of the demo clip, NaN where it found nobody.  Raises UserError."""
    index = [KEYPOINT_NAMES.index(name) for name in BLAZEPOSE_LIMBS]
    limbs = np.full(truth.joints.shape, np.nan)
    source = open_video_file(truth.video, every_frame=True)
    convert = UprightRGB()
    try:
        with PoseLandmarker(model) as landmarker:
            for row in limbs:
                frame = source.read(1.0)
                assert frame is not None
                people = landmarker(convert.pixels(frame.picture), frame.t_capture)
                if people:
                    row[:] = people[0].world[index]
    except EndOfStream:
        pass
    finally:
        source.close()
    return limbs


def pose2sim(folder: Path) -> ScoredClip:
    """-> Pose2Sim's four cameras; BlazePose's results come with the truth.  Raises UserError."""
    clip = read_pose2sim(folder)
    peers = [joint_row("pose2sim", name, clip.score_peer(name)) for name in clip.peers]
    return ScoredClip(
        "pose2sim",
        clip.videos,
        (peers, []),
        lambda system, recordings: ([joint_row("pose2sim", system, clip.score(recordings))], []),
    )


def opencap(folder: Path) -> ScoredClip:
    """-> one of OpenCap Monocular's clips with the peers' results that lie beside it.  Raises UserError."""
    clip = read_opencap(folder)
    name = folder.resolve().name

    def row(system: str, errors: AngleErrors) -> AngleRow:
        return angle_row(name, OPENSIM_COORDINATES, system, COORDINATES, errors)

    return ScoredClip(
        name,
        [clip.video],
        ([], [row(peer, clip.score_peer(peer)) for peer in clip.peers]),
        lambda system, recordings: ([], [row(system, clip.score(recordings[0]))]),
    )
