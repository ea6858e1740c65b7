"""The clips that accuracy is measured on: their videos, how a recording of them is scored, and the peers' rows.

MediaPipe's own 3D is made here, frame by frame in VIDEO mode, for the demo clip's errors and for how steady it is on
all clips; the other peers' results come with the clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from biopose_live.capture.file import open_video_file
from biopose_live.capture.upright import UprightRGB
from biopose_live.detection.pose_landmarker import PoseLandmarker, RawPerson
from biopose_live.evaluation.angle_errors import FRAME_RATE, AngleErrors
from biopose_live.evaluation.demo_truth import JOINT_CENTRES, read_demo_truth
from biopose_live.evaluation.joint_errors import LIMB_JOINTS, JointErrors, pooled
from biopose_live.evaluation.opencap_clip import COORDINATES, read_opencap
from biopose_live.evaluation.pose2sim_clip import BLAZEPOSE_LIMBS, read_pose2sim
from biopose_live.evaluation.recorded_motion import read_motion
from biopose_live.evaluation.segment_angles import SEGMENT_ANGLES
from biopose_live.evaluation.smoothness import acceleration_errors, accelerations, bone_variation
from biopose_live.mqhmr.shape import SETTLE_S
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


class MotionRow(msgspec.Struct):
    """How steady one system is on one clip: acceleration errors over all joints and frames of its videos, m/s^2 (None
    without true positions; of the truth itself, its own acceleration); bone-length variation of limb points and of the
    skeleton's joint centres, and of these once the shape is held, %, means over the videos (None where there is no
    such thing)."""

    clip: str
    system: str
    acceleration_mean: float | None
    acceleration_median: float | None
    bones_percent: float
    skeleton_bones_percent: float | None
    settled_bones_percent: float | None
    frames: int


class Rows(NamedTuple):
    """Of one system on one clip, or of several."""

    joints: list[JointRow]
    angles: list[AngleRow]
    motion: list[MotionRow]


class Steps(NamedTuple):
    """One video: limb points, the truth's and the skeleton's joint centres (F, 12, 3) m, as far as there are such;
    NaN in frames where nobody was found."""

    points: NDArray[np.float64]
    truth: NDArray[np.float64] | None = None
    centres: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class ScoredClip:
    """`score(system, recordings)` wants one recording per video, in the same order; `peers()` may take its time."""

    name: str
    videos: Sequence[Path]
    peers: Callable[[], Rows]
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


def motion_row(clip: str, system: str, videos: Sequence[Steps], rate: float) -> MotionRow:
    """-> one row for a clip of one or more videos of `rate` Hz."""
    errors = [acceleration_errors(v.points, v.truth, rate) for v in videos if v.truth is not None]
    every = np.concatenate(errors) if errors else np.zeros(0)
    settled = round(SETTLE_S * rate)
    centres = [v.centres for v in videos if v.centres is not None]
    late = [c[settled:] for c in centres if len(c) >= settled + rate]
    return MotionRow(
        clip,
        system,
        float(every.mean()) if len(every) else None,
        float(np.median(every)) if len(every) else None,
        float(np.mean([bone_variation(v.points) for v in videos])),
        float(np.mean([bone_variation(c) for c in centres])) if centres else None,
        float(np.mean([bone_variation(c) for c in late])) if late else None,
        sum(int((~np.isnan(v.points[:, 0, 0])).sum()) for v in videos),
    )


def truth_row(clip: str, truths: Sequence[NDArray[np.float64]], rate: float) -> MotionRow:
    """-> the truth's own acceleration, which an error can be held against, and its own bones."""
    row = motion_row(clip, "truth itself", [Steps(truth) for truth in truths], rate)
    own = np.concatenate([np.linalg.norm(accelerations(truth, rate), axis=-1).reshape(-1) for truth in truths])
    row.acceleration_mean, row.acceleration_median = float(own.mean()), float(np.median(own))
    return row


def demo(detectors: Sequence[str]) -> ScoredClip:
    """-> the embedded demo clip; MediaPipe with each of `detectors` is its peer.  Raises UserError."""
    truth = read_demo_truth()

    def rows(system: str, errors: tuple[JointErrors, AngleErrors], motion: Steps) -> Rows:
        joints, angles = errors
        return Rows(
            [joint_row("demo", system, [joints])],
            [angle_row("demo", BETWEEN_SEGMENTS, system, SEGMENT_ANGLES, angles)],
            [motion_row("demo", system, [motion], truth.fps)],
        )

    def peers() -> Rows:
        limbs = {f"MediaPipe {model}": mediapipe_limbs(truth.video, model) for model in detectors}
        found = [rows(name, truth.score_joints(x), Steps(x, truth.joints)) for name, x in limbs.items()]
        return together([*found, Rows([], [], [truth_row("demo", [truth.joints], truth.fps)])])

    def score(system: str, recordings: Sequence[Path]) -> Rows:
        motion = read_motion(recordings[0])
        centres = as_long(motion.joints(JOINT_CENTRES), len(truth.joints))
        return rows(system, truth.score(recordings[0]), Steps(centres, truth.joints, centres))

    return ScoredClip("demo", [truth.video], peers, score)


def mediapipe_limbs(video: Path, model: str) -> NDArray[np.float64]:
    """-> (F, 12, 3) m, MediaPipe's world landmarks in VIDEO mode, NaN where it found nobody.  Raises UserError."""
    index = [KEYPOINT_NAMES.index(name) for name in BLAZEPOSE_LIMBS]
    nobody = np.full((len(index), 3), np.nan)
    found = [nobody if person is None else person.world[index] for person in mediapipe_people(video, model)]
    return np.array(found, np.float64)


def mediapipe_people(video: Path, model: str) -> Iterator[RawPerson | None]:
    """MediaPipe in VIDEO mode, frame by frame: the first person, None where it found nobody.  Raises UserError."""
    source = open_video_file(video, every_frame=True)
    convert = UprightRGB()
    try:
        with PoseLandmarker(model) as landmarker:
            while True:
                frame = source.read(1.0)
                assert frame is not None
                people = landmarker(convert.pixels(frame.picture), frame.t_capture)
                yield people[0] if people else None
    except EndOfStream:
        return
    finally:
        source.close()


def as_long(joints: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """-> (frames, 12, 3): cut, or filled up with NaN, as a run that was stopped early needs it."""
    missing = np.full((max(frames - len(joints), 0), *joints.shape[1:]), np.nan)
    return np.concatenate([joints[:frames], missing])


def together(several: Sequence[Rows]) -> Rows:
    """-> all rows of several systems."""
    return Rows(*([row for rows in several for row in rows[kind]] for kind in range(3)))


def pose2sim(folder: Path, detectors: Sequence[str]) -> ScoredClip:
    """-> Pose2Sim's four cameras; BlazePose's results come with the truth.  Raises UserError."""
    clip = read_pose2sim(folder)

    def peers() -> Rows:
        motion = [
            motion_row(
                "pose2sim",
                f"MediaPipe {model}",
                [
                    Steps(as_long(mediapipe_limbs(video, model), len(truth)), truth)
                    for video, truth in zip(clip.videos, clip.truth, strict=True)
                ],
                FRAME_RATE,
            )
            for model in detectors
        ]
        joints = [joint_row("pose2sim", name, clip.score_peer(name)) for name in clip.peers]
        return Rows(joints, [], [*motion, truth_row("pose2sim", list(clip.truth), FRAME_RATE)])

    def score(system: str, recordings: Sequence[Path]) -> Rows:
        steps = [
            Steps(*(clip.limbs(i, folder, LIMB_JOINTS), clip.truth[i], clip.limbs(i, folder, JOINT_CENTRES)))
            for i, folder in enumerate(recordings)
        ]
        motion = motion_row("pose2sim", system, steps, FRAME_RATE)
        return Rows([joint_row("pose2sim", system, clip.score(recordings))], [], [motion])

    return ScoredClip("pose2sim", clip.videos, peers, score)


def opencap(folder: Path, detectors: Sequence[str]) -> ScoredClip:
    """-> one of OpenCap Monocular's clips with the peers' results that lie beside it.  Raises UserError."""
    clip = read_opencap(folder)
    name = folder.resolve().name

    def row(system: str, errors: AngleErrors) -> AngleRow:
        return angle_row(name, OPENSIM_COORDINATES, system, COORDINATES, errors)

    def peers() -> Rows:
        limbs = {f"MediaPipe {model}": Steps(mediapipe_limbs(clip.video, model)) for model in detectors}
        motion = [motion_row(name, system, [steps], FRAME_RATE) for system, steps in limbs.items()]
        return Rows([], [row(peer, clip.score_peer(peer)) for peer in clip.peers], motion)

    def score(system: str, recordings: Sequence[Path]) -> Rows:
        motion = read_motion(recordings[0])
        steps = Steps(motion.joints(LIMB_JOINTS), None, motion.joints(JOINT_CENTRES))
        return Rows([], [row(system, clip.score(recordings[0]))], [motion_row(name, system, [steps], FRAME_RATE)])

    return ScoredClip(name, [clip.video], peers, score)
