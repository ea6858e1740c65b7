"""`biopose-train neurik`: the folder that it resumes, who is held out, users' own motion, and the whole of it once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biopose_live.errors import UserError
from biopose_live.evaluation.neurik_samples import HeldOut
from biopose_live.neurik.stream import StreamedNetwork
from biopose_live.training.main import main as biopose_train
from biopose_live.training.motion.dataset import PoseSet
from biopose_live.training.neurik import command, samples
from biopose_live.training.neurik.command import begin, held_out_of, main, make_poses, parse
from biopose_live.training.neurik.held_out import main as held_out
from biopose_live.training.neurik.held_out import odd_half
from biopose_live.training.neurik.sample_processes import make_samples


@pytest.fixture(scope="module")
def amass(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two AMASS subjects with one clip each: two seconds on the spot, knees bending, arms down."""
    root = tmp_path_factory.mktemp("amass")
    for number in range(2):
        t = np.arange(240) / 120.0
        poses = np.zeros((240, 156))
        poses[:, 0] = np.pi / 2  # AMASS' world has z up
        bend = 0.3 + 0.2 * np.sin(2 * np.pi * t / 1.5 + number)
        for joint, axis, share in ((1, 0, -1), (2, 0, -1), (4, 0, 2), (5, 0, 2), (7, 0, -1), (8, 0, -1)):
            poses[:, 3 * joint + axis] = share * bend
        poses[:, 3 * 16 + 2], poses[:, 3 * 17 + 2] = -1.0, 1.0
        folder = root / f"Subject_{number}_F"
        folder.mkdir()
        trans = np.tile([0.0, 0.0, 0.95], (240, 1))
        np.savez(folder / "squat_poses.npz", poses=poses, trans=trans, betas=np.zeros(16), mocap_framerate=120.0)
    return root


def poses(names: list[str], subjects: list[str], frames: int = 40) -> PoseSet:
    index = np.repeat(np.arange(len(names), dtype=np.int32), frames)
    zero = np.zeros((len(index), 24, 3), np.float32)
    return PoseSet(zero, zero[:, 0], index, names, subjects, 30.0)


def given(out: Path, motion: Path, *more: str):  # type: ignore[no-untyped-def]
    return parse(["--motion", str(motion), "--out", str(out), *more])


def test_who_is_named_is_held_out() -> None:
    own = poses(["a/1", "b/2", "c/3"], ["anna", "ben", "cleo"])
    assert held_out_of(own, ["ben"]) == ["ben"]
    with pytest.raises(UserError, match="no clip of 30 frames is left to evaluate on"):
        held_out_of(own, ["dora"])
    with pytest.raises(UserError, match="no clip of 30 frames is left to train on"):
        held_out_of(own, ["anna", "ben", "cleo"])
    with pytest.raises(UserError, match="left to train on"):
        held_out_of(poses(["a/1", "b/2"], ["anna", "ben"], frames=10), ["ben"])


def test_the_products_own_subjects_are_held_out_where_they_are() -> None:
    assert held_out_of(poses(["x/03_01", "x/07_01"], ["cmu-03", "cmu-07"]), []) == ["cmu-03"]


def test_of_other_data_every_fifth_subject_or_clip_is_held_out() -> None:
    names = [f"bml/{n:02d}" for n in range(10)]
    assert held_out_of(poses(names, [f"person-{n}" for n in range(10)]), []) == ["person-0", "person-5"]
    assert held_out_of(poses(names, ["one"] * 10), []) == ["bml/00", "bml/05"]


def test_a_folder_is_gone_on_with_only_when_asked_and_alike(amass: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    begin(given(out, amass))
    with pytest.raises(UserError, match="add --resume to go on with it"):
        begin(given(out, amass))
    begin(given(out, amass, "--resume", "--minutes", "5"))
    with pytest.raises(UserError, match="was begun with --seed 1, not 2"):
        begin(given(out, amass, "--resume", "--seed", "2"))
    with pytest.raises(UserError, match="was begun with --hold-out none, not ben"):
        begin(given(out, amass, "--resume", "--hold-out", "ben"))
    (out / command.SETTINGS).write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        begin(given(out, amass, "--resume"))


def test_motion_that_is_not_there_is_told_before_a_folder_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert biopose_train(["neurik", "--motion", str(tmp_path / "none"), "--out", str(tmp_path / "run")]) == 3
    assert "does not exist; name a folder or an archive" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert biopose_train(["neurik", "--motion", str(tmp_path), "--out", str(tmp_path / "run"), "--device", "no"]) == 2
    assert "--device no cannot be used here" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--steps", "0"], ["--minutes", "-1"], ["--sequences", "0"], ["--width", "0"]])
def test_numbers_that_make_no_sense_are_told(wrong: list[str], amass: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--motion", str(amass), "--out", "nowhere", *wrong])
    assert wrong[0] in capsys.readouterr().err


def test_networks_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert biopose_train([]) == 2
    assert "no network was named; give neurik, lite or mqhmr" in capsys.readouterr().err
    assert biopose_train(["lifter"]) == 2
    assert "lifter is not a network" in capsys.readouterr().err
    assert biopose_train(["--help"]) == 0
    assert "biopose-train neurik" in capsys.readouterr().out


def test_amass_files_become_poses_once(amass: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    options = given(tmp_path, amass)
    assert make_poses(options, Console()) == 0
    made = PoseSet.load(tmp_path / "poses.npz")
    assert sorted(set(made.subject)) == ["Subject_0_F", "Subject_1_F"]
    assert len(made.theta) == 2 * 60  # 120 per second became 30
    knee = np.linalg.norm(made.theta[:, 4], axis=-1)
    assert 0.3 < np.ptp(knee[:60]) < 0.9
    assert held_out_of(made, []) == ["Subject_0_F"]
    before = (tmp_path / "poses.npz").stat().st_mtime_ns
    assert make_poses(options, Console()) == 0
    assert "made before" in capsys.readouterr().out
    assert (tmp_path / "poses.npz").stat().st_mtime_ns == before


def test_a_process_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    from rich.console import Console

    (tmp_path / "poses.npz").write_bytes(b"no poses")
    with pytest.raises(UserError, match=r"could not be made .*is not a pose data set.*--resume"):
        make_samples(tmp_path / "poses.npz", tmp_path / "s", 20, 1, ["x"], False, None, 2, Console(quiet=True))


def test_samples_that_are_there_start_no_process(tmp_path: Path) -> None:
    from rich.console import Console

    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "00000.npz").write_bytes(b"made before")
    make_samples(tmp_path / "none.npz", tmp_path / "s", samples.PER_FILE, 1, ["x"], False, None, 2, Console(quiet=True))
    assert not list((tmp_path / "s").glob("*.log"))


def test_the_odd_half_ships(tmp_path: Path, body, skeleton, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    from neurik_made_up import write_samples

    write_samples(tmp_path / "held", body, skeleton, 5, 8)
    whole = HeldOut.load_folder(tmp_path / "held")
    np.testing.assert_array_equal(odd_half(tmp_path / "held").q, whole.q[[1, 3]])
    out = tmp_path / "held_out.npz"
    assert held_out(["--held", str(tmp_path / "held"), "--out", str(out), "--count", "1"]) == 0
    assert "1 sequences" in capsys.readouterr().out
    np.testing.assert_allclose(HeldOut.load([out]).q, whole.q[[1]], atol=1e-6)
    assert held_out(["--held", str(tmp_path / "none"), "--out", str(out)]) == 3


@pytest.mark.slow
def test_from_amass_files_to_weights_in_one_command(
    amass: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    options = ["neurik", "--motion", str(amass), "--out", str(out), "--sequences", "20", "--held-sequences", "20"]
    options += ["--layers", "1", "--width", "32"]
    assert biopose_train([*options, "--steps", "2"]) == 0
    StreamedNetwork.load(out / "neurik.safetensors")
    report = json.loads((out / "evaluation.json").read_text())
    assert np.isfinite(report["neurik"]["mae_angle_deg"])
    assert report["sequences"] == 10
    assert "NeurIK beside inverse kinematics" in capsys.readouterr().out
    before = [file.stat().st_mtime_ns for file in sorted(out.rglob("*.npz"))]
    assert biopose_train([*options, "--steps", "3", "--resume"]) == 0
    assert [file.stat().st_mtime_ns for file in sorted(out.rglob("*.npz"))] == before
