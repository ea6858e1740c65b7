"""One person's pose from frame to frame: first guess, fixed-budget refinement, shape, virtual markers.

Warm start: the refinement begins at the last frame's pose moved on at constant velocity, unless the network's guess
explains the picture better (a new or lost person, a wrong turn).  Uses MediaPipe's 33 keypoints only; frames that show
too little of a person are answered with the prediction, and with a confidence that says so.

Letters: J = 24 body joints (SMPL order), K = 33 keypoints, M virtual markers.  Camera frame; metres; pixels; seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biopose_live.messages import Intrinsics
from biopose_live.mqhmr import gravity, view
from biopose_live.mqhmr.gravity import Gravity
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.lifter import JOINTS, Guess, Lifter
from biopose_live.mqhmr.lite.evidence import Evidence, Look
from biopose_live.mqhmr.lite.observation import Estimate
from biopose_live.mqhmr.refinement import ROOT, BodyPoints, Priors, Refined, isotropic, refine
from biopose_live.mqhmr.shape import ShapeEstimate
from biopose_live.mqhmr.side_swaps import SideSwaps
from biopose_live.mqhmr.standing_feet import StandingFeet
from biopose_live.rotations import to_matrix, to_vector

Floats = NDArray[np.float64]

NETWORK_CAUTION = 1.0  # factor on the sigmas of the network
NETWORK_FLOOR = math.radians(1.5)
LOOSE = 1.0e-4  # precision, 1/rad^2, of a prior that is not there
STRAY_RAD_PER_S = math.radians(600.0)  # how far a joint's rotation may stray from constant velocity, per second
STRAY_M_PER_S = 6.0
VELOCITY_KEEP = 0.8
LOST_S = 0.5
DAMPING = 1e-3
POSE = ROOT + 3 * 23  # entries of the refinement's state before the shape's

# From keypoints, scores and the detector's own 3D, as they stand after exchanged sides were undone, to what looks.
Eyes = Callable[[Floats, Floats, Floats | None], Look]


class _Problem(NamedTuple):
    """What one refinement is given besides its start; see `refinement.refine`."""

    points: BodyPoints
    observed: Floats
    precision: Floats
    priors: Priors
    camera: Intrinsics
    free_shape: bool

    def solve(self, rotations: Floats, translation: Floats, steps: int) -> Refined:
        """Exactly `steps` iterations from this start."""
        x, y = self.camera.centre
        return Refined(
            *refine(
                self.points, rotations, translation, self.priors.betas, self.observed, self.precision,
                self.camera.focal, x, y, self.priors, self.free_shape, steps, DAMPING,
            )
        )  # fmt: skip

    def cost(self, rotations: Floats, translation: Floats) -> float:
        return self.solve(rotations, translation, 0).cost


@dataclass(slots=True)
class Pose:
    """rotations (J, 3, 3): row 0 turns the rest frame into the camera frame; sigma (J, 3) rad; translation (3,) m;
    betas (S,); fit: root mean square 2D residual in sigmas."""

    rotations: Floats
    sigma: Floats
    translation: Floats
    betas: Floats
    fit: float


class PersonTrack:
    """Holds what one tracked person needs from the past. `update` once per frame, in order of time.

    Without `warm_start` each frame is refined from its own guess alone, with no last pose to start from or to stay
    near; what that costs is for benchmarks to say."""

    def __init__(self, lifter: Lifter, landmarks: Landmarks, shape: ShapeEstimate, *, warm_start: bool = True) -> None:
        self._lifter, self._landmarks, self.shape = lifter, landmarks, shape
        self._warm_start = warm_start
        self._history = view.History()
        self._sides = SideSwaps()
        self._feet = StandingFeet()
        self._pose: Pose | None = None
        self._before: Pose | None = None
        self._t = self._t_before = -math.inf

    def update(
        self,
        t: float,
        keypoints: Floats,
        scores: Floats,
        camera: Intrinsics,
        up: Gravity,
        iterations: int,
        world: Floats | None = None,
        eyes: Eyes | None = None,
    ) -> Pose:
        """keypoints (K, 2) px, scores (K,) and the detector's own 3D `world` (K, 3) m of the frame at time t (s) -> the
        refined pose.  With `eyes`, half of the iterations are made before the picture is looked at, half after."""
        # One memory layout: another one would compile the refinement a second time.
        keypoints, scores = np.ascontiguousarray(keypoints, np.float64), np.ascontiguousarray(scores, np.float64)
        trusted = self._trusted(t, keypoints, scores, camera)
        if trusted is None and self._pose is not None:
            # Nothing in the picture fits: hold still for the moment that this may last.
            self._before, self._t = None, t
            return self._pose
        if trusted is not None:
            if trusted[0] is not keypoints:
                world = None  # it was made for the wrong facing
            keypoints, scores = trusted
        self._history.add(view.Seen(t, keypoints, scores))
        guess, to_view = self._guess(t, camera, up, world)
        caution = NETWORK_CAUTION
        network = np.tile(np.eye(3), (24, 1, 1))
        network[:JOINTS] = guess.rotations[0]
        network[0] = to_view.T @ network[0]
        precision = np.full((24, 3), 1.0 / NETWORK_FLOOR**2)
        precision[:JOINTS] = 1.0 / ((caution * guess.sigma[0]) ** 2 + NETWORK_FLOOR**2)
        pixel = self._landmarks.precision(keypoints, scores)

        if not self._warm_start:
            self._pose = self._before = None
        predicted, stray, predicted_at, stray_m = self._predict(t, network)
        start_rotations, start_translation = predicted, predicted_at
        guessed_at = self._place(network, keypoints, pixel, camera)
        translation_precision = np.full(3, 1.0 / stray_m**2) if self._pose is not None else np.full(3, 1e-6)
        prior = Priors(
            rotations=network,
            rotation_precision=precision,
            predicted=predicted,
            predicted_precision=np.full((24, 3), max(1.0 / stray**2, LOOSE)),
            translation=predicted_at if self._pose is not None else guessed_at,
            translation_precision=translation_precision,
            betas=self.shape.betas,
            betas_precision=self.shape.information,
            up=up.up,
            foot_precision=self._feet.precision(t, keypoints, scores, up.sigma),
        )

        problem = _Problem(self._landmarks.points, keypoints, isotropic(pixel), prior, camera, not self.shape.settled)
        afresh = self._pose is None or iterations == 0
        if afresh or problem.cost(network, guessed_at) < problem.cost(predicted, predicted_at):
            start_rotations, start_translation = network, guessed_at
        before_looking = iterations if eyes is None else iterations - iterations // 2
        refined = problem.solve(start_rotations, start_translation, before_looking)
        seen = pixel > 0
        fit = float(np.sqrt(np.mean(refined.residuals[seen] ** 2))) if seen.any() else math.inf
        if eyes is not None:
            estimate = Estimate(refined.rotations, _sigma(refined), refined.translation, self.shape.betas)
            looked = self._with_evidence(problem, eyes(keypoints, scores, world)(estimate))
            start = looked.priors.rotations
            if looked.cost(refined.rotations, refined.translation) < looked.cost(start, refined.translation):
                start = refined.rotations
            refined = looked.solve(start, refined.translation, iterations // 2)
        if iterations and not self.shape.settled:
            quality = float(np.mean(scores[[11, 12, 23, 24, 25, 26, 27, 28]].clip(0, 1))) * float(fit < 3.0)
            self.shape.update(t, refined.betas, refined.information, POSE, quality)
        self._before, self._t_before = self._pose, self._t
        self._pose = Pose(refined.rotations, _sigma(refined), refined.translation, self.shape.betas.copy(), fit)
        self._t = t
        return self._pose

    def _trusted(self, t: float, keypoints: Floats, scores: Floats, camera: Intrinsics) -> tuple[Floats, Floats] | None:
        """-> keypoints and scores without exchanged sides, None for a frame to pass over."""
        if self._pose is None or t - self._t > LOST_S:
            return keypoints, scores
        rotations, _, translation, _ = self._predict(t, self._pose.rotations)
        points = self._landmarks.place(rotations, self.shape.betas) + translation
        predicted = points[:, :2] / np.maximum(points[:, 2:], 0.1) * camera.focal + np.array(camera.centre)
        return self._sides.correct(t, keypoints, scores, predicted)

    def _guess(self, t: float, camera: Intrinsics, up: Gravity, world: Floats | None) -> tuple[Guess, Floats]:
        """-> the network's guess (first row) and the rotation from camera to view; tells gravity what was seen."""
        keypoints, scores = self._history.at_lags()
        chosen = list(view.KEYPOINTS)
        rays = view.rays(keypoints[:, chosen], camera)
        seen = scores[:, chosen] > view.MIN_SCORE
        hip_ray = rays[0, [view.LEFT_HIP, view.RIGHT_HIP]].mean(0)
        inputs, views, elevations = [], [], []
        for direction, sigma in ((up.up, up.sigma), (gravity.LEVEL, gravity.UNKNOWN_SIGMA)):
            to_view = view.view_rotation(hip_ray, direction)
            turned = rays @ to_view.T
            points = turned[..., :2] / np.maximum(turned[..., 2:], 0.05)
            elevation = view.elevation(to_view, direction)
            own = view.world_features(world, hip_ray, to_view)
            inputs.append(np.concatenate([view.features(points, seen, elevation, sigma), own]))
            views.append(to_view)
            elevations.append(elevation)
        guess = self._lifter(np.stack(inputs))
        measured = gravity.tilted(views[1], elevations[1], guess.tilt[1])
        up.update(t, measured, float(np.sqrt((guess.tilt_sigma[1] ** 2).mean())))
        return guess, views[0]

    def _predict(self, t: float, network: Floats) -> tuple[Floats, float, Floats, float]:
        """-> rotations (J, 3, 3) moved on at constant velocity, their stray (rad); translation (3,) and its stray."""
        if self._pose is None or t - self._t > LOST_S:
            self._pose = self._before = None
            return network, 1.0 / math.sqrt(LOOSE), np.zeros(3), 1e3
        step = max(t - self._t, 1e-3)
        rotations, translation = self._pose.rotations, self._pose.translation
        if self._before is not None and self._t > self._t_before:
            share = VELOCITY_KEEP * min(step / (self._t - self._t_before), 2.0)
            turn = to_vector(np.swapaxes(self._before.rotations, 1, 2) @ rotations)
            rotations = rotations @ to_matrix(share * turn)
            translation = translation + share * (translation - self._before.translation)
        return rotations, STRAY_RAD_PER_S * step, translation, STRAY_M_PER_S * step

    def _place(self, rotations: Floats, keypoints: Floats, pixel: Floats, camera: Intrinsics) -> Floats:
        """-> translation (3,) m that brings the posed keypoints nearest to the seen ones (linear least squares)."""
        points = self._landmarks.place(rotations, self.shape.betas)
        weight = np.sqrt(pixel)
        x = (keypoints[:, 0] - camera.centre[0]) / camera.focal
        y = (keypoints[:, 1] - camera.centre[1]) / camera.focal
        zero, one = np.zeros_like(x), np.ones_like(x)
        rows = np.concatenate([np.stack([one, zero, -x], -1), np.stack([zero, one, -y], -1)])
        values = np.concatenate([x * points[:, 2] - points[:, 0], y * points[:, 2] - points[:, 1]])
        both = np.concatenate([weight, weight])
        translation = np.linalg.lstsq(rows * both[:, None], values * both, rcond=None)[0]
        translation[2] = np.clip(translation[2], 0.5, 30.0)
        return translation

    def _with_evidence(self, problem: _Problem, evidence: Evidence) -> _Problem:
        """The problem with what the picture says in the keypoints' place: the network has been told of them, and on
        rendered people counting them once more made poses worse, however little they counted."""
        precision = 1.0 / (evidence.sigma**2 + NETWORK_FLOOR**2)
        return problem._replace(
            points=self._landmarks.dense,
            observed=evidence.places,
            precision=evidence.precision,
            priors=problem.priors._replace(rotations=evidence.rotations, rotation_precision=precision),
        )


def _sigma(refined: Refined) -> Floats:
    """-> (J, 3) rad: the posterior's one-sigma of each joint's rotation."""
    covariance = np.linalg.inv(refined.information[:POSE, :POSE] + 1e-6 * np.eye(POSE))
    variance = np.maximum(np.diag(covariance), 0.0)
    return np.sqrt(np.concatenate([variance[:3], variance[ROOT:]])).reshape(24, 3)
