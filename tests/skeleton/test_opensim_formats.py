"""Motion and trajectory files, read back by OpenSim: whole, unfinished and interrupted."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import opensim
import pytest

from biopose_live.errors import EXIT_SINK, UserError
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.skeleton.mot_file import read_mot
from biopose_live.skeleton.opensim_formats import MotionWriter, TrajectoryWriter
from biopose_live.skeleton.osim_file import read_osim

ROWS = 5


def _angles(model: SkeletonModel) -> np.ndarray:
    return np.random.default_rng(0).uniform(-3.0, 3.0, (ROWS, len(model.coordinates)))


def _check_motion(path: Path, model: SkeletonModel, angles: np.ndarray) -> None:
    table = opensim.TimeSeriesTable(str(path))
    assert table.getNumRows() == len(angles)
    assert list(table.getColumnLabels()) == model.coordinate_names
    storage = opensim.Storage(str(path))
    assert storage.getSize() == len(angles)
    assert storage.isInDegrees()
    times = table.getIndependentColumn()
    factors = np.array([np.degrees(1.0) if c.rotational else 1.0 for c in model.coordinates])
    for number, expected in enumerate(angles):
        assert times[number] == pytest.approx(number / 30.0, abs=1e-6)
        row = table.getRowAtIndex(number)
        read = [row[i] for i in range(len(expected))]
        np.testing.assert_allclose(read, expected * factors, atol=1e-7)
        data = storage.getStateVector(number).getData()
        np.testing.assert_allclose([data.get(i) for i in range(data.size())], expected * factors, atol=1e-7)


def test_motion_file_opens_in_opensim(bsk24: SkeletonModel, tmp_path: Path) -> None:
    angles = _angles(bsk24)
    with MotionWriter.for_model(tmp_path / "a.mot", bsk24) as writer:
        for number, q in enumerate(angles):
            writer.append(number / 30.0, q)
    _check_motion(tmp_path / "a.mot", bsk24, angles)


def test_motion_file_is_read_by_table_processor(bsk24: SkeletonModel, bsk24_file: Path, tmp_path: Path) -> None:
    with MotionWriter.for_model(tmp_path / "a.mot", bsk24) as writer:
        for number, q in enumerate(_angles(bsk24)):
            writer.append(number / 30.0, q)
    model = opensim.Model(str(bsk24_file))
    model.initSystem()
    radians = opensim.TableProcessor(str(tmp_path / "a.mot")).processAndConvertToRadians(model)
    row = radians.getRowAtIndex(ROWS - 1)
    np.testing.assert_allclose([row[i] for i in range(49)], _angles(bsk24)[-1], atol=1e-8)


def test_motion_file_is_whole_while_it_grows(bsk24: SkeletonModel, tmp_path: Path) -> None:
    """What a reader finds when the writer was killed after any row."""
    writer = MotionWriter.for_model(tmp_path / "a.mot", bsk24)
    angles = _angles(bsk24)
    for number, q in enumerate(angles):
        writer.append(number / 30.0, q)
        copy = tmp_path / f"killed{number}.mot"
        copy.write_bytes((tmp_path / "a.mot").read_bytes())
        _check_motion(copy, bsk24, angles[: number + 1])
    writer.close()


@pytest.mark.parametrize("units", ["m", "mm"])
def test_trajectory_file_opens_in_opensim(units: str, bsk24: SkeletonModel, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frames = rng.uniform(-2.0, 2.0, (ROWS, len(bsk24.markers), 3))
    frames[2, 7] = np.nan
    frames[0, 0, 1] = np.nan
    path = tmp_path / "a.trc"
    factor = 1.0 if units == "m" else 1000.0
    with TrajectoryWriter(path, bsk24.marker_names, 30.0, units) as writer:
        for number, frame in enumerate(frames):
            writer.append(number / 30.0, frame)
            table = opensim.TimeSeriesTableVec3(str(path))  # readable after every row
            assert table.getNumRows() == number + 1
    assert list(table.getColumnLabels()) == bsk24.marker_names
    assert table.getTableMetaDataString("Units") == units
    for number, frame in enumerate(frames):
        row = table.getRowAtIndex(number)
        read = np.array([[row[m].get(i) for i in range(3)] for m in range(len(bsk24.markers))])
        seen = np.isfinite(frame).all(axis=1)
        np.testing.assert_allclose(read[seen], frame[seen] * factor, atol=1e-3 * factor / 1000.0)
        assert np.isnan(read[~seen]).all()
    data = opensim.MarkerData(str(path))
    assert data.getNumFrames() == ROWS
    assert data.getNumMarkers() == len(bsk24.markers)
    assert data.getUnits().getAbbreviation() == units


def test_a_full_disk_keeps_the_rows_before_it(
    bsk24: SkeletonModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mot"
    writer = MotionWriter.for_model(path, bsk24)
    angles = _angles(bsk24)
    writer.append(0.0, angles[0])
    real = os.write
    calls = 0

    def full(file: int, data: bytes | memoryview) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            return real(file, bytes(data)[:40])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UserError, match="No space left on device; its first 1 rows are kept") as caught:
        writer.append(1 / 30.0, angles[1])
    assert caught.value.exit_code == EXIT_SINK
    monkeypatch.setattr(os, "write", real)
    _check_motion(path, bsk24, angles[:1])
    writer.append(1 / 30.0, angles[1])  # space again
    writer.close()
    _check_motion(path, bsk24, angles[:2])


def test_a_file_that_cannot_be_created_is_one_sentence(bsk24: SkeletonModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Cannot write .*No such file"):
        MotionWriter.for_model(tmp_path / "missing" / "a.mot", bsk24)


def test_rows_that_would_spoil_the_file_are_refused(tmp_path: Path) -> None:
    with MotionWriter(tmp_path / "a.mot", ["a", "b"], [True, False]) as writer:
        writer.append(0.5, np.array([1.0, 2.0]))
        with pytest.raises(ValueError, match="times must rise"):
            writer.append(0.5, np.array([1.0, 2.0]))
        with pytest.raises(ValueError, match="finite numbers"):
            writer.append(0.6, np.array([np.nan, 2.0]))
        with pytest.raises(ValueError, match="finite numbers"):
            writer.append(0.6, np.zeros(3))
    with pytest.raises(ValueError, match="is closed"):
        writer.append(0.7, np.zeros(2))
    writer.close()
    assert opensim.TimeSeriesTable(str(tmp_path / "a.mot")).getNumRows() == 1


@pytest.mark.parametrize("names", [[], ["a", "a"], ["a b"], ["a\tb"], [""], ["{count}"]])
def test_names_that_would_break_the_header_are_refused(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name"):
        MotionWriter(tmp_path / "a.mot", names, [True] * len(names))
    with pytest.raises(ValueError, match="name"):
        TrajectoryWriter(tmp_path / "a.trc", names, 30.0)


def test_coordinates_that_opensim_never_converts_are_written_as_they_are(bsk24_file: Path, tmp_path: Path) -> None:
    """A coordinate that drives motions through other functions than lines of slope one stays in radians for OpenSim."""
    lines = bsk24_file.read_text().splitlines()
    knee = next(i for i, line in enumerate(lines) if "<coordinates>knee_angle_r</coordinates>" in line)
    lines[knee + 2] = lines[knee + 2].replace("1 0", "2 0")
    path = tmp_path / "geared.osim"
    path.write_text("\n".join(lines))
    geared = read_osim(path)
    angles = _angles(geared)
    with MotionWriter.for_model(tmp_path / "a.mot", geared) as writer:
        for number, q in enumerate(angles):
            writer.append(number / 30.0, q)
    model = opensim.Model(str(path))
    model.initSystem()
    table = opensim.TableProcessor(str(tmp_path / "a.mot")).processAndConvertToRadians(model)
    row = table.getRowAtIndex(1)
    np.testing.assert_allclose([row[i] for i in range(49)], angles[1], atol=1e-8)
    np.testing.assert_allclose(read_mot(tmp_path / "a.mot").coordinates(geared)[1], angles[1], atol=1e-8)
    assert [c.name for c in geared.coordinates if c.coupled] == ["knee_angle_r"]
