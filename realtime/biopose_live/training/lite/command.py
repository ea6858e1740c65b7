"""`biopose-train lite`: renders dressed people and trains the light image network on them.

    biopose-train lite --assets FOLDER --poses poses.npz --work FOLDER --count 60000 --minutes 60 --out lite.safetensors

`--assets` is a folder of MakeHuman's CC0 files (`training/synthetic/wardrobe.py` says which), `--poses` a pose set of
`training.motion`.  Rendering goes on where it stopped; `--count 0` trains on what is there, `--minutes 0` renders only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from biopose_live.training.lite.render import Part, render
from biopose_live.training.lite.train import Plan, train

FIRST_TEST_SEED = 500_000_000


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--assets", type=Path, required=True, help="folder of MakeHuman's CC0 files and backgrounds")
    parser.add_argument("--poses", type=Path, required=True, help="pose set of training.motion (poses.npz)")
    parser.add_argument("--work", type=Path, required=True, help="folder for the rendered samples (300 KB each)")
    parser.add_argument("--out", type=Path, required=True, help="weight file to write (.safetensors)")
    parser.add_argument("--count", type=int, default=60_000, help="people to render for training (60000)")
    parser.add_argument("--test", type=int, default=1536, help="people to render for the test (1536)")
    parser.add_argument("--minutes", type=float, default=60.0, help="minutes of training (60)")
    parser.add_argument("--workers", type=int, default=2, help="processes that render (2)")
    parser.add_argument("--encoder", choices=("lite", "full"), default="full", help="landmark network (full)")
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--resume", action="store_true", help="go on with a training that stopped")


def run(options: argparse.Namespace) -> int:
    parts: tuple[tuple[Part, int, int], ...] = (("test", options.test, FIRST_TEST_SEED), ("train", options.count, 0))
    for part, count, first in parts:
        if count:
            render(
                options.work / part, options.assets, options.poses, count, part=part, model=options.encoder,
                first_seed=first, workers=options.workers,
            )  # fmt: skip
    if options.minutes > 0:
        train(
            Plan(
                samples=str(options.work / "train"), test=str(options.work / "test"), out=str(options.out),
                minutes=options.minutes, batch=options.batch, rate=options.rate, seed=options.seed,
                threads=options.threads, layers=options.layers, width=options.width, encoder=options.encoder,
                resume=options.resume,
            )
        )  # fmt: skip
    return 0
