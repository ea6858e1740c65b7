"""Measures one person in a live run: leads through the moves of `biopose-live calibrate` beside the mqhmr stage.

It lives in the stage's process, takes each of its answers, and has the stage learn the person's shape anew meanwhile.
What comes of it is worked out in a thread, so that the picture does not stand still; then the run goes on with the
measured bones, and the calibration lies in a file for later runs.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from biopose_live.errors import UserError
from biopose_live.messages import Meshes
from biopose_live.pipeline.moves import MOVES
from biopose_live.settings import Settings

if TYPE_CHECKING:
    from biopose_live.mqhmr.shape import ShapeEstimate
    from biopose_live.neurik.person_file import PersonFile
    from biopose_live.stages.mqhmr import MqhmrStage

PATIENCE_S = 60.0  # without the person seen well
SEEN_S = 0.5  # since the last good frame: until then the person counts as seen

log = logging.getLogger(__name__)

Phase = Literal["measuring", "computing", "done", "failed", "cancelled"]


class CalibrationWish(msgspec.Struct, frozen=True):
    """Who is to be measured; `number` tells wishes apart.  `out` None: the measurement of that number is given up."""

    number: int
    out: str | None = None
    person: int | None = None  # None: whoever is seen first
    height: float | None = None  # m; None: the run's


class CalibrationState(msgspec.Struct, frozen=True):
    """How far a measurement is."""

    number: int
    phase: Phase
    move: int = 0
    left_s: float = 0.0  # of good frames, in this move
    share: float = 0.0  # of the whole session, 0 to 1
    seen: bool = False
    sentences: list[str] = []  # what was found, or why nothing was
    good: bool = False  # done: it repeats and fits well
    file: str = ""


class LiveCalibration:
    """One measurement; `take` every answer of the stage, `state` is how far it is."""

    def __init__(self, wish: CalibrationWish, stage: MqhmrStage, settings: Settings) -> None:
        # Imported here: it poses the skeleton, which a run that never measures does not need in this process.
        from biopose_live.pipeline.measurement import Measurement

        self._wish, self._stage = wish, stage
        height = settings.height if wish.height is None else wish.height
        self._settings = replace(settings, height=height, calibration=None)
        self._moves = MOVES
        self._measurement = Measurement(stage.measured_shape(height))
        self._before: dict[int, ShapeEstimate] = {}
        self._person = wish.person
        self._move, self._move_begun = 0, 0.0
        self._last_seen = 0.0
        self._found: PersonFile | None = None
        self.state = CalibrationState(wish.number, "measuring", left_s=self._moves[0].seconds)

    def cancel(self) -> None:
        """Gives the people their shapes back."""
        if self.state.phase == "measuring":
            self._restore()
            self.state = CalibrationState(self._wish.number, "cancelled")

    def take(self, meshes: Meshes) -> None:
        """Takes the stage's answer to one frame."""
        if self._found is not None:
            self._apply(self._found)
            self._found = None
        if self.state.phase != "measuring":
            return
        t = meshes.frame.t_capture * 1e-9
        self._last_seen = self._last_seen or t
        ids = [person.id for person in meshes.people]
        if self._person is None and ids:
            self._person = ids[0]
        if self._person not in ids and len(ids) == 1 and self._settings.max_people == 1:
            self._person = ids[0]  # lost and found again
        for person in meshes.people:
            if person.id != self._person:
                continue
            if person.id not in self._before:
                self._before[person.id] = self._stage.replace_shape(
                    person.id, self._stage.measured_shape(self._settings.height)
                )
            elif self._measurement.take(t, person, self._stage.shape_of(person.id)):
                self._last_seen = t
        if t - self._last_seen > PATIENCE_S:
            self._restore()
            self._fail(
                f"Nobody was seen well for {PATIENCE_S:g} s: stand so that the picture shows you from head to feet."
            )
            return
        self._advance(t)

    def _advance(self, t: float) -> None:
        moves, seconds = self._moves, self._measurement.seconds
        left = moves[self._move].seconds - (seconds - self._move_begun)
        if left <= 0.0:
            self._move += 1
            self._move_begun = seconds
            if self._move == len(moves):
                self.state = CalibrationState(self._wish.number, "computing", len(moves) - 1, share=1.0, seen=True)
                threading.Thread(target=self._compute, name="calibration", daemon=True).start()
                return
            left = moves[self._move].seconds
        whole = sum(move.seconds for move in moves)
        done = sum(move.seconds for move in moves[: self._move]) + moves[self._move].seconds - left
        self.state = CalibrationState(
            self._wish.number, "measuring", self._move, round(left, 2), done / whole, t - self._last_seen < SEEN_S
        )

    def _compute(self) -> None:
        from biopose_live.pipeline.measurement import Basis, is_good, report, write_person

        try:
            basis = Basis.of(self._settings)
            person = self._measurement.result(self._settings, basis)
            out = Path(self._wish.out or "")
            out.parent.mkdir(parents=True, exist_ok=True)
            write_person(person, basis.model, out)
        except UserError as error:
            self._fail(str(error))
            return
        except OSError as error:
            self._fail(f"{self._wish.out} cannot be written ({error.strerror}).")
            return
        except Exception as error:  # whoever stands before the camera must be told
            log.exception("the calibration was not worked out")
            self._fail(f"The measurement could not be worked out ({type(error).__name__}: {error}).")
            return
        self._found = person
        self.state = CalibrationState(
            self._wish.number, "done", share=1.0, sentences=report(person), good=is_good(person), file=str(out)
        )

    def _apply(self, person: PersonFile) -> None:
        """The run goes on with the measured bones, for this person or, where there is but one, for everybody."""
        betas = np.array(person.betas)
        if self._settings.max_people == 1:
            self._stage.know(betas)
        for person_id in self._before:
            self._replace(person_id, self._stage.measured_shape(betas=betas))

    def _restore(self) -> None:
        for person_id, shape in self._before.items():
            self._replace(person_id, shape)

    def _replace(self, person_id: int, shape: ShapeEstimate) -> None:
        try:
            self._stage.replace_shape(person_id, shape)
        except KeyError:
            log.info("person %d has been gone for long", person_id)

    def _fail(self, sentence: str) -> None:
        self.state = CalibrationState(self._wish.number, "failed", sentences=[sentence])
