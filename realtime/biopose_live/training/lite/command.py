"""`biopose-train lite`: renders dressed people and trains the light image network on them.

    biopose-train lite --assets FOLDER --poses poses.npz --work FOLDER --count 60000 --minutes 60 --out lite.safetensors

`--assets` is a folder of MakeHuman's CC0 files (`training/synthetic/wardrobe.py` says which), `--poses` a pose set of
`training.motion`.  Rendering goes on where it stopped; `--count 0 --test 0` trains on what is there, `--minutes 0`
renders only.

`--queries` and `--scales` make the paper's tables 4 and 5: fewer query tokens (all 24 joint centres, then the virtual
markers that cover the body most evenly), fewer of the encoder's feature maps.  `--steps` makes trainings equal that a
busy machine would end at different steps.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from biopose_live.errors import EXIT_FAILURE, EXIT_OK, EXIT_SINK, EXIT_SOURCE, UserError
from biopose_live.mqhmr.encoder_graph import STRIDES
from biopose_live.mqhmr.lite.points import JOINTS, POINTS
from biopose_live.training.event_log import HELP, summary_writer
from biopose_live.training.lite.render import Part, render
from biopose_live.training.lite.shards import Shards
from biopose_live.training.lite.train import Plan, train
from biopose_live.training.synthetic.choreography import read_pose_set

FIRST_TEST_SEED = 500_000_000


def build_parser() -> argparse.ArgumentParser:
    """-> the command line's parser."""
    parser = argparse.ArgumentParser(
        prog="biopose-train lite", description="Renders dressed people and trains the light image network on them."
    )
    add = parser.add_argument
    add("--assets", type=Path, metavar="FOLDER", help="MakeHuman's CC0 files and backgrounds; needed to render")
    add("--poses", type=Path, metavar="FILE.npz", help="pose set of training.motion; needed to render")
    add("--work", type=Path, required=True, metavar="FOLDER", help="for the rendered samples (300 KB each)")
    add("--out", type=Path, required=True, metavar="FILE.safetensors", help="the weights; the state beside it")
    add("--count", type=int, default=60_000, metavar="N", help="people to render for training (%(default)s)")
    add("--test", type=int, default=1536, metavar="N", help="people to render for the test (%(default)s)")
    add("--minutes", type=float, default=60.0, metavar="N", help="of training (%(default)g)")
    add("--steps", type=int, metavar="N", help="of training, instead of --minutes")
    add("--workers", type=int, default=2, metavar="N", help="processes that render (%(default)s)")
    add("--encoder", choices=("lite", "full"), default="full", help="landmark network (%(default)s)")
    add("--batch", type=int, default=48, metavar="N", help="people a step (%(default)s)")
    add("--rate", type=float, default=1e-3, metavar="X", help="learning rate (%(default)g)")
    add("--seed", type=int, default=1, help="(%(default)s)")
    add("--threads", type=int, default=1, metavar="N", help="of the training (%(default)s)")
    add("--layers", type=int, default=2, metavar="N", help="of the decoder (%(default)s)")
    add("--width", type=int, default=128, metavar="N", help="of a token (%(default)s)")
    add(
        "--queries", type=int, default=POINTS, metavar="N",
        help="query tokens: joint centres, and markers spread over the body (%(default)s, all)",
    )  # fmt: skip
    add(
        "--scales", type=_strides, metavar="N,N", help="feature maps that are read, by their stride in px, or none "
        f"({','.join(map(str, STRIDES))})",
    )  # fmt: skip
    add("--tensorboard", type=Path, metavar="DIR", help=HELP)
    add("--start", type=Path, metavar="FILE.safetensors", help="weights to begin from")
    add(
        "--badly-seen", type=float, default=1.0, metavar="SHARE",
        help="of the people on whom the detector fails, how many to train on each time round, 0 to 1 (%(default)g)",
    )  # fmt: skip
    add("--resume", action="store_true", help="go on with a training that stopped, if one did")
    return parser


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """-> the options; ends the program with a sentence where one makes no sense."""
    parser = build_parser()
    given = parser.parse_args(arguments)
    for name in ("workers", "batch", "threads", "layers", "width"):
        if getattr(given, name) < 1:
            parser.error(f"--{name} {getattr(given, name)} is too few; give 1 or more")
    if given.steps is not None and given.steps < 1:
        parser.error(f"--steps {given.steps} is too few; give 1 or more")
    if not JOINTS <= given.queries <= POINTS:
        parser.error(f"--queries {given.queries} lies outside of {JOINTS} to {POINTS}")
    for name in ("count", "test", "minutes"):
        if not getattr(given, name) >= 0:
            parser.error(f"--{name} {getattr(given, name):g} is too few; give 0 or more")
    if not 0 <= given.badly_seen <= 1:
        parser.error(f"--badly-seen {given.badly_seen:g} is no share; give 0 to 1")
    if not given.rate > 0:
        parser.error(f"--rate {given.rate:g} is too small; give more than 0")
    for name in ("assets", "poses"):
        if (given.count or given.test) and getattr(given, name) is None:
            parser.error(f"--{name} is needed to render; or train on what is there with --count 0 --test 0")
    return given


def _strides(text: str) -> tuple[int, ...]:
    """'16,8' -> (8, 16); for argparse."""
    if text == "none":
        return ()
    parts = text.split(",")
    if not all(part in map(str, STRIDES) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is none, or some of {', '.join(map(str, STRIDES))}")
    return tuple(sorted({int(part) for part in parts}))


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code."""
    given = parse(arguments)
    try:
        return run(given)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def run(options: argparse.Namespace) -> int:
    """Both steps.  Raises UserError where something that they need is missing, damaged or cannot be written."""
    begin(options)
    parts: tuple[tuple[Part, int, int], ...] = (("test", options.test, FIRST_TEST_SEED), ("train", options.count, 0))
    for part, count, first in parts:
        if count:
            print(f"{part}: {count} people", flush=True)
            try:
                render(
                    options.work / part, options.assets, options.poses, count, part=part, model=options.encoder,
                    first_seed=first, workers=options.workers,
                )  # fmt: skip
            except BrokenProcessPool as error:
                raise UserError(
                    "A process that renders ended early, perhaps for lack of memory; give fewer --workers, and the "
                    "same command goes on.",
                    EXIT_FAILURE,
                ) from error
            except OSError as error:
                raise UserError(f"{options.work} cannot be written ({error}); free some space.", EXIT_SINK) from error
    if options.minutes > 0 or options.steps:
        people = len(Shards(options.work / "train"))
        if people < options.batch:
            raise UserError(
                f"{options.work / 'train'} holds {people} people, fewer than a batch of {options.batch}; render more "
                "with --count, or give a smaller --batch.",
                EXIT_SOURCE,
            )
        train(
            Plan(
                samples=str(options.work / "train"), test=str(options.work / "test"), out=str(options.out),
                minutes=options.minutes, steps=options.steps, batch=options.batch, rate=options.rate,
                seed=options.seed, threads=options.threads, layers=options.layers, width=options.width,
                encoder=options.encoder, queries=options.queries, scales=options.scales, resume=options.resume,
                badly_seen=options.badly_seen, start=str(options.start) if options.start else None,
                tensorboard=str(options.tensorboard) if options.tensorboard else None,
            )
        )  # fmt: skip
    return EXIT_OK


def begin(options: argparse.Namespace) -> None:
    """Looks at inputs and outputs before hours of work.  Raises UserError."""
    if options.tensorboard is not None:
        summary_writer()
    if options.count or options.test:
        if not options.assets.is_dir():
            raise UserError(f"There is no assets folder {options.assets}; check its path.", EXIT_SOURCE)
        read_pose_set(options.poses)
    for folder in (options.work, options.out.parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} cannot be written ({error}); name another place.", EXIT_SINK) from error
