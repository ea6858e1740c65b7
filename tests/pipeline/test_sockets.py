"""Links between stages: the newest message wins, and no dead or frozen peer holds anybody up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from biopose_live.messages import FrameRef, encode
from biopose_live.pipeline.sockets import MAX_MESSAGE_BYTES, PICTURES, Announcements, Receiver, Sender

RECEIVER = """
import sys, zmq
from pathlib import Path
from biopose_live.pipeline.sockets import Receiver
receiver = Receiver(zmq.Context(), Path(sys.argv[1]), "link")
while True:
    data = receiver.receive(1000)
    if data is not None:
        print(data.decode(), flush=True)
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield Path(path)


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    made = zmq.Context()
    yield made
    made.destroy(linger=0)


def wait_for(condition, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_the_newest_message_wins(context: zmq.Context, directory: Path) -> None:
    sender, receiver = Sender(context, directory, "link"), Receiver(context, directory, "link")
    assert wait_for(lambda: sender.linked)
    for n in range(30):  # all at once: the newest must not be refused because the one before is still on its way
        assert sender.send(b"%d" % n)
    assert wait_for(lambda: receiver.receive(50) == b"29")
    assert receiver.receive(20) is None


def test_without_a_receiver_a_message_is_dropped_and_said_so(context: zmq.Context, directory: Path) -> None:
    sender = Sender(context, directory, "link")
    assert not sender.linked
    assert not sender.send(b"lost")
    receiver = Receiver(context, directory, "link")
    assert wait_for(lambda: sender.linked)
    assert receiver.receive(50) is None
    assert sender.send(b"first")
    assert receiver.receive(1000) == b"first"


def test_a_new_sender_under_the_same_address_is_found_again(context: zmq.Context, directory: Path) -> None:
    receiver = Receiver(context, directory, "link")
    for n in range(3):
        other = zmq.Context()
        sender = Sender(other, directory, "link")
        assert wait_for(lambda sender=sender: sender.linked)
        assert sender.send(b"%d" % n)
        assert receiver.receive(1000) == b"%d" % n
        sender.close()
        other.term()


def test_a_frozen_receiver_does_not_hold_up_the_sender_and_its_successor_gets_the_newest(
    context: zmq.Context, directory: Path
) -> None:
    sender = Sender(context, directory, "link")

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", RECEIVER, str(directory)], stdout=subprocess.PIPE, text=True)

    frozen = start()
    assert wait_for(lambda: sender.linked)
    os.kill(frozen.pid, signal.SIGSTOP)
    # More than the kernel's socket buffers take: from some point on, the sender is told that nothing gets through.
    accepted = [sender.send(b"old" + b"x" * 20_000) for _ in range(200)]
    assert not all(accepted)
    frozen.kill()
    frozen.communicate()
    successor = start()
    assert wait_for(lambda: sender.linked)
    assert sender.send(b"new")
    assert successor.stdout is not None
    assert successor.stdout.readline() == "new\n"
    successor.kill()
    successor.communicate()


def test_oversize_messages_are_refused_before_they_break_the_link(context: zmq.Context, directory: Path) -> None:
    sender, receiver = Sender(context, directory, "link"), Receiver(context, directory, "link")
    assert wait_for(lambda: sender.linked)
    with pytest.raises(ValueError, match="over the limit"):
        sender.send(b"x" * (MAX_MESSAGE_BYTES + 1))
    largest = b"x" * MAX_MESSAGE_BYTES
    assert sender.send(largest)
    assert receiver.receive(2000) == largest


def test_announcements_are_the_newest_frame(context: zmq.Context, directory: Path) -> None:
    announcements = Announcements(context, directory)
    assert announcements.next(0) is None  # also before anybody announces
    sender = Sender(context, directory, PICTURES)
    while not sender.linked:
        time.sleep(0.01)
    frame = FrameRef(7, 5_000_000_000, 640, 480, 1, 4)
    sender.send(b"nonsense")
    assert announcements.next(10_000) is None
    sender.send(encode(frame))
    assert announcements.next(10_000) == frame
    sender.close()
    announcements.close()
