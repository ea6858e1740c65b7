"""Small networks and observations for the tests of the light image network."""

from __future__ import annotations

import numpy as np
import torch

from biopose_live.body.model import BodyModel
from biopose_live.messages import Intrinsics
from biopose_live.mqhmr.gravity import LEVEL
from biopose_live.mqhmr.landmarks import body_points
from biopose_live.mqhmr.lite.architecture import Architecture
from biopose_live.mqhmr.lite.observation import Estimate, places_of
from biopose_live.mqhmr.lite.points import POINTS, dense_points
from biopose_live.mqhmr.person_crop import Crop, person_crop
from biopose_live.mqhmr.refinement import place
from biopose_live.rotations import to_matrix, to_vector
from biopose_live.training.lite.sample import Sample

LEVELS = ((16, 16, 6), (8, 8, 5), (4, 4, 7))
SMALL = Architecture("full", LEVELS, layers=2, width=32, heads=4, value_heads=2, points=3, feed=24, hidden=40)
CAMERA = Intrinsics(900.0, (640.0, 360.0))


def weights(seed: int = 0, architecture: Architecture = SMALL) -> dict[str, np.ndarray]:
    """Random weights that leave nothing out."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, shape in architecture.tensors().items():
        scale = 1.0 if "norms" in name or name.startswith("start") else 1.0 / np.sqrt(max(shape[-1], 1))
        made[name] = rng.normal(0, scale, shape).astype(np.float32)
    return made


def maps(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(0, 2, level).astype(np.float32) for level in LEVELS]


class Person:
    """Somebody before the camera, what a detector says of them, and an estimate beside the truth."""

    def __init__(self, body: BodyModel, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.rotations = to_matrix(rng.normal(0, 0.2, (24, 3)))
        self.rotations[0] = np.diag([1.0, -1.0, -1.0]) @ self.rotations[0]
        self.translation = np.array([0.3, -0.1, 3.5])
        self.betas = rng.normal(0, 0.5, 10)
        self.dense = dense_points(body)
        points = place(body_points(body), self.rotations, self.translation, self.betas)[0]
        self.keypoints = CAMERA.focal * points[:, :2] / points[:, 2:] + np.array(CAMERA.centre)
        self.scores = rng.uniform(0.5, 1.0, 33)
        self.world = points - points[[23, 24]].mean(0)
        self.estimate = Estimate(
            self.rotations @ to_matrix(rng.normal(0, 0.1, (24, 3))),
            np.full((24, 3), 0.1),
            self.translation + 0.05,
            self.betas,
        )
        self.crop: Crop = person_crop(self.keypoints)

    def points(self, estimate: Estimate | None = None) -> np.ndarray:
        """(P, 3) m: the dense points of an estimate, of the truth without one."""
        e = estimate or Estimate(self.rotations, np.ones((24, 3)), self.translation, self.betas)
        return place(self.dense, e.rotations, e.translation, e.betas)[0]

    def places(self) -> np.ndarray:
        """(P, 2): the true places in the crop."""
        return places_of(self.points(), self.crop, CAMERA)


def sample_of(person: Person, seed: int) -> Sample:
    """What a person's stored sample is; the detector is two pixels off, here and there."""
    rng = np.random.default_rng(seed)
    e, crop = person.estimate, person.crop
    keypoints = person.keypoints + rng.normal(0, 2.0, person.keypoints.shape)
    fields = {
        "crop": np.array([*crop.centre, crop.size, crop.angle]),
        "camera": np.array([CAMERA.focal, *CAMERA.centre]),
        "keypoints": np.concatenate([keypoints, person.scores[:, None]], 1),
        "world": person.world,
        "up": LEVEL,
        "rotations": to_vector(e.rotations),
        "sigma": e.sigma,
        "translation": e.translation,
        "betas": person.betas,
        "true_rotations": to_vector(person.rotations),
        "true_translation": person.translation,
        "true_betas": person.betas,
        "visible": np.ones(POINTS),
        "seed": np.array([seed]),
    }
    return Sample(maps(seed), fields)


def torch_inputs(arrays: list[np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(a, np.float32))[None] for a in arrays]
