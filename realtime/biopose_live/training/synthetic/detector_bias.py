"""Where a pose detector sees its keypoints on synthetic people whose true pose is known.

    python -m biopose_live.training.synthetic.detector_bias --assets DIR --motion poses.npz --detector pose_full.task \\
        --out samples.npz --count 1500

Writes one row per picture in which a person was found (single-picture mode, no tracking): keypoints [N, 33, 2] px,
score [N, 33], world [N, 33, 3] m, size [N, 2] px, and the truth in the camera frame: theta [N, 24, 3], betas [N, K],
transl [N, 3], joints [N, 24, 3], rotations [N, 24, 3, 3], focal [N], centre [N, 2], up [N, 3]; seed [N], missed [M],
the seeds of pictures where nobody was found; body, the fingerprint of the body that betas and joints belong to. The
file is rewritten every `--every` pictures, whole each time, and an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.training.synthetic.base_mesh import fingerprint, read_body
from biopose_live.training.synthetic.choreography import read_pose_set
from biopose_live.training.synthetic.demo_clip import EMBEDDED_BODY
from biopose_live.training.synthetic.samples import Sample, Sampler


def open_detector(path: Path) -> Any:
    """MediaPipe's pose landmarker in single-picture mode. Raises UserError when the model file is missing."""
    from mediapipe.tasks.python import BaseOptions, vision

    if not path.is_file():
        raise UserError(f"The detector {path} is missing; give a pose landmarker .task file.", EXIT_MODEL)
    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(path)), running_mode=vision.RunningMode.IMAGE
    )
    return vision.PoseLandmarker.create_from_options(options)


def detect(detector: Any, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Keypoints [33, 2] px, scores [33] and the detector's own 3D [33, 3] m (hip-centred, camera axes) of the person
    found in an [H, W, 3] uint8 picture, or None."""
    import mediapipe

    picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
    result = detector.detect(picture)
    found = result.pose_landmarks
    if not found:
        return None
    scale = np.array([image.shape[1], image.shape[0]])
    points = np.array([[p.x, p.y] for p in found[0]]) * scale
    world = np.array([[p.x, p.y, p.z] for p in result.pose_world_landmarks[0]])
    return points, np.array([p.visibility for p in found[0]]), world


def row(sample: Sample, seed: int, points: np.ndarray, score: np.ndarray, world: np.ndarray) -> dict[str, np.ndarray]:
    """One row of the file (see the module's docstring)."""
    return {
        "keypoints": points,
        "score": score,
        "world": world,
        "size": np.array([sample.image.shape[1], sample.image.shape[0]]),
        "theta": sample.theta,
        "betas": sample.betas,
        "transl": sample.transl,
        "joints": sample.joints,
        "rotations": sample.rotations,
        "focal": np.array(sample.focal),
        "centre": sample.centre,
        "up": sample.up,
        "seed": np.array(seed),
    }


def save(path: Path, rows: list[dict[str, np.ndarray]], missed: list[int], body: str) -> None:
    """Write the file so that a reader never sees half of it."""
    partial = path.with_suffix(".partial.npz")
    columns: dict[str, Any] = {key: np.stack([r[key] for r in rows]) for key in rows[0]} if rows else {}
    np.savez_compressed(partial, missed=np.array(missed, dtype=np.int64), body=np.array(body), **columns)
    partial.replace(path)


def resume(path: Path, body: str) -> tuple[list[dict[str, np.ndarray]], list[int]]:
    """Rows and missed seeds of an earlier run, empty when there is none. Raises UserError for another kind of file, or
    one measured on another body than the one with this fingerprint."""
    if not path.exists():
        return [], []
    try:
        with np.load(path, allow_pickle=False) as data:
            columns = {key: data[key] for key in data.files}
        missed, measured_on = columns.pop("missed").tolist(), str(columns.pop("body"))
    except (OSError, KeyError, ValueError) as problem:
        raise UserError(f"{path} is not a file of this program ({problem}); name another --out.") from problem
    if measured_on != body:
        raise UserError(f"{path} was measured on body {measured_on}, this is {body}; name another --out.")
    count = len(columns["seed"]) if columns else 0
    return [{key: values[i] for key, values in columns.items()} for i in range(count)], missed


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Run a pose detector on synthetic people and keep the truth beside it."
    )
    parser.add_argument("--assets", type=Path, required=True, help="folder of MakeHuman files and backgrounds")
    parser.add_argument("--motion", type=Path, required=True, help="pose set written by biopose_live.training.motion")
    parser.add_argument("--detector", type=Path, required=True, help="pose landmarker .task file")
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    parser.add_argument("--count", type=int, default=1500, help="pictures to draw")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first picture")
    parser.add_argument("--every", type=int, default=50, help="pictures between two writes")
    options = parser.parse_args(arguments)
    try:
        detector = open_detector(options.detector)
        body = read_body(EMBEDDED_BODY)
        sampler = Sampler(options.assets, read_pose_set(options.motion), body)
        rows, missed = resume(options.out, fingerprint(body))
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = {int(r["seed"]) for r in rows} | set(missed)
    seeds = [s for s in range(options.first_seed, options.first_seed + options.count) if s not in done]
    for i, seed in enumerate(seeds, 1):
        sample = sampler.one(seed)
        found = detect(detector, sample.image)
        if found is None:
            missed.append(seed)
        else:
            rows.append(row(sample, seed, *found))
        if i % options.every == 0 or i == len(seeds):
            save(options.out, rows, missed, fingerprint(body))
            print(f"{len(rows)} found, {len(missed)} missed", flush=True)
    detector.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
