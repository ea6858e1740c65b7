"""`biopose-live calibrate`: what is asked, shown and written; and a run that starts with the result."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import opensim
import pytest
from rich.console import Console

from biopose_live.cli import calibrate as command
from biopose_live.cli.main import main
from biopose_live.cli.options import build_parser
from biopose_live.errors import EXIT_OK, EXIT_SINK, EXIT_SOURCE, EXIT_USAGE
from biopose_live.neurik.person_file import read_person_file
from biopose_live.pipeline import calibration_run
from biopose_live.pipeline.measurement import report, skeleton_file
from biopose_live.pipeline.moves import MOVES, Move
from biopose_live.settings import OPTION_NAMES
from biopose_live.sinks.recording import Recording


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibration from the embedded clip."""
    out = tmp_path_factory.mktemp("calibration") / "person.json"
    assert (
        main(["calibrate", "--demo", "--duration", "7", "--height", "1.8", "--mass", "72", "--out", str(out)])
        == EXIT_OK
    )
    return out


def test_the_files_are_of_the_given_person(made: Path) -> None:
    person = read_person_file(made)
    assert person.height == pytest.approx(1.80, abs=1e-3)
    assert person.mass == 72.0
    assert person.quality.frames > 190
    assert person.quality.seconds > 5.0
    assert 0.0 < person.quality.spread_mm < 15.0
    assert 0.0 < person.quality.marker_residual_mm < 15.0
    model = opensim.Model(str(skeleton_file(made)))
    assert model.getTotalMass(model.initSystem()) == pytest.approx(72.0, rel=1e-6)


def test_a_run_starts_with_it_and_holds_it(made: Path, tmp_path: Path) -> None:
    arguments = ["--demo", "--every-frame", "--duration", "0.5", "--publish", "off"]
    assert main([*arguments, "--calibration", str(made), "--record", str(tmp_path / "run")]) == EXIT_OK
    person = read_person_file(made)
    seen = [one for pose in Recording(tmp_path / "run") for one in pose.people]
    assert len(seen) > 10
    for one in seen:
        assert one.settled
        assert one.calibrated == 1.0
        np.testing.assert_array_equal(one.betas, person.betas)
        np.testing.assert_allclose(one.scales, person.scales, atol=1e-5)
    model = opensim.Model(str(tmp_path / "run" / "skeleton.osim"))
    assert model.getTotalMass(model.initSystem()) == pytest.approx(72.0, rel=1e-6)


def test_another_skeleton_is_refused_in_a_sentence(
    made: Path, other_skeleton: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--demo", "--every-frame", "--publish", "off", "--calibration", str(made)]
    assert main([*arguments, "--skeleton", str(other_skeleton)]) == 4
    assert "was made with the skeleton bsk24.osim, this run uses other.osim" in capsys.readouterr().err


def test_nothing_is_overwritten(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = made.read_bytes()
    assert main(["calibrate", "--demo", "--out", str(made)]) == EXIT_SINK
    assert "exists and nothing is overwritten" in capsys.readouterr().err
    assert made.read_bytes() == before


def test_too_short_a_clip_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--demo", "--duration", "1", "--out", str(tmp_path / "p.json")]) == EXIT_SOURCE
    assert "5 s are needed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "One source is needed"),
        (["--demo", "--height", "178"], "--height is in metres: for 178 cm give 1.78"),
        (["--demo", "--mass", "7"], "--mass must be between"),
        (["--demo", "--record", "x"], "Unknown argument --record"),
        (["--demo", "--heigth", "1.8"], "did you mean --height?"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["calibrate", "--out", str(tmp_path / "p.json"), *arguments]) == EXIT_USAGE
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1


def test_its_options_are_the_programs() -> None:
    assert set(command.OPTIONS) <= set(OPTION_NAMES)
    text = build_parser("calibrate", only=command.OPTIONS).format_help()
    assert "--height" in text
    assert "--record" not in text


def guide(moves: int = 2) -> tuple[command.TerminalGuide, io.StringIO]:
    text = io.StringIO()
    return command.TerminalGuide(Console(file=text, width=200), moves), text


def test_the_guide_says_each_move_and_each_tenth() -> None:
    shown, text = guide()
    shown.move(0, Move("Stand still", 3.0))
    for share in np.linspace(0.0, 1.0, 101):
        shown.progress(float(share), True)
    lines = text.getvalue().splitlines()
    assert lines[0] == "1/2  Stand still (3 s)."
    assert len(lines) == 11
    assert lines[-1].strip() == "100 %"


def test_the_guide_says_once_that_it_waits() -> None:
    shown, text = guide()
    for _ in range(3 * command.UNSEEN_FRAMES):
        shown.progress(0.0, False)
    assert text.getvalue().count("Waiting") == 1
    shown.progress(0.0, True)
    for _ in range(command.UNSEEN_FRAMES):
        shown.progress(0.0, False)
    assert text.getvalue().count("Waiting") == 2


def test_a_poor_calibration_is_called_poor(made: Path) -> None:
    person = read_person_file(made)
    assert len(report(person)) == 2
    person.quality.spread_mm = float("nan")
    assert "calibrate again" in report(person)[-1]


class Script:
    """A session whose frames are scripted: seconds of good frames each step adds."""

    def __init__(self, gains: list[float], pause: float = 0.5) -> None:
        self.gains, self.pause, self.t = gains, pause, 0.0
        self.measurement = self
        self.seconds = 0.0

    def step(self) -> tuple[float, bool]:
        self.t += self.pause
        gain = self.gains.pop(0) if self.gains else 0.0
        self.seconds += gain
        return self.t, gain > 0.0


class Told:
    def __init__(self) -> None:
        self.moves: list[int] = []
        self.shares: list[float] = []

    def move(self, number: int, move: Move) -> None:
        self.moves.append(number)

    def progress(self, share: float, seen: bool) -> None:
        self.shares.append(share)


def test_a_camera_session_goes_through_all_moves_and_waits_for_good_frames() -> None:
    whole = sum(move.seconds for move in MOVES)
    gains = [0.5, 0.0] * round(2 * whole)  # every second frame shows nobody
    told = Told()
    calibration_run._guided(Script(gains), told)  # type: ignore[arg-type]
    assert told.moves == list(range(len(MOVES)))
    assert told.shares[-1] == pytest.approx(1.0)
    assert told.shares == sorted(told.shares)
    assert len(told.shares) > 1.9 * 2 * whole


def test_a_camera_session_without_anybody_ends() -> None:
    from biopose_live.errors import UserError

    with pytest.raises(UserError, match="Nobody was seen well for 60 s"):
        calibration_run._guided(Script([0.5] * 4), Told())  # type: ignore[arg-type]
