"""`python -m biopose_live.training.neurik.held_out --held FOLDER --out held_out.npz`

Makes the small set of held-out sequences that ships with the program (`evaluation.neurik_samples`) from the
odd-numbered half of the samples of held-out subjects.  On the even-numbered half the one-sigmas are set right
(`sureness`), so that neither that nor the training has seen what is scored.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from biopose_live.errors import UserError
from biopose_live.evaluation.neurik_samples import HeldOut

SHIPPED = 36
SOURCE = (
    "Motion: CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu), free for all uses; subjects 3, 6, 14, 88 "
    "and 90. Everything else: biopose_live.training.neurik.samples."
)


def odd_half(folder: Path) -> HeldOut:
    """-> sequences 1, 3, 5 … of a folder of samples.  Raises UserError when there are none."""
    samples = HeldOut.load_folder(folder)
    return samples.take(np.arange(1, len(samples), 2))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--held", type=Path, required=True, help="samples of the held-out subjects")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=SHIPPED, help="sequences (%(default)s)")
    parser.add_argument("--source", default=SOURCE, help="what the file says of its origin and licence")
    args = parser.parse_args(arguments)
    try:
        samples = odd_half(args.held).spread(args.count)
    except UserError as error:
        print(error)
        return error.exit_code
    samples.save(args.out, args.source)
    print(f"{len(samples)} sequences, {args.out.stat().st_size / 1e6:.2f} MB: {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
