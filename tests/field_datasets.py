"""Small datasets in the field's layouts, made here: a person of known pose before a known camera, drawn as dots."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from biopose_live.body.keypoints import body_keypoints
from biopose_live.body.model import BodyModel
from biopose_live.training.mqhmr.keypoints44 import Keypoints44

WIDTH, HEIGHT = 320, 240
FOCAL = float(np.hypot(WIDTH, HEIGHT))  # what is assumed where a dataset says nothing


def person(body: BodyModel, seed: int) -> dict[str, Any]:
    """A person's labels under 4D-Humans' names, and `points` (146, 3) m in the camera frame."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(0.0, 0.15, (24, 3))
    theta[0] = [np.pi, 0.0, 0.0]  # upright and facing the camera
    theta[0] += rng.normal(0.0, 0.05, 3)
    betas = rng.normal(0.0, 0.5, 10)
    transl = np.array([rng.uniform(-0.5, 0.5), rng.uniform(-0.2, 0.2), rng.uniform(4.0, 5.0)])
    posed = body.forward(theta, betas, transl, vertices=False)
    landmarks = body_keypoints(body).posed(betas, body.rest_joints(betas), posed.joints, posed.rotations)
    points = np.concatenate([posed.markers, posed.joints, landmarks])
    to_44 = Keypoints44(body.marker_names)
    keypoints = to_44(torch.tensor(points, dtype=torch.float32)[None])[0].double().numpy()
    known = to_44.supervised.numpy()[:, None]
    pixels = keypoints[:, :2] / np.maximum(keypoints[:, 2:], 0.1) * FOCAL + [WIDTH / 2, HEIGHT / 2]
    dots = pixels[known[:, 0] > 0]
    low, high = dots.min(0), dots.max(0)
    return {
        "keypoints_2d": np.concatenate([pixels, known], 1).astype(np.float32),
        "keypoints_3d": np.concatenate([keypoints, known], 1).astype(np.float32),
        "center": 0.5 * (low + high),
        "scale": 1.2 * (high - low) / 200.0,
        "body_pose": theta.ravel().astype(np.float32),
        "betas": betas.astype(np.float32),
        "has_body_pose": np.array(1.0),
        "has_betas": np.float32(1.0),
        "extra_info": {"fitting_loss": np.array({}), "detection_npz_idx": 0},
        "points": points,
    }


def picture(labels: dict[str, Any]) -> np.ndarray:
    """(H, W, 3) RGB: grey, and a dot of a colour of its own at the nose, both ankles and the right wrist."""
    image = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    if np.shape(labels.get("keypoints_2d")) != (44, 3):
        return image  # labels that were spoilt for a test
    for k, colour in ((0, (255, 0, 0)), (11, (0, 255, 0)), (14, (0, 0, 255)), (4, (255, 255, 0))):
        x, y = labels["keypoints_2d"][k, :2]
        cv2.circle(image, (round((x - 0.5) * 16), round((y - 0.5) * 16)), 3 * 16, colour, -1, cv2.LINE_AA, 4)
    return image


def encoded(image: np.ndarray, kind: str) -> bytes:
    return cv2.imencode(kind, np.ascontiguousarray(image[:, :, ::-1]))[1].tobytes()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def field_tar(path: Path, people: list[list[dict[str, Any]]]) -> Path:
    """A tar as 4D-Humans makes them, one picture for each list of people."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for i, those in enumerate(people):
            plain = [{key: value for key, value in labels.items() if key != "points"} for labels in those]
            add(archive, f"train/{path.stem}_{i:06d}.jpg", encoded(picture(those[0]), ".png"))
            add(archive, f"train/{path.stem}_{i:06d}.data.pyd", pickle.dumps(plain))
            add(archive, f"train/{path.stem}_{i:06d}.detection.npz", b"masks, not read")
    return path


def field_npz(folder: Path, people: list[dict[str, Any]]) -> tuple[Path, Path]:
    """-> an .npz as 4D-Humans makes them, and its folder of pictures."""
    images = folder / "images"
    (images / "S1").mkdir(parents=True, exist_ok=True)
    names = []
    for i, labels in enumerate(people):
        names.append(f"S1/{i:04d}.png")
        (images / names[-1]).write_bytes(encoded(picture(labels), ".png"))
    both = {key: np.stack([labels[key] for labels in people]) for key in ("keypoints_2d", "keypoints_3d")}
    np.savez(
        folder / "train.npz",
        imgname=np.array(names),
        center=np.stack([labels["center"] for labels in people]),
        scale=np.stack([labels["scale"] * 200 for labels in people]),
        body_keypoints_2d=both["keypoints_2d"][:, :25], extra_keypoints_2d=both["keypoints_2d"][:, 25:],
        body_keypoints_3d=both["keypoints_3d"][:, :25], extra_keypoints_3d=both["keypoints_3d"][:, 25:],
        body_pose=np.stack([labels["body_pose"] for labels in people]), has_body_pose=np.ones(len(people)),
        betas=np.stack([labels["betas"] for labels in people]), has_betas=np.ones(len(people)),
    )  # fmt: skip
    return folder / "train.npz", images
