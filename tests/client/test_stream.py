import threading
import time

import pytest

from biopose_client import NothingReceived, SchemaError, connect
from biopose_client.schema import Health


def test_the_newest_frame_after_the_reader_slept(sender, repeat, new_meta, new_pose, wait_until):
    with connect(sender.address, timeout=20) as stream:
        with repeat(lambda count: [new_meta(), new_pose(count)]) as sending:
            first = next(stream)
            wait_until(lambda: sending.count > first.seq + 100)
        last_sent = sending.count - 1
        wait_until(lambda: stream._poses.poll(0) != 0)
        time.sleep(0.1)  # what is on its way arrives
        assert next(stream).seq == last_sent
        assert first.meta == new_meta()


def test_every_frame_in_order(sender, repeat, new_meta, new_pose):
    sending = repeat(lambda count: [new_meta(), new_pose(count)])
    with connect(sender.address, newest=False, timeout=20) as stream, sending:
        numbers = [next(stream).seq for _ in range(100)]
    assert numbers == list(range(numbers[0], numbers[0] + 100))


def test_poses_wait_for_their_sessions_meta(sender, repeat, new_meta, new_pose):
    """Meta comes once only, after ten poses; none of them is lost to who wants every frame."""
    started = threading.Event()

    def messages(count: int) -> list:
        if not started.is_set():
            return [new_meta("warm-up"), new_pose(count, session="warm-up")]
        step = count - first[0]
        return ([new_meta("second")] if step == 10 else []) + [new_pose(step, session="second")]

    first = [0]
    with connect(sender.address, newest=False, timeout=20) as stream, repeat(messages) as sending:
        assert next(stream).meta.session == "warm-up"
        first[0] = sending.count + 2
        started.set()
        frames = []
        for frame in stream:
            if frame.meta.session == "second":
                frames.append(frame)
            if len(frames) == 15:
                break
    assert all(frame.pose.session == frame.meta.session for frame in frames)
    numbers = [frame.seq for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 15))
    assert numbers[0] < 5


@pytest.mark.parametrize("newest", [True, False])
def test_it_connects_again_and_takes_the_new_sessions_names(sender, repeat, new_meta, new_pose, newest):
    with connect(sender.address, newest=newest, timeout=20) as stream:
        with repeat(lambda count: [new_meta("first"), new_pose(count, "first")]):
            assert next(stream).meta.session == "first"
        sender.stop()
        sender.start()
        other_names = ["pelvis_tx", "knee_flexion_r"]
        with repeat(lambda count: [new_meta("second", coordinate_names=other_names), new_pose(count, "second")]):
            for frame in stream:
                if frame.meta.session == "second":
                    break
                assert frame.pose.session == "first"
            assert frame.pose.session == "second"
            assert frame.people[0].coordinate("knee_flexion_r") == 0.5


@pytest.mark.parametrize("newest", [True, False])
def test_nothing_there_is_one_sentence(newest):
    with (
        connect("tcp://127.0.0.1:1", newest=newest, timeout=0.05) as stream,
        pytest.raises(NothingReceived, match=r"nothing came from tcp://127\.0\.0\.1:1 for 0\.05 s") as caught,
    ):
        next(stream)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("newest", [True, False])
def test_a_sender_without_frames_is_told_apart(sender, repeat, new_meta, newest):
    with (
        connect(sender.address, newest=newest, timeout=1.0) as stream,
        repeat(lambda count: [new_meta()]),
        pytest.raises(NothingReceived, match="answers but sent no frame"),
    ):
        next(stream)


def test_it_goes_on_after_a_silence(sender, repeat, new_meta, new_pose):
    with connect(sender.address, timeout=0.05) as stream:
        with pytest.raises(NothingReceived):
            next(stream)
        stream.timeout = 20
        with repeat(lambda count: [new_meta(), new_pose(count)]):
            assert next(stream).seq >= 0


@pytest.mark.parametrize("newest", [True, False])
def test_another_major_version_is_refused(sender, repeat, new_meta, new_pose, newest):
    pose = new_pose(0)
    pose.v = "2.0"
    with (
        connect(sender.address, newest=newest, timeout=20) as stream,
        repeat(lambda count: [new_meta(), pose]),
        pytest.raises(SchemaError, match=r"speaks schema 2\.0"),
    ):
        next(stream)


def test_the_senders_health_is_kept(sender, repeat, new_meta, new_pose):
    health = Health("first", 1, 30.0, 40.0, 60.0, 10, 9, 1, [])
    with connect(sender.address, timeout=20) as stream:
        with repeat(lambda count: [new_meta(), health, new_pose(count)]):
            assert stream.health is None
            for _ in stream:
                if stream.health is not None:
                    break
        assert stream.health == health


def test_closing_ends_the_iteration(sender):
    stream = connect(sender.address)
    stream.close()
    assert list(stream) == []
    stream.close()


@pytest.mark.parametrize("address", ["", "5556", "127.0.0.1:5556", "http://127.0.0.1:5556"])
def test_a_malformed_address_is_one_sentence(address):
    with pytest.raises(ValueError, match=r"expected an address like tcp://127\.0\.0\.1:5556"):
        connect(address)


@pytest.mark.parametrize("port", ["0", "65536", "99999999999"])
def test_a_port_that_cannot_be_is_one_sentence(port):
    with pytest.raises(ValueError, match="its port must be from 1 to 65535"):
        connect(f"tcp://127.0.0.1:{port}")
