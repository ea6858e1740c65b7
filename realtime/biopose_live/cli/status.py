"""What a run shows while it goes on: a status line on a terminal, plain lines elsewhere, a bar for whole files; and the
summary table at its end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from biopose_client.schema import Health
from biopose_live.pipeline.metrics import Summary
from biopose_live.settings import Settings

PLAIN_PERIOD_S = 2.0
REFRESHES_PER_S = 4


class Status(Protocol):
    """Takes the pipeline's state about once a second, and sentences at any time."""

    def show(self, health: Health) -> None: ...

    def say(self, sentence: str) -> None: ...


def destination(settings: Settings) -> str:
    """-> source and outputs of a run in one line."""
    source = "demo clip" if settings.demo else settings.camera or settings.url or str(settings.video)
    parts = [f"camera {source}" if settings.camera is not None else source]
    parts.append("not published" if settings.publish == "off" else f"published on {settings.publish}")
    if settings.record is not None:
        parts.append(f"recorded into {settings.record}")
    if settings.network is not None:
        parts.append(f"looks with {settings.network.name}")
    return "  ·  ".join(parts)


def totals(health: Health) -> str:
    """-> rate, latency and counts of all stages together."""
    if health.captured == 0:
        return "starting: models are being loaded (the first start on a machine compiles, for about a minute)"
    return (
        f"{health.fps:.1f} fps  ·  latency {health.latency_ms_p50:.0f} / {health.latency_ms_p95:.0f} ms (p50 / p95)"
        f"  ·  {health.captured} captured, {health.processed} processed, {health.dropped} dropped"
    )


def plain_line(health: Health) -> str:
    """-> the same with each stage's times, in one line without styles."""
    if health.captured == 0:
        return totals(health)
    stages = "  ".join(
        f"{stage.name} {stage.ms_p50:.0f}/{stage.ms_p95:.0f}{'' if stage.alive else ' (down)'}"
        for stage in health.stages
    )
    return f"{totals(health)}  ·  {stages} ms"


def stage_table(health: Health) -> Table:
    """-> one row per stage."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("stage", min_width=10)
    for heading in ("p50 ms", "p95 ms", "fps", "cpu", "memory MB", "restarts"):
        table.add_column(heading, justify="right")
    for stage in health.stages:
        table.add_row(
            stage.name if stage.alive else f"[red]{stage.name} (down)[/red]",
            f"{stage.ms_p50:.1f}",
            f"{stage.ms_p95:.1f}",
            f"{stage.fps:.1f}",
            f"{stage.cpu:.0%}",
            f"{stage.rss_mb:.0f}",
            str(stage.restarts),
        )
    return table


class TerminalStatus:
    """Redraws a few lines in place."""

    def __init__(self, console: Console, live: Live, heading: str) -> None:
        self._console = console
        self._live = live
        self._heading = Text(heading, style="bold")
        live.update(Group(self._heading, Text("starting …")))

    def show(self, health: Health) -> None:
        self._live.update(Group(self._heading, Text(totals(health)), stage_table(health)))

    def say(self, sentence: str) -> None:
        self._console.print(Text(sentence, style="yellow"))


class BarStatus:
    """A bar of the frames of a file; without an end when the file does not tell how many it has."""

    def __init__(self, console: Console, progress: Progress, frames: int | None) -> None:
        self._console = console
        self._progress = progress
        self._task = progress.add_task("starting", total=frames)

    def show(self, health: Health) -> None:
        self._progress.update(self._task, completed=health.processed, description=f"{health.fps:.1f} fps")

    def say(self, sentence: str) -> None:
        self._console.print(Text(sentence, style="yellow"))


class PlainStatus:
    """A line each two seconds, for logs and pipes."""

    def __init__(self, console: Console, heading: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._next = clock()
        self._line(heading)

    def show(self, health: Health) -> None:
        now = self._clock()
        if now >= self._next:
            self._next = now + PLAIN_PERIOD_S
            self._line(plain_line(health))

    def say(self, sentence: str) -> None:
        self._line(sentence)

    def _line(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)
        self._console.file.flush()


class _SaysWarnings(logging.Handler):
    """Shows what the pipeline warns of above the status line instead of through it."""

    def __init__(self, status: Status) -> None:
        super().__init__(logging.WARNING)
        self._status = status

    def emit(self, record: logging.LogRecord) -> None:
        self._status.say(record.getMessage())


@contextmanager
def running_status(console: Console, settings: Settings, frames: int | None = None) -> Iterator[Status]:
    """Shows a run's state in the way that fits where `console` writes; `frames` of a file that is done whole."""
    heading = destination(settings)
    if not console.is_terminal:
        with _warnings_to(PlainStatus(console, heading)) as status:
            yield status
    elif settings.every_frame:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console.print(Text(heading, style="bold"))
        with (
            Progress(*columns, console=console) as progress,
            _warnings_to(BarStatus(console, progress, frames)) as status,
        ):
            yield status
    else:
        with (
            Live(console=console, refresh_per_second=REFRESHES_PER_S, transient=True) as live,
            _warnings_to(TerminalStatus(console, live, heading)) as status,
        ):
            yield status


@contextmanager
def _warnings_to(status: Status) -> Iterator[Status]:
    logger = logging.getLogger("biopose_live")
    handler = _SaysWarnings(status)
    propagated = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield status
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


def summary_table(summary: Summary) -> Table:
    """-> the whole run: counts and rates above, one row per stage below."""
    table = Table(
        title=(
            f"{summary.seconds:.1f} s  ·  {summary.fps:.1f} fps  ·  {summary.captured} captured, "
            f"{summary.processed} processed, {summary.dropped} dropped"
        ),
        title_justify="left",
        title_style="bold",
    )
    table.add_column("stage")
    for heading in ("p50 ms", "p95 ms", "p99 ms", "messages", "lost", "restarts"):
        table.add_column(heading, justify="right")
    for name, stage in summary.stages.items():
        times = (f"{value:.1f}" for value in (stage.ms.p50, stage.ms.p95, stage.ms.p99))
        table.add_row(name, *times, str(stage.produced), str(stage.lost), str(stage.restarts))
    table.add_section()
    latency = summary.latency
    table.add_row(
        "capture to publish", *(f"{value:.1f}" for value in (latency.p50, latency.p95, latency.p99)), str(latency.count)
    )
    return table
