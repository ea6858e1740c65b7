import os
import subprocess
import sys
from pathlib import Path

import pytest

from biopose_live.cli import main as cli
from biopose_live.errors import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, EXIT_SINK, EXIT_SOURCE, EXIT_USAGE, UserError
from biopose_live.pipeline import inline, live
from biopose_live.pipeline.metrics import Percentiles, StageSummary, Summary


def summary(**changes: object) -> Summary:
    stage = StageSummary(Percentiles(1.0, 2.0, 3.0, 10), 10, 10, 0, 0)
    fields: dict[str, object] = {
        "session": "abc",
        "settings": {},
        "captured": 12,
        "processed": 10,
        "dropped": 2,
        "seconds": 1.0,
        "fps": 10.0,
        "latency": Percentiles(40.0, 60.0, 70.0, 10),
        "stages": {"detection": stage},
        "end_reason": "end of stream",
    }
    return Summary(**{**fields, **changes})


@pytest.fixture
def fake_run(monkeypatch):
    """fake_run(summary or error) replaces both ways to run; -> the list of (which, settings) that were run."""

    def use(outcome: Summary | BaseException) -> list:
        runs: list = []

        def stand_in(name):
            def run(settings, **_hooks):
                runs.append((name, settings))
                if isinstance(outcome, BaseException):
                    raise outcome
                return outcome

            return run

        monkeypatch.setattr(live, "run_live", stand_in("live"))
        monkeypatch.setattr(inline, "run_inline", stand_in("inline"))
        monkeypatch.setattr(cli, "frames_of", lambda settings: 100)
        return runs

    return use


def test_a_run_that_ends_well(fake_run, capsys):
    runs = fake_run(summary())
    assert cli.main(["--demo", "--max-people", "2", "--publish", "off"]) == EXIT_OK
    ((kind, settings),) = runs
    assert (kind, settings.max_people) == ("live", 2)
    captured = capsys.readouterr()
    assert "12 captured, 10 processed, 2 dropped" in captured.out
    assert "capture to publish" in captured.out
    assert captured.err == ""


def test_every_frame_runs_inline(fake_run):
    runs = fake_run(summary())
    assert cli.main(["--demo", "--every-frame", "--publish", "off"]) == EXIT_OK
    assert runs[0][0] == "inline"


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        (summary(end_reason="interrupted", exit_code=EXIT_INTERRUPTED), EXIT_OK, ""),
        (summary(end_reason="The camera is gone.", exit_code=EXIT_SOURCE), EXIT_SOURCE, "The camera is gone."),
        (summary(end_reason="ended by SIGTERM", exit_code=143), 143, "ended by SIGTERM"),
        (summary(problems=["The disk is full."]), EXIT_SINK, "The disk is full."),
        (summary(problems=["The disk is full."], exit_code=EXIT_INTERRUPTED), EXIT_SINK, "The disk is full."),
        (UserError("No shared memory.", EXIT_FAILURE), EXIT_FAILURE, "No shared memory."),
        (KeyboardInterrupt(), EXIT_INTERRUPTED, ""),
    ],
)
def test_exit_codes_and_the_sentence_on_standard_error(fake_run, capsys, outcome, code, said):
    fake_run(outcome)
    assert cli.main(["--demo", "--publish", "off"]) == code
    captured = capsys.readouterr()
    assert captured.err == (f"{said}\n" if said else "")
    assert "Traceback" not in captured.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "One source is needed"),
        (["--demo", "--fov", "1"], "--fov must be between"),
        (["--demo", "--publish", "nonsense"], "--publish 'nonsense' is no address"),
        (["--bogus"], "Unknown argument --bogus"),
    ],
)
def test_mistakes_are_one_line_on_standard_error_before_anything_runs(fake_run, capsys, arguments, words):
    runs = fake_run(summary())
    assert cli.main(arguments) == EXIT_USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert runs == []


def test_an_unexpected_error_is_not_hidden(fake_run):
    fake_run(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["--demo", "--publish", "off"])


def test_frames_of_a_file(tmp_path):
    import av
    import numpy as np

    from biopose_live.settings import Settings

    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        for _ in range(50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")))
        container.mux(stream.encode())
    assert cli.frames_of(Settings(video=path)) == 50
    assert cli.frames_of(Settings(video=path, duration=1.0)) == 25
    assert cli.frames_of(Settings(video=path, duration=60.0)) == 50
    with pytest.raises(UserError):
        cli.frames_of(Settings(video=tmp_path / "none.mp4"))


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, env=environment(), check=False
    )


def test_importing_the_command_line_is_light():
    """Child processes import it again, and help must answer at once."""
    heavy = "{'torch', 'mediapipe', 'numba', 'av', 'cv2', 'numpy', 'rich'}"
    done = python("-c", f"import sys, biopose_live.cli.main; print(sorted({heavy} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stderr


def test_it_runs_as_a_module():
    done = python("-m", "biopose_live.cli", "--nonsense")
    assert done.returncode == EXIT_USAGE
    assert done.stderr.startswith("Unknown argument --nonsense")
    assert python("-m", "biopose_live.cli", "--help").returncode == EXIT_OK


def test_a_reader_that_leaves_is_no_traceback():
    """`biopose-live … | head -0`: the other end of standard output is closed at once."""
    program = """
import sys
from biopose_live.cli import main as cli
from biopose_live.pipeline import live
def run(settings, on_health):
    for _ in range(10_000):
        print("x" * 1000, flush=True)
live.run_live = run
sys.exit(cli.main(["--demo", "--publish", "off"]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=Path("/"),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == EXIT_FAILURE
    assert errors == ""
