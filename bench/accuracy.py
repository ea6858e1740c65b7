"""Accuracy on clips with truth, beside the peers on the same frames.  Causal, with live mode's default settings.

    python bench/accuracy.py                                            the demo clip alone
    python bench/accuracy.py --pose2sim DIR --opencap DIR DIR --json bench/results/accuracy.json
    python bench/accuracy.py --set refine_iterations=0,1,2,5,10         one row for each value
    python bench/accuracy.py --ablation                                 what each part is worth

Every clip is run by `biopose-live --video FILE --every-frame --record ...`, so what is scored is what a user gets.
`--set NAME=A,B,...` takes any option of biopose-live; several of them give all combinations.  One more name,
`warm_start=on,off`, tells whether a frame's refinement may begin at the last one's pose.  bench/README.md says where
the clips come from.  They are for evaluation only; nothing was fitted to them.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

import result_file
from biopose_live.errors import EXIT_USAGE, UserError
from biopose_live.mqhmr.shape import SETTLE_S
from machine import Machine, describe, table_console
from scored_clips import AngleRow, JointRow, MotionRow, Rows, ScoredClip, demo, opencap, pose2sim, together

Variant = dict[str, str]

WARM_START = "warm_start"
# One part after the other taken away, then the refinement's steps; the defaults first.
ABLATION: list[Variant] = [
    {},
    {"image": "off"},
    {WARM_START: "off"},
    {"image": "off", WARM_START: "off"},
    *({"refine_iterations": str(k)} for k in (0, 1, 2, 5, 10, 20)),
]


class Report(msgspec.Struct):
    """What `--json` writes."""

    bench: str
    machine: Machine
    joints: list[JointRow]
    angles: list[AngleRow]
    motion: list[MotionRow]


def sweep(text: str) -> tuple[str, list[str]]:
    """'refine_iterations=0,1' -> ('refine_iterations', ['0', '1']); for argparse."""
    name, equals, values = text.partition("=")
    if not (name and equals and all(values.split(","))):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE or NAME=VALUE,VALUE,...")
    return name.strip().lstrip("-").replace("-", "_"), [value.strip() for value in values.split(",")]


def variants(sweeps: Sequence[tuple[str, Sequence[str]]]) -> list[Variant]:
    """-> every combination of the values; one empty variant, the default settings, when there is nothing to vary."""
    names = [name for name, _ in sweeps]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(v for _, v in sweeps))]


def chosen_variants(given: argparse.Namespace) -> list[Variant]:
    """-> what the options ask for; with --ablation, each of its variants with the (single) values of --set."""
    sweeps = [("detector", given.detector.split(","))] if given.detector else []
    asked = variants([*sweeps, *given.set])
    return [{**fixed, **part} for fixed in asked for part in ABLATION] if given.ablation else asked


def label(variant: Variant) -> str:
    """-> what a row is called."""
    return "biopose-live" + "".join(f" {name}={value}" for name, value in variant.items())


def build_parser() -> argparse.ArgumentParser:
    """-> the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--pose2sim", type=Path, metavar="DIR", help="folder with cam01.mp4 ... and truth.npz")
    parser.add_argument(
        "--opencap",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders with video.mp4 and sample_mocap.json",
    )
    parser.add_argument("--no-demo", action="store_true", help="leave the embedded demo clip out")
    parser.add_argument("--detector", help="lite,full,heavy or some of them: short for --set detector=...")
    parser.add_argument(
        "--set",
        type=sweep,
        action="append",
        default=[],
        metavar="NAME=A,B",
        help="an option and its values, repeatable",
    )
    parser.add_argument(
        "--ablation",
        action="store_true",
        help="without the picture, without warm start, and by refinement steps, instead of all combinations of --set",
    )
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="keep the recordings in this new folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows into this file")
    return parser


def run(video: Path, folder: Path, variant: Variant) -> None:
    """Records `video` into `folder` through the public command; raises UserError with the command's own sentence."""
    warm = variant.get(WARM_START, "on")
    if warm not in ("on", "off"):
        raise UserError(f"{WARM_START}={warm} is neither on nor off.", EXIT_USAGE)
    program = ["-m", "biopose_live.cli"] if warm == "on" else [str(Path(__file__).with_name("without_warm_start.py"))]
    command = [sys.executable, *program, "--video", str(video), "--every-frame", "--publish", "off"]
    for name, value in variant.items():
        if name == WARM_START:
            continue
        option = name.replace("_", "-")
        if value in ("true", "false"):
            command.append(f"--{option}" if value == "true" else f"--no-{option}")
        else:
            command.append(f"--{option}={value}")
    done = subprocess.run([*command, "--record", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"biopose-live on {video} failed: {done.stderr.strip() or 'it said nothing'}", done.returncode)


@contextmanager
def kept_in(folder: Path | None) -> Iterator[Path]:
    """-> the folder for the recordings: the user's, or one that is gone afterwards."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def score(clips: Sequence[ScoredClip], chosen: Sequence[Variant], folder: Path, say: Callable[[str], None]) -> Rows:
    """Runs every clip with every variant; -> all rows, the peers' first within each clip."""
    found: list[Rows] = []
    for clip in clips:
        say(f"{clip.name}: peers …")
        found.append(clip.peers())
        for number, variant in enumerate(chosen):
            recordings = []
            for video in clip.videos:
                say(f"{clip.name}: {video.name}, {label(variant)} …")
                recordings.append(folder / f"{clip.name}_{video.stem}_{number}")
                run(video, recordings[-1], variant)
            found.append(clip.score(label(variant), recordings))
    return together(found)


def joint_table(rows: Sequence[JointRow]) -> Table:
    """-> one row per system and clip."""
    table = Table(title="12 limb joints, hip-centred, mm", title_justify="left", title_style="bold")
    table.add_column("clip")
    table.add_column("system")
    for heading in ("MPJPE", "PA-MPJPE", "PA of each video", "frames"):
        table.add_column(heading, justify="right")
    for row in rows:
        each = " ".join(f"{value:.0f}" for value in row.pa_per_video)
        style = "bold" * is_ours(row.system)
        cells = (f"{row.mpjpe_mm:.1f}", f"{row.pa_mpjpe_mm:.1f}", each, str(row.frames))
        table.add_row(row.clip, row.system, *cells, style=style)
    return table


def angle_table(rows: Sequence[AngleRow]) -> Table:
    """-> one column per system; all rows are of the same clip and have the same angles."""
    title = f"{rows[0].clip}: {rows[0].kind}, mean absolute error, degrees, raw / offset-free"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("")
    for row in rows:
        table.add_column(row.system.replace(" ", "\n"), justify="right", style="bold" * is_ours(row.system))
    for name in rows[0].raw_deg:
        table.add_row(name, *(f"{row.raw_deg[name]:.1f} / {row.offset_free_deg[name]:.1f}" for row in rows))
    table.add_section()
    table.add_row("mean", *(f"{row.raw_mean:.2f} / {row.offset_free_mean:.2f}" for row in rows))
    table.add_row("offset-free, best lag", *(f"{row.at_best_lag_mean:.2f}" for row in rows))
    table.add_row("best lag, frames", *(f"{row.lag:+d}" for row in rows))
    table.add_row("frames", *(str(row.frames) for row in rows))
    return table


def motion_table(rows: Sequence[MotionRow]) -> Table:
    """-> one row per system and clip."""
    title = "Steadiness: acceleration error, m/s², mean / median, and variation of bone lengths, %"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("clip")
    table.add_column("system")
    for heading in ("acceleration", "limb points", "skeleton", f"after {SETTLE_S:g} s", "frames"):
        table.add_column(heading, justify="right")
    for row in rows:
        means = (row.acceleration_mean, row.acceleration_median)
        both = " / ".join(f"{value:.1f}" for value in means if value is not None)
        bones = (row.bones_percent, row.skeleton_bones_percent, row.settled_bones_percent)
        cells = ["" if value is None else f"{value:.2f}" for value in bones]
        table.add_row(row.clip, row.system, both, *cells, str(row.frames), style="bold" * is_ours(row.system))
    return table


def is_ours(system: str) -> bool:
    return system.startswith("biopose-live")


def show(
    console: Console, joints: Sequence[JointRow], angles: Sequence[AngleRow], motion: Sequence[MotionRow] = ()
) -> None:
    """Prints the rows: joints in one table, angles in one per clip, steadiness in one."""
    if joints:
        console.print(joint_table(joints))
    for clip in dict.fromkeys(row.clip for row in angles):
        console.print(angle_table([row for row in angles if row.clip == clip]))
    if motion:
        console.print(motion_table(motion))


def main(arguments: Sequence[str] | None = None) -> int:
    given = build_parser().parse_args(arguments)
    console = table_console()
    progress = Console(stderr=True, highlight=False)
    machine = describe()
    try:
        detectors = given.detector.split(",") if given.detector else ["full"]
        clips = [] if given.no_demo else [demo(detectors)]
        clips += [pose2sim(given.pose2sim, detectors)] if given.pose2sim is not None else []
        clips += [opencap(folder, detectors) for folder in given.opencap]
        with kept_in(given.recordings) as folder:
            rows = score(clips, chosen_variants(given), folder, progress.print)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    show(console, *rows)
    if given.json is not None:
        report = Report("accuracy", machine, *rows)
        result_file.write(given.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
