"""Marker trajectories: what OpenSim reads is read alike, what it does not forgive is told in one sentence, and fuzz."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import opensim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.skeleton.opensim_formats import TrajectoryWriter
from biopose_live.skeleton.trc_file import Trajectories, parse_trc, read_trc

KEYS = "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames"
TEXT = (
    "PathFileType\t4\t(X/Y/Z)\ta.trc\n" + KEYS + "\n"
    "60.00\t60.00\t2\t2\tmm\t60.00\t1\t2\n"
    "Frame#\tTime\tR.ASIS\t\t\tL.ASIS\t\t\n"
    "\t\tX1\tY1\tZ1\tX2\tY2\tZ2\n"
    "\n"
    "1\t0.000\t100\t-2.5e2\t3\t4\t5\t6\n"
    "2\t0.017\t7\t8\t9\tNaN\tnan\tNaN\n"
)
EXPECTED = np.array([[[100, -250, 3], [4, 5, 6]], [[7, 8, 9], [np.nan] * 3]]) / 1000.0


def by_opensim(path: Path) -> Trajectories:
    """What OpenSim finds in the file, positions in m."""
    table = opensim.TimeSeriesTableVec3(str(path))
    units = table.getTableMetaDataString("Units")
    rows = [table.getRowAtIndex(i) for i in range(table.getNumRows())]
    points = np.array([[row[j].to_numpy() for j in range(table.getNumColumns())] for row in rows])
    return Trajectories(
        tuple(table.getColumnLabels()),
        np.array(table.getIndependentColumn()),
        points * opensim.Units(units).convertTo(opensim.Units.Meters),
        float(table.getTableMetaDataAsString("DataRate")),
        units,
    )


def assert_same(found: Trajectories, expected: Trajectories) -> None:
    assert found.names == expected.names
    assert found.rate == pytest.approx(expected.rate)
    assert found.units == expected.units
    np.testing.assert_allclose(found.times, expected.times, atol=1e-12)
    whole = np.isfinite(expected.positions).all(axis=2)  # OpenSim keeps two coordinates of three, we do not
    np.testing.assert_allclose(found.positions[whole], expected.positions[whole], rtol=1e-12, atol=1e-12)
    assert np.isnan(found.positions[~whole]).all()


VALID = {
    "as it is": TEXT,
    "crlf": TEXT.replace("\n", "\r\n"),
    "no empty line": TEXT.replace("\n\n", "\n"),
    "metres": TEXT.replace("\tmm\t", "\tm\t"),
    "centimetres": TEXT.replace("\tmm\t", "\tcm\t"),
    "one axis missing": TEXT.replace("NaN\tnan\tNaN", "1\tNaN\t2"),
    "blank cells": TEXT.replace("NaN\tnan\tNaN", " \t \t "),
    "tabs after the names": TEXT.replace("L.ASIS\t\t\n", "L.ASIS\t\t\t\n"),
    "names with blanks": TEXT.replace("R.ASIS", "R ASIS 1"),
    "no newline at the end": TEXT.rstrip("\n"),
    "empty lines at the end": TEXT + "\n\n",
}


@pytest.mark.parametrize("text", VALID.values(), ids=VALID.keys())
def test_valid_files_are_read_as_opensim_reads_them(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.trc"
    path.write_bytes(text.encode())
    assert_same(read_trc(path), by_opensim(path))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.sampled_from(["m", "mm"]), st.integers(0, 2**32 - 1))
def test_what_is_written_is_read_back_here_and_by_opensim(
    tmp_path_factory: pytest.TempPathFactory, frames: int, markers: int, units: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-3.0, 3.0, (frames, markers, 3))
    points[rng.random((frames, markers)) < 0.2] = np.nan
    path = tmp_path_factory.mktemp("trc") / "a.trc"
    with TrajectoryWriter(path, [f"m{i}" for i in range(markers)], 29.97, units) as writer:
        for number, row in enumerate(points):
            writer.append(number / 29.97, row)
    found = read_trc(path)
    np.testing.assert_allclose(found.positions, points, atol=1e-7)
    assert_same(found, by_opensim(path))


ALIKE = {
    "empty cells": TEXT.replace("NaN\tnan\tNaN", "\t\t"),
    "empty cells and trailing tabs": TEXT.replace("NaN\tnan\tNaN", "\t\t\t\t"),
    "trailing tabs": TEXT.replace("4\t5\t6\n", "4\t5\t6\t\t\n"),
    "blanks for tabs": TEXT.replace("1\t0.000\t100\t-2.5e2\t3\t4\t5\t6", "1 0.000  100 -2.5e2 3 4 5 6"),
    "long unit": TEXT.replace("\tmm\t", "\tMillimeters\t"),
    "byte order mark": "\ufeff" + TEXT,
    "old line ends": TEXT.replace("\n", "\r"),
}


@pytest.mark.parametrize("text", ALIKE.values(), ids=ALIKE.keys())
def test_what_other_programs_write_is_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.trc"
    path.write_bytes(text.encode())
    found = read_trc(path)
    assert found.names == ("R.ASIS", "L.ASIS")
    np.testing.assert_allclose(found.positions, EXPECTED, atol=1e-15)
    np.testing.assert_allclose(found.times, [0.0, 0.017])
    assert found.rate == 60.0


def test_names_in_an_old_encoding_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.trc").write_bytes(TEXT.replace("R.ASIS", "Hüfte").encode("latin-1"))
    assert read_trc(tmp_path / "a.trc").names == ("Hüfte", "L.ASIS")


FAULTS = [
    (lambda t: "", r"line 1 begins with \"\", expected PathFileType"),
    (lambda t: "hello\n" + t, r"line 1 begins with \"hello\""),
    (lambda t: t.split("\n")[0], "line 1 is the last one, expected the header's keys"),
    (lambda t: t.replace("NumMarkers", "Number"), "line 2 lacks the key NumMarkers"),
    (lambda t: t.replace("60.00\t60.00\t2", "60.00\t2", 1), "line 3 holds 7 values for the 8 keys"),
    (lambda t: t.replace("\t2\tmm", "\ttwo\tmm"), 'line 3 gives NumMarkers as "two"'),
    (lambda t: t.replace("\t2\tmm", "\t-2\tmm"), 'line 3 gives NumMarkers as "-2"'),
    (lambda t: t.replace("\t2\tmm", "\t3\tmm"), "line 4 holds 2 marker names, but NumMarkers is 3"),
    (lambda t: t.replace("\t2\tmm", "\t999999999\tmm"), "line 4 holds 2 marker names"),
    (lambda t: t.replace("\tmm\t", "\tft\t"), 'line 3 gives the units as "ft", expected m, cm or mm'),
    (lambda t: t.replace("60.00\t60.00", "sixty\t60.00"), 'line 3 holds "sixty" in column 1 \\(DataRate\\)'),
    (lambda t: t.replace("60.00\t60.00", "0\t60.00"), 'line 3 gives the data rate as "0"'),
    (lambda t: t.replace("Frame#", "Bild"), r"line 4 begins with \"Bild"),
    (lambda t: t.replace("L.ASIS", "R.ASIS"), 'line 4 names the marker "R.ASIS" 2 times'),
    (lambda t: t.replace("\t\tX1\tY1\tZ1\tX2\tY2\tZ2\n\n", ""), "line 5 is no line of axis labels"),
    (
        lambda t: t.replace("\t5\t6\n", "\tfive\t6\n"),
        r'line 7 holds "five" in column 7 \(Y of L.ASIS\), expected a number',
    ),
    (lambda t: t.replace("\t5\t6\n", "\tinf\t6\n"), 'line 7 holds "inf" in column 7'),
    (lambda t: t.replace("\t5\t6\n", "\t1_0\t6\n"), 'line 7 holds "1_0" in column 7'),
    (lambda t: t.replace("\t5\t6\n", "\t1e300\t6\n"), 'line 7 holds "1e300" in column 7 .* out of bounds'),
    (lambda t: t.replace("\t5\t6\n", "\n"), "line 7 holds 6 cells, expected 8"),
    (lambda t: t.replace("\t5\t6\n", "\t5\t6\t7\n"), "line 7 holds 9 cells, expected 8"),
    (lambda t: t.replace("0.017", "0.000"), "line 8 has the time 0 s, which does not follow 0 s"),
    (lambda t: t.replace("0.017", ""), "line 8 has no time"),
    (lambda t: t.replace("60.00\t2\t2", "60.00\t3\t2", 1), "announces 3 frames and holds 2"),
    (lambda t: t.replace("60.00\t2\t2", "60.00\t1\t2", 1), "announces 1 frames and holds 2"),
    (lambda t: t.replace("7", "\0"), "no text file"),
]


@pytest.mark.parametrize(("spoil", "sentence"), FAULTS)
def test_a_fault_is_one_sentence(spoil, sentence: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.trc"
    path.write_text(spoil(TEXT))
    with pytest.raises(UserError, match=sentence) as caught:
        read_trc(path)
    message = str(caught.value)
    assert caught.value.exit_code == EXIT_SOURCE
    assert message.startswith("a.trc") or "a.trc is no text" in message
    assert "\n" not in message
    assert len(message) < 250
    assert len(re.findall(r"\. [A-Z]", message)) == 0


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.trc cannot be read \(No such file"):
        read_trc(tmp_path / "none.trc")


def test_a_file_that_was_cut_short_gives_its_whole_rows_when_asked() -> None:
    cut = TEXT[: TEXT.rindex("NaN\tnan")]
    with pytest.raises(UserError, match="line 8 holds 5 cells"):
        parse_trc(cut, "a.trc")
    found = parse_trc(cut, "a.trc", whole=False)
    assert len(found.times) == 1
    assert found.damage is not None
    assert "line 8" in found.damage
    announced = parse_trc(TEXT.replace("60.00\t2\t2", "60.00\t9\t2", 1), "a.trc", whole=False)
    assert len(announced.times) == 2
    assert announced.damage == "a.trc announces 9 frames and holds 2"
    assert parse_trc(TEXT, "a.trc", whole=False).damage is None


PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["\t", "\n", "\r", "NaN", "1e999", "-1", "999999999", "0", "mm", "\x00", "X1", "Frame#", "\u0663"]),
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
        found = parse_trc(text, "fuzz.trc", whole)
    except UserError:
        return
    assert found.positions.shape == (len(found.times), len(found.names), 3)
    assert np.all(np.diff(found.times) > 0)
    assert not np.isinf(found.positions).any()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.trc"
    path.write_bytes(data)
    with pytest.raises(UserError):
        read_trc(path)


def test_many_names_are_no_hang() -> None:
    names = [f"m{i}" for i in range(100_000)]
    header = TEXT.replace("\t2\tmm", f"\t{len(names) + 1}\tmm")
    lines = header.split("\n")
    lines[3] = "Frame#\tTime\t" + "\t\t\t".join([*names, "m5"])
    with pytest.raises(UserError, match='names the marker "m5" 2 times'):
        parse_trc("\n".join(lines), "a.trc")
