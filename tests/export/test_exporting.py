"""A whole export: OpenSim opens its three files and they fit together; what a crash left is exported and said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import opensim
import pytest

from biopose_live.cli.main import main
from biopose_live.errors import EXIT_OK, EXIT_SINK, EXIT_SOURCE, EXIT_USAGE, UserError
from biopose_live.export.exporting import export_recording
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.mot_file import read_mot
from biopose_live.skeleton.trc_file import read_trc

from .conftest import Made

CRASHED = "session.json is missing: the run did not end in order, its last moments may be lost."


def copy_of(made: Made, folder: Path) -> Path:
    return Path(shutil.copytree(made.folder, folder))


def test_everything_by_default(whole: Made, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "recording")
    exported = export_recording(folder)
    expected = [f"person_{one}.{name}" for one in (1, 2) for name in ("mot", "trc", "osim", "c3d", "bvh")]
    assert [str(path.relative_to(folder / "export")) for path in exported.files] == expected
    assert all(path.stat().st_size > 1000 for path in exported.files)


def test_opensim_poses_the_exported_model_by_the_exported_motion_and_finds_the_exported_markers(
    whole: Made, tmp_path: Path
) -> None:
    export_recording(whole.folder, ["mot", "trc", "osim"], tmp_path)
    for person, first in ((1, 0), (2, 5)):
        model = opensim.Model(str(tmp_path / f"person_{person}.osim"))
        state = model.initSystem()
        angles = opensim.TimeSeriesTable(str(tmp_path / f"person_{person}.mot"))
        markers = opensim.TimeSeriesTableVec3(str(tmp_path / f"person_{person}.trc"))
        assert opensim.Storage(str(tmp_path / f"person_{person}.mot")).isInDegrees()
        assert angles.getNumRows() == markers.getNumRows() == 40 - first
        np.testing.assert_allclose(markers.getIndependentColumn(), whole.times[first:], atol=1e-6)
        np.testing.assert_allclose(angles.getIndependentColumn(), whole.times[first:], atol=1e-6)
        assert float(markers.getTableMetaDataAsString("DataRate")) == 30.0
        labels = angles.getColumnLabels()
        for frame in (10, 20, 30):  # settled: the model's bone lengths are those of the moment
            row = angles.getRowAtIndex(frame)
            for number, name in enumerate(labels):
                coordinate = model.getCoordinateSet().get(name)
                turns = coordinate.getMotionType() == opensim.Coordinate.Rotational
                coordinate.setValue(state, np.radians(row[number]) if turns else row[number], False)
            model.realizePosition(state)
            seen = markers.getRowAtIndex(frame)
            for number, name in enumerate(markers.getColumnLabels()):
                expected = model.getMarkerSet().get(name).getLocationInGround(state).to_numpy()
                np.testing.assert_allclose(seen[number].to_numpy(), expected, atol=2e-6)


def test_exported_points_are_the_recorded_ones(whole: Made, tmp_path: Path) -> None:
    export_recording(whole.folder, ["mot", "trc"], tmp_path)
    recorded, exported = read_trc(whole.folder / "markers.trc"), read_trc(tmp_path / "person_1.trc")
    assert exported.names == recorded.names
    np.testing.assert_allclose(exported.positions, recorded.positions, atol=2e-7)
    np.testing.assert_allclose(
        read_mot(tmp_path / "person_1.mot").values, read_mot(whole.folder / "angles.mot").values, atol=2e-8
    )


def test_uneven_times_become_even_and_gaps_stay(record: Callable[..., Made], tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    times = np.arange(90) / 30.0 + rng.uniform(-0.003, 0.003, 90)
    times -= times[0]
    made = record(tmp_path / "r", times, away={1: range(40, 60)})
    exported = export_recording(made.folder, None, tmp_path / "out")
    assert [path.name for path in exported.files] == [
        "person_1.mot", "person_1.trc", "person_1.osim", "person_1.c3d", "person_1.bvh", "person_1_part2.bvh",
    ]  # fmt: skip
    found = read_trc(tmp_path / "out" / "person_1.trc")
    assert found.rate == pytest.approx(30.0, abs=0.05)
    np.testing.assert_allclose(np.diff(found.times), 1.0 / found.rate, atol=2e-6)
    missing = np.isnan(found.positions).all(axis=(1, 2))
    assert np.isnan(found.positions).any(axis=(1, 2)).sum() == missing.sum()
    assert (found.times[missing] > made.times[39]).all()
    assert (found.times[missing] < made.times[60]).all()
    assert missing.sum() in (20, 21)
    kinematics = Kinematics(made.model)
    exact = np.array([kinematics.markers(q, s) for q, s in zip(made.q[1], made.scales, strict=True)])
    for time, row in zip(found.times[~missing], found.positions[~missing], strict=True):
        after = min(max(int(np.searchsorted(made.times, time)), 1), 89)
        low, high = exact[after - 1], exact[after]
        np.testing.assert_array_less(np.minimum(low, high) - 2e-4, row)  # between its neighbours
        np.testing.assert_array_less(row, np.maximum(low, high) + 2e-4)
    assert exported.notes[0].startswith(f"Person 1 is missing in {missing.sum()} of {len(missing)} frames")
    assert exported.notes[0].endswith("gaps of more than 0.2 s are not filled.")
    assert exported.notes[1].startswith("person_1_part2.bvh begins 2.0")


def test_another_rate(whole: Made, tmp_path: Path) -> None:
    export_recording(whole.folder, ["trc"], tmp_path, person=1, rate=60.0)
    found = read_trc(tmp_path / "person_1.trc")
    assert found.rate == 60.0
    assert len(found.times) == 79
    np.testing.assert_allclose(found.positions[1::2], 0.5 * (found.positions[:-1:2] + found.positions[2::2]), atol=3e-7)


def test_a_recording_that_a_crash_cut_short(record: Callable[..., Made], tmp_path: Path) -> None:
    made = record(tmp_path / "r", np.arange(40) / 30.0, settle=50, crash=True)  # no skeleton.osim yet
    assert not (made.folder / "skeleton.osim").exists()
    frames = made.folder / "frames.msgpack"
    frames.write_bytes(frames.read_bytes()[:-100])
    exported = export_recording(made.folder, None, tmp_path / "out")
    assert len(exported.files) == 5
    assert exported.notes[0] == CRASHED
    assert exported.notes[1].startswith("frames.msgpack ends inside a message after 39 frames")
    assert exported.notes[1].endswith(": what comes before is exported.")
    assert len(exported.notes) == 2
    assert len(read_mot(tmp_path / "out" / "person_1.mot").times) == 39
    model = opensim.Model(str(tmp_path / "out" / "person_1.osim"))
    model.initSystem()
    length = model.getJointSet().get("knee_r").get_frames(0).get_translation().get(1)
    generic = made.model.joints[[j.name for j in made.model.joints].index("knee_r")].parent_frame.position[1]
    assert length == pytest.approx(generic * made.scales[38][made.model.body_index("femur_r")][1], rel=1e-6)


def test_opensim_files_stand_in_for_frames_that_are_gone(whole: Made, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "r")
    (folder / "frames.msgpack").unlink()
    with (folder / "angles.mot").open("rb+") as file:  # as if the last row had not been written to its end
        file.truncate((folder / "angles.mot").stat().st_size - 30)
    exported = export_recording(folder, None, tmp_path / "out")
    assert [path.name for path in exported.files if path.suffix != ".bvh"] == [
        f"person_{one}.{name}" for one in (1, 2) for name in ("mot", "trc", "osim", "c3d")
    ]
    assert exported.notes[0] == "frames.msgpack is missing."
    assert any("angles.mot" in note and "line" in note for note in exported.notes)
    found, recorded = read_trc(tmp_path / "out" / "person_1.trc"), read_trc(folder / "markers.trc")
    np.testing.assert_allclose(found.positions, recorded.positions[:39], atol=2e-6)
    second = read_trc(tmp_path / "out" / "person_2.trc")
    np.testing.assert_allclose(second.positions, read_trc(folder / "markers_2.trc").positions, atol=2e-6)


def test_the_first_persons_id_is_the_first_that_is_free_when_nothing_tells_it(whole: Made, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "r")
    (folder / "frames.msgpack").write_bytes(b"")
    (folder / "session.json").unlink()
    exported = export_recording(folder, ["mot"], tmp_path / "out")
    assert [path.name for path in exported.files] == ["person_0.mot", "person_2.mot"]
    assert exported.notes[0] == CRASHED
    assert exported.notes[-1] == "Poses come from the recorded .mot files, bone lengths from the .osim files."


def test_frames_that_hold_nothing_usable_are_left_out(record: Callable[..., Made], tmp_path: Path) -> None:
    made = record(tmp_path / "r", np.array([0.0, 1.0, 1.0, 2.0, 3.0]) / 30.0)  # one time twice
    exported = export_recording(made.folder, ["mot"], tmp_path / "out")
    assert exported.notes == ["1 frames of person 1 hold no usable pose."]
    assert len(read_mot(tmp_path / "out" / "person_1.mot").times) == 4


def test_another_skeleton_is_taken_from_the_recording(whole: Made, tmp_path: Path) -> None:
    """A recording by a program whose skeleton file differs: its own scaled skeleton serves."""
    folder = copy_of(whole, tmp_path / "r")
    described = (folder / "meta.json").read_text()
    digest = described.split("bsk24.osim sha256 ")[1][:12]
    (folder / "meta.json").write_text(described.replace(digest, "0" * 12))
    export_recording(folder, None, tmp_path / "other", person=1)
    export_recording(whole.folder, None, tmp_path / "same", person=1)
    one, two = (read_trc(tmp_path / name / "person_1.trc") for name in ("other", "same"))
    np.testing.assert_allclose(one.positions, two.positions, atol=1e-6)
    texts = [(tmp_path / name / "person_1.bvh").read_text().split("MOTION")[1] for name in ("other", "same")]
    values = [np.array(text.split()[5:], float) for text in texts]
    np.testing.assert_allclose(values[0], values[1], atol=1e-3)
    (folder / "skeleton.osim").unlink()
    with pytest.raises(UserError, match="lacks the skeleton of person 1"):
        export_recording(folder, None, tmp_path / "none", person=1)


@pytest.mark.parametrize("name", ["frames.msgpack", "meta.json", "session.json"])
def test_any_damage_is_a_note_or_one_sentence(name: str, whole: Made, tmp_path: Path) -> None:
    content = (whole.folder / name).read_bytes()
    rng = np.random.default_rng(0)
    for number in range(12):
        folder = copy_of(whole, tmp_path / f"r{number}")
        spoiled = bytearray(content[: int(rng.integers(0, len(content)))])
        for at in rng.integers(0, max(len(spoiled), 1), 3):
            spoiled[at : at + 1] = bytes([int(rng.integers(0, 256))])
        (folder / name).write_bytes(spoiled)
        try:
            exported = export_recording(folder, ["mot", "trc"], tmp_path / f"out{number}")
        except UserError as error:
            sentence = str(error)
        else:
            sentence = " ".join(exported.notes)
            assert exported.files
        assert "\n" not in sentence


def test_nobody_is_one_sentence(record: Callable[..., Made], tmp_path: Path) -> None:
    made = record(tmp_path / "r", np.arange(5) / 30.0, ids=())
    with pytest.raises(UserError, match="holds nobody") as caught:
        export_recording(made.folder)
    assert caught.value.exit_code == EXIT_SOURCE


def run(*arguments: object) -> int:
    return main(["export", *map(str, arguments)])


def test_the_command(whole: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(whole.folder, "--format", "MOT", "bvh", "mot", "--out", tmp_path / "out", "--person", 2) == EXIT_OK
    printed = capsys.readouterr()
    assert printed.out.split() == [str(tmp_path / "out" / f"person_2.{name}") for name in ("mot", "bvh")]
    assert printed.err == "person_2.bvh begins 0.167 s after the recording.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ((), EXIT_USAGE, "The following arguments are required: RECORDING_DIR"),
        (("--wrong",), EXIT_USAGE, "arguments"),
        (("{here}", "--format", "fbx"), EXIT_USAGE, "'fbx' is no format: use some of mot, trc, osim, c3d, bvh."),
        (("{here}", "--format"), EXIT_USAGE, "expected at least one argument"),
        (("{here}", "--person", "9"), EXIT_USAGE, "it holds 1, 2."),
        (("{here}", "--rate", "nan"), EXIT_USAGE, "--rate is nan Hz"),
        (("{here}/none",), EXIT_SOURCE, "is no recording"),
        (("{here}", "--out", "{here}/meta.json"), EXIT_SINK, "cannot be made"),
        (("{here}", "--out", "{out}"), EXIT_SINK, "person_1.mot exists and nothing is overwritten"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
    whole: Made,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "person_1.mot").touch()
    assert run(*(text.format(here=whole.folder, out=tmp_path) for text in arguments)) == code
    message = capsys.readouterr().err
    assert sentence in message
    assert message.count("\n") == 1
