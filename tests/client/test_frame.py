import math

import pytest

from biopose_client import Frame
from biopose_client.frame import Names


@pytest.fixture
def frame(new_meta, new_pose):
    return Frame(new_pose(4), Names(new_meta()))


def test_a_persons_values_by_name(frame):
    (person,) = frame.people
    assert person.id == 7
    assert person.confidence == 0.75
    assert not person.settled
    assert person.angle("knee_angle_r") == pytest.approx(28.6478897565)
    assert person.angle_sigma("knee_angle_r") == pytest.approx(math.degrees(0.1))
    assert person.coordinate("pelvis_tx") == 0.25
    assert person.joint("knee_r") == (0.4, 0.5, 0.6)
    assert person.keypoint("nose") == (5.0, 6.0, 0.5)
    assert person.orientation("femur_r") == (1.0, 0.0, 0.0, 0.0)
    assert person.scale("femur_r") == (0.9, 0.8, 0.7)


def test_a_wrong_name_says_which_are_near(frame):
    person = frame.people[0]
    with pytest.raises(KeyError, match="did you mean knee_angle_r"):
        person.angle("knee_angle")
    with pytest.raises(KeyError, match="did you mean knee_r"):
        person.joint("knee_l")
    with pytest.raises(KeyError, match=r"see meta\.keypoint_names"):
        person.keypoint("zzz")


def test_a_translation_is_no_angle(frame):
    with pytest.raises(ValueError, match="is in m"):
        frame.people[0].angle("pelvis_tx")
    with pytest.raises(ValueError, match="is in m"):
        frame.people[0].angle_sigma("pelvis_tx")


def test_times(frame):
    assert frame.seq == 4
    assert frame.latency_ms == pytest.approx(50.0)
    assert frame.captured_at == pytest.approx(1_700_000_002.0, abs=1e-6)  # 2 s after the clock pair


def test_nobody(new_meta, new_pose):
    frame = Frame(new_pose(0, people=0), Names(new_meta()))
    assert frame.people == []
    assert frame.meta.session == "first"
