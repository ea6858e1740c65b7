"""The viewer's address on the screen, and when a browser is opened."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from biopose_live.cli import browser
from biopose_live.cli import main as cli
from biopose_live.errors import EXIT_OK, EXIT_USAGE
from biopose_live.pipeline import live
from biopose_live.pipeline.metrics import Percentiles, Summary
from biopose_live.sinks.viewer.access import ViewAccess

NOTHING = Summary("abc", {}, 0, 0, 0, 0.0, 0.0, Percentiles(), {}, "end of stream")


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}, "darwin", False),
    ],
)
def test_where_there_is_a_screen(environment: dict[str, str], platform: str, expected: bool) -> None:
    assert browser.has_display(environment, platform) is expected


def test_a_browser_is_opened_once_the_viewer_answers(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    done = threading.Event()
    monkeypatch.setattr(browser.webbrowser, "open", lambda url: (opened.append(url), done.set()))
    access = ViewAccess("127.0.0.1", free_port, "t")
    browser.open_when_ready(access)
    assert not done.wait(0.3)
    with socket.create_server((access.host, access.port)):
        assert done.wait(5.0)
    assert opened == [access.url]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> list[ViewAccess | None]:
    """-> the `view` of every run; nothing is really run or opened."""
    views: list[ViewAccess | None] = []

    def stand_in(settings: object, view: ViewAccess | None = None, **hooks: object) -> Summary:
        views.append(view)
        return NOTHING

    monkeypatch.setattr(live, "run_live", stand_in)
    monkeypatch.setattr(browser.webbrowser, "open", lambda url: pytest.fail("nothing is there to open"))
    return views


def test_the_address_is_printed_and_handed_to_the_run(
    run: list[ViewAccess | None], free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--demo", "--headless", "--view", f"127.0.0.1:{free_port}"]) == EXIT_OK
    (view,) = run
    assert view is not None
    assert f"Viewer: {view.url}" in capsys.readouterr().out


def test_a_network_address_comes_with_a_warning(
    run: list[ViewAccess | None], free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--demo", "--headless", "--view", f"0.0.0.0:{free_port}"]) == EXIT_OK
    shown = capsys.readouterr().out
    assert "--view 127.0.0.1:PORT" in shown
    (view,) = run
    assert view is not None
    assert view.url_elsewhere is None or f"On another device: {view.url_elsewhere}" in shown


def test_opencv_reads_the_qr_code() -> None:
    url = ViewAccess("192.0.2.7", 8765, "fJ3_-x" * 5).url
    lines = browser.qr_code(url).splitlines()
    # Each character is two modules, one above the other.
    upper = np.array([[c in "█▀" for c in line] for line in lines if line.strip()])
    lower = np.array([[c in "█▄" for c in line] for line in lines if line.strip()])
    modules = np.stack([upper, lower], 1).reshape(-1, upper.shape[1])
    picture = np.kron(np.pad(modules, 4, constant_values=True), np.ones((8, 8))).astype(np.uint8) * 255
    read, _, _ = cv2.QRCodeDetector().detectAndDecode(picture)
    assert read == url


def test_off_is_off(run: list[ViewAccess | None], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--demo", "--view", "off"]) == EXIT_OK
    assert run == [None]
    assert "http" not in capsys.readouterr().out


def test_nonsense_is_refused(run: list[ViewAccess | None], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--demo", "--view", "here"]) == EXIT_USAGE
    assert "--view 'here' is no address" in capsys.readouterr().err
    assert run == []


def test_tls_comes_with_a_certificate_that_is_kept(
    run: list[ViewAccess | None],
    free_port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert cli.main(["--demo", "--headless", "--view", f"https://127.0.0.1:{free_port}"]) == EXIT_OK
    (view,) = run
    assert view is not None
    assert view.certificate == str(tmp_path / "biopose-live" / "viewer.pem")
    shown = capsys.readouterr().out
    assert f"Viewer: https://127.0.0.1:{view.port}/?token=" in shown
    assert "SHA-256" in shown
