"""Speed of live mode beside MediaPipe alone: same 720p 30 fps file, same pacing, same detector model, same run.

    python bench/pipeline.py                          default settings, table on the screen
    python bench/pipeline.py --quick                  under a minute
    python bench/pipeline.py --detector lite,full,heavy --json bench/results/pipeline.json

Everything but the options given here is biopose-live's default, the settings of the accuracy figures.  The first
seconds after the first pose are left out of all figures; start-up is a row of its own.  The two systems take turns
(ours, MediaPipe, ours, ...) so that a change of the machine's speed meets both; each figure is the median over runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

import result_file
from biopose_live.errors import UserError
from clip_720p import write_clip
from figures import Figures, Percentiles, Result, medians
from live_run import RunFailed, measure_live
from machine import Machine, describe, table_console

DETECTORS = ("lite", "full", "heavy")
OURS, PEER = "biopose-live", "MediaPipe alone"
STARTING_S = 5.0  # of video, should playing begin before the first pose
WARM_UP_S = 3.0


class Report(msgspec.Struct):
    """What `--json` writes."""

    bench: str
    machine: Machine
    settings: dict[str, str | float | int]
    results: list[Result]


def detectors(text: str) -> list[str]:
    """'lite,full' -> ['lite', 'full']; for argparse."""
    chosen = text.split(",")
    for name in chosen:
        if name not in DETECTORS:
            raise argparse.ArgumentTypeError(f"{name!r} is no detector: use some of {','.join(DETECTORS)}")
    return chosen


def build_parser() -> argparse.ArgumentParser:
    """-> the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--video", type=Path, help="a file long enough, instead of one made from the demo clip")
    parser.add_argument("--seconds", type=float, help="measured seconds of each run (20; with --quick 8)")
    parser.add_argument("--runs", type=int, help="runs of each system, medians are shown (3; with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="one short run each: under a minute per detector")
    parser.add_argument("--detector", type=detectors, default=["full"], help="lite,full,heavy or some of them (full)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where our networks run")
    parser.add_argument("--json", type=Path, help="write everything measured into this file")
    return parser


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """-> the command line with `--quick` resolved."""
    parser = build_parser()
    given = parser.parse_args(arguments)
    if given.seconds is None:
        given.seconds = 8.0 if given.quick else 20.0
    if given.runs is None:
        given.runs = 1 if given.quick else 3
    if given.seconds < 2.0 or given.runs < 1:
        parser.error(f"--seconds must be at least 2 and --runs at least 1, not {given.seconds:g} and {given.runs}")
    return given


def measure_peer(video: Path, detector: str, seconds: float) -> Figures:
    """-> MediaPipe's figures, from a process of its own; raises RunFailed."""
    command = [sys.executable, str(Path(__file__).with_name("mediapipe_alone.py")), str(video), "--model", detector]
    done = subprocess.run(
        [*command, "--warm-up", str(WARM_UP_S), "--seconds", str(seconds)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RunFailed(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "MediaPipe alone failed")
    return msgspec.json.decode(done.stdout, type=Figures)


def measure(given: argparse.Namespace, video: Path, say: Callable[[str], None]) -> list[Result]:
    """-> two results per detector, ours first."""
    results = []
    for detector in given.detector:
        ours, peer = [], []
        for run in range(given.runs):
            say(f"{detector}, run {run + 1} of {given.runs}: {OURS} …")
            options = ("--detector", detector, "--device", given.device)
            ours.append(measure_live(video, options, WARM_UP_S, given.seconds))
            say(f"{detector}, run {run + 1} of {given.runs}: {PEER} …")
            peer.append(measure_peer(video, detector, given.seconds))
        results.append(Result(OURS, detector, medians(ours), ours))
        results.append(Result(PEER, detector, medians(peer), peer))
    return results


def table(results: Sequence[Result]) -> Table:
    """-> one column per system and detector."""
    shown = Table(title="Live from a paced file, newest frame wins", title_justify="left", title_style="bold")
    shown.add_column("", no_wrap=True)
    for result in results:
        shown.add_column(
            f"{result.system}\n{result.detector}", justify="right", style="bold" * (result.system == OURS), no_wrap=True
        )

    def row(label: str, cell: Callable[[Figures], str]) -> None:
        shown.add_row(label, *(cell(result.median) for result in results))

    row("frames processed per second", lambda f: f"{f.fps:.1f}")
    row("processed / dropped", lambda f: f"{f.processed} / {f.dropped}")
    row("frames with a person", lambda f: f"{f.with_person / f.processed:.0%}")
    shown.add_section()
    row("latency p50 / p95 / p99 ms", lambda f: spread(f.latency))
    row("  until received", lambda f: spread(f.received))
    stages = list(dict.fromkeys(name for result in results for name in result.median.stages))
    for stage in stages:
        row(f"  {stage}", lambda f, stage=stage: spread(f.stages.get(stage)))  # type: ignore[misc]
    row("  waiting and capture", lambda f: spread(f.waiting))
    shown.add_section()
    processes = list(dict.fromkeys(name for result in results for name in result.median.cpu))
    row("CPU, all processes", lambda f: f"{sum(f.cpu.values()):.0%}")
    row("memory, all processes", lambda f: f"{sum(f.memory_mb.values()):.0f} MB")
    for name in processes:
        row(f"  {name}", lambda f, name=name: usage(f, name))  # type: ignore[misc]
    shown.add_section()
    row("start to first pose", lambda f: f"{f.startup_s:.1f} s")
    return shown


def spread(values: Percentiles | None) -> str:
    return "" if values is None else f"{values.p50:.1f} / {values.p95:.1f} / {values.p99:.1f}"


def usage(figures: Figures, process: str) -> str:
    return f"{figures.cpu[process]:.0%}  {figures.memory_mb[process]:.0f} MB" if process in figures.cpu else ""


def footnote(given: argparse.Namespace, machine: Machine) -> str:
    return (
        f"{machine.cores} cores of {machine.cpu}, load {machine.load} before; {given.seconds:g} s each, medians of "
        f"{given.runs}; the {WARM_UP_S:g} s after the first pose are left out. 100 % CPU is one core; memory counts "
        f"libraries that processes share once for each. Latency of {OURS}: capture to publish, of {PEER}: to result."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)
    machine = describe()
    console = table_console()
    progress = Console(stderr=True, highlight=False)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            video = given.video
            if video is None:
                progress.print("making the 720p file …")
                video = Path(scratch) / "720p.mp4"
                write_clip(video, given.seconds + WARM_UP_S + STARTING_S)
            results = measure(given, video, progress.print)
        except (RunFailed, UserError) as error:
            print(error, file=sys.stderr)
            return 1
    console.print(table(results))
    console.print(footnote(given, machine))
    if given.json is not None:
        source = "demo clip at 1280x720, 30 fps" if given.video is None else given.video.name
        settings = {"video": source, "device": given.device, "runs": given.runs}
        settings |= {"seconds": given.seconds, "warm_up_s": WARM_UP_S}
        report = Report("pipeline", machine, settings, results)
        result_file.write(given.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
