"""The page in Chromium, against a server that plays recorded messages over the WebSocket (`fake_server`)."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawn import JOINT, KEYPOINT, WINDOW, Drawn, apart
from fake_server import FakeServer, walk
from PIL import Image

from biopose_live.evaluation.overlay import projected

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZE = (640, 480)
LIMIT_PX = 2.0
MS = 15_000


@pytest.fixture
def start(page_folder: Path) -> Iterator[Callable[..., FakeServer]]:
    """Starts servers, and stops them after the test."""
    started: list[FakeServer] = []

    def begin(**settings: object) -> FakeServer:
        started.append(FakeServer(page_folder, **settings).start())  # type: ignore[arg-type]
        return started[-1]

    yield begin
    for server in started:
        server.stop()


def opened(browser: Browser, scale: int) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, color_scheme="dark", device_scale_factor=scale
    )
    page = context.new_page()
    page.set_default_timeout(MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page; the test fails when the page's script did."""
    yield from opened(browser, 1)


@pytest.fixture
def sharp_page(browser: Browser) -> Iterator[Page]:
    """Two pixels of the screen per pixel of the page: dots are large enough for their middle to be measured."""
    yield from opened(browser, 2)


def open_live(page: Page, server: FakeServer) -> None:
    page.goto(server.url + "&transport=websocket")
    page.wait_for_selector("#state[data-state=live]")
    page.wait_for_selector("#message", state="hidden")
    page.wait_for_selector("#cards .card")


@pytest.mark.parametrize("picture_first", [False, True])
def test_skeleton_is_drawn_on_its_own_frame(
    sharp_page: Page, start: Callable[..., FakeServer], picture_first: bool, shots: Path
) -> None:
    page = sharp_page
    _, poses = walk()
    open_live(page, start(picture_first=picture_first))
    numbers, errors, neighbours = set(), [], []
    for layer, hidden, colour in [("keypoints", "skeleton", KEYPOINT), ("skeleton", "keypoints", JOINT)]:
        page.click(f"[data-picture={hidden}]")
        for _ in range(12):
            page.wait_for_timeout(70)
            drawn = Drawn(page, SIZE)
            number = drawn.number
            if number >= len(poses):  # between two frames nothing else may be there
                pytest.fail(f"the picture has the number {number}")
            numbers.add(number)
            person = poses[number].people[0]
            seen = [(x, y) for x, y, score in person.keypoints if score >= 0.5]
            points = np.array(seen) if layer == "keypoints" else projected(person)[:24]
            for x, y in points[apart(points, 2 * WINDOW)]:
                found = drawn.dot_near(x, y, colour)
                assert found is not None, (layer, number, x, y)
                errors.append(np.hypot(found[0] - x, found[1] - y))
            later = poses[(number + 1) % len(poses)].people[0]
            there = np.array([k[:2] for k in later.keypoints]) if layer == "keypoints" else projected(later)[:24]
            here = np.array([k[:2] for k in person.keypoints]) if layer == "keypoints" else projected(person)[:24]
            neighbours.append(np.linalg.norm(there - here, axis=1).max())
        page.click(f"[data-picture={hidden}]")
    page.screenshot(path=str(shots / "aligned.png"))
    assert len(numbers) >= 8
    assert len(errors) >= 50
    print(f"{len(errors)} dots on {len(numbers)} frames, worst {max(errors):.2f} px, median {np.median(errors):.2f} px")
    assert max(errors) <= LIMIT_PX
    # The test could tell: on a neighbouring frame the skeleton would be farther off than that.
    assert np.median(neighbours) > 2 * LIMIT_PX


def test_plots_and_numbers_move(page: Page, start: Callable[..., FakeServer], shots: Path) -> None:
    open_live(page, start())
    page.wait_for_timeout(1500)
    assert [title.inner_text() for title in page.query_selector_all(".card h3")][:2] == ["Knee flexion", "Hip flexion"]
    plots = []
    values = set()
    bodies = []
    for _ in range(6):
        page.wait_for_timeout(300)
        plots.append(page.evaluate("document.querySelector('.card canvas').toDataURL()"))
        values.add(page.inner_text(".card .value[data-side=r] b"))
        bodies.append(page.locator("#body").screenshot())
    assert len(set(plots)) >= 5
    assert len(values) >= 3
    assert len(set(bodies)) >= 2
    # The value is a recorded one, in degrees.
    meta, poses = walk()
    knee = meta.coordinate_names.index("knee_angle_r")
    recorded = {round(float(np.degrees(pose.people[0].q[knee]))) for pose in poses}
    shown = {int(re.sub(r"[°]", "", value).replace("−", "-")) for value in values}
    assert shown <= {value + step for value in recorded for step in (-1, 0, 1)}
    page.screenshot(path=str(shots / "plots.png"))


def test_search_and_pins(page: Page, start: Callable[..., FakeServer]) -> None:
    open_live(page, start())
    page.fill("#search", "wrist")
    assert [row.inner_text().split("\n")[0] for row in page.locator(".row:visible").all()] == [
        "Wrist flexion",
        "Wrist deviation",
    ]
    row = page.locator(".row:visible").first
    row.focus()
    page.keyboard.press("Enter")
    assert row.get_attribute("aria-pressed") == "true"
    assert page.locator(".card h3").last.inner_text() == "Wrist flexion"
    page.reload()  # pins are remembered
    page.wait_for_selector(".card >> text=Wrist flexion")
    page.click("[aria-label='Unpin Wrist flexion']")
    assert page.locator(".card >> text=Wrist flexion").count() == 0


def test_server_restart_is_survived(page: Page, start: Callable[..., FakeServer], shots: Path) -> None:
    server = start()
    open_live(page, server)
    server.stop()
    page.wait_for_selector("#state[data-state=lost]")
    assert "gone away" in page.inner_text("#state")
    assert "comes back by itself" in page.inner_text("#message")
    page.screenshot(path=str(shots / "server-gone.png"))
    start(port=server.port)
    page.wait_for_selector("#state[data-state=live]")
    page.wait_for_selector("#message", state="hidden")
    numbers = set()
    for _ in range(5):
        numbers.add(Drawn(page, SIZE).number)
        page.wait_for_timeout(120)
    assert len(numbers) > 1


def test_wrong_token_is_said(page: Page, start: Callable[..., FakeServer], shots: Path) -> None:
    server = start()
    page.goto(f"http://127.0.0.1:{server.port}/?token=wrong")
    page.wait_for_selector("#state[data-state=refused]")
    assert "no valid key" in page.inner_text("#message")
    assert page.locator("#record").is_disabled()
    page.screenshot(path=str(shots / "wrong-token.png"))


def test_a_new_run_has_a_new_token(page: Page, start: Callable[..., FakeServer]) -> None:
    server = start()
    open_live(page, server)
    server.stop()
    page.wait_for_selector("#state[data-state=lost]")
    start(port=server.port, token="another")
    page.wait_for_selector("#state[data-state=refused]")
    assert "started anew" in page.inner_text("#message")


def test_without_webrtc_the_page_says_so(page: Page, start: Callable[..., FakeServer]) -> None:
    page.goto(start().url)  # this server answers no offer
    page.wait_for_selector("#state[data-state=live]")
    assert page.inner_text("#state") == "Live, without direct video"
    assert "WebSocket" in page.inner_text("#notice")


def test_no_server(page: Page, start: Callable[..., FakeServer]) -> None:
    server = start()
    page.goto(server.url + "&transport=websocket")
    page.route("**/api/status", lambda route: route.abort())
    page.reload()
    page.wait_for_selector("#state[data-state=lost]")
    assert "does not answer" in page.inner_text("#state")
    page.unroute("**/api/status")
    page.click("#retry")
    page.wait_for_selector("#state[data-state=live]")


def test_recording_and_screenshot_are_downloaded(page: Page, start: Callable[..., FakeServer], tmp_path: Path) -> None:
    server = start()
    open_live(page, server)
    page.click("#record")
    page.wait_for_selector("#record[aria-pressed=true]")
    assert server.is_recording
    page.reload()  # the page finds out that a recording is going on
    page.wait_for_selector("#record[aria-pressed=true]")
    assert page.inner_text("#record").startswith("Stop")
    page.click("#record")
    page.wait_for_selector("#download:visible")
    with page.expect_download() as waiting:
        page.click("#download")
    assert Path(waiting.value.path()).read_bytes() == b"zip of take-1"
    with page.expect_download() as waiting:
        page.click("#screenshot")
    from PIL import Image

    with Image.open(waiting.value.path()) as picture:
        assert picture.format == "PNG"
        assert picture.width > 900
        halves = np.array_split(np.asarray(picture.convert("L")), 2, axis=1)
    assert min(half.std() for half in halves) > 1, "both views are on it"


def test_a_refused_recording_says_why(page: Page, start: Callable[..., FakeServer]) -> None:
    server = start()
    open_live(page, server)
    server.is_recording = True  # somebody else's
    page.click("#record")
    page.wait_for_selector("#notice:visible")
    assert "A recording is running already" in page.inner_text("#notice")


def test_themes_follow_the_system_and_the_button(browser: Browser, start: Callable[..., FakeServer]) -> None:
    server = start()
    for scheme, other in [("dark", "light"), ("light", "dark")]:
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(server.url + "&transport=websocket")
        page.wait_for_selector(f"html[data-theme={scheme}]")
        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.click("#theme")
        page.wait_for_selector(f"html[data-theme={other}]")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
        page.reload()
        page.wait_for_selector(f"html[data-theme={other}]")
        context.close()


@pytest.mark.parametrize(("width", "height"), [(360, 740), (820, 1180), (1280, 720), (1920, 1080)])
def test_nothing_is_wider_than_the_window(
    browser: Browser, start: Callable[..., FakeServer], width: int, height: int, shots: Path
) -> None:
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    open_live(page, start())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for button in page.query_selector_all(".actions button:visible, .tools button"):
        box = button.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    page.screenshot(path=str(shots / f"size-{width}.png"))
    context.close()


def test_every_control_has_a_name_and_is_reached_by_keyboard(page: Page, start: Callable[..., FakeServer]) -> None:
    open_live(page, start())
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, canvas, [role=img]')]
            .filter((one) => one.checkVisibility())
            .filter((one) => !(one.getAttribute('aria-label') || one.innerText || one.closest('label')?.innerText))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    reached = set()
    for _ in range(24):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"record", "screenshot", "theme", "body", "Skeleton", "Front", "confidence"} <= reached
    state = page.locator("#state")
    assert (state.get_attribute("role"), state.get_attribute("aria-live")) == ("status", "polite")


def test_arrow_keys_turn_the_body(page: Page, start: Callable[..., FakeServer]) -> None:
    server = start()
    open_live(page, server)
    page.route("**/api/status", lambda route: route.abort())
    server.stop()  # the figure stands still
    page.wait_for_selector("#state[data-state=lost]")
    page.focus("#body")
    page.wait_for_timeout(1500)
    before = page.locator("#body").screenshot()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    for _ in range(20):
        page.wait_for_timeout(200)
        if page.locator("#body").screenshot() != before:
            return
    pytest.fail("the view did not turn")


def test_bad_messages_do_not_stop_the_page(page: Page, start: Callable[..., FakeServer]) -> None:
    server = start()
    open_live(page, server)
    server.send(b"noise \x01", b"pose \xc1", b"jpeg ", b"jpeg " + b"\0" * 40, b"meta \x80", b"")
    page.wait_for_selector("#notice:visible")
    assert "could not be read" in page.inner_text("#notice")
    before = Drawn(page, SIZE).pixels
    page.wait_for_timeout(400)
    assert (Drawn(page, SIZE).pixels != before).any()


def test_the_surface_is_fetched_shown_and_coloured(page: Page, start: Callable[..., FakeServer], shots: Path) -> None:
    server = start()
    open_live(page, server)
    assert page.get_attribute("#surface", "aria-pressed") == "false"  # a processor draws here
    page.click("[data-look=front]")
    page.click("#surface")
    page.wait_for_timeout(2500)
    assert page.get_attribute("#surface", "aria-pressed") == "true"
    page.screenshot(path=str(shots / "surface.png"))
    page.route("**/ws*", lambda route: route.abort())
    server.stop()  # the figure stands still
    page.wait_for_selector("#state[data-state=lost]")
    covered = {}
    for name, button in (("plain", None), ("coloured", "#confidence"), ("bare", "#surface")):
        if button is not None:
            page.click(button)
        page.wait_for_timeout(1500)
        picture = Image.open(io.BytesIO(page.locator("#body").screenshot())).convert("RGB")
        pixels = np.asarray(picture).astype(int)[60:-110]  # without legend and buttons
        covered[name] = np.abs(pixels - pixels[20, -20]).sum(axis=2) > 60
        covered[name + " hue"] = pixels
    assert covered["plain"].sum() > 1.5 * covered["bare"].sum()
    hue = covered["coloured hue"] - covered["plain hue"]
    assert (np.abs(hue).sum(axis=2) > 40).sum() > 0.4 * covered["plain"].sum()
    page.screenshot(path=str(shots / "surface-off.png"))


def test_a_surface_of_another_body_is_not_shown(page: Page, start: Callable[..., FakeServer]) -> None:
    meta, poses = walk()
    meta.mesh.vertices += 1
    open_live(page, start(recording=(meta, poses)))
    page.click("#surface")
    page.wait_for_selector("#notice:visible")
    assert "another body file" in page.inner_text("#notice")
    assert page.get_attribute("#surface", "aria-pressed") == "false"


def test_a_browser_without_a_decoder_is_told_so(page: Page, start: Callable[..., FakeServer]) -> None:
    server = start()
    page.route("**/whep", lambda route: route.fulfill(status=406, body="The video is H.264."))
    page.goto(server.url)
    page.wait_for_selector("#state[data-state=live]")
    assert "cannot decode direct video" in page.inner_text("#notice")
