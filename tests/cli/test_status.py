import io
import logging

import pytest
from rich.console import Console

from biopose_client.schema import Health, StageHealth
from biopose_live.cli.status import PlainStatus, destination, plain_line, running_status, stage_table
from biopose_live.settings import Settings


def health(processed: int = 9, alive: bool = True) -> Health:
    stages = [
        StageHealth("detection", alive, 1, 29.0, 20.0, 25.0, 150.0, 0.5),
        StageHealth("mqhmr", True, 0, 29.0, 8.0, 9.0),
    ]
    return Health("abc", 1, 29.4, 41.0, 63.0, 10, processed, 1, stages)


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


def test_the_plain_line_has_every_figure():
    line = plain_line(health(alive=False))
    assert line == (
        "29.4 fps  ·  latency 41 / 63 ms (p50 / p95)  ·  10 captured, 9 processed, 1 dropped  ·  "
        "detection 20/25 (down)  mqhmr 8/9 ms"
    )


def test_the_table_has_one_row_per_stage(screen):
    Console(file=screen, width=120).print(stage_table(health()))
    rows = [line.split() for line in screen.getvalue().splitlines()[1:]]
    assert rows[0] == ["detection", "20.0", "25.0", "29.0", "50%", "150", "1"]
    assert rows[1][:3] == ["mqhmr", "8.0", "9.0"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(demo=True), ["demo clip", "published on tcp://127.0.0.1:5556"]),
        (Settings(camera="0", publish="off"), ["camera 0", "not published"]),
        (Settings(url="rtsp://x", record="out"), ["rtsp://x", "recorded into out"]),
    ],
)
def test_the_heading_says_where_it_comes_from_and_goes(settings, words):
    assert all(word in destination(settings) for word in words)


def test_without_a_terminal_a_line_comes_each_two_seconds(screen):
    now = [100.0]
    status = PlainStatus(Console(file=screen), "heading", clock=lambda: now[0])
    for _ in range(49):
        status.show(health())
        now[0] += 0.125
    lines = screen.getvalue().splitlines()
    assert lines[0] == "heading"
    assert len(lines) == 1 + 4
    assert "\x1b" not in screen.getvalue()


def test_a_long_plain_line_is_not_wrapped(screen):
    PlainStatus(Console(file=screen, width=20), "x" * 100)
    assert screen.getvalue() == "x" * 100 + "\n"


@pytest.mark.parametrize("every_frame", [False, True])
def test_on_a_terminal_the_state_is_redrawn(screen, every_frame):
    console = Console(file=screen, force_terminal=True, width=100, height=30, color_system=None)
    settings = Settings(demo=True, every_frame=every_frame)
    with running_status(console, settings, frames=100) as status:
        status.show(health(processed=50))
    text = screen.getvalue()
    assert "demo clip" in text
    assert "29.4 fps" in text
    assert ("50/100" in text) == every_frame
    assert ("detection" in text) == (not every_frame)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("every_frame", [False, True])
def test_warnings_of_the_pipeline_are_shown_and_markup_in_them_is_text(screen, terminal, every_frame):
    console = Console(file=screen, force_terminal=terminal, width=100, color_system=None)
    logger = logging.getLogger("biopose_live.sinks.record")
    with running_status(console, Settings(demo=True, every_frame=every_frame), None):
        logger.warning("the disk [bold]is[/bold] %s", "full")
        logger.info("not shown")
    assert "the disk [bold]is[/bold] full" in screen.getvalue()
    assert "not shown" not in screen.getvalue()
    assert not logging.getLogger("biopose_live").handlers
    assert logging.getLogger("biopose_live").propagate
