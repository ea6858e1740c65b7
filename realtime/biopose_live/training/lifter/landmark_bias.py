"""`python -m biopose_live.training.lifter.landmark_bias --samples SAMPLES.npz --out mediapipe.npz`

Where a pose detector's landmarks lie on our body: for each landmark the constant offset, in the rest frame of the joint
that carries it, which brings its projection nearest to the detections on rendered people of known pose
(`training.synthetic.detector_bias`), and the spread that is left, in units of the person's size in the picture.  Left
and right share one mirrored offset.  Robust (Geman-McClure), so that mistaken sides and misses do not count.

Letters: N pictures, K = 33 landmarks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.keypoints import KEYPOINT_NAMES
from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.landmarks import body_points
from biopose_live.mqhmr.refinement import place
from biopose_live.mqhmr.side_swaps import EXCHANGED, LIMBS
from biopose_live.rotations import to_matrix

Floats = NDArray[np.float64]

PRIOR_M = 0.03  # one-sigma of an offset: landmarks lie near where anatomy has them
SCALE = 0.08  # Geman-McClure's scale, in units of the person's size
FAR = 0.35  # pictures whose median landmark is this far off show a mistaken detection
MIRROR = np.array([-1.0, 1.0, 1.0])


def gather(samples: dict[str, NDArray[np.generic]], body: BodyModel) -> tuple[Floats, Floats, Floats, Floats]:
    """-> residuals (N, K, 2), their derivatives by the offset (N, K, 2, 3), both in units of the person's size; scores
    (N, K); sizes (N,) px."""
    points = body_points(body)
    residuals, slopes, sizes = [], [], []
    for n in range(len(samples["theta"])):
        rotations = to_matrix(samples["theta"][n].astype(np.float64))
        at, _, turn = place(
            points, rotations, samples["transl"][n].astype(np.float64), samples["betas"][n].astype(np.float64)
        )
        focal, centre = float(samples["focal"][n]), samples["centre"][n].astype(np.float64)
        depth = at[:, 2:]
        image = focal * at[:, :2] / depth + centre
        size = float(np.sqrt(((image[LIMBS] - image[23:25].mean(0)) ** 2).sum(-1).mean()))
        project = np.zeros((33, 2, 3))
        project[:, 0, 0] = project[:, 1, 1] = focal / depth[:, 0]
        project[:, :, 2] = -focal * at[:, :2] / depth**2
        slopes.append(project @ turn[points.keypoint_joint] / size)
        residuals.append((samples["keypoints"][n].astype(np.float64) - image) / size)
        sizes.append(size)
    return np.array(residuals), np.array(slopes), samples["score"].astype(np.float64), np.array(sizes)


def fit(residuals: Floats, slopes: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """-> offsets (K, 3) m, spread (K,): one-sigma per image axis in units of the person's size."""
    offsets, spread = np.zeros((33, 3)), np.zeros(33)
    for k in range(33):
        partner = int(EXCHANGED[k])
        if partner < k:
            offsets[k], spread[k] = offsets[partner] * MIRROR, spread[partner]
            continue
        # The nose is its own mirror image, which leaves it no offset to a side.
        sides = [(k, np.array([0.0, 1.0, 1.0]))] if partner == k else [(k, np.ones(3)), (partner, MIRROR)]
        r = np.concatenate([residuals[:, side] for side, _ in sides])
        a = np.concatenate([slopes[:, side] * sign for side, sign in sides])
        seen = np.concatenate([scores[:, side] for side, _ in sides]) > 0.5
        r, a = r[seen], a[seen]
        offset = np.zeros(3)
        for _ in range(20):
            left = r - a @ offset
            weight = 1.0 / (1.0 + (left**2).sum(-1) / SCALE**2) ** 2
            information = np.einsum("n,nij,nik->jk", weight, a, a) + np.eye(3) * (0.05 / PRIOR_M) ** 2
            offset = np.linalg.solve(information, np.einsum("n,nij,ni->j", weight, a, r))
        left = np.abs(r - a @ offset)
        offsets[k], spread[k] = offset, 1.4826 * float(np.median(left))
    return offsets, spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with np.load(args.samples, allow_pickle=False) as data:
        samples = {key: data[key] for key in data.files}
    residuals, slopes, scores, sizes = gather(samples, BodyModel.load())
    good = np.median(np.linalg.norm(residuals[:, LIMBS], axis=-1), axis=1) < FAR
    offsets, spread = fit(residuals[good], slopes[good], scores[good])
    print(f"{len(good)} pictures, {int((~good).sum())} mistaken; person's size {np.median(sizes):.0f} px (median)")
    for k, name in enumerate(KEYPOINT_NAMES):
        mm = " ".join(f"{1e3 * v:6.1f}" for v in offsets[k])
        print(f"{name:18s} offset {mm} mm   spread {spread[k]:.4f}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(args.out, offsets=offsets.astype(np.float32), spread=spread.astype(np.float32), pictures=int(good.sum()))


if __name__ == "__main__":
    main()
