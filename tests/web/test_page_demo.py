"""What somebody sees who starts the demo and opens the page, with everything real: video, plots, a recording, a person
measured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import psutil
import pytest
from drawn import Drawn
from test_page_live import address, free_port

from biopose_live.neurik.person_file import read_person_file
from biopose_live.sinks.frame_index import FrameIndex
from biopose_live.sinks.recorded_video import playable_video
from biopose_live.sinks.recording import Recording
from biopose_live.sinks.viewer.encoding import ticks

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZE = (640, 480)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "log.txt"


@pytest.fixture(scope="module")
def process(people: Path, log: Path, page_folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo; `page_folder` builds the page, too, so that this is skipped where it cannot be built."""
    command = [sys.executable, "-m", "biopose_live.cli", "--demo", "--loop", "--headless", "--record-video"]
    command += ["--view", f"127.0.0.1:{free_port()}", "--publish", "off"]
    with log.open("w") as out:
        environment = os.environ | {"XDG_DATA_HOME": str(people)}
        started = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, text=True, env=environment)
        try:
            yield started
        finally:
            started.send_signal(signal.SIGINT)
            started.wait(30)


@pytest.fixture(scope="module")
def url(log: Path, process: subprocess.Popen[str]) -> str:
    """The page's address."""
    return address(log, process)


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(30_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.wait_for_selector("#state[data-state=live]")
    page.wait_for_selector("#message", state="hidden")
    yield page
    context.close()
    assert errors == []


def test_the_demo_is_seen_and_recorded(page: Page, tmp_path: Path, shots: Path) -> None:
    assert page.inner_text("#state") == "Live"
    page.click("#record")
    page.wait_for_selector("#record[aria-pressed=true]")
    for button in ("skeleton", "keypoints"):
        page.click(f"[data-picture={button}]")
    first, moved = Drawn(page, SIZE).pixels.astype(int), 0.0
    for _ in range(30):  # on a busy machine the next picture may take its time
        page.wait_for_timeout(700)
        moved = float((np.abs(Drawn(page, SIZE).pixels.astype(int) - first).sum(axis=2) > 60).mean())
        if moved > 0.002:
            break
    assert moved > 0.002  # the picture itself moves
    page.click("[data-picture=skeleton]")
    page.wait_for_timeout(300)
    drawn = Drawn(page, SIZE).pixels.astype(int)
    left, right = (np.abs(drawn - colour).sum(axis=2) < 60 for colour in ((0x4D, 0xA3, 0xFF), (0xFF, 0x9A, 0x3C)))
    assert min(left.sum(), right.sum()) > 100
    plots = {page.evaluate("document.querySelector('.card canvas').toDataURL()") for _ in range(3) if sleep(page)}
    assert len(plots) == 3
    page.screenshot(path=str(shots / "demo.png"))
    page.click("#record")
    page.wait_for_selector("#download:visible")
    with page.expect_download() as waiting:
        page.click("#download")
    with zipfile.ZipFile(waiting.value.path()) as packed:
        packed.extractall(tmp_path / "take")
    poses = list(Recording(tmp_path / "take"))
    video, notes = playable_video(tmp_path / "take", tmp_path / "video.mp4")
    assert len(poses) > 15
    assert any(pose.people for pose in poses)
    assert video is not None
    assert notes == []
    # Each picture is one of the poses' own; a machine that is overloaded leaves some out.
    first = ticks(video.t_first)
    with av.open(str(video.path)) as container:
        shown = {first + int(frame.pts) for frame in container.decode(container.streams.video[0])}
    assert len(shown) > 8
    assert shown <= {ticks(t) for t in FrameIndex(tmp_path / "take").times}


def sleep(page: Page) -> bool:
    page.wait_for_timeout(250)
    return True


@pytest.mark.slow
def test_a_person_is_measured(page: Page, process: subprocess.Popen[str], people: Path, shots: Path) -> None:
    page.click("#calibrate")
    page.fill("#calibration-height", "1.80")
    page.fill("#calibration-name", "Demo")
    page.click(".begin")
    page.wait_for_selector("#calibration-step >> text=Step 2", timeout=60_000)
    page.screenshot(path=str(shots / "measuring.png"))
    page.wait_for_selector("#calibration-step >> text=Done", timeout=180_000)
    page.screenshot(path=str(shots / "measured.png"))
    person = read_person_file(people / "biopose-live" / "people" / "Demo.json")
    assert person.height == pytest.approx(1.8, abs=1e-3)
    page.click("#calibration-close")
    time.sleep(0.5)
    assert not page.is_visible("#settling")  # in use, and held
    # Also by a process that is started anew.
    before = page.inner_text("#stages")
    (stage,) = [child for child in psutil.Process(process.pid).children() if child.cmdline()[-1:] == ["mqhmr"]]
    stage.kill()
    page.wait_for_timeout(4000)
    assert page.inner_text("#stages") != before
    assert not page.is_visible("#settling")
    assert page.inner_text("#state") == "Live"
