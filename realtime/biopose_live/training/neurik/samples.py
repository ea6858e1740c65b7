"""`python -m biopose_live.training.neurik.samples --poses POSES.npz --count 1000 --out FOLDER`

Makes NeurIK's training set: sequences of motion seen by a camera, with labels, in files of some tens of sequences each.
A run that was stopped goes on where it was; every sequence has its own seed, so that the set depends on the settings
alone.  About 300 frames per second and core.

A file holds, for its N sequences of T frames: times (N, T) s; seen, true (N, T, M, 3) m float16, both less `origin`
(N, T, 3) m float32, the pelvis markers' mean of `seen`; q (N, T, Q) float32; scales (N, B, 3) float32; betas (N, S)
true and betas_seen (N, T, S) estimated; good (N, T) where the label fits its markers.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.neurik.calibration import Calibrator
from biopose_live.skeleton.bsk24 import load_bsk24
from biopose_live.training.motion.dataset import PoseSet
from biopose_live.training.neurik.camera import HEIGHT_KNOWN, Camera
from biopose_live.training.neurik.labels import label
from biopose_live.training.neurik.motions import MotionBank, clips_of

HELD_OUT = (
    "cmu-03", "cmu-06", "cmu-14", "cmu-88", "cmu-90", "basketball", "washwindow",
)  # fmt: skip  # the exponential-map clips of these two activities show subjects 06 and 14
FRAMES = 128
PER_FILE = 20
RATES = (15.0, 20.0, 25.0, 30.0, 30.0, 30.0, 50.0, 60.0)  # frames per second of webcams and phones
GOOD_FIT_M = 0.025


class SampleMaker:
    """Makes sequences by number."""

    def __init__(
        self,
        poses: Path,
        held_out: frozenset[str],
        held: bool,
        world_errors: Path | None,
        height_known: float = HEIGHT_KNOWN,
    ) -> None:
        """Raises UserError when the poses cannot be read."""
        data = PoseSet.load(poses)
        train, away = clips_of(data, held_out)
        self._bank = MotionBank(data, away, as_captured=True) if held else MotionBank(data, train)
        self._body, self._model = BodyModel.load(), load_bsk24()
        self._camera = Camera(self._body, world_errors, height_known)
        self._calibrator = Calibrator(self._body, self._model)
        names = self._body.marker_names
        self._pelvis = [names.index(name) for name in ("RASI", "LASI", "RPSI", "LPSI")]

    def make(self, seed: tuple[int, int]) -> dict[str, NDArray[np.generic]]:
        """-> one sequence's arrays."""
        rng = np.random.default_rng(seed)
        times = _clock(rng)
        sequence = self._bank.draw(times, rng)
        betas = rng.normal(size=(self._body.n_shape,))
        look = self._camera.look(sequence, betas, rng)
        labels = label(times, look.true, betas, self._model, self._calibrator)
        origin = look.seen[:, self._pelvis].mean(1, keepdims=True)
        return {
            "times": times,
            "seen": (look.seen - origin).astype(np.float16),
            "true": (look.true - origin).astype(np.float16),
            "origin": origin[:, 0].astype(np.float32),
            "q": labels.q.astype(np.float32),
            "scales": labels.scales.astype(np.float32),
            "betas": betas.astype(np.float32),
            "betas_seen": look.betas.astype(np.float32),
            "good": labels.rms < GOOD_FIT_M,
        }


def _clock(rng: np.random.Generator) -> NDArray[np.float64]:
    """-> capture times (FRAMES,) s: a camera's rate, its jitter, and some frames dropped."""
    step = 1.0 / rng.choice(RATES)
    drops = (rng.random(FRAMES) < rng.choice([0.0, 0.02, 0.1])) * rng.integers(1, 4, FRAMES)
    steps = step * (1.0 + drops) * np.exp(rng.normal(0.0, 0.02, FRAMES))
    steps[0] = 0.0
    return np.cumsum(steps)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--poses", type=Path, required=True)
    parser.add_argument("--world-errors", type=Path, help="errors of the detector's own 3D (training.lifter)")
    parser.add_argument("--count", type=int, default=2000, help="sequences to make")
    parser.add_argument("--minutes", type=float, help="end after this long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hold-out", nargs="*", default=list(HELD_OUT), help="subjects, or parts of clips' names")
    parser.add_argument("--held", action="store_true", help="draw from the held-out clips instead")
    parser.add_argument(
        "--height-known", type=float, default=HEIGHT_KNOWN, help="share of people whose height the system was told"
    )
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "N"), help="make every N-th file")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    try:
        maker = SampleMaker(args.poses, frozenset(args.hold_out), args.held, args.world_errors, args.height_known)
    except UserError as error:
        print(error)
        return error.exit_code
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {"seed": args.seed, "held": args.held, "hold_out": sorted(args.hold_out)}
    (args.out / "settings.json").write_text(json.dumps(settings, indent=1) + "\n")
    files = [n for n in range((args.count + PER_FILE - 1) // PER_FILE) if n % args.part[1] == args.part[0]]
    start = time.monotonic()
    with Progress() as progress:
        task = progress.add_task("sequences", total=len(files) * PER_FILE)
        for number in files:
            path = args.out / f"{number:05d}.npz"
            if not path.exists():
                if args.minutes and time.monotonic() - start > 60 * args.minutes:
                    break
                rows = [maker.make((args.seed, number * PER_FILE + row)) for row in range(PER_FILE)]
                partial = path.with_suffix(".partial")
                with partial.open("wb") as stream:
                    np.savez(stream, **{key: np.stack([row[key] for row in rows]) for key in rows[0]})  # type: ignore[arg-type]
                partial.replace(path)
            progress.advance(task, PER_FILE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
