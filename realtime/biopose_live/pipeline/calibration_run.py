"""Calibrates one person from a camera or a clip: the stages as far as the body, one after another in this process.

Every frame that shows the person well tells something about the shape; none settles it before the session is over.  A
camera's session follows `MOVES`; a file's is the whole file.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.model import EMBEDDED_BODY, BodyModel
from biopose_live.errors import EXIT_SINK, EXIT_SOURCE, UserError
from biopose_live.messages import Meshes, MeshPerson
from biopose_live.neurik.calibration import Calibrator
from biopose_live.neurik.kinematic_track import KinematicTrack
from biopose_live.neurik.person_file import Made, PersonFile, Quality, write_person_file
from biopose_live.neurik.shape_session import ShapeSession, with_stature
from biopose_live.pipeline.child import limit_threads
from biopose_live.pipeline.ring import LocalFrames
from biopose_live.rotations import to_matrix
from biopose_live.settings import Settings
from biopose_live.skeleton.choice import load_skeleton, skeleton_path
from biopose_live.skeleton.mass import with_mass
from biopose_live.skeleton.osim_writer import write_scaled_osim
from biopose_live.stages import EndOfStream
from biopose_live.stages.capture import CaptureStage
from biopose_live.stages.detection import DetectionStage
from biopose_live.stages.mqhmr import MqhmrStage
from biopose_live.stages.neurik import world_from_camera

Floats = NDArray[np.float64]

LEAST_S = 5.0  # of good frames
PATIENCE_S = 60.0  # without anybody in the picture
FITTED_FRAMES = 150  # the newest ones, on which the skeleton's fit is measured


class Move(NamedTuple):
    """What a person does before the camera, for so many seconds of good frames."""

    instruction: str
    seconds: float


MOVES = (
    Move("Stand still, arms hanging, from head to feet in the picture", 3.0),
    Move("Walk on the spot, knees high", 6.0),
    Move("Turn a quarter to each side and back", 5.0),
    Move("Raise both arms forwards, then sideways, over the head", 6.0),
    Move("Squat slowly, two or three times", 6.0),
)


class Guide(Protocol):
    """Shows the person what to do and how far the session is."""

    def move(self, number: int, move: Move) -> None:
        """A move begins (cameras only)."""
        ...

    def progress(self, share: float, seen: bool) -> None:
        """`share` 0 to 1 of the session is done; whether the last frame showed the person well.  After each frame."""
        ...


class _Frame(NamedTuple):
    t: float
    rotations: Floats
    translation: Floats
    up: Floats


class _Session:
    """The stages, and what they told so far."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self.settings = settings
        frames = LocalFrames()
        self.capture = CaptureStage(settings, frames)
        stack.callback(self.capture.close)
        self.detection = DetectionStage(settings, frames)
        stack.callback(self.detection.close)
        self.mqhmr = MqhmrStage(settings, frames, settle_s=math.inf)
        stack.callback(self.mqhmr.close)
        self.shapes = ShapeSession(self.mqhmr.unseen_shape())
        self.kept: deque[_Frame] = deque(maxlen=FITTED_FRAMES)

    def step(self) -> tuple[float, bool] | None:
        """Takes a frame; -> its capture time (s) and whether it showed the person well, None when there was none."""
        frame = self.capture.process(None)
        detections = None if frame is None else self.detection.process(frame)
        if detections is None:
            return None
        meshes = self.mqhmr.process(detections)
        seen = [self._take(meshes, person) for person in meshes.people]
        return meshes.frame.t_capture * 1e-9, any(seen)

    def _take(self, meshes: Meshes, person: MeshPerson) -> bool:
        if not self.shapes.add(person.id, self.mqhmr.shape_of(person.id)):
            return False
        t = meshes.frame.t_capture * 1e-9
        self.kept.append(_Frame(t, to_matrix(person.theta), person.translation, person.up))
        return True


def run_calibration(settings: Settings, out: Path, guide: Guide, frames: int | None = None) -> PersonFile:
    """Runs a session and writes `out` and, beside it, the scaled skeleton (`skeleton_file(out)`).

    `frames`: how many a clip has, for its progress.

    Raises UserError for what the user must put right: the source, too few good frames, files that cannot be written.
    """
    limit_threads(os.environ)
    for path in (out, skeleton_file(out)):
        if path.exists():
            raise UserError(f"{path} exists and nothing is overwritten: give another name with --out.", EXIT_SINK)
    model = load_skeleton(settings.skeleton)
    if settings.mass is not None:
        model = with_mass(model, settings.mass)
    body = BodyModel.load(settings.body)
    calibrator = Calibrator(body, model)
    with ExitStack() as stack:
        session = _Session(settings, stack)
        if settings.camera is not None or settings.url is not None:
            _guided(session, guide)
        else:
            _whole_file(session, guide, frames)
    shapes = session.shapes
    if shapes.seconds < LEAST_S or len(shapes.blocks) < 2:
        raise UserError(
            f"The person was seen well for {shapes.seconds:.1f} s, {LEAST_S:g} s are needed: one person, from head to "
            f"feet, in good light.",
            EXIT_SOURCE,
        )
    found = shapes.combine()
    betas = found.betas if settings.height is None else with_stature(body, found, settings.height)
    scales = calibrator(betas).scales
    person = PersonFile(
        body=Made.of(settings.body or EMBEDDED_BODY),
        skeleton=Made.of(skeleton_path(settings.skeleton)),
        betas=[round(float(value), 6) for value in betas],
        height=round(body.stature(betas), 4),
        mass=settings.mass,
        body_names=model.body_names,
        scales=[[round(float(value), 6) for value in row] for row in scales],
        quality=Quality(
            frames=shapes.frames,
            seconds=round(shapes.seconds, 2),
            spread_mm=round(1e3 * shapes.spread(body), 2),
            marker_residual_mm=round(1e3 * _residual(body, KinematicTrack(model, calibrator), betas, session.kept), 2),
        ),
    )
    write_person_file(person, out)
    try:
        write_scaled_osim(model, scales, None, skeleton_file(out))
    except OSError as error:
        raise UserError(
            f"{skeleton_file(out)} cannot be written ({error.strerror}): give another --out.", EXIT_SINK
        ) from error
    return person


def skeleton_file(out: Path) -> Path:
    """-> where the scaled skeleton goes."""
    return out.with_suffix(".osim")


def _guided(session: _Session, guide: Guide) -> None:
    whole, done, last_seen = sum(move.seconds for move in MOVES), 0.0, None
    for number, move in enumerate(MOVES):
        guide.move(number, move)
        begun = session.shapes.seconds
        while session.shapes.seconds - begun < move.seconds:
            try:
                step = session.step()
            except EndOfStream:
                return
            if step is None:
                continue
            t, seen = step
            last_seen = t if seen or last_seen is None else last_seen
            if t - last_seen > PATIENCE_S:
                raise UserError(
                    f"Nobody was seen well for {PATIENCE_S:g} s: stand so that the picture shows head and feet.",
                    EXIT_SOURCE,
                )
            guide.progress((done + session.shapes.seconds - begun) / whole, seen)
        done += move.seconds


def _whole_file(session: _Session, guide: Guide, frames: int | None) -> None:
    count = 0
    while True:
        try:
            step = session.step()
        except EndOfStream:
            return
        if step is not None:
            count += 1
            guide.progress(min(count / frames, 1.0) if frames else 0.0, step[1])


def _residual(body: BodyModel, track: KinematicTrack, betas: Floats, frames: Iterable[_Frame]) -> float:
    """-> root mean square (m) over the frames of the markers' distance from the skeleton posed to them."""
    squares = []
    for frame in frames:
        _, markers, _ = body.pose_markers(frame.rotations, betas, frame.translation)
        solved = track.update(frame.t, markers @ world_from_camera(frame.up).T, betas, True)
        squares.append(solved.rms**2)
    return float(np.sqrt(np.mean(squares)))
