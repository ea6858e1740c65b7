"""The options of `biopose-eval mqhmr`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

ITERATIONS = (0, 1, 2, 5, 10, 20)
MOST_ITERATIONS = 1000
EYES = OFF, ON, POINTS, POSE = "off", "on", "points", "pose"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """-> the options; ends the program with a sentence where they make no sense together."""
    parser = argparse.ArgumentParser(
        prog="biopose-eval mqhmr",
        description="MQ-HMR against known truth: the live path on rendered people (--samples), or the network of "
        "biopose-train mqhmr on datasets in the field's layout (--data).",
    )
    common = parser.add_argument
    common("--count", type=int, metavar="N", help="people at most, of each dataset (all)")
    common("--json", type=Path, metavar="FILE", help="write all figures into this file")
    live = parser.add_argument_group("the live path on rendered people")
    live.add_argument("--samples", type=Path, metavar="FOLDER", help="the test people of biopose-train lite")
    live.add_argument("--weights", type=Path, metavar="FILE", help="of the light network (the shipped)")
    live.add_argument(
        "--iterations", type=_numbers, default=ITERATIONS, metavar="K,K", help="of the refinement (0,1,2,5,10,20)"
    )
    live.add_argument(
        "--image", type=_eyes, default=(OFF, ON), metavar="PART,PART",
        help="what of the image network counts: off, on, points (its dense points), pose (its pose) (off,on)",
    )  # fmt: skip
    data = parser.add_argument_group("the network on datasets")
    data.add_argument("--data", type=Path, metavar="FILE.toml", help="the datasets, as for biopose-train mqhmr")
    data.add_argument("--network", type=Path, metavar="FILE.safetensors", help="what biopose-train mqhmr wrote")
    data.add_argument("--body", type=Path, metavar="FILE", help="the SMPL file that it was trained with, if any")
    data.add_argument("--refine", type=int, default=0, metavar="K", help="steps of the tokens' refinement (0)")
    data.add_argument(
        "--label-keypoints", action="store_true", help="give the labels' 2D to the network, as a perfect detector would"
    )
    data.add_argument("--batch", type=int, default=8, metavar="N", help="people at once (8)")
    data.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    given = parser.parse_args(arguments)
    if (given.samples is None) == (given.data is None):
        found = "neither" if given.samples is None else "both"
        parser.error(f"one of --samples FOLDER and --data FILE.toml is needed, found {found}")
    if given.data is not None and given.network is None:
        parser.error("--data needs --network, the .safetensors file that biopose-train mqhmr wrote")
    if given.samples is not None and given.network is not None:
        parser.error("--network goes with --data; with --samples give --weights")
    for name in ("count", "batch"):
        value = getattr(given, name)
        if value is not None and value < 1:
            parser.error(f"--{name} {value} is too few; give 1 or more")
    if not 0 <= given.refine <= MOST_ITERATIONS:
        parser.error(f"--refine {given.refine} lies outside of 0 to {MOST_ITERATIONS}")
    return given


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 <= number <= MOST_ITERATIONS for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers from 0 to {MOST_ITERATIONS}")
    return tuple(sorted(set(numbers)))


def _eyes(text: str) -> tuple[str, ...]:
    parts = tuple(dict.fromkeys(text.split(",")))
    for part in parts:
        if part not in EYES:
            raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(EYES)}")
    return parts
