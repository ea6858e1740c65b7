"""Two training samples of one picture: a rendered person as the live chain sees it, and the truth; and both mirrored.

The picture goes through the landmark network that the live encoder is, plain and mirrored, as the live tracker looks at
people; the mean of both looks goes through the lifter and the keypoints-only refinement, so the network learns to
correct the errors that those really make.  The mirrored look's maps are a second sample, of the mirrored person.

Letters: K = 33 keypoints, J = 24 joints, P dense points, S shape coefficients, L feature maps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.model import BodyModel
from biopose_live.detection.landmark_tracker import MIRROR as MIRRORED_KEYPOINTS
from biopose_live.detection.landmark_tracker import unmirrored
from biopose_live.messages import Intrinsics
from biopose_live.mqhmr.encoder import LandmarkEncoder
from biopose_live.mqhmr.gravity import UNKNOWN_SIGMA, Gravity
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.lifter import Lifter
from biopose_live.mqhmr.lite.points import MARKERS
from biopose_live.mqhmr.person import PersonTrack
from biopose_live.mqhmr.person_crop import SIDE, Crop
from biopose_live.mqhmr.shape import ShapeEstimate
from biopose_live.rotations import to_matrix, to_vector
from biopose_live.training.synthetic.crop_poses import MIRROR as MIRRORED_JOINTS
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


@dataclass(frozen=True)
class _Person:
    """A person in a picture: crop, width of the frame, camera; theta (J, 3) rad, row 0 into the camera frame, transl
    (3,) m, betas (S,), visible (P,); up (3,) against gravity."""

    crop: Crop
    width: int
    camera: Intrinsics
    theta: Floats
    transl: Floats
    betas: Floats
    visible: NDArray[np.bool_]
    up: Floats


def mirrored(person: _Person, partners: NDArray[np.int64]) -> _Person:
    """The person as a mirror shows it; partners (M,): each marker's of the other side."""
    flip = np.array([-1.0, 1.0, 1.0])
    x, y = person.camera.centre
    crop = person.crop
    centre = np.array([person.width - crop.centre[0], crop.centre[1]])
    return _Person(
        Crop(centre, crop.size, -crop.angle),
        person.width,
        Intrinsics(person.camera.focal, (person.width - x, y)),
        person.theta[MIRRORED_JOINTS] * -flip,
        person.transl * flip,
        person.betas,
        person.visible[np.concatenate([partners, MARKERS + MIRRORED_JOINTS])],
        person.up * flip,
    )


def marker_partners(body: BodyModel) -> NDArray[np.int64]:
    """-> (M,) the marker of the other side, or the marker itself in the middle: names begin with the side."""
    names = list(body.marker_names)
    other = {"L": "R", "R": "L"}
    swapped = [other.get(name[0], name[0]) + name[1:] for name in names]
    return np.array([names.index(s) if s in names else i for i, s in enumerate(swapped)])


class LiveChain:
    """Detection and keypoints-only estimate of single pictures."""

    def __init__(self, model: str = "full") -> None:
        self.encoder = LandmarkEncoder(model, landmarks=True)
        self._body = BodyModel.load()
        self._landmarks = Landmarks(self._body)
        self._lifter = Lifter.load()
        self._stature = self._body.stature_near_mean()
        self._partners = marker_partners(self._body)

    def __call__(self, drawn: CropSample, rng: np.random.Generator) -> list[Sample]:
        """-> the person's sample and its mirror image's; none where the landmark network sees nobody."""
        plain = self.encoder(drawn.image)
        if plain.presence < MIN_PRESENCE:
            return []
        other = self.encoder(np.ascontiguousarray(drawn.image[:, ::-1]))
        keypoints, visibility, world = (
            0.5 * (a + b)
            for a, b in zip((plain.keypoints, plain.visibility, plain.world), unmirrored(other), strict=True)
        )
        centre = (float(drawn.centre[0]), float(drawn.centre[1]))
        person = _Person(
            drawn.crop, drawn.size[0], Intrinsics(float(drawn.focal), centre), drawn.theta, drawn.transl, drawn.betas,
            drawn.visible, drawn.up,
        )  # fmt: skip
        there = self._sample(person, plain.maps, keypoints, visibility, world, rng)
        flip = np.array([-1.0, 1.0, 1.0])
        keypoints = np.array([SIDE, 0.0]) + keypoints[MIRRORED_KEYPOINTS] * flip[:2]
        back = self._sample(
            mirrored(person, self._partners), other.maps, keypoints, visibility[MIRRORED_KEYPOINTS],
            world[MIRRORED_KEYPOINTS] * flip, rng,
        )  # fmt: skip
        return [there, back]

    def _sample(
        self,
        person: _Person,
        maps: list[NDArray[np.float32]],
        seen: Floats,
        scores: Floats,
        world: Floats,
        rng: np.random.Generator,
    ) -> Sample:
        """seen (K, 2) px and world (K, 3) m of the crop, scores (K,)."""
        crop, camera = person.crop, person.camera
        keypoints = crop.out_of(seen.astype(np.float64))
        turn = to_matrix(np.array([0.0, 0.0, crop.angle]))
        world = world.astype(np.float64) @ turn.T
        gravity = self._gravity(person.up, rng)
        up = gravity.up.copy()
        # As the running shape estimate does, the chain knows the shape anything from not at all to well.
        known = rng.uniform(0.0, 1.0)
        betas = known * person.betas + 0.35 * rng.normal(size=len(person.betas)) * rng.uniform(0.0, 1.0)
        shape = ShapeEstimate(len(betas), *self._stature, None, betas)
        track = PersonTrack(self._lifter, self._landmarks, shape)
        pose = track.update(0.0, keypoints, scores.astype(np.float64), camera, gravity, ITERATIONS, world)
        fields: dict[str, Floats] = {
            "crop": np.array([*crop.centre, crop.size, crop.angle]),
            "camera": np.array([camera.focal, *camera.centre]),
            "keypoints": np.concatenate([keypoints, scores[:, None]], 1),
            "world": world,
            "up": up,
            "rotations": to_vector(pose.rotations),
            "sigma": pose.sigma,
            "translation": pose.translation,
            "betas": pose.betas,
            "true_rotations": person.theta,
            "true_translation": person.transl,
            "true_betas": person.betas,
            "visible": person.visible.astype(np.float64),
        }
        return Sample(maps, fields)

    def _gravity(self, up: Floats, rng: np.random.Generator) -> Gravity:
        """Gravity as a live run knows it: not yet, or within a few degrees."""
        gravity = Gravity()
        if rng.random() < 0.2:
            return gravity
        sigma = math.radians(rng.uniform(2.5, 8.0))
        off = to_matrix(np.append(rng.normal(0.0, min(sigma, UNKNOWN_SIGMA), 2), 0.0))
        gravity.up, gravity.sigma = np.asarray(off @ up, np.float64), sigma
        return gravity
