"""The pose data set and its command line, on hand-made clips in folders and archives."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.training.motion import deepmimic
from biopose_live.training.motion.__main__ import main, rest_body
from biopose_live.training.motion.dataset import PoseSet, Source, build, find, subject_of


def deepmimic_text(frames: int) -> str:
    row = [1 / 30, 0.0, 0.85, 0.0]
    for _, width in deepmimic.LAYOUT:
        row += [1.0, 0.0, 0.0, 0.0] if width == 4 else [0.1]
    return json.dumps({"Frames": [row] * frames})


def amass_bytes(frames: int) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, poses=np.zeros((frames, 156)), trans=np.zeros((frames, 3)), mocap_framerate=np.array(60.0))
    return buffer.getvalue()


def sources(folder: Path) -> Path:
    (folder / "amass" / "S3").mkdir(parents=True)
    (folder / "amass" / "S3" / "stand.npz").write_bytes(amass_bytes(5))
    (folder / "broken.bvh").write_text("HIERARCHY nothing")
    with tarfile.open(folder / "dm.tar.xz", "w:xz") as tar:
        info = tarfile.TarInfo("dm/walk.txt")
        content = deepmimic_text(4).encode()
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    with zipfile.ZipFile(folder / "more.zip", "w") as zipped:
        zipped.writestr("x/run.json", deepmimic_text(2))
        zipped.writestr("x/photo.png", b"")
    return folder


def test_the_command_line_reads_folders_and_archives_and_says_what_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "poses.npz"
    assert main(["--source", str(sources(tmp_path / "in")), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "left out: broken.bvh" in printed.err
    assert "3 clips" in printed.out
    poses = PoseSet.load(out)
    assert poses.clip_names == ["S3/stand.npz", "dm/walk.txt", "x/run.json"]
    assert poses.subject == ["S3", "deepmimic", "deepmimic"]
    np.testing.assert_array_equal(np.bincount(poses.clip_index), [3, 4, 2])  # 5 frames at 60 fps are 3 at 30
    assert poses.theta.shape == (9, 24, 3)
    assert poses.theta.dtype == np.float32
    assert (poses.trans.shape, poses.fps) == ((9, 3), 30.0)
    assert not list(out.parent.glob("*partial*"))


@pytest.mark.parametrize("missing", ["nowhere", "empty"])
def test_no_clips_is_an_error_in_one_sentence(tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "poses.npz"
    assert main(["--source", str(tmp_path / missing), "--out", str(out)]) == EXIT_SOURCE
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not out.exists()


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar.xz").write_bytes(b"\xfd7zXZ\x00 but no more")
    with pytest.raises(UserError, match="archive"):
        list(find(tmp_path / "a.tar.xz"))


def test_a_data_set_already_made_is_left_out_and_anything_else_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "walk.txt").write_text(deepmimic_text(2))
    heard: list[object] = []
    made = build([tmp_path], rest_body(), heard.append)
    made.save(tmp_path / "poses.npz")
    again = build([tmp_path], rest_body(), heard.append)
    assert again.clip_names == made.clip_names
    assert any("already made" in str(item) for item in heard if isinstance(item, UserError))
    with pytest.raises(UserError, match="not a pose data set"):
        PoseSet.load(tmp_path / "walk.txt")


@pytest.mark.parametrize(
    ("folder", "name", "subject"),
    [
        ("x/cmu_bvh", "007_01.bvh", "cmu-07"),
        ("x/cmu_asfamc", "07_12.amc", "cmu-07"),
        ("BMLmovi/Subject_11_F_MoSh", "Subject_11_F_1_poses.npz", "Subject_11_F_MoSh"),
        ("poses", "sit01.bvh", "poses"),
    ],
)
def test_subjects_are_told_by_names_and_folders(folder: str, name: str, subject: str) -> None:
    assert subject_of(Source(folder, name, bytes)) == subject
