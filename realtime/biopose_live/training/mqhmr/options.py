"""The options of `biopose-train mqhmr`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from biopose_live.training.event_log import HELP


def build_parser() -> argparse.ArgumentParser:
    """-> the command line's parser."""
    parser = argparse.ArgumentParser(
        prog="biopose-train mqhmr",
        description="Pictures of people with labels in, the image network's weights out.  Several GPUs: torchrun "
        "--nproc-per-node N -m biopose_live.training.mqhmr.train, with the same options.",
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FILE.toml", help="the datasets (training/mqhmr/sources.py)")
    add("--out", type=Path, required=True, metavar="FILE.safetensors", help="the averaged weights; state beside it")
    add("--architecture", type=Path, metavar="FILE.json", help="sizes; the paper's ViT-H without it")
    add("--backbone", type=Path, metavar="FILE", help="a ViTPose, HMR2.0 or TokenHMR checkpoint to begin with")
    add("--freeze-backbone", action="store_true", help="do not train the encoder")
    add("--backbone-rate", type=float, default=0.1, metavar="X", help="the encoder's share of the rate (%(default)g)")
    add("--body", type=Path, metavar="FILE", help="an SMPL file of your own; the embedded body without it")
    add("--steps", type=int, default=300_000, metavar="N", help="(%(default)s)")
    add("--batch", type=int, default=32, metavar="N", help="people a step and process (%(default)s)")
    add("--accumulate", type=int, default=1, metavar="N", help="batches whose gradients make one step (%(default)s)")
    add("--rate", type=float, default=1e-4, metavar="X", help="learning rate (%(default)g)")
    add("--warmup", type=int, default=1000, metavar="N", help="steps until the rate is reached (%(default)s)")
    add("--clip", type=float, default=1.0, metavar="X", help="largest norm of the gradient (%(default)g)")
    add("--ema", type=float, default=0.999, metavar="X", help="of the averaged weights (%(default)g)")
    add("--precision", choices=("fp32", "bf16", "fp16"), default="bf16", help="of matrix products (%(default)s)")
    add("--keypoints", type=float, default=0.5, metavar="SHARE", help="of people whose 2D is given (%(default)g)")
    add("--recompute", action="store_true", help="the encoder's layers in the backward pass: less memory, more time")
    add("--device", default="cuda", help="cpu or cuda (%(default)s)")
    add("--workers", type=int, default=8, metavar="N", help="processes that read data (%(default)s)")
    add("--report-every", type=int, default=100, metavar="N", help="steps (%(default)s)")
    add("--save-every", type=int, default=2000, metavar="N", help="steps (%(default)s)")
    add("--tensorboard", type=Path, metavar="DIR", help=HELP)
    add("--seed", type=int, default=1, help="(%(default)s)")
    add("--resume", action="store_true", help="go on with the state beside --out")
    return parser


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """-> the options; ends the program with a sentence where one makes no sense."""
    parser = build_parser()
    given = parser.parse_args(arguments)
    for name in ("steps", "batch", "accumulate", "report_every", "save_every"):
        if getattr(given, name) < 1:
            parser.error(f"--{name.replace('_', '-')} {getattr(given, name)} is too few; give 1 or more")
    for name in ("rate", "clip"):
        if not getattr(given, name) > 0:
            parser.error(f"--{name} {getattr(given, name):g} is too small; give more than 0")
    for name in ("ema", "keypoints", "backbone_rate"):
        if not 0 <= getattr(given, name) <= 1:
            parser.error(f"--{name.replace('_', '-')} {getattr(given, name):g} lies outside of 0 to 1")
    if given.workers < 0 or given.warmup < 0:
        parser.error("--workers and --warmup cannot be below 0")
    return given
