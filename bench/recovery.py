"""How long poses stay away when a stage dies or freezes: `kill -9` and SIGSTOP of each of the five processes.

    python bench/recovery.py                          three rounds, table on the screen
    python bench/recovery.py --rounds 10 --json bench/results/recovery.json

A live run of the demo clip, over and over, with the default settings; a subscriber counts the seconds from the blow to
the first pose whose frame was caught after the new process was there, so that what was on its way already counts for
nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

import result_file
from biopose_live.errors import UserError
from live_run import RunFailed
from machine import Machine, describe, table_console
from outage import BLOWS, LIMIT_S, STAGES, Outage, StruckRun, write_loop

LONGEST_ROUND_S = 120.0  # of video for each round


class Report(msgspec.Struct):
    """What `--json` writes."""

    bench: str
    machine: Machine
    limit_s: float
    outages: list[Outage]


def build_parser() -> argparse.ArgumentParser:
    """-> the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=3, help="how often each stage is struck in each way (3)")
    parser.add_argument("--json", type=Path, help="write everything measured into this file")
    return parser


def measure(rounds: int, video: Path, say: Callable[[str], None]) -> list[Outage]:
    """-> every blow of every round, in order; raises RunFailed."""
    outages = []
    with StruckRun(video) as run:
        for number in range(rounds):
            for blow in BLOWS:
                for stage in STAGES:
                    run.rest()
                    outages.append(run.strike(stage, blow))
                    say(f"round {number + 1} of {rounds}: {blow} of {stage}: {outages[-1].recovered_s:.2f} s")
    return outages


def table(outages: Sequence[Outage]) -> Table:
    """-> one row per stage and blow."""
    shown = Table(
        title=f"Seconds until a subscriber has poses again (limit {LIMIT_S:g})",
        title_justify="left",
        title_style="bold",
    )
    for heading in ("stage", "blow"):
        shown.add_column(heading, no_wrap=True)
    for heading in ("new process, median", "poses, median", "poses, worst", "within the limit", "others untouched"):
        shown.add_column(heading, justify="right")
    for stage in STAGES:
        for blow in BLOWS:
            rows = [outage for outage in outages if (outage.stage, outage.blow) == (stage, blow)]
            seconds = [outage.recovered_s for outage in rows]
            shown.add_row(
                stage,
                blow,
                f"{statistics.median(outage.replaced_s for outage in rows):.2f}",
                f"{statistics.median(seconds):.2f}",
                f"{max(seconds):.2f}",
                f"{sum(value <= LIMIT_S for value in seconds)} of {len(seconds)}",
                f"{sum(outage.only_it for outage in rows)} of {len(rows)}",
            )
        shown.add_section()
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    parser = build_parser()
    given = parser.parse_args(arguments)
    if given.rounds < 1:
        parser.error(f"--rounds must be at least 1, not {given.rounds}")
    machine = describe()
    console = table_console()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            video = Path(scratch) / "loop.mp4"
            write_loop(video, given.rounds * LONGEST_ROUND_S)
            outages = measure(given.rounds, video, Console(stderr=True, highlight=False).print)
        except (RunFailed, UserError) as error:
            print(error, file=sys.stderr)
            return 1
    console.print(table(outages))
    console.print(f"{machine.cores} cores of {machine.cpu}, load {machine.load} before; {given.rounds} rounds.")
    if given.json is not None:
        report = Report("recovery", machine, LIMIT_S, outages)
        result_file.write(given.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
