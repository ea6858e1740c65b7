"""One picture of many synthetic crops, for people to judge; the last ones with their dense markers drawn, hidden ones
hollow.

    python -m biopose_live.training.synthetic.contact_sheet --assets DIR --motion poses.npz --out docs/people.jpg
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.mqhmr.person_crop import SIDE
from biopose_live.rotations import to_matrix
from biopose_live.training.synthetic.base_mesh import read_body
from biopose_live.training.synthetic.choreography import read_pose_set
from biopose_live.training.synthetic.demo_clip import EMBEDDED_BODY
from biopose_live.training.synthetic.person_crops import CropSample, CropSampler

COLUMNS, ROWS = 8, 5
LARGEST_BYTES = 600_000
MARKER, JOINT = (255, 220, 0), (0, 230, 255)


def places(sample: CropSample, body: BodyModel) -> np.ndarray:
    """[M + 24, 2] px of the crop: markers, then joint centres."""
    joints, markers, _ = body.pose_markers(to_matrix(sample.theta), sample.betas, sample.transl)
    points = np.concatenate([markers, joints])
    pixels = points[:, :2] / np.maximum(points[:, 2:], 1e-3) * sample.focal + sample.centre
    return sample.crop.into(pixels)


def marked(sample: CropSample, body: BodyModel, scale: int = 1) -> np.ndarray:
    """The crop, `scale` times as large, with markers (yellow) and joint centres (cyan); hidden ones hollow."""
    out = cv2.resize(sample.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    points = places(sample, body) * scale
    for i, (point, visible) in enumerate(zip(points, sample.visible, strict=True)):
        if not (np.abs(point) < 4 * SIDE * scale).all():
            continue
        colour = MARKER if i < len(points) - 24 else JOINT
        at = (round(16 * (float(point[0]) - 0.5)), round(16 * (float(point[1]) - 0.5)))
        cv2.circle(out, at, 16 * scale + 8, colour, -1 if visible else 1, cv2.LINE_AA, 4)
    return np.asarray(out, np.uint8)


def sheet(sampler: CropSampler, first_seed: int = 0, columns: int = COLUMNS, rows: int = ROWS) -> np.ndarray:
    """[(rows + 2) SIDE, columns SIDE, 3] uint8: rows of plain crops, then crops twice as large with markers."""
    lines = [
        np.hstack([sampler.one(first_seed + row * columns + i).image for i in range(columns)]) for row in range(rows)
    ]
    large = [sampler.one(first_seed + rows * columns + i) for i in range(columns // 2)]
    return np.vstack([*lines, np.hstack([marked(s, sampler.model, 2) for s in large])])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Draw a sheet of synthetic people.")
    parser.add_argument("--assets", type=Path, required=True, help="folder of MakeHuman files and backgrounds")
    parser.add_argument("--motion", type=Path, required=True, help="pose set written by biopose_live.training.motion")
    parser.add_argument("--out", type=Path, required=True, help="the .jpg file to write")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first crop")
    options = parser.parse_args(arguments)
    try:
        sampler = CropSampler(options.assets, read_pose_set(options.motion), read_body(EMBEDDED_BODY))
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    picture = sheet(sampler, options.first_seed)[:, :, ::-1]
    for quality in range(88, 20, -6):
        _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if code.size <= LARGEST_BYTES:
            break
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(code.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
