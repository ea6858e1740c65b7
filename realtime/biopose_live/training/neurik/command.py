"""`biopose-train neurik`: from motion capture to NeurIK's weights in one command.

Five steps, each of which leaves its result in the folder and is passed over or gone on with when it is there:

1. `poses.npz`: all motion capture that was named, on the embedded body (`training.motion`);
2. `samples/train`, `samples/held`: what a camera makes of it, with labels (`samples`), one process a core;
3. `network.safetensors`: the training (`train`);
4. `neurik.safetensors`: its one-sigmas set right on one half of the held-out people (`sureness`);
5. `evaluation.json`: NeurIK beside inverse kinematics on the other half (`evaluation.neurik_benchmark`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from biopose_live.errors import EXIT_OK, EXIT_SINK, EXIT_SOURCE, EXIT_USAGE, UserError
from biopose_live.training.event_log import HELP, summary_writer
from biopose_live.training.motion import amc
from biopose_live.training.motion.dataset import PoseSet
from biopose_live.training.neurik.motions import SHORTEST, clips_of
from biopose_live.training.neurik.sample_processes import make_samples
from biopose_live.training.neurik.samples import HELD_OUT

SETTINGS = "settings.json"
SEQUENCES, HELD_SEQUENCES = 4000, 240
SCORED = 24
ONE_IN = 5  # subjects are held out of data that nobody has chosen any for


class Data(msgspec.Struct, frozen=True):
    """What the folder's data were made from; the same on every `--resume`."""

    motion: list[str]
    amc_fps: float
    hold_out: list[str]
    world_errors: str
    seed: int


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """-> the command line."""
    parser = argparse.ArgumentParser(
        prog="biopose-train neurik",
        description="Motion capture in, NeurIK's weights out: poses, samples, training, one-sigmas, evaluation.",
    )
    parser.add_argument(
        "--motion",
        type=Path,
        nargs="+",
        required=True,
        metavar="PATH",
        help="archives or folders of .bvh, .amc with .asf, or AMASS .npz files (BML-MoVi's among them)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="all results, the half-done too")
    parser.add_argument("--minutes", type=float, metavar="N", help="end the training after this long")
    parser.add_argument("--steps", type=int, default=6000, metavar="N", help="or after so many steps (%(default)s)")
    parser.add_argument("--batch", type=int, default=24, metavar="N", help="sequences in a step (%(default)s)")
    parser.add_argument("--layers", type=int, default=4, metavar="N", help="of the transformer (%(default)s)")
    parser.add_argument("--width", type=int, default=256, metavar="N", help="of a token (%(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda: what the training runs on")
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help=HELP)
    parser.add_argument("--resume", action="store_true", help="go on with what the folder holds")
    parser.add_argument("--sequences", type=int, default=SEQUENCES, metavar="N", help="to train on (%(default)s)")
    parser.add_argument(
        "--held-sequences", type=int, default=HELD_SEQUENCES, metavar="N", help="of held-out people (%(default)s)"
    )
    parser.add_argument(
        "--hold-out", nargs="+", default=[], metavar="NAME", help="subjects, or parts of clips' names, for evaluation"
    )
    parser.add_argument("--world-errors", type=Path, metavar="FILE", help="errors of the detector's own 3D")
    parser.add_argument("--amc-fps", type=float, default=amc.CMU_FPS, help="frame rate of .amc files (%(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes that make sequences (one a core)")
    given = parser.parse_args(arguments)
    for name in ("steps", "batch", "layers", "width", "sequences", "held_sequences"):
        if getattr(given, name) < 1:
            parser.error(f"--{name.replace('_', '-')} {getattr(given, name)} is too few; give 1 or more")
    if given.minutes is not None and not given.minutes > 0:
        parser.error(f"--minutes {given.minutes:g} is too short; give more than 0")
    if given.jobs is None:
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        given.jobs = usable or 1
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code."""
    from biopose_live.evaluation.tables import table_console

    given = parse(arguments)
    try:
        return run(given, table_console())
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def run(given: argparse.Namespace, console: Console) -> int:
    """All steps.  Raises UserError."""
    from biopose_live.training.neurik.train import chosen_device

    chosen_device(given.device)  # says that there is none before an hour of work
    if given.tensorboard is not None:
        summary_writer()
    begin(given)
    code = make_poses(given, console)
    if code != EXIT_OK:
        return code
    poses = given.out / "poses.npz"
    hold_out = held_out_of(PoseSet.load(poses), given.hold_out)
    console.print(f"2 of 5: what a camera makes of it; held out for evaluation: {', '.join(hold_out)}", markup=False)
    for name, count, seed in (("train", given.sequences, given.seed), ("held", given.held_sequences, given.seed + 1)):
        folder = given.out / "samples" / name
        make_samples(poses, folder, count, seed, hold_out, name == "held", given.world_errors, given.jobs, console)
    console.print("3 of 5: training; figures of held-out people every 200 steps")
    network = train(given)
    console.print("4 of 5: one-sigmas")
    finish(given, network, console)
    return EXIT_OK


def begin(given: argparse.Namespace) -> None:
    """Makes the folder, or checks that it goes with the options.  Raises UserError where it does not."""
    data = Data(
        [str(path.resolve()) for path in given.motion],
        given.amc_fps,
        sorted(given.hold_out),
        str(given.world_errors.resolve()) if given.world_errors else "",
        given.seed,
    )
    path = given.out / SETTINGS
    if path.exists():
        if not given.resume:
            raise UserError(
                f"{given.out} holds an earlier run; add --resume to go on with it, or name another folder.", EXIT_USAGE
            )
        try:
            before = msgspec.json.decode(path.read_bytes(), type=Data)
        except (OSError, msgspec.DecodeError) as error:
            raise UserError(f"{path} is damaged ({error}); name another folder with --out.", EXIT_SOURCE) from error
        for name in Data.__struct_fields__:
            old, new = getattr(before, name), getattr(data, name)
            if old != new:
                raise UserError(
                    f"{given.out} was begun with --{name.replace('_', '-')} {_told(old)}, not {_told(new)}; give the "
                    "same, or name another folder.",
                    EXIT_USAGE,
                )
        return
    for folder in given.motion:
        if not folder.exists():
            raise UserError(
                f"{folder} does not exist; name a folder or an archive of motion-capture clips.", EXIT_SOURCE
            )
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(data), indent=1) + b"\n")
    except OSError as error:
        raise UserError(f"{given.out} cannot be written ({error}); name another folder.", EXIT_SINK) from error


def make_poses(given: argparse.Namespace, console: Console) -> int:
    """-> exit code; the data set of poses is there after success."""
    from biopose_live.training.motion.__main__ import main as motion

    path = given.out / "poses.npz"
    if path.exists():
        console.print("1 of 5: poses, made before")
        return EXIT_OK
    console.print("1 of 5: poses")
    sources = [str(folder) for folder in given.motion]
    return motion(["--source", *sources, "--amc-fps", str(given.amc_fps), "--out", str(path)])


def held_out_of(poses: PoseSet, chosen: Sequence[str]) -> list[str]:
    """-> subjects or clips to hold out: those chosen; else the product's own where the poses have them; else every
    fifth subject, or clip of one subject.  Raises UserError when that leaves nothing to train on or to evaluate."""
    names = list(chosen) or [name for name in HELD_OUT if len(clips_of(poses, frozenset([name]))[1])]
    if not names:
        subjects = sorted(set(poses.subject))
        names = (subjects if len(subjects) > 1 else sorted(poses.clip_names))[::ONE_IN]
    lengths = np.bincount(poses.clip_index, minlength=len(poses.clip_names))
    usable = [sum(int(lengths[clip]) >= SHORTEST for clip in clips) for clips in clips_of(poses, frozenset(names))]
    if not all(usable):
        what = "train on" if not usable[0] else "evaluate on"
        raise UserError(
            f"With {', '.join(names)} held out no clip of {SHORTEST} frames is left to {what} (found {usable[0]} and "
            f"{usable[1]}); give more motion, or name others with --hold-out.",
            EXIT_SOURCE,
        )
    return sorted(names)


def train(given: argparse.Namespace) -> Path:
    """-> the trained weights."""
    from biopose_live.training.neurik import train as training

    out: Path = given.out / "network.safetensors"
    options = ["--samples", str(given.out / "samples" / "train"), "--held", str(given.out / "samples" / "held")]
    options += ["--out", str(out), "--device", given.device, "--seed", str(given.seed)]
    for name in ("steps", "batch", "layers", "width"):
        options += [f"--{name}", str(getattr(given, name))]
    if given.minutes is not None:
        options += ["--minutes", str(given.minutes)]
    if given.tensorboard is not None:
        options += ["--tensorboard", str(given.tensorboard)]
    state = out.with_suffix(".state.pt")
    if state.exists():
        options += ["--resume", str(state)]
    training.train(training.build_parser().parse_args(options))
    return out


def finish(given: argparse.Namespace, network: Path, console: Console) -> None:
    """Sets the one-sigmas right and scores the result."""
    from biopose_live.evaluation.neurik_benchmark import DEFAULT_CONDITIONS
    from biopose_live.evaluation.neurik_benchmark import run as score
    from biopose_live.evaluation.tables import write as write_report
    from biopose_live.training.neurik.held_out import odd_half
    from biopose_live.training.neurik.sureness import set_right

    held, weights = given.out / "samples" / "held", given.out / "neurik.safetensors"
    factor = set_right(network, held, weights)
    console.print(f"sigmas times {np.mean(list(factor.values())):.2f} on the whole")
    console.print("5 of 5: evaluation")
    samples = odd_half(held).spread(SCORED)
    report = score(samples, "held-out sequences", weights, DEFAULT_CONDITIONS, console, Console(stderr=True))
    write_report(report, given.out / "evaluation.json")
    console.print(f"The weights are in {weights}.", soft_wrap=True, markup=False)


def _told(value: object) -> str:
    if isinstance(value, list):
        return " ".join(str(item) for item in value) or "none"
    return str(value) or "none"
