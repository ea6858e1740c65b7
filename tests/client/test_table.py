import re
import subprocess
import sys

import pytest

from biopose_client import Frame
from biopose_client.frame import Names
from biopose_client.table import FrameRate, heading, main, table_lines


@pytest.fixture
def frame(new_meta, new_pose):
    return Frame(new_pose(4), Names(new_meta()))


def test_angles_are_shown_in_degrees_and_translations_are_not(frame):
    text = "\n".join(table_lines(frame, 30.0, 100, 40))
    assert re.search(r"knee_angle_r\s+28\.6 ±\s+5\.7", text)
    assert "pelvis_tx" not in text
    assert "person 7  confidence 0.75" in text
    assert heading(frame, 30.0).startswith("session first  frame 4  30.0 fps  latency 50 ms")


def test_it_fits_the_terminal(new_meta, new_pose):
    names = [f"angle_{i}" for i in range(60)]
    meta = new_meta(coordinate_names=names, coordinate_units=["rad"] * 60)
    pose = new_pose(0)
    pose.people[0].q = pose.people[0].q_sigma = [0.1] * 60
    frame = Frame(pose, Names(meta))
    for columns, rows in ((80, 24), (40, 10), (200, 60), (10, 3)):
        lines = table_lines(frame, 1.0, columns, rows)
        assert len(lines) <= rows
        assert all(len(line) <= columns for line in lines)
    everything = "\n".join(table_lines(frame, 1.0, 200, 60))
    assert all(name in everything for name in names)
    assert "more lines"[:5] in table_lines(frame, 1.0, 40, 10)[-1]


def test_nobody_is_said(new_meta, new_pose):
    frame = Frame(new_pose(0, people=0), Names(new_meta()))
    assert "nobody in the picture" in table_lines(frame, 1.0, 80, 24)


def test_frame_rate():
    rate = FrameRate()
    assert rate.count(10.0) == 0.0
    assert [rate.count(10.0 + i / 25) for i in range(1, 100)][-1] == pytest.approx(25.0)


def test_without_a_terminal_it_prints_lines_and_ends_after_n_frames(sender, repeat, new_meta, new_pose, capsys):
    with repeat(lambda count: [new_meta(), new_pose(count)]):
        assert main([sender.address, "--frames", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("session first  frame ")
    assert "\x1b" not in out


def test_a_silent_address_is_said_and_waited_for(sender, repeat, new_meta, new_pose, capsys):
    with repeat(lambda count: [] if count < 60 else [new_meta(), new_pose(count)]):
        assert main([sender.address, "--frames", "1", "--timeout", "0.1"]) == 0
    captured = capsys.readouterr()
    assert f"nothing came from {sender.address} for 0.1 s" in captured.err
    assert "session first" in captured.out


def test_a_malformed_address_ends_with_a_sentence(capsys):
    assert main(["5556"]) == 2
    assert "expected an address like" in capsys.readouterr().err


def test_a_stranger_ends_with_a_sentence(sender, repeat, capsys):
    with repeat(lambda count: [b"pose \xc1", b"meta \xc1"]):
        assert main([sender.address]) == 3
    assert "does not decode" in capsys.readouterr().err


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "biopose_client", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "python -m biopose_client" in done.stdout
