"""The page on a recording: every picture with the pose of its own capture time, and all the ways to wind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from drawn import JOINT, WINDOW, Drawn, apart
from replayed import FPS, SIZE, ReplayedServer, record

from biopose_client.schema import Pose
from biopose_live.evaluation.overlay import projected

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LIMIT_PX = 2.0
MS = 20_000


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Recordings: with video, with video of a part, without."""
    root = tmp_path_factory.mktemp("recordings")
    made = {"filmed": range(10_000), "partly": range(60, 120), "bare": None}
    for name, filmed in made.items():
        record(root / name, filmed)
    return {name: root / name for name in made}


@pytest.fixture
def start(page_folder: Path, folders: dict[str, Path], tmp_path: Path) -> Iterator[Callable[..., ReplayedServer]]:
    started: list[ReplayedServer] = []

    def begin(name: str, port: int = 0) -> ReplayedServer:
        scratch = tmp_path / f"{len(started)}.mp4"
        started.append(ReplayedServer(page_folder, folders[name], scratch, port).start())
        return started[-1]

    yield begin
    for server in started:
        server.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, device_scale_factor=2, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def opened(page: Page, server: ReplayedServer) -> None:
    page.goto(server.access.url)
    page.wait_for_selector("#state[data-state=replay]")
    page.wait_for_selector("#message", state="hidden")
    page.wait_for_selector("#cards .card")


def seconds(page: Page) -> float:
    minutes, _, rest = page.inner_text("#time").split(" / ")[0].partition(":")
    return 60 * int(minutes) + float(rest)


def press(page: Page, key: str) -> None:
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(key)


def pause(page: Page) -> None:
    page.click("#play[data-playing=true]")
    page.wait_for_selector("#play[data-playing=false]")
    page.wait_for_timeout(250)


def poses_of(server: ReplayedServer) -> list[Pose]:
    return [msgspec.msgpack.decode(body, type=Pose) for body in server.index.read(0, len(server.index))]


def worst(drawn: Drawn, pose: Pose) -> float:
    """-> px from where the joints should be to where they are drawn."""
    points = projected(pose.people[0])[:24]
    errors = []
    for x, y in points[apart(points, 2 * WINDOW)]:
        dot = drawn.dot_near(x, y, JOINT)
        assert dot is not None, (pose.seq, x, y)
        errors.append(float(np.hypot(dot[0] - x, dot[1] - y)))
    return max(errors)


def test_picture_and_skeleton_are_of_the_same_moment(page: Page, start: Callable[..., ReplayedServer]) -> None:
    server = start("filmed")
    poses = poses_of(server)
    opened(page, server)
    page.click("[data-picture=keypoints]")
    numbers, errors = [], []
    for _ in range(12):  # as it plays
        page.wait_for_timeout(90)
        drawn = Drawn(page, SIZE)
        numbers.append(drawn.number)
        errors.append(worst(drawn, poses[drawn.number]))
    assert numbers == sorted(numbers)
    assert len(set(numbers)) >= 6
    pause(page)
    for key, way in ((".", 1), (".", 1), (",", -1), ("ArrowLeft", 0), ("Home", 0), ("End", 0)):
        before = Drawn(page, SIZE).number
        press(page, key)
        page.wait_for_timeout(500)
        drawn = Drawn(page, SIZE)
        errors.append(worst(drawn, poses[drawn.number]))
        if way:
            assert drawn.number == before + way
        shown = (poses[drawn.number].t_capture - poses[0].t_capture) / 1e9
        assert abs(seconds(page) - shown) <= 0.011
    assert drawn.number == len(poses) - 1
    print(f"worst {max(errors):.2f} px on {len(errors)} looks")
    assert max(errors) <= LIMIT_PX


def test_it_plays_pauses_winds_and_changes_speed(page: Page, start: Callable[..., ReplayedServer], shots: Path) -> None:
    server = start("filmed")
    opened(page, server)
    press(page, " ")
    page.wait_for_selector("#play[data-playing=false]")
    assert page.get_attribute("#play", "aria-label") == "Play"
    still = seconds(page)
    page.wait_for_timeout(400)
    assert abs(seconds(page) - still) < 0.1
    ways = {}
    for speed in ("0.25", "4"):
        press(page, "Home")
        page.select_option("#speed", speed)
        page.wait_for_timeout(300)
        before = seconds(page)
        page.click("#play")
        page.wait_for_timeout(800)
        pause(page)
        ways[speed] = seconds(page) - before
    assert ways["4"] > 5 * ways["0.25"] > 0
    page.select_option("#speed", "1")
    page.locator("#seek").focus()
    page.keyboard.press("PageUp")
    page.wait_for_timeout(600)
    assert page.get_attribute("#seek", "aria-valuetext").startswith(page.inner_text("#time").split(" / ")[0])
    page.evaluate("seek.value = 5 * 90000; seek.dispatchEvent(new Event('input'))")
    page.wait_for_timeout(900)
    assert abs(seconds(page) - 5) <= 1 / FPS + 0.01
    assert abs(Drawn(page, SIZE).number - 5 * FPS) <= 1
    # The plots hold what came before the place that was wound to.
    assert page.inner_text(".card .value[data-side=r] b") != "–"
    page.screenshot(path=str(shots / "replay.png"))
    press(page, "End")
    page.wait_for_timeout(300)
    page.click("#play")  # from the end it begins again
    page.wait_for_timeout(500)
    assert seconds(page) < 3


def test_without_video_there_is_the_skeleton_and_a_sentence(
    page: Page, start: Callable[..., ReplayedServer], shots: Path
) -> None:
    server = start("bare")
    poses = poses_of(server)
    opened(page, server)
    page.click("[data-picture=keypoints]")
    assert "holds no video" in page.inner_text("#notice")
    assert page.is_visible("#no-video")
    before = seconds(page)
    page.wait_for_timeout(700)
    assert 0.3 < seconds(page) - before < 1.5
    pause(page)
    press(page, "Home")
    page.wait_for_timeout(300)
    assert worst(Drawn(page, SIZE), poses[0]) <= LIMIT_PX
    page.screenshot(path=str(shots / "replay-bare.png"))
    assert not page.is_visible("#record")


def test_before_and_after_the_video_the_poses_go_on(page: Page, start: Callable[..., ReplayedServer]) -> None:
    server = start("partly")
    opened(page, server)
    assert page.is_visible("#no-video")
    page.wait_for_selector("#no-video", state="hidden")
    page.select_option("#speed", "4")
    assert 60 <= Drawn(page, SIZE).number < 120
    page.wait_for_selector("#no-video", state="visible")
    page.wait_for_selector("#play[data-playing=false]")
    assert seconds(page) == pytest.approx((server.index.times[-1] - server.index.times[0]) / 1e9, abs=0.011)


def test_a_server_that_goes_away_is_said(page: Page, start: Callable[..., ReplayedServer]) -> None:
    server = start("bare")
    opened(page, server)
    pause(page)
    server.stop()
    press(page, "End")  # which is not on the page yet
    page.wait_for_selector("#state[data-state=lost]")
    assert not page.is_visible("#timeline")


def test_a_wrong_token_is_refused(page: Page, start: Callable[..., ReplayedServer]) -> None:
    server = start("bare")
    page.goto(server.access.url.split("?")[0] + "?token=wrong")
    page.wait_for_selector("#state[data-state=refused]")
    assert not page.is_visible("#timeline")
