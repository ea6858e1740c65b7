"""Calibrates one person from a camera or a clip: the stages as far as the body, one after another in this process.

Every frame that shows the person well tells something about the shape; none settles it before the session is over.  A
camera's session follows `MOVES`; a file's is the whole file.
"""

from __future__ import annotations

import math
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from biopose_live.errors import EXIT_SINK, EXIT_SOURCE, UserError
from biopose_live.neurik.person_file import PersonFile
from biopose_live.pipeline.child import limit_threads
from biopose_live.pipeline.measurement import Basis, Measurement, skeleton_file, write_person
from biopose_live.pipeline.moves import MOVES, Move
from biopose_live.pipeline.ring import LocalFrames
from biopose_live.settings import Settings
from biopose_live.stages import EndOfStream
from biopose_live.stages.capture import CaptureStage
from biopose_live.stages.detection import DetectionStage
from biopose_live.stages.mqhmr import MqhmrStage

PATIENCE_S = 60.0  # without anybody in the picture


class Guide(Protocol):
    """Shows the person what to do and how far the session is."""

    def move(self, number: int, move: Move) -> None:
        """A move begins (cameras only)."""
        ...

    def progress(self, share: float, seen: bool) -> None:
        """`share` 0 to 1 of the session is done; whether the last frame showed the person well.  After each frame."""
        ...


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
        self.measurement = Measurement(self.mqhmr.unseen_shape())

    def step(self) -> tuple[float, bool] | None:
        """Takes a frame; -> its capture time (s) and whether it showed the person well, None when there was none."""
        frame = self.capture.process(None)
        detections = None if frame is None else self.detection.process(frame)
        if detections is None:
            return None
        meshes = self.mqhmr.process(detections)
        t = meshes.frame.t_capture * 1e-9
        shape_of = self.mqhmr.shape_of
        seen = [self.measurement.take(t, person, shape_of(person.id)) for person in meshes.people]
        return t, any(seen)


def run_calibration(settings: Settings, out: Path, guide: Guide, frames: int | None = None) -> PersonFile:
    """Runs a session and writes `out` and, beside it, the scaled skeleton (`skeleton_file(out)`).

    `frames`: how many a clip has, for its progress.

    Raises UserError for what the user must put right: the source, too few good frames, files that cannot be written.
    """
    limit_threads(os.environ)
    for path in (out, skeleton_file(out)):
        if path.exists():
            raise UserError(f"{path} exists and nothing is overwritten: give another name with --out.", EXIT_SINK)
    basis = Basis.of(settings)
    with ExitStack() as stack:
        session = _Session(settings, stack)
        if settings.camera is not None or settings.url is not None:
            _guided(session, guide)
        else:
            _whole_file(session, guide, frames)
    person = session.measurement.result(settings, basis)
    write_person(person, basis.model, out)
    return person


def _guided(session: _Session, guide: Guide) -> None:
    whole, done, last_seen = sum(move.seconds for move in MOVES), 0.0, None
    for number, move in enumerate(MOVES):
        guide.move(number, move)
        begun = session.measurement.seconds
        while session.measurement.seconds - begun < move.seconds:
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
            guide.progress((done + session.measurement.seconds - begun) / whole, seen)
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
