"""The live path over rendered people: keypoints, feature maps and gravity as they were stored, the truth beside them.

Each person is one picture, hence a new track: lifter, refinement, the look at the picture, refinement.  Only the
encoder does not run, because its maps are what was stored (in eight bits).  What the picture is worth is told by
leaving it out, in whole or in part:

    off     keypoints only
    on      dense points and corrected pose, as live
    points  dense points; the pose that they start from stands for the corrected one
    pose    the corrected pose, without the dense points

Letters: P dense points.
"""

from __future__ import annotations

import math
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from biopose_live.body.model import BodyModel
from biopose_live.errors import EXIT_MODEL, EXIT_SOURCE, UserError
from biopose_live.evaluation.mqhmr_options import OFF, POINTS, POSE
from biopose_live.evaluation.mqhmr_scores import (
    PointScores,
    PoseErrors,
    PoseScores,
    leg_points,
    point_scores,
    pose_errors,
    pose_scores,
)
from biopose_live.messages import Intrinsics
from biopose_live.mqhmr.gravity import LEVEL, UNKNOWN_SIGMA, Gravity
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.lifter import Lifter
from biopose_live.mqhmr.lite.evidence import Evidence, Look, look_through
from biopose_live.mqhmr.lite.network import LiteNetwork
from biopose_live.mqhmr.lite.observation import Estimate, places_of
from biopose_live.mqhmr.person import PersonTrack, Pose
from biopose_live.mqhmr.person_crop import SIDE, Crop
from biopose_live.mqhmr.refinement import place
from biopose_live.mqhmr.shape import ShapeEstimate
from biopose_live.rotations import to_matrix, to_vector
from biopose_live.training.lite.shards import Shards

Floats = NDArray[np.float64]

KNOWN_UP_SIGMA = math.radians(5.0)  # the middle of what the samples' chain drew


class Scores(msgspec.Struct, frozen=True):
    """On all people, for one number of iterations.

    dense: the pose's own points; network, network_pose: the places and the corrected pose that the image network said,
    before any refinement with them; aiti_ms: median processor time of a person's frame, without detector and encoder.
    """

    people: int
    pose: PoseScores
    dense: PointScores
    network: PointScores | None
    network_pose: PoseScores | None
    aiti_ms: float


@dataclass(frozen=True, slots=True)
class Stored:
    """What the chain is told of one person, and the truth: joints (24, 3) m and vertices (V, 3) m in the camera frame,
    places (P, 2) of the dense points in the crop, seen (P,)."""

    keypoints: Floats
    scores: Floats
    world: Floats
    camera: Intrinsics
    crop: Crop
    up: Floats
    betas: Floats
    maps: list[NDArray[np.float32]]
    joints: Floats
    vertices: Floats
    places: Floats
    seen: NDArray[np.bool_]


def read_samples(folder: Path) -> Shards:
    """Raises UserError where the folder holds none, or damaged ones."""
    try:
        return Shards(folder)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        found = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"The samples in {folder} cannot be read ({found}); delete the damaged file and render it again.",
            EXIT_SOURCE,
        ) from error


class StoredChain:
    """The live path on stored people."""

    def __init__(self, shards: Shards, network: LiteNetwork | None) -> None:
        """network: None to evaluate without one.  Raises UserError where it reads other maps than were stored."""
        if network is not None:
            try:
                network.architecture.read_of(shards.levels)
            except ValueError as error:
                raise UserError(
                    f"The weights read feature maps of {network.architecture.levels}, the samples hold "
                    f"{shards.levels}; give weights that were trained on such samples.",
                    EXIT_MODEL,
                ) from error
        self._shards, self._network = shards, network
        self.body = BodyModel.load()
        self._landmarks = Landmarks(self.body)
        self.legs = leg_points(self._landmarks.dense)
        self._lifter = Lifter.load()
        self._stature = self.body.stature_near_mean()

    def person(self, i: int) -> Stored:
        f = {key: values[i].astype(np.float64) for key, values in self._shards.fields.items()}
        crop = Crop(f["crop"][:2], float(f["crop"][2]), float(f["crop"][3]))
        camera = Intrinsics(float(f["camera"][0]), (float(f["camera"][1]), float(f["camera"][2])))
        true = self.body.forward(f["true_rotations"], f["true_betas"], f["true_translation"], markers=False)
        dense, _, _ = place(
            self._landmarks.dense, to_matrix(f["true_rotations"]), f["true_translation"], f["true_betas"]
        )
        assert true.vertices is not None
        maps = [level[0] * step for level, step in zip(self._shards.maps([i]), self._shards.steps, strict=True)]
        return Stored(
            np.ascontiguousarray(f["keypoints"][:, :2]),
            np.ascontiguousarray(f["keypoints"][:, 2]),
            f["world"],
            camera,
            crop,
            f["up"],
            f["betas"],
            maps,
            true.joints,
            true.vertices,
            places_of(dense, crop, camera),
            f["visible"] > 0.5,
        )

    def follow(self, person: Stored, iterations: int, eyes: str) -> tuple[Pose, Evidence | None, float]:
        """-> the pose, what the network said if it was asked, and the processor time, ms."""
        said: list[Evidence] = []

        def looking(keypoints: Floats, scores: Floats, world: Floats | None) -> Look:
            assert self._network is not None
            look = look_through(
                self._network, self._landmarks.dense, person.maps, person.crop, person.camera, person.up, keypoints,
                scores, world,
            )  # fmt: skip

            def answer(estimate: Estimate) -> Evidence:
                said.append(look(estimate))
                return in_part(said[-1], estimate, eyes)

            return answer

        shape = ShapeEstimate(len(person.betas), *self._stature, None, person.betas)
        track = PersonTrack(self._lifter, self._landmarks, shape)
        gravity = held_gravity(person.up)
        begun = time.thread_time()
        pose = track.update(
            0.0, person.keypoints, person.scores, person.camera, gravity, iterations, person.world,
            None if eyes == OFF else looking,
        )  # fmt: skip
        return pose, said[-1] if said else None, 1e3 * (time.thread_time() - begun)

    def errors(self, rotations: Floats, pose: Pose, person: Stored) -> PoseErrors:
        """Of the body of these rotations (24, 3, 3), with the pose's shape and place."""
        found = self.body.forward(to_vector(rotations), pose.betas, pose.translation, markers=False)
        assert found.vertices is not None
        return pose_errors(found.joints, found.vertices, person.joints, person.vertices)

    def dense_places(self, pose: Pose, person: Stored) -> Floats:
        """(P, 2): where the pose's dense points lie in the crop."""
        points, _, _ = place(self._landmarks.dense, pose.rotations, pose.translation, pose.betas)
        return places_of(points, person.crop, person.camera)


def held_gravity(up: Floats) -> Gravity:
    """Gravity as the samples' chain believed it, (3,) in the camera frame, which one picture does not change."""
    gravity = Gravity(0.0)
    gravity.up = up
    gravity.sigma = UNKNOWN_SIGMA if np.allclose(up, LEVEL) else KNOWN_UP_SIGMA
    return gravity


def in_part(evidence: Evidence, estimate: Estimate, eyes: str) -> Evidence:
    """What is left of the evidence under each of `mqhmr_options.EYES` but `off`."""
    if eyes == POINTS:
        return replace(evidence, rotations=estimate.rotations, sigma=estimate.sigma)
    if eyes == POSE:
        return replace(evidence, precision=np.zeros_like(evidence.precision))
    return evidence


class _Collected:
    """Everybody's results for one number of iterations."""

    def __init__(self) -> None:
        self.errors: list[PoseErrors] = []
        self.dense: list[Floats] = []
        self.network: list[Floats] = []
        self.network_errors: list[PoseErrors] = []
        self.ms: list[float] = []


def score(
    chain: StoredChain,
    chosen: Sequence[int],
    iterations: Sequence[int],
    eyes: Sequence[str],
    advance: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Scores]]:
    """-> by eyes and number of iterations, the scores on the people `chosen`; `advance` is told of each person."""
    results = {kind: {k: _Collected() for k in iterations} for kind in eyes}
    for kind in eyes:  # compiled code is loaded before anything is timed
        chain.follow(chain.person(chosen[0]), 2, kind)
    true, seen = [], []
    for i in chosen:
        person = chain.person(i)
        true.append(person.places)
        seen.append(person.seen)
        for kind in eyes:
            for k in iterations:
                pose, evidence, ms = chain.follow(person, k, kind)
                here = results[kind][k]
                here.errors.append(chain.errors(pose.rotations, pose, person))
                here.dense.append(chain.dense_places(pose, person))
                if evidence is not None:
                    here.network.append(person.crop.into(evidence.places) / SIDE)
                    here.network_errors.append(chain.errors(evidence.rotations, pose, person))
                here.ms.append(ms)
        advance()
    truth, visible = np.array(true), np.array(seen)

    def points(found: list[Floats]) -> PointScores:
        return point_scores(np.array(found), truth, visible, chain.legs)

    return {
        kind: {
            str(k): Scores(
                len(chosen),
                pose_scores(r.errors),
                points(r.dense),
                points(r.network) if r.network else None,
                pose_scores(r.network_errors) if r.network_errors else None,
                float(np.median(r.ms)),
            )
            for k, r in of_kind.items()
        }
        for kind, of_kind in results.items()
    }
