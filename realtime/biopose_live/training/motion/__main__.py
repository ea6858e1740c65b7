"""Command line of the pose data set: python -m biopose_live.training.motion --source DIR [DIR ...] --out FILE.npz."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biopose_live.body.model import BodyModel
from biopose_live.errors import EXIT_OK, EXIT_USAGE, UserError
from biopose_live.training.motion import amc
from biopose_live.training.motion.dataset import ClipReport, build
from biopose_live.training.motion.retarget import RestBody


def rest_body() -> RestBody:
    """The product's own body at mean shape, at rest."""
    body = BodyModel.load()
    mean = np.zeros(body.n_shape)
    return RestBody(body.rest_joints(mean), float(body.rest_vertices(mean)[:, 1].min()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the data set; the exit code is the product's (see `biopose_live.errors`)."""
    parser = argparse.ArgumentParser(prog="python -m biopose_live.training.motion", description=__doc__)
    parser.add_argument("--source", type=Path, nargs="+", required=True, help="folders or archives of clips")
    parser.add_argument("--out", type=Path, required=True, help="the npz file to write")
    parser.add_argument(
        "--amc-fps",
        type=float,
        default=amc.CMU_FPS,
        help="frame rate of .amc files, which do not state it (%(default)g)",
    )
    chosen = parser.parse_args(arguments)
    if not 1 <= chosen.amc_fps <= 1000:
        print(f"--amc-fps is {chosen.amc_fps:g}; give a frame rate between 1 and 1000.", file=sys.stderr)
        return EXIT_USAGE
    left_out = 0

    def report(item: ClipReport | UserError) -> None:
        nonlocal left_out
        if isinstance(item, UserError):
            left_out += 1
            print(f"left out: {item}", file=sys.stderr)
            return
        size = f"{item.frames:6d} {item.seconds:8.1f}"
        print(f"{item.name:58s} {size} {item.hinge_residual:8.2f} {item.twist_correction:8.2f}", flush=True)

    print(f"{'clip':58s} {'frames':>6s} {'seconds':>8s} {'hinge °':>8s} {'twist °':>8s}")
    try:
        poses = build(chosen.source, rest_body(), report, chosen.amc_fps)
        poses.save(chosen.out)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    count, subjects = len(poses.theta), len(set(poses.subject))
    print(
        f"{count} poses ({count / poses.fps / 60:.1f} minutes at {poses.fps:g} fps), {len(poses.clip_names)} clips, "
        f"{subjects} subjects, {left_out} files left out: {chosen.out}"
    )
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
