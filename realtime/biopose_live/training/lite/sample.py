"""One training sample: a rendered person as the live chain sees it, and the truth.

The picture goes through the landmark network that the live encoder is; its keypoints go through the lifter and the
keypoints-only refinement, so the network learns to correct the errors that those really make.

Letters: K = 33 keypoints, J = 24 joints, P dense points, S shape coefficients, L feature maps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.model import BodyModel
from biopose_live.messages import Intrinsics
from biopose_live.mqhmr.encoder import LandmarkEncoder
from biopose_live.mqhmr.gravity import UNKNOWN_SIGMA, Gravity
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.lifter import Lifter
from biopose_live.mqhmr.person import PersonTrack
from biopose_live.mqhmr.shape import ShapeEstimate
from biopose_live.rotations import to_matrix, to_vector
from biopose_live.training.synthetic.person_crops import CropSample

Floats = NDArray[np.floating]

MIN_PRESENCE = 0.5
ITERATIONS = 2
FIELDS: dict[str, tuple[int, ...]] = {
    "crop": (4,),  # centre x, y, size px, angle rad
    "camera": (3,),  # focal, centre x, y px
    "keypoints": (33, 3),  # px, score
    "world": (33, 3),  # m
    "up": (3,),  # against gravity, as the chain believed
    "rotations": (24, 3),  # the estimate, rotation vectors, row 0 into the camera frame
    "sigma": (24, 3),
    "translation": (3,),
    "betas": (10,),
    "true_rotations": (24, 3),
    "true_translation": (3,),
    "true_betas": (10,),
    "visible": (113,),
    "seed": (1,),
}


@dataclass(frozen=True)
class Sample:
    """maps: L float arrays (H, W, C); fields: one array for each of FIELDS."""

    maps: list[NDArray[np.float32]]
    fields: dict[str, Floats]


class LiveChain:
    """Detection and keypoints-only estimate of single pictures."""

    def __init__(self, model: str = "full") -> None:
        self.encoder = LandmarkEncoder(model, landmarks=True)
        self._body = BodyModel.load()
        self._landmarks = Landmarks(self._body)
        self._lifter = Lifter.load()
        self._stature = self._body.stature_near_mean()

    def __call__(self, drawn: CropSample, rng: np.random.Generator) -> Sample | None:
        """-> the sample, None where the landmark network sees nobody."""
        encoded = self.encoder(drawn.image)
        if encoded.presence < MIN_PRESENCE:
            return None
        keypoints = drawn.crop.out_of(encoded.keypoints.astype(np.float64))
        scores = encoded.visibility.astype(np.float64)
        turn = to_matrix(np.array([0.0, 0.0, drawn.crop.angle]))
        world = encoded.world.astype(np.float64) @ turn.T
        camera = Intrinsics(float(drawn.focal), (float(drawn.centre[0]), float(drawn.centre[1])))
        gravity = self._gravity(drawn.up, rng)
        up = gravity.up.copy()
        # As the running shape estimate does, the chain knows the shape anything from not at all to well.
        known = rng.uniform(0.0, 1.0)
        betas = known * drawn.betas + 0.35 * rng.normal(size=len(drawn.betas)) * rng.uniform(0.0, 1.0)
        shape = ShapeEstimate(len(betas), *self._stature, None, betas)
        track = PersonTrack(self._lifter, self._landmarks, shape)
        pose = track.update(0.0, keypoints, scores, camera, gravity, ITERATIONS, world)
        fields: dict[str, Floats] = {
            "crop": np.array([*drawn.crop.centre, drawn.crop.size, drawn.crop.angle]),
            "camera": np.array([camera.focal, *camera.centre]),
            "keypoints": np.concatenate([keypoints, scores[:, None]], 1),
            "world": world,
            "up": up,
            "rotations": to_vector(pose.rotations),
            "sigma": pose.sigma,
            "translation": pose.translation,
            "betas": pose.betas,
            "true_rotations": drawn.theta,
            "true_translation": drawn.transl,
            "true_betas": drawn.betas,
            "visible": drawn.visible.astype(np.float64),
        }
        return Sample(encoded.maps, fields)

    def _gravity(self, up: Floats, rng: np.random.Generator) -> Gravity:
        """Gravity as a live run knows it: not yet, or within a few degrees."""
        gravity = Gravity()
        if rng.random() < 0.2:
            return gravity
        sigma = math.radians(rng.uniform(2.5, 8.0))
        off = to_matrix(np.append(rng.normal(0.0, min(sigma, UNKNOWN_SIGMA), 2), 0.0))
        gravity.up, gravity.sigma = np.asarray(off @ up, np.float64), sigma
        return gravity
