"""Motion files: what OpenSim reads is read alike, each fault is one sentence, and fuzz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import opensim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.skeleton.mot_file import parse_mot, read_mot
from biopose_live.skeleton.opensim_formats import MotionWriter

TEXT = (
    "Coordinates\nversion=1\nnRows=2\nnColumns=3\ninDegrees=yes\n\nUnits are S.I. units (second, meters, ...)\n"
    "endheader\ntime\tknee_angle_r\tpelvis_tx\n0.00\t10.5\t-1e-1\n0.02\t11\t0.2\n"
)


def test_values_and_units() -> None:
    found = parse_mot(TEXT, "a.mot")
    assert found.names == ("knee_angle_r", "pelvis_tx")
    assert found.in_degrees
    assert found.damage is None
    np.testing.assert_allclose(found.times, [0.0, 0.02])
    np.testing.assert_allclose(found.values, [[10.5, -0.1], [11.0, 0.2]])


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\t", "   "),
        TEXT.replace("inDegrees=yes", "inDegrees=no"),
        TEXT.replace("version=1\n", "version=3\nDataType=double\nOpenSimVersion=4.6\n"),
        TEXT.replace("endheader", "endheader\n"),
    ],
)
def test_valid_files_are_read_as_opensim_reads_them(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mot"
    path.write_bytes(text.encode())
    found = read_mot(path)
    storage = opensim.Storage(str(path))
    assert found.in_degrees == storage.isInDegrees()
    assert list(found.names) == [storage.getColumnLabels().get(i) for i in range(1, storage.getColumnLabels().size())]
    for number, (time, row) in enumerate(zip(found.times, found.values, strict=True)):
        vector = storage.getStateVector(number)
        assert vector.getTime() == pytest.approx(time)
        np.testing.assert_allclose(row, [vector.getData().get(i) for i in range(len(row))], rtol=1e-12)


def test_a_missing_value_is_missing(tmp_path: Path) -> None:
    """OpenSim's TimeSeriesTable agrees; its Storage reads zeros from there on."""
    (tmp_path / "a.mot").write_text(TEXT.replace("10.5", "nan"))
    found = read_mot(tmp_path / "a.mot")
    table = opensim.TimeSeriesTable(str(tmp_path / "a.mot"))
    row = table.getRowAtIndex(0)
    np.testing.assert_equal(found.values[0], [row[0], row[1]])
    assert np.isnan(found.values[0, 0])


def test_simms_header_is_read() -> None:
    old = "name trial\ndatacolumns 3\ndatarows 2\notherdata 1\nrange 0 1\nendheader\n" + TEXT.split("endheader\n")[1]
    found = parse_mot(old, "a.mot")
    assert not found.in_degrees
    np.testing.assert_allclose(found.values, [[10.5, -0.1], [11.0, 0.2]])


def test_coordinates_come_back_as_they_were_written(bsk24: SkeletonModel, tmp_path: Path) -> None:
    angles = np.random.default_rng(0).uniform(-3.0, 3.0, (5, len(bsk24.coordinates)))
    with MotionWriter.for_model(tmp_path / "a.mot", bsk24) as writer:
        for number, q in enumerate(angles):
            writer.append(number / 30.0, q)
    np.testing.assert_allclose(read_mot(tmp_path / "a.mot").coordinates(bsk24), angles, atol=1e-9)


def test_coordinates_without_a_column_have_their_default(bsk24: SkeletonModel) -> None:
    states = TEXT.replace("knee_angle_r", "/jointset/knee_r/knee_angle_r/value")
    q = parse_mot(states, "a.mot").coordinates(bsk24)
    assert q[0, bsk24.coordinate_index("knee_angle_r")] == pytest.approx(np.radians(10.5))
    assert q[1, bsk24.coordinate_index("pelvis_tx")] == pytest.approx(0.2)
    assert q[1, bsk24.coordinate_index("pelvis_ty")] == bsk24.default_pose()[bsk24.coordinate_index("pelvis_ty")]
    with pytest.raises(UserError, match="another skeleton"):
        parse_mot(TEXT.replace("knee_angle_r", "a").replace("pelvis_tx", "b"), "a.mot").coordinates(bsk24)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda t: "", "line 1 is reached without endheader"),
        (lambda t: t.replace("endheader", "end"), "without endheader"),
        (lambda t: t.replace("inDegrees=yes", "inDegrees=maybe"), 'line 5 gives inDegrees as "maybe"'),
        (lambda t: t.replace("nRows=2", "nRows=many"), 'line 3 gives nRows as "many"'),
        (lambda t: t.replace("nRows=2", "nRows=1000000000000"), "line 3 gives nRows"),
        (lambda t: t.replace("nRows=2", "nRows=3"), "announces 3 rows and holds 2"),
        (lambda t: t.replace("nColumns=3", "nColumns=4"), "line 9 holds 3 column names, but the header announces 4"),
        (lambda t: t.replace("time\tknee", "t\tknee"), 'line 9 begins with "t", expected time'),
        (lambda t: t.replace("pelvis_tx", "knee_angle_r"), 'line 9 names the column "knee_angle_r" 2 times'),
        (lambda t: t[: t.index("time")], "line 8 is the last one, expected the column names"),
        (lambda t: t.replace("11\t0.2", "11"), "line 11 holds 2 cells, expected 3"),
        (lambda t: t.replace("11\t", "eleven\t"), r'line 11 holds "eleven" in column 2 \(knee_angle_r\)'),
        (lambda t: t.replace("11\t", "-inf\t"), 'line 11 holds "-inf"'),
        (lambda t: t.replace("0.02\t", "nan\t"), "line 11 has no time"),
        (lambda t: t.replace("0.02\t", "0.00\t"), "line 11 has the time 0 s, which does not follow 0 s"),
        (lambda t: t.replace("11", "\0"), "no text file"),
    ],
)
def test_a_fault_is_one_sentence(spoil, sentence: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.mot"
    path.write_text(spoil(TEXT))
    with pytest.raises(UserError, match=sentence) as caught:
        read_mot(path)
    assert caught.value.exit_code == EXIT_SOURCE
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_file_that_was_cut_short_gives_its_whole_rows_when_asked() -> None:
    cut = parse_mot(TEXT[: TEXT.index("\t0.2")], "a.mot", whole=False)
    assert len(cut.times) == 1
    assert cut.damage is not None
    assert "line 11" in cut.damage
    assert parse_mot(TEXT.replace("nRows=2", "nRows=7"), "a.mot", whole=False).damage == (
        "a.mot announces 7 rows and holds 2"
    )


PIECES = st.one_of(
    st.text(max_size=8), st.sampled_from(["\t", "\n", "\r", "NaN", "1e999", "nRows=9", "endheader", "time", "\x00"])
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 40), PIECES), min_size=1, max_size=4), st.booleans()
)
def test_a_mutated_file_is_read_or_refused(changes: list[tuple[int, int, str]], whole: bool) -> None:
    text = TEXT
    for at, cut, piece in changes:
        text = text[:at] + piece + text[at + cut :]
    try:
        found = parse_mot(text, "fuzz.mot", whole)
    except UserError:
        return
    assert found.values.shape == (len(found.times), len(found.names))
    assert np.all(np.diff(found.times) > 0)
    assert not np.isinf(found.values).any()
