"""Poses of a recording by number, also of a damaged one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from biopose_client import schema
from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.sinks.frame_index import FrameIndex
from biopose_live.sinks.record import Recorder


@pytest.fixture
def recorded(tmp_path: Path, meta: schema.Meta, make_pose: Callable[..., schema.Pose]) -> tuple[Path, list[bytes]]:
    """A recording without its end, and its messages."""
    folder = tmp_path / "recording"
    recorder = Recorder(folder, meta, {})
    bodies = []
    for seq in range(12):
        pose = make_pose(seq)
        bodies.append(schema.pack(pose)[len(schema.TOPIC_POSE) :])
        recorder.write(pose, bodies[-1])
    recorder._frames.flush()
    return folder, bodies


def test_any_pose_is_read_by_its_number(recorded: tuple[Path, list[bytes]]) -> None:
    folder, bodies = recorded
    index = FrameIndex(folder)
    assert len(index) == 12
    assert index.damage is None
    assert index.read(0, 12) == bodies
    assert index.read(5, 1) == bodies[5:6]
    assert index.read(10, 100) == bodies[10:]
    assert index.read(12, 5) == []
    assert list(index.times) == sorted(set(index.times))


@pytest.mark.parametrize(
    ("tail", "said"),
    [(b"\x85", "ends inside"), (b"\xc1\xc1", "makes no sense"), (b"\x01", "makes no sense")],
)
def test_what_is_there_is_kept_and_the_damage_said(recorded: tuple[Path, list[bytes]], tail: bytes, said: str) -> None:
    folder, bodies = recorded
    with (folder / "frames.msgpack").open("ab") as stream:
        stream.write(tail)
    index = FrameIndex(folder)
    assert index.read(0, 100) == bodies
    assert index.damage is not None
    assert said in index.damage
    assert "after 12 frames" in index.damage


def test_time_that_goes_back_is_damage(recorded: tuple[Path, list[bytes]]) -> None:
    folder, bodies = recorded
    with (folder / "frames.msgpack").open("ab") as stream:
        stream.write(bodies[3])
    index = FrameIndex(folder)
    assert len(index) == 12
    assert "time goes back" in str(index.damage)


def test_what_is_no_recording_is_refused_in_a_sentence(recorded: tuple[Path, list[bytes]], tmp_path: Path) -> None:
    folder, _ = recorded
    for name, change, said in (
        ("none", lambda path: shutil.rmtree(path), "is no recording"),
        ("gone", lambda path: (path / "frames.msgpack").unlink(), "cannot be read"),
        ("empty", lambda path: (path / "frames.msgpack").write_bytes(b""), "without a single frame"),
        ("noise", lambda path: (path / "frames.msgpack").write_bytes(b"\xc1" * 50), "makes no sense after 0 frames"),
        ("meta", lambda path: (path / "meta.json").write_text("{"), "does not describe a recording"),
    ):
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        change(copy)
        with pytest.raises(UserError, match=said) as caught:
            FrameIndex(copy)
        assert caught.value.exit_code == EXIT_SOURCE
