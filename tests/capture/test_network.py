"""Network streams against a small local server that behaves as badly as asked."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest

from biopose_live.capture import network
from biopose_live.capture.source import Source
from biopose_live.errors import EXIT_SOURCE, EXIT_USAGE, UserError
from biopose_live.stages import EndOfStream

Behave = Callable[[socket.socket], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Behave], str]]:
    listeners: list[socket.socket] = []
    clients: list[socket.socket] = []

    def start(behave: Behave) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def answer(client: socket.socket) -> None:
            try:
                behave(client)
            except OSError:
                return  # the reader went away, which is what it is meant to do
            finally:
                client.close()

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return  # closed at the end of the test
                clients.append(client)
                threading.Thread(target=answer, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for each in (*listeners, *clients):
        each.close()


def jpeg() -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 48, "yuvj420p", Fraction(1, 30)
    packets = encoder.encode(av.VideoFrame(64, 48, "yuvj420p")) or encoder.encode(None)
    return bytes(packets[0])


def parts(count: int, then: Behave) -> Behave:
    picture = jpeg()

    def behave(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n")
        for _ in range(count):
            client.sendall(b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture))
            client.sendall(picture + b"\r\n")
            time.sleep(0.01)
        then(client)

    return behave


def silent(client: socket.socket) -> None:
    while client.recv(4096):
        pass


def status(line: str) -> Behave:
    def behave(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n".encode())

    return behave


def drain(source: Source, into: dict[int, int] | None = None) -> None:
    for _ in range(400):
        if (frame := source.read(0.05)) is not None and into is not None:
            into[frame.index] = frame.t_capture


def first_error(url: str) -> UserError:
    source = network.open_stream(url)
    try:
        with pytest.raises(UserError) as caught:
            drain(source)
    finally:
        source.close()
    assert caught.value.exit_code == EXIT_SOURCE
    assert str(caught.value).endswith(".")
    return caught.value


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_refused(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert "refused the connection" in str(first_error(f"{scheme}://127.0.0.1:{port}/live"))


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_no_answer_at_the_start(serve: Callable[[Behave], str], scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = network.connect
    monkeypatch.setattr(network, "connect", lambda url: real(url, open_s=0.3))
    assert "did not answer in time" in str(first_error(f"{scheme}://{serve(silent)}/live"))


@pytest.mark.parametrize(("line", "words"), [("404 Not Found", "is not there"), ("401 Unauthorized", "wants a login")])
def test_refused_by_the_server(serve: Callable[[Behave], str], line: str, words: str) -> None:
    assert words in str(first_error(f"http://{serve(status(line))}/live"))


def test_a_page_is_no_stream(serve: Callable[[Behave], str]) -> None:
    def page(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>a page</html>" * 3)

    assert "could not be opened" in str(first_error(f"http://{serve(page)}/live"))


def test_the_password_stays_out_of_messages() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    text = str(first_error(f"http://me:hush@127.0.0.1:{port}/live"))
    assert "hush" not in text
    assert f"http://***@127.0.0.1:{port}/live" in text


@pytest.mark.parametrize("url", ["ftp://host/x", "clip.mp4", "file:///etc/passwd", "concat:a|b"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(UserError, match="not a stream address") as caught:
        network.open_stream(url)
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("then", [silent, lambda client: None], ids=["stalls", "ends"])
def test_a_stream_that_breaks_is_opened_again(
    serve: Callable[[Behave], str], then: Behave, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = network.connect
    monkeypatch.setattr(network, "connect", lambda url: real(url, read_s=0.3))
    source = network.open_stream(f"http://{serve(parts(12, then))}/live")
    times: list[int] = []
    try:
        for _ in range(400):
            if (frame := source.read(0.05)) is not None:
                times.append(frame.t_capture)
            if "is back" in caplog.text:
                break
    finally:
        source.close()
    assert "is lost" in caplog.text
    assert "is back after" in caplog.text
    assert times == sorted(set(times))
    assert all(t <= time.monotonic_ns() for t in times)


def test_a_file_over_http_is_paced_and_ends(serve: Callable[[Behave], str], video: Callable[..., Path]) -> None:
    data = video("clip.mkv", count=8, codec="mjpeg", pix_fmt="yuvj420p").read_bytes()

    def send(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/x-matroska\r\n")
        client.sendall(b"Content-Length: %d\r\n\r\n" % len(data) + data)

    source = network.open_stream(f"http://{serve(send)}/clip.mkv")
    times: dict[int, int] = {}
    with pytest.raises(EndOfStream):
        drain(source, times)
    source.close()
    assert 7 in times
    for index, t in times.items():
        assert abs(times[7] - t - (7 - index) * 1e9 / 30) < 1e6  # Matroska's own ticks are 1 ms
