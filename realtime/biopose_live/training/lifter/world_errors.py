"""`python -m biopose_live.training.lifter.world_errors --samples SAMPLES.npz --out world_errors.npz`

How far a detector's own 3D lies from the truth, on rendered people of known pose (`training.synthetic.detector_bias`):
whole residual vectors, so that whatever goes wrong together (a leg on the wrong side, a trunk that leans too little)
stays together when the lifter's training draws from them.

Letters: N pictures, K keypoints that the lifter reads.  Frame: as if the camera looked straight at the hips; metres.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.landmarks import body_points, measured
from biopose_live.mqhmr.refinement import place
from biopose_live.mqhmr.side_swaps import EXCHANGED
from biopose_live.mqhmr.view import KEYPOINTS, LEFT_HIP, RIGHT_HIP, view_rotation
from biopose_live.rotations import to_matrix

LEVEL = np.array([0.0, -1.0, 0.0])


def residuals(samples: dict[str, NDArray[np.generic]], body: BodyModel) -> NDArray[np.float64]:
    """-> (2 N, K, 3) m: the detector's 3D, scaled to the person's size, minus the truth, both from the hips' midpoint;
    then their mirror images."""
    points = body_points(body, measured()[0])
    chosen, hips = list(KEYPOINTS), [LEFT_HIP, RIGHT_HIP]
    rows = []
    for n in range(len(samples["theta"])):
        rotations = to_matrix(samples["theta"][n].astype(np.float64))
        at, _, _ = place(
            points, rotations, samples["transl"][n].astype(np.float64), samples["betas"][n].astype(np.float64)
        )
        at = at[chosen]
        middle = at[hips].mean(0)
        truth = (at - middle) @ view_rotation(middle / middle[2], LEVEL).T
        guess = samples["world"][n].astype(np.float64)[chosen]
        guess = guess - guess[hips].mean(0)
        rows.append(guess * ((guess * truth).sum() / (guess**2).sum()) - truth)
    errors = np.array(rows)
    # What happens to one side can happen to the other.
    partner = [chosen.index(int(EXCHANGED[k])) for k in chosen]
    return np.concatenate([errors, errors[:, partner] * np.array([-1.0, 1.0, 1.0])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with np.load(args.samples, allow_pickle=False) as data:
        samples = {key: data[key] for key in data.files}
    errors = residuals(samples, BodyModel.load())
    size = 1e3 * np.sqrt((errors**2).mean((0, 1)))
    print(f"{len(errors)} pictures; root mean square error x {size[0]:.0f}, y {size[1]:.0f}, z {size[2]:.0f} mm")
    np.savez(args.out, errors=errors.astype(np.float32))


if __name__ == "__main__":
    main()
