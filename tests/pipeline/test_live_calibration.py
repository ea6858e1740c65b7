"""Somebody measured beside the mqhmr stage in a live run: the moves, the file, and the bones that go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biopose_live.capture.intrinsics import intrinsics_for
from biopose_live.messages import Detected, Detections, FrameRef, Meshes
from biopose_live.neurik.person_file import read_person_file
from biopose_live.pipeline.live_calibration import PATIENCE_S, CalibrationWish, LiveCalibration
from biopose_live.pipeline.moves import MOVES, Move
from biopose_live.settings import Settings
from biopose_live.stages.mqhmr import MqhmrStage

SETTINGS = Settings(demo=True)
SIZE = (1280, 720)


class Scene:
    """A stage that is shown a moving person, frame by frame, again and again."""

    def __init__(self, clip: Any) -> None:
        self.stage = MqhmrStage(SETTINGS)
        self._clip, self._n = clip, 0

    def __call__(self, *ids: int) -> Meshes:
        n, self._n = self._n % len(self._clip.t), self._n + 1
        keypoints = np.column_stack([self._clip.keypoints[n], self._clip.scores[n]]).astype(np.float32)
        world = (self._clip.points[n] - self._clip.points[n, 23:25].mean(0)).astype(np.float32)
        people = [Detected(one, 0.8, np.array([1.0, 2.0, 3.0, 4.0]), keypoints, world) for one in ids]
        return self.stage.process(Detections(FrameRef(self._n, self._n * 100_000_000, *SIZE, 0, 0), people))


@pytest.fixture
def scene(make_clip: Callable[..., Any]) -> Scene:
    return Scene(make_clip(6.0, fps=10.0, camera=intrinsics_for(SETTINGS, *SIZE)))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    moves = (Move("Stand", 2.0), Move("Squat", 4.0))
    monkeypatch.setattr("biopose_live.pipeline.live_calibration.MOVES", moves)


def measure(scene: Scene, calibration: LiveCalibration, frames: int = 200, ids: tuple[int, ...] = (3,)) -> list[Any]:
    states = []
    for _ in range(frames):
        calibration.take(scene(*ids))
        states.append(calibration.state)
        if calibration.state.phase != "measuring":
            break
    until = time.monotonic() + 60
    while calibration.state.phase == "computing" and time.monotonic() < until:
        time.sleep(0.05)
    return states


def test_a_person_is_measured_kept_and_used(scene: Scene, short: None, tmp_path: Path) -> None:
    out = tmp_path / "people" / "anna.json"
    scene(3)
    calibration = LiveCalibration(CalibrationWish(1, str(out), 3, 1.83), scene.stage, SETTINGS)
    states = measure(scene, calibration)
    assert sorted({state.move for state in states}) == [0, 1]
    shares = [state.share for state in states]
    assert shares == sorted(shares)
    state = calibration.state
    assert (state.phase, state.number, state.file) == ("done", 1, str(out))
    assert state.sentences[0].startswith("Height 1.83 m")
    person = read_person_file(out)
    assert person.height == pytest.approx(1.83, abs=1e-3)
    assert out.with_suffix(".osim").is_file()
    calibration.take(scene(3))
    (one,) = scene(3).people
    np.testing.assert_allclose(one.betas, person.betas)
    assert (one.settled, one.calibrated) == (True, 1.0)
    (other,) = scene(9).people  # with one person at a time it is the same one, found again
    np.testing.assert_allclose(other.betas, person.betas)


def test_whoever_comes_first_is_measured_and_may_be_lost(scene: Scene, short: None, tmp_path: Path) -> None:
    calibration = LiveCalibration(CalibrationWish(1, str(tmp_path / "p.json")), scene.stage, SETTINGS)
    calibration.take(scene())
    assert not calibration.state.seen or calibration.state.share == 0.0
    measure(scene, calibration, frames=25, ids=(4,))
    assert calibration.state.phase == "measuring"
    before = calibration.state.share
    assert before > 0.0
    for _ in range(10):
        calibration.take(scene())
    assert calibration.state.share == before
    assert not calibration.state.seen
    measure(scene, calibration, ids=(5,))
    assert calibration.state.phase == "done"


def test_giving_up_brings_the_old_bones_back(scene: Scene, tmp_path: Path) -> None:
    for _ in range(80):
        scene(3)
    before = scene.stage.shape_of(3)
    assert before.settled
    calibration = LiveCalibration(CalibrationWish(1, str(tmp_path / "p.json"), 3), scene.stage, SETTINGS)
    measure(scene, calibration, frames=5)
    assert scene.stage.shape_of(3) is not before
    calibration.cancel()
    assert calibration.state.phase == "cancelled"
    assert scene.stage.shape_of(3) is before
    calibration.take(scene(3))
    assert calibration.state.phase == "cancelled"


def test_an_empty_room_is_not_waited_for_longer_than_a_minute(scene: Scene, tmp_path: Path) -> None:
    calibration = LiveCalibration(CalibrationWish(1, str(tmp_path / "p.json")), scene.stage, SETTINGS)
    states = measure(scene, calibration, frames=round(10 * PATIENCE_S) + 20, ids=())
    assert calibration.state.phase == "failed"
    assert "head to feet" in calibration.state.sentences[0]
    assert len(states) == pytest.approx(10 * PATIENCE_S, abs=3)


def test_a_folder_that_cannot_be_written_is_told(scene: Scene, short: None) -> None:
    calibration = LiveCalibration(CalibrationWish(1, "/proc/people/p.json"), scene.stage, SETTINGS)
    measure(scene, calibration)
    assert calibration.state.phase == "failed"
    assert "cannot be written" in calibration.state.sentences[0]


def test_the_moves_are_long_enough_to_be_a_measurement() -> None:
    from biopose_live.pipeline.measurement import LEAST_S

    assert sum(move.seconds for move in MOVES) > 3 * LEAST_S
