"""Who is shown and measured: two people in a scripted stream, and the full-screen measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from fake_server import FakeServer, walk

from biopose_client.schema import Meta, Pose
from biopose_live.pipeline.moves import MOVES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MS = 15_000
OTHER = 7  # the second person's id


@pytest.fixture
def start(page_folder: Path) -> Iterator[Callable[..., FakeServer]]:
    started: list[FakeServer] = []

    def begin(**settings: object) -> FakeServer:
        started.append(FakeServer(page_folder, **settings).start())  # type: ignore[arg-type]
        return started[-1]

    yield begin
    for server in started:
        server.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def open_live(page: Page, server: FakeServer) -> None:
    page.goto(server.url + "&transport=websocket")
    page.wait_for_selector("#state[data-state=live]")
    page.wait_for_selector("#message", state="hidden")
    page.wait_for_selector("#cards .card")


def two_people() -> tuple[Meta, list[Pose]]:
    """The walk, and beside it somebody whose right knee stands at 77 degrees."""
    meta, poses = walk()
    knee = meta.coordinate_names.index("knee_angle_r")
    for pose in poses:
        other = msgspec.convert(msgspec.to_builtins(pose.people[0]), type(pose.people[0]))
        other.id, other.confidence = OTHER, pose.people[0].confidence * 0.9
        other.q[knee] = float(np.radians(77.0))
        other.keypoints = [[x + 140.0, y, score] for x, y, score in other.keypoints]
        depth = other.joints[0][2]
        shift = 140.0 * depth / other.camera.focal
        other.joints = [[x + shift, y, z] for x, y, z in other.joints]
        other.camera.translation[0] += shift
        other.root[2] -= shift
        pose.people.append(other)
    return meta, poses


def test_the_reader_chooses_whose_angles_are_shown(page: Page, start: Callable[..., FakeServer], shots: Path) -> None:
    open_live(page, start(recording=two_people()))
    page.wait_for_selector("#person-field:visible")
    names = page.locator("#person option").all_inner_texts()
    assert names[0] == "Automatic"
    assert len(names) == 3
    assert page.inner_text(".card .value[data-side=r] b") != "77°"  # the surer one
    page.select_option("#person", str(OTHER))
    page.wait_for_timeout(600)
    assert {page.inner_text(".card .value[data-side=r] b") for _ in range(3)} == {"77°"}
    page.screenshot(path=str(shots / "two-people.png"))
    page.select_option("#person", "")
    page.wait_for_timeout(300)


def test_one_person_needs_no_choice(page: Page, start: Callable[..., FakeServer]) -> None:
    open_live(page, start())
    assert not page.is_visible("#person-field")


def letter_height(page: Page, what: str) -> float:
    return float(page.evaluate(f"parseFloat(getComputedStyle(document.querySelector('{what}')).fontSize)"))


def test_the_measurement_leads_through_its_moves(page: Page, start: Callable[..., FakeServer], shots: Path) -> None:
    server = start()
    open_live(page, server)
    page.click("#calibrate")
    assert page.is_visible("#calibration-form")
    page.fill("#calibration-height", "9")
    page.click(".begin")
    assert page.is_visible("#calibration-form")  # nobody is nine metres tall
    page.fill("#calibration-height", "178")  # cm are understood
    page.fill("#calibration-name", "Anna")
    page.keyboard.press("Enter")
    page.wait_for_selector("#calibration-number:visible")
    page.wait_for_selector("#calibration-step >> text=Step 1")
    _, poses = walk()
    assert server.asked == {"person": poses[0].people[0].id, "height": 1.78, "name": "Anna"}
    assert page.inner_text("#calibration-title") == MOVES[0].instruction
    # Three metres away: a fourteenth of the window's height and more, the countdown a quarter.
    assert letter_height(page, "#calibration-title") >= 900 / 14
    assert letter_height(page, "#calibration-number") >= 900 / 4
    going = {"phase": "measuring", "move": 3, "left_s": 4.2, "share": 0.6, "seen": True}
    server.calibration |= going
    page.wait_for_selector("#calibration-step >> text=Step 4 of 5")
    assert page.inner_text("#calibration-number") == "5"
    page.wait_for_timeout(300)
    page.screenshot(path=str(shots / "calibrate.png"))
    for part in ("#calibration-title", "#calibration-number", "#calibration-bar", "#calibration-close"):
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 900
    server.calibration |= {"seen": False}
    page.wait_for_selector("#calibration[data-mood=waiting]")
    assert "step back" in page.inner_text("#calibration-detail")
    server.calibration |= {
        "phase": "done", "good": True, "file": "/home/anna/anna.json", "sentences": ["Height 1.78 m.", "Agrees."],
        "command": "biopose-live --camera 0 --calibration /home/anna/anna.json",
    }  # fmt: skip
    page.wait_for_selector("#calibration[data-mood=good]")
    assert page.inner_text("#calibration-title") == "Height 1.78 m."
    assert "--calibration /home/anna/anna.json" in page.inner_text("#calibration-detail")
    page.screenshot(path=str(shots / "calibrated.png"))
    page.click("#calibration-close")
    assert not page.is_visible("#calibration")
    assert server.calibration["phase"] == "done"


def test_closing_ends_the_measurement(page: Page, start: Callable[..., FakeServer]) -> None:
    server = start()
    open_live(page, server)
    page.click("#calibrate")
    page.keyboard.press("Enter")  # in the first field, which has the focus
    page.wait_for_selector("#calibration-step >> text=Step 1")
    page.keyboard.press("Escape")
    page.wait_for_selector("#calibration", state="hidden")
    page.wait_for_timeout(400)
    assert server.calibration["phase"] == "cancelled"


def test_a_failure_is_told_and_can_be_tried_again(page: Page, start: Callable[..., FakeServer]) -> None:
    server = start()
    open_live(page, server)
    page.click("#calibrate")
    page.keyboard.press("Enter")
    page.wait_for_selector("#calibration-step >> text=Step 1")
    server.calibration |= {"phase": "failed", "sentences": ["Nobody was seen well for 60 s."]}
    page.wait_for_selector("#calibration[data-mood=poor]")
    assert page.inner_text("#calibration-title") == "Nobody was seen well for 60 s."
    page.click("#calibration-again")
    assert page.is_visible("#calibration-form")
    assert letter_height(page, "#calibration-heading") >= 900 / 14


def test_the_measurement_fits_a_phone(browser: Browser, start: Callable[..., FakeServer], shots: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2, has_touch=True)
    page = context.new_page()
    server = start()
    open_live(page, server)
    page.click("#calibrate")
    page.wait_for_selector("#calibration-mirror[width='720']")  # with its picture, it must not lie over the button
    page.click(".begin")
    page.wait_for_selector("#calibration-step >> text=Step 1")
    assert page.evaluate("document.getElementById('calibration').scrollWidth") <= 390
    page.screenshot(path=str(shots / "calibrate-phone.png"))
    context.close()
