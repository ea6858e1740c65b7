"""`biopose-train lite`: what it asks for, what it refuses, and rendering and training through the command."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from biopose_live.training.lite import command
from biopose_live.training.lite.command import parse
from biopose_live.training.lite.sample import FIELDS, Sample
from biopose_live.training.lite.shards import measure_scales, write_scales, write_shard
from biopose_live.training.lite.train import Plan
from biopose_live.training.main import main as biopose_train


@pytest.fixture
def poses(tmp_path: Path) -> Path:
    path = tmp_path / "poses.npz"
    zero = np.zeros((2, 24, 3), np.float32)
    np.savez(path, theta=zero, trans=zero[:, 0], clip_index=np.zeros(2, int), clip_names=np.array(["a"]))
    return path


@pytest.fixture
def options(tmp_path: Path, poses: Path) -> list[str]:
    (tmp_path / "assets").mkdir()
    given = ["--assets", str(tmp_path / "assets"), "--poses", str(poses), "--work", str(tmp_path / "work")]
    return [*given, "--out", str(tmp_path / "deep" / "lite.safetensors")]


def some_people(folder: Path, count: int) -> None:
    """`count` samples of zeros."""
    folder.mkdir(parents=True)
    one = Sample([np.ones((4, 4, 2), np.float32)], {key: np.zeros(shape) for key, shape in FIELDS.items()})
    steps = measure_scales([one])
    write_scales(folder, steps)
    write_shard(folder, "000", [one] * count, steps)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--batch", "0"],
        ["--workers", "0"],
        ["--count", "-1"],
        ["--minutes", "nan"],
        ["--rate", "0"],
        ["--width", "0"],
        ["--steps", "0"],
        ["--queries", "23"],
        ["--queries", "114"],
    ],
)
def test_numbers_that_make_no_sense_are_told(
    wrong: list[str], options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        biopose_train(["lite", *options, *wrong])
    assert f"{wrong[0]} {wrong[1]}" in capsys.readouterr().err


def test_feature_maps_are_chosen_by_stride(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(options).scales is None
    assert parse([*options, "--scales", "none"]).scales == ()
    for wrong in ("2", "8,", "", "8 16"):
        with pytest.raises(SystemExit, match="2"):
            parse([*options, "--scales", wrong])
        assert "is none, or some of 4, 8, 16, 32" in capsys.readouterr().err


def test_rendering_needs_assets_and_training_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--work", str(tmp_path), "--out", str(tmp_path / "x.safetensors")]
    with pytest.raises(SystemExit, match="2"):
        parse(given)
    assert "--assets is needed to render" in capsys.readouterr().err
    assert parse([*given, "--count", "0", "--test", "0"]).assets is None


def test_inputs_that_are_not_there_are_one_sentence(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "assets").rmdir()
    assert biopose_train(["lite", *options]) == 3
    assert "There is no assets folder" in capsys.readouterr().err
    (tmp_path / "assets").mkdir()
    assert biopose_train(["lite", *options, "--poses", str(tmp_path / "none.npz")]) == 3
    assert "none.npz cannot be read" in capsys.readouterr().err
    (tmp_path / "file").write_text("no folder")
    assert biopose_train(["lite", *options, "--work", str(tmp_path / "file" / "work")]) == 5
    told = capsys.readouterr().err
    assert "cannot be written" in told
    assert told.count("\n") == 1


def test_training_needs_people(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only_train = ["lite", *options, "--count", "0", "--test", "0"]
    assert biopose_train(only_train) == 3
    assert "holds no rendered samples" in capsys.readouterr().err
    some_people(tmp_path / "work" / "train", 3)
    assert biopose_train([*only_train, "--batch", "4"]) == 3
    assert "holds 3 people, fewer than a batch of 4" in capsys.readouterr().err


def test_a_process_that_dies_is_one_sentence(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def die(*_: object, **__: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(command, "render", die)
    assert biopose_train(["lite", *options]) == 1
    told = capsys.readouterr().err
    assert "ended early" in told
    assert told.count("\n") == 1


def test_both_parts_are_rendered_and_then_trained_on(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which people go where, and what the training is told."""
    rendered, plans = [], list[Plan]()

    def render(folder: Path, assets: Path, poses: Path, count: int, **named: object) -> None:
        rendered.append((folder.name, count, named["part"], named["first_seed"], named["workers"], named["model"]))
        some_people(folder, count)

    monkeypatch.setattr(command, "render", render)
    monkeypatch.setattr(command, "train", plans.append)
    several = ["--scales", "16,8", "--queries", "30", "--steps", "7", "--tensorboard", str(tmp_path / "log")]
    more = [*several, "--count", "5", "--test", "2", "--batch", "4", "--minutes", "1.5", "--workers", "3", "--resume"]
    assert biopose_train(["lite", *options, *more]) == 0
    assert rendered == [
        ("test", 2, "test", command.FIRST_TEST_SEED, 3, "full"),
        ("train", 5, "train", 0, 3, "full"),
    ]
    (plan,) = plans
    assert (plan.batch, plan.minutes, plan.steps, plan.resume) == (4, 1.5, 7, True)
    assert (plan.scales, plan.queries, plan.tensorboard) == ((8, 16), 30, str(tmp_path / "log"))
    assert Path(plan.samples) == tmp_path / "work" / "train"
    assert Path(plan.out).parent.is_dir()


def test_ctrl_c_is_told(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "render", stop)
    assert biopose_train(["lite", *options]) == 130
    assert "--resume goes on" in capsys.readouterr().err


def test_help_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        biopose_train(["lite", "--help"])
    assert "--assets FOLDER" in capsys.readouterr().out
    assert biopose_train(["--help"]) == 0
    assert "biopose-train lite" in capsys.readouterr().out
