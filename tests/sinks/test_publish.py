import contextlib
import itertools
import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from biopose_client import schema
from biopose_live.errors import EXIT_SINK, EXIT_USAGE, UserError
from biopose_live.sinks.publish import Publisher, TcpAddress, parse_address

LOOPBACK = TcpAddress("127.0.0.1", 0)


@pytest.fixture
def publisher(meta: schema.Meta) -> Iterator[Publisher]:
    publisher = Publisher(LOOPBACK, meta)
    yield publisher
    publisher.close()


def subscriber(context: zmq.Context, address: str, high_water_mark: int = 1000, receive_buffer: int = 0) -> zmq.Socket:
    socket_ = context.socket(zmq.SUB)
    socket_.setsockopt(zmq.RCVHWM, high_water_mark)
    if receive_buffer:
        socket_.setsockopt(zmq.RCVBUF, receive_buffer)
    socket_.setsockopt(zmq.LINGER, 0)
    socket_.setsockopt(zmq.SUBSCRIBE, b"")
    socket_.connect(address)
    return socket_


def until_joined(publisher: Publisher, *sockets: zmq.Socket) -> None:
    """Sends meta until every socket has had one, so that no later message is lost to the slow joining."""
    for socket_ in sockets:
        while not socket_.poll(20):
            publisher.keep_alive(time.monotonic_ns() + 10**12)
            publisher._next_meta = 0
        while socket_.poll(50):
            socket_.recv()


def test_subscribers_receive_the_messages_unchanged(publisher, make_pose):
    with zmq.Context() as context:
        socket_ = subscriber(context, publisher.address)
        until_joined(publisher, socket_)
        poses = [make_pose(seq) for seq in range(5)]
        for pose in poses:
            publisher.send(schema.pack(pose))
        assert [schema.unpack(socket_.recv()) for _ in poses] == poses
        socket_.close()


def test_a_sleeping_subscriber_changes_nothing_for_another(publisher, make_pose):
    """The sleeper takes nothing while far more than its queue and kernel buffers hold is sent."""
    packed = schema.pack(make_pose(0, ids=tuple(range(1, 13))))  # about 60 kB
    count = 400
    with zmq.Context() as context, zmq.Context() as other:
        awake = subscriber(context, publisher.address)
        asleep = subscriber(other, publisher.address, high_water_mark=2, receive_buffer=8192)
        until_joined(publisher, awake, asleep)
        received = 0
        for _ in range(count):
            time.sleep(0.002)  # libzmq looks for free places in its queues once per millisecond
            publisher.send(packed)
            assert awake.poll(2000), f"nothing after {received} messages"
            assert awake.recv() == packed
            received += 1
        assert received == count
        late = sum(1 for _ in iter(lambda: asleep.poll(200) and asleep.recv(), 0))
        assert 0 < late < count  # it lost messages, alone
        awake.close()
        asleep.close()


def test_one_who_joins_late_has_the_skeleton_within_a_second(publisher, meta, make_pose):
    for seq in range(10):
        publisher.keep_alive(time.monotonic_ns())
        publisher.send(schema.pack(make_pose(seq)))
    stop = threading.Event()

    def go_on() -> None:
        for seq in itertools.count(10):
            if stop.wait(0.03):
                return
            publisher.keep_alive(time.monotonic_ns())
            publisher.send(schema.pack(make_pose(seq)))

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        with zmq.Context() as context:
            socket_ = subscriber(context, publisher.address)
            first_pose = None
            while True:
                assert socket_.poll(5000)
                message = schema.unpack(socket_.recv())
                if isinstance(message, schema.Meta):
                    break
                first_pose = first_pose or message
                # On the sender's own clock, so that a busy machine does not fail this.
                assert message.t_capture - first_pose.t_capture <= 40 * 33_333_334
            assert message == meta
            socket_.close()
    finally:
        stop.set()
        thread.join()


def test_meta_goes_out_at_start_and_then_once_a_second(publisher, monkeypatch):
    sent = []
    monkeypatch.setattr(publisher, "send", sent.append)
    start = time.monotonic_ns()
    for millisecond in range(0, 3050, 50):
        publisher.keep_alive(start + millisecond * 1_000_000)
    assert len(sent) == 4
    assert all(part.startswith(b"meta ") for part in sent)


def test_a_port_in_use_is_one_sentence(meta, free_port):
    first = Publisher(TcpAddress("127.0.0.1", free_port), meta)
    try:
        with pytest.raises(UserError) as caught:
            Publisher(TcpAddress("127.0.0.1", free_port), meta)
    finally:
        first.close()
    sentence = str(caught.value)
    assert caught.value.exit_code == EXIT_SINK
    assert f"tcp://127.0.0.1:{free_port} is in use" in sentence
    assert "--publish tcp://127.0.0.1:PORT" in sentence
    assert "--publish off" in sentence


def test_the_port_is_free_again_after_close(meta, free_port):
    for _ in range(3):
        Publisher(TcpAddress("127.0.0.1", free_port), meta).close()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", free_port))


def test_an_address_of_another_machine_is_one_sentence(meta):
    with pytest.raises(UserError, match="no address of this machine") as caught:
        Publisher(TcpAddress("192.0.2.1", 5556), meta)
    assert caught.value.exit_code == EXIT_SINK


def test_close_does_not_wait_for_a_subscriber_that_takes_nothing(meta, make_pose):
    publisher = Publisher(LOOPBACK, meta)
    with zmq.Context() as context:
        socket_ = subscriber(context, publisher.address, high_water_mark=1, receive_buffer=8192)
        until_joined(publisher, socket_)
        for seq in range(200):
            publisher.send(schema.pack(make_pose(seq)))
        closing = threading.Thread(target=publisher.close)
        closing.start()
        closing.join(10)
        assert not closing.is_alive()
        socket_.close()


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True), ("*", True)])
def test_an_address_that_the_network_can_reach_is_warned_of(meta, caplog, host, warned):
    with caplog.at_level(logging.WARNING):
        publisher = Publisher(TcpAddress(host, 0), meta)
    publisher.close()
    assert bool(caplog.records) == warned
    if warned:
        assert "Anybody who can reach" in caplog.text
        assert publisher.address in caplog.text


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("tcp://127.0.0.1:5556", "127.0.0.1", 5556, True),
        ("tcp://localhost:1", "localhost", 1, True),
        ("tcp://[::1]:5556", "[::1]", 5556, True),
        ("tcp://*:5556", "*", 5556, False),
        ("tcp://192.168.1.7:65535", "192.168.1.7", 65535, False),
        ("tcp://127.0.0.1:*", "127.0.0.1", 0, True),
    ],
)
def test_addresses(text, host, port, loopback):
    address = parse_address(text)
    assert address is not None
    assert (address.host, address.port, address.loopback) == (host, port, loopback)


def test_off_publishes_nothing():
    assert parse_address("off") is None


@pytest.mark.parametrize(
    "text",
    ["", "5556", "127.0.0.1:5556", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://:5556", "tcp://a b:1", "udp://x:1",
     "ipc:///tmp/x", "tcp://127.0.0.1:99999", "tcp://127.0.0.1:port", "tcp://127.0.0.1:5556/", "OFF"],
)  # fmt: skip
def test_a_malformed_address_is_one_sentence(text):
    with pytest.raises(UserError) as caught:
        parse_address(text)
    assert caught.value.exit_code == EXIT_USAGE
    assert repr(text) in str(caught.value)
    assert "--publish tcp://127.0.0.1:PORT" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_any_text_is_an_address_or_a_sentence(text):
    with contextlib.suppress(UserError):
        address = parse_address(text)
        assert address is None or 0 <= address.port <= 65_535


def test_nothing_that_a_subscriber_sends_is_accepted(publisher, make_pose):
    """A stranger that writes to the socket changes nothing for subscribers."""
    port = int(publisher.address.rpartition(":")[2])
    with zmq.Context() as context:
        socket_ = subscriber(context, publisher.address)
        until_joined(publisher, socket_)
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(b"POST / HTTP/1.1\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000)
            for seq in range(3):
                publisher.send(schema.pack(make_pose(seq)))
        assert [schema.unpack(socket_.recv()).seq for _ in range(3)] == [0, 1, 2]
        socket_.close()
