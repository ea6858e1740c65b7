import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import msgpack
import numpy as np
import pytest

from biopose_client import schema
from biopose_live.errors import EXIT_SINK, EXIT_SOURCE, UserError
from biopose_live.pipeline.control import settings_to_map
from biopose_live.settings import Settings
from biopose_live.sinks import frames_file, record
from biopose_live.sinks.frames_file import FramesFile
from biopose_live.sinks.record import Recorder
from biopose_live.sinks.recording import Recording, whole_messages
from biopose_live.skeleton.bsk24 import load_bsk24
from biopose_live.skeleton.kinematics import Kinematics

SETTINGS = settings_to_map(Settings(demo=True, record=Path("somewhere")))


def body_of(pose: schema.Pose) -> bytes:
    return schema.pack(pose)[len(schema.TOPIC_POSE) :]


def feed(recorder: Recorder, poses: list[schema.Pose]) -> None:
    for pose in poses:
        recorder.write(pose, body_of(pose))
        recorder.idle()


def messages_in(folder: Path) -> list[dict]:
    """By the msgpack package, as an independent reader does it."""
    with (folder / "frames.msgpack").open("rb") as stream:
        return list(msgpack.Unpacker(stream, raw=False))


def as_map(pose: schema.Pose) -> dict:
    return msgpack.unpackb(body_of(pose), raw=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new" / "recording"


def test_a_recording_is_what_the_format_says(folder, meta, make_pose, summary):
    poses = [make_pose(seq, settled=seq > 5) for seq in range(20)]
    recorder = Recorder(folder, meta, SETTINGS)
    feed(recorder, poses)
    recorder.close(summary)
    assert sorted(path.name for path in folder.iterdir()) == [
        "angles.mot", "frames.msgpack", "markers.trc", "meta.json", "session.json", "skeleton.osim",
    ]  # fmt: skip
    described = json.loads((folder / "meta.json").read_text())
    assert described["joint_names"] == meta.joint_names
    assert described["coordinate_names"] == meta.coordinate_names
    assert described["settings"]["demo"] is True
    assert described["settings"]["record"] == "somewhere"
    assert messages_in(folder) == [as_map(pose) for pose in poses]
    session = json.loads((folder / "session.json").read_text())
    assert (session["captured"], session["processed"], session["dropped"], session["fps"]) == (12, 10, 2, 10.0)
    assert session["stages"]["detection"]["ms"]["p95"] == 2.0
    assert session["frames"] == 20
    assert session["problems"] == []
    assert session["people"] == [
        {"id": 1, "angles": "angles.mot", "markers": "markers.trc", "skeleton": "skeleton.osim", "rows": 20,
         "skipped": 0}
    ]  # fmt: skip


def test_the_reader_gives_the_same_messages_any_number_of_times(folder, meta, make_pose, summary):
    poses = [make_pose(seq, ids=()) for seq in range(5)]
    recorder = Recorder(folder, meta, SETTINGS)
    feed(recorder, poses)
    recorder.close(summary)
    recording = Recording(folder)
    assert recording.meta == meta
    assert recording.settings == SETTINGS
    assert list(recording) == poses == list(recording)
    assert recording.damage is None


def test_opensim_reads_angles_markers_and_model(folder, meta, make_pose, summary):
    opensim = pytest.importorskip("opensim")
    opensim.Logger.removeFileSink()
    poses = [make_pose(seq, rate=25.0) for seq in range(30)]
    recorder = Recorder(folder, meta, SETTINGS)
    feed(recorder, poses)
    recorder.close(summary)

    model = opensim.Model(str(folder / "skeleton.osim"))
    state = model.initSystem()
    angles = opensim.TimeSeriesTable(str(folder / "angles.mot"))
    assert angles.getNumRows() == 30
    markers = opensim.TimeSeriesTableVec3(str(folder / "markers.trc"))
    assert markers.getNumRows() == 30
    assert float(markers.getTableMetaDataAsString("DataRate")) == pytest.approx(25.0)
    assert angles.getIndependentColumn()[10] == pytest.approx(10 / 25.0, abs=1e-6)
    # Row 20, posed by OpenSim in its own model, puts the markers where the .trc has them.
    labels, row = angles.getColumnLabels(), angles.getRowAtIndex(20)
    for i, name in enumerate(labels):
        coordinate = model.getCoordinateSet().get(name)
        rotational = coordinate.getMotionType() == opensim.Coordinate.Rotational
        coordinate.setValue(state, np.radians(row[i]) if rotational else row[i], False)
    model.realizePosition(state)
    seen = markers.getRowAtIndex(20)
    for i, name in enumerate(markers.getColumnLabels()):
        expected = model.getMarkerSet().get(name).getLocationInGround(state).to_numpy()
        np.testing.assert_allclose(seen[i].to_numpy(), expected, atol=2e-6)
    knee = angles.getDependentColumn("knee_angle_r")
    assert knee[20] == pytest.approx(20.0, abs=1e-6)


def test_each_person_has_a_set_of_its_own(folder, meta, make_pose, summary):
    recorder = Recorder(folder, meta, SETTINGS)
    feed(recorder, [make_pose(seq, ids=(1, 2) if seq >= 5 else (1,)) for seq in range(20)])
    recorder.close(summary)
    for name in ("angles.mot", "angles_2.mot", "markers.trc", "markers_2.trc", "skeleton.osim", "skeleton_2.osim"):
        assert (folder / name).is_file(), name
    people = json.loads((folder / "session.json").read_text())["people"]
    assert [(p["id"], p["angles"], p["rows"]) for p in people] == [(1, "angles.mot", 20), (2, "angles_2.mot", 15)]
    first_row = (folder / "angles_2.mot").read_text().split("endheader\n")[1].splitlines()[1]
    assert float(first_row.split()[0]) == pytest.approx(5 / 30, abs=1e-6)  # one zero of time for everybody


def test_nobody_in_the_picture_leaves_frames_alone(folder, meta, make_pose, summary):
    recorder = Recorder(folder, meta, SETTINGS)
    feed(recorder, [make_pose(seq, ids=()) for seq in range(4)])
    recorder.close(summary)
    assert sorted(p.name for p in folder.iterdir()) == ["frames.msgpack", "meta.json", "session.json"]
    assert [m["people"] for m in messages_in(folder)] == [[]] * 4


def test_no_frame_at_all(folder, meta, summary):
    Recorder(folder, meta, SETTINGS).close(summary)
    assert list(Recording(folder)) == []


def test_one_frame_still_gives_every_file(folder, meta, make_pose, summary):
    recorder = Recorder(folder, meta, SETTINGS)
    feed(recorder, [make_pose(0)])
    recorder.close(summary)
    assert "nRows=0000000001" in (folder / "angles.mot").read_text()
    assert (folder / "skeleton.osim").is_file()


def test_many_people_one_after_the_other_hold_few_files_open(folder, meta, make_pose, summary, monkeypatch):
    monkeypatch.setattr(record, "OPEN_SETS", 2)
    recorder = Recorder(folder, meta, SETTINGS)
    feed(recorder, [make_pose(seq, ids=(1 + seq // 3,)) for seq in range(15)])
    assert len(recorder._people) == 2
    feed(recorder, [make_pose(15, ids=(2,))])  # one that was closed comes back
    recorder.close(summary)
    people = json.loads((folder / "session.json").read_text())["people"]
    assert sorted(p["angles"] for p in people) == [
        "angles.mot", "angles_2.mot", "angles_2_part2.mot", "angles_3.mot", "angles_4.mot", "angles_5.mot",
    ]  # fmt: skip
    assert sum(p["rows"] for p in people) == 16


def test_values_that_no_motion_file_may_hold_are_left_out_and_counted(folder, meta, make_pose, summary):
    poses = [make_pose(seq) for seq in range(12)]
    poses[3].people[0].q[0] = float("nan")
    poses[7].t_capture = poses[6].t_capture
    recorder = Recorder(folder, meta, SETTINGS)
    feed(recorder, poses)
    recorder.close(summary)
    (person,) = json.loads((folder / "session.json").read_text())["people"]
    assert (person["rows"], person["skipped"]) == (10, 2)
    assert len(messages_in(folder)) == 12


def test_what_was_recorded_a_second_ago_is_on_disk_before_close(folder, meta, make_pose, monkeypatch):
    now = [0]
    monkeypatch.setattr(record.time, "monotonic_ns", lambda: now[0])
    recorder = Recorder(folder, meta, SETTINGS)
    for seq in range(60):
        now[0] += 33_333_333
        feed(recorder, [make_pose(seq)])
        on_disk = len(messages_in(folder))
        assert seq + 1 - on_disk <= 30
    now[0] += 1_000_000_000
    recorder.idle()
    assert len(messages_in(folder)) == 60
    assert (folder / "angles.mot").read_text().count("\n") == 7 + 60


def test_a_killed_process_leaves_a_readable_recording(folder, meta, make_pose, tmp_path):
    """A real SIGKILL in the middle of recording, no close."""
    pose = tmp_path / "pose.msgpack"
    pose.write_bytes(schema.pack(make_pose(0)))
    described = tmp_path / "meta.msgpack"
    described.write_bytes(schema.pack(meta))
    program = f"""
import os, signal, time
from pathlib import Path
from biopose_client import schema
from biopose_live.sinks.record import Recorder
pose = schema.unpack(Path({str(pose)!r}).read_bytes())
recorder = Recorder(Path({str(folder)!r}), schema.unpack(Path({str(described)!r}).read_bytes()), {{}})
for seq in range(400):
    pose.seq = seq
    pose.t_capture += 10_000_000
    recorder.write(pose, schema.pack(pose)[5:])
    if seq == 300:
        recorder._frames.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=120, env=environment())
    assert done.returncode == -9
    assert len(messages_in(folder)) >= 301
    recording = Recording(folder)
    assert [p.seq for p in recording] == list(range(len(messages_in(folder))))
    rows = (folder / "angles.mot").read_text().split("endheader\n")[1].splitlines()
    assert len(rows) == 1 + 400
    assert "nRows=0000000400" in (folder / "angles.mot").read_text()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("cut", [1, 100, 2000])
def test_a_cut_off_last_message_is_left_out(folder, meta, make_pose, summary, cut):
    recorder = Recorder(folder, meta, SETTINGS)
    poses = [make_pose(seq) for seq in range(5)]
    feed(recorder, poses)
    recorder.close(summary)
    path = folder / "frames.msgpack"
    os.truncate(path, path.stat().st_size - cut)
    recording = Recording(folder)
    assert list(recording) == poses[:4]
    assert recording.damage is not None
    assert "after 4 frames" in recording.damage
    assert len(messages_in(folder)) == 4


def test_bytes_that_make_no_sense_end_the_reading_where_they_begin(folder, meta, make_pose, summary):
    recorder = Recorder(folder, meta, SETTINGS)
    feed(recorder, [make_pose(seq) for seq in range(3)])
    recorder.close(summary)
    with (folder / "frames.msgpack").open("ab") as stream:
        stream.write(b"\xc1" + body_of(make_pose(3)))
    recording = Recording(folder)
    assert [p.seq for p in recording] == [0, 1, 2]
    assert recording.damage is not None
    assert "0xc1" in recording.damage


def test_a_folder_that_holds_anything_is_refused_and_left_alone(folder, meta):
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty") as caught:
        Recorder(folder, meta, SETTINGS)
    assert caught.value.exit_code == EXIT_SINK
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]


def test_another_sessions_recording_is_refused(folder, meta, make_pose, summary):
    recorder = Recorder(folder, meta, SETTINGS)
    feed(recorder, [make_pose(0)])
    recorder.close(summary)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    other = schema.unpack(schema.pack(meta))
    other.session = "another"
    with pytest.raises(UserError, match="is not empty"):
        Recorder(folder, other, SETTINGS)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_restarted_process_continues_its_sessions_recording(folder, meta, make_pose, summary):
    first = Recorder(folder, meta, SETTINGS)
    feed(first, [make_pose(seq) for seq in range(12)])
    first._frames.flush()  # and then the process dies in the middle of a message
    with (folder / "frames.msgpack").open("ab") as stream:
        stream.write(body_of(make_pose(12))[:500])
    angles = (folder / "angles.mot").read_bytes()
    second = Recorder(folder, meta, SETTINGS)
    feed(second, [make_pose(seq) for seq in range(20, 32)])
    second.close(summary)
    assert [m["seq"] for m in messages_in(folder)] == [*range(12), *range(20, 32)]
    assert (folder / "angles.mot").read_bytes() == angles
    first_row = (folder / "angles_part2.mot").read_text().split("endheader\n")[1].splitlines()[1]
    assert float(first_row.split()[0]) == pytest.approx(20 / 30, abs=1e-6)  # still counted from the first frame of all
    assert json.loads((folder / "session.json").read_text())["frames"] == 24


def test_a_path_that_is_a_file_is_one_sentence(tmp_path, meta):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(UserError, match="cannot be made") as caught:
        Recorder(path, meta, SETTINGS)
    assert caught.value.exit_code == EXIT_SINK


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_sentence(tmp_path, meta):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied"):
        Recorder(tmp_path / "x", meta, SETTINGS)


class FullDisk:
    """Stands for os.write on a disk with so many bytes free: it takes what fits, then ENOSPC."""

    def __init__(self, free: int, code: int = errno.ENOSPC) -> None:
        self.free = free
        self.code = code
        self.write = os.write

    def __call__(self, file: int, data: bytes) -> int:
        if self.free <= 0:
            raise OSError(self.code, os.strerror(self.code))
        part = memoryview(data)[: self.free]
        self.free -= len(part)
        return self.write(file, part)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("free", [0, 1, 100, 9_000, 40_000])
def test_a_full_disk_ends_the_recording_and_keeps_what_there_is(
    folder, meta, make_pose, summary, monkeypatch, free, code, caplog
):
    recorder = Recorder(folder, meta, SETTINGS)
    poses = [make_pose(seq) for seq in range(40)]
    feed(recorder, poses[:2])
    recorder._frames.flush()
    monkeypatch.setattr(os, "write", FullDisk(free, code))
    for pose in poses[2:]:
        recorder.write(pose, body_of(pose))
    recorder._frames._next_flush = 0
    recorder.idle()
    for pose in poses:  # the run goes on
        recorder.write(pose, body_of(pose))
    monkeypatch.undo()
    recorder.close(summary)
    assert recorder.problem is not None
    assert os.strerror(code) in recorder.problem
    assert "\n" not in recorder.problem
    assert [r.getMessage() for r in caplog.records].count(recorder.problem) == 1
    kept = messages_in(folder)
    assert kept == [as_map(pose) for pose in poses[: len(kept)]]
    assert len(kept) >= 2
    recording = Recording(folder)
    assert len(list(recording)) == len(kept)
    assert recording.damage is None
    session = json.loads((folder / "session.json").read_text())
    assert session["frames"] == len(kept)
    assert session["problems"] == [recorder.problem]


def test_a_real_full_file_system(meta, make_pose, summary, tmp_path):
    """A tmpfs of 300 kB, where mounting is allowed."""
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(mount)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        recorder = Recorder(mount / "recording", meta, SETTINGS)
        poses = [make_pose(seq) for seq in range(200)]
        for pose in poses:
            recorder.write(pose, body_of(pose))
            recorder._frames._next_flush = 0
            recorder.idle()
            if recorder.problem:
                break
        recorder.close(summary)
        assert recorder.problem is not None
        assert "No space left" in recorder.problem
        kept = messages_in(mount / "recording")
        assert 5 < len(kept) < 200
        assert kept == [as_map(pose) for pose in poses[: len(kept)]]
        rows = (mount / "recording" / "angles.mot").read_text().split("endheader\n")[1].splitlines()[1:]
        assert all(len(row.split("\t")) == 1 + len(meta.coordinate_names) for row in rows)
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_a_disk_that_is_full_from_the_start_is_one_sentence(folder, meta, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="No space left"):
        Recorder(folder, meta, SETTINGS)


def test_frames_file_counts_what_is_on_disk(tmp_path):
    path = tmp_path / "frames"
    file = FramesFile(path)
    for value in range(10):
        file.append(msgpack.packb(value))
    file.flush()
    file.close()
    assert file.messages == 10
    assert whole_messages(path) == (10, 10)
    assert path.stat().st_size == 10


def test_a_large_batch_is_written_without_waiting_for_the_clock(tmp_path):
    file = FramesFile(tmp_path / "frames")
    file.append(msgpack.packb(b"x" * frames_file.FLUSH_BYTES))
    assert (tmp_path / "frames").stat().st_size > frames_file.FLUSH_BYTES
    file.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"", "does not describe"),
        (b"[]", "does not describe"),
        (b'{"session": 1}', "does not describe"),
        (b'{"settings": {}, "session": "\xff"}', "does not describe"),
        (b"[" * 100_000, "does not describe"),
    ],
)
def test_a_folder_that_is_no_recording_is_one_sentence(tmp_path, content, words):
    if content is not None:
        (tmp_path / "meta.json").write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        Recording(tmp_path)
    assert caught.value.exit_code == EXIT_SOURCE


def test_a_recording_of_another_major_version_is_refused(folder, meta, summary):
    Recorder(folder, meta, SETTINGS).close(summary)
    content = json.loads((folder / "meta.json").read_text())
    content["v"] = "2.0"
    (folder / "meta.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"schema 2\.0"):
        Recording(folder)


def test_markers_are_the_skeletons_own(folder, meta, make_pose, summary):
    recorder = Recorder(folder, meta, SETTINGS)
    pose = make_pose(4)
    feed(recorder, [pose])
    recorder.close(summary)
    line = (folder / "markers.trc").read_text().splitlines()[-1]
    cells = np.array(line.split("\t")[2:], float).reshape(-1, 3)
    expected = Kinematics(load_bsk24()).markers(np.array(pose.people[0].q), np.array(pose.people[0].scales))
    np.testing.assert_allclose(cells, expected, atol=1e-6)
