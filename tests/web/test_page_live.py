"""The page on a real run: WebRTC video, the skeleton on its own frame, a killed process, a recording.

The run plays a video whose every picture carries its own number as blocks along the upper edge, and publishes poses;
so what the page has drawn on picture n can be held against the keypoints that were published for frame n.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import av
import numpy as np
import psutil
import pytest
import zmq
from barcode import stamp
from drawn import KEYPOINT, WINDOW, Drawn, apart

from biopose_client.schema import TOPIC_POSE, Pose, unpack
from biopose_live.sinks.recording import Recording

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parents[2] / "realtime" / "biopose_live" / "assets" / "demo" / "demo.mp4"
SIZE = (640, 480)
LIMIT_PX = 2.0
SECONDS = 90
FPS = 30


class Run(NamedTuple):
    process: subprocess.Popen[str]
    url: str
    poses: zmq.Socket[bytes]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo to and fro, numbered."""
    path = tmp_path_factory.mktemp("video") / "numbered.mp4"
    with av.open(str(DEMO)) as demo:
        frames = [frame.to_ndarray(format="rgb24") for frame in demo.decode(video=0)]
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(SECONDS * FPS):
            picture = frames[order[number % len(order)]].copy()
            stamp(picture, number)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def run(video: Path, page_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    view, publish = free_port(), free_port()
    log = tmp_path_factory.mktemp("run") / "log.txt"
    command = [sys.executable, "-m", "biopose_live.cli", "--video", str(video), "--headless"]
    command += ["--view", f"127.0.0.1:{view}", "--publish", f"tcp://127.0.0.1:{publish}"]
    context = zmq.Context()
    poses = context.socket(zmq.SUB)
    poses.setsockopt(zmq.SUBSCRIBE, TOPIC_POSE)
    poses.connect(f"tcp://127.0.0.1:{publish}")
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, text=True)
        try:
            yield Run(process, address(log, process), poses)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
            context.destroy(linger=0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def address(log: Path, process: subprocess.Popen[str]) -> str:
    """-> the address that the run prints, once its poses come."""
    for _ in range(300):
        found = re.search(r"http://\S+", log.read_text())
        if found is not None and " fps" in log.read_text():
            return found[0]
        assert process.poll() is None, log.read_text()
        time.sleep(0.2)
    raise AssertionError(log.read_text())


@pytest.fixture
def page(browser: Browser, run: Run) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, device_scale_factor=2)
    page = context.new_page()
    page.set_default_timeout(30_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(run.url)
    page.wait_for_selector("#state[data-state=live]")
    page.wait_for_selector("#message", state="hidden")
    yield page
    context.close()
    assert errors == []


def test_the_skeleton_is_on_the_very_frame_it_belongs_to(page: Page, run: Run, shots: Path) -> None:
    assert page.inner_text("#state") == "Live"  # over WebRTC
    page.click("[data-picture=skeleton]")
    looks = []
    for _ in range(25):
        page.wait_for_timeout(90)
        looks.append(Drawn(page, SIZE))
    page.click("[data-picture=skeleton]")
    page.screenshot(path=str(shots / "live.png"))
    poses = received_until(run.poses, max(look.number for look in looks))
    numbers, errors, bare = set(), [], 0
    for look in looks:
        pose = poses.get(look.number)
        if pose is None or not pose.people:  # the detector passed it over
            continue
        points = np.array([(x, y) for x, y, score in pose.people[0].keypoints if score >= 0.5])
        points = points[apart(points, 2 * WINDOW)]
        dots = [look.dot_near(x, y, KEYPOINT) for x, y in points]
        if not any(dots):  # its pose has not come yet, on a busy machine
            bare += 1
            continue
        numbers.add(look.number)
        for dot, (x, y) in zip(dots, points, strict=True):
            assert dot is not None, (look.number, x, y)
            errors.append(np.hypot(dot[0] - x, dot[1] - y))
    print(f"{len(errors)} dots on {len(numbers)} frames, worst {max(errors):.2f} px; {bare} frames without skeleton")
    assert len(numbers) >= 8
    assert bare <= len(looks) / 4
    assert max(errors) <= LIMIT_PX


def test_a_browser_that_copies_no_frames_shows_the_skeleton_too(browser: Browser, run: Run) -> None:
    """As on a plain-http address of the local network: pictures come from the video element alone."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_init_script("delete window.VideoFrame; delete window.MediaStreamTrackProcessor")
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto(run.url)
    page.evaluate("""window.shown = new Promise((resolve, reject) => {
        let number = 0;
        setTimeout(() => reject(new Error(`${number} pictures with their own poses`)), 30000);
        document.addEventListener("biopose:shown", () => { if (++number === 20) resolve(number); });
    })""")
    assert page.evaluate("window.shown") == 20
    assert page.inner_text("#state") == "Live"
    context.close()


def received_until(poses: zmq.Socket[bytes], number: int) -> dict[int, Pose]:
    found: dict[int, Pose] = {}
    for _ in range(20):
        found |= received_now(poses)
        if found and max(found) >= number:
            return found
        time.sleep(0.1)
    return found


def received_now(poses: zmq.Socket[bytes]) -> dict[int, Pose]:
    found: dict[int, Pose] = {}
    while poses.poll(0):
        pose = unpack(poses.recv())
        assert isinstance(pose, Pose)
        found[pose.seq] = pose
    return found


def test_a_killed_output_process_comes_back_by_itself(page: Page, run: Run) -> None:
    killed = [child for child in psutil.Process(run.process.pid).children() if child.cmdline()[-1:] == ["sinks"]]
    assert len(killed) == 1
    os.kill(killed[0].pid, signal.SIGKILL)
    page.wait_for_selector("#state[data-state=lost]")
    page.wait_for_selector("#state[data-state=live]")
    page.wait_for_selector("#message", state="hidden")
    before = Drawn(page, SIZE).number
    page.wait_for_timeout(500)
    assert Drawn(page, SIZE).number > before


def test_a_recording_by_the_button_opens(page: Page, run: Run, tmp_path: Path) -> None:
    page.click("#record")
    page.wait_for_selector("#record[aria-pressed=true]")
    page.wait_for_timeout(1500)
    page.click("#record")
    page.wait_for_selector("#download:visible")
    with page.expect_download() as waiting:
        page.click("#download")
    with zipfile.ZipFile(waiting.value.path()) as packed:
        packed.extractall(tmp_path / "take")
    recording = Recording(tmp_path / "take")
    assert len(list(recording)) >= 10
    assert recording.damage is None
    assert recording.meta.coordinate_names


def test_another_token_is_refused(browser: Browser, run: Run) -> None:
    page = browser.new_page()
    page.goto(run.url.split("?")[0] + "?token=wrong")
    page.wait_for_selector("#state[data-state=refused]", timeout=30_000)
    assert "no valid key" in page.inner_text("#message")
    page.close()
