"""What a camera, the detector and the mesh stage make of a sequence: virtual markers with the live system's own errors.

The person is put before a random camera; MediaPipe's detections are simulated (each landmark sits a little elsewhere on
each body, strays slowly in the picture, jitters, is hidden now and then; the detector's own 3D errs as whole vectors
measured on rendered people do); then the live code itself (`mqhmr.person.PersonTrack`) makes bodies of them.  So the
noise of the markers is that of the live system: correlated in time and between markers, worst in depth, of a wrong size
while the shape settles.

Letters: T frames, J = 24 body joints, K = 33 landmarks, M virtual markers, S shape coefficients.
Camera frame: OpenCV's; m, px, s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.model import BodyModel
from biopose_live.messages import Intrinsics
from biopose_live.mqhmr import view
from biopose_live.mqhmr.gravity import BEST_SIGMA, UNKNOWN_SIGMA, Gravity
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.lifter import Lifter
from biopose_live.mqhmr.person import PersonTrack
from biopose_live.mqhmr.refinement import place
from biopose_live.mqhmr.shape import ShapeEstimate
from biopose_live.rotations import to_matrix
from biopose_live.settings import DEFAULT_FOV_DEG, Settings
from biopose_live.stages.neurik import world_from_camera
from biopose_live.training.neurik.motions import Sequence

Floats = NDArray[np.float64]

PICTURES = ((1280, 720), (720, 1280), (640, 480), (1920, 1080))
RIDE_M = 0.010  # one-sigma of where a landmark sits on different bodies
# The jitter, one-sigma in a landmark's spreads, and how long it lasts: MediaPipe's video mode smooths what it sees. In
# quiet moments of the rendered demo clip its landmarks' second differences, at 30 frames per second, are those of white
# noise of 0.1 spreads; these give 0.03 to 0.13.
JITTER = (0.05, 0.25)
JITTER_S = 0.05
HEIGHT_KNOWN = 0.25
HIDDEN_EVERY_S = 12.0  # mean time between a limb's disappearances
LIMBS = ((13, 15, 17, 19, 21), (14, 16, 18, 20, 22), (25, 27, 29, 31), (26, 28, 30, 32))


@dataclass(frozen=True, eq=False)
class Seen:
    """true and seen markers (T, M, 3) m in the world, made with the true and with the estimated vertical; the shape
    estimate (T, S) and whether it had settled (T,)."""

    true: Floats
    seen: Floats
    betas: Floats
    settled: NDArray[np.bool_]


class Camera:
    """Draws cameras and runs the live chain. Holds what does not depend on the sequence."""

    def __init__(self, body: BodyModel, world_errors: Path | None = None, height_known: float = HEIGHT_KNOWN) -> None:
        """world_errors: the file of `training.lifter.world_errors`; the detector's 3D is left out without it.
        height_known: the share of people whose height the live system was told.
        """
        self._height_known = height_known
        self._body, self._landmarks, self._lifter = body, Landmarks(body), Lifter.load()
        self._stature, self._stature_gradient = body.stature_near_mean()
        self._iterations = Settings().refine_iterations
        self._errors: Floats | None = None
        if world_errors is not None:
            self._errors = np.load(world_errors)["errors"].astype(np.float64)

    def look(self, sequence: Sequence, betas: Floats, rng: np.random.Generator) -> Seen:
        """sequence of a person of shape `betas` (S,), seen by a new camera."""
        times = sequence.times
        width, height = PICTURES[rng.integers(len(PICTURES))]
        assumed = Intrinsics(
            0.5 * max(width, height) / math.tan(math.radians(DEFAULT_FOV_DEG) / 2), (width / 2, height / 2)
        )
        focal = assumed.focal * math.exp(rng.normal(0.0, 0.08)) if rng.random() < 0.7 else assumed.focal
        to_camera = _orientation(rng)
        rotations, at = self._placed(sequence, betas, to_camera, focal, height, rng)
        up = to_camera @ np.array([0.0, 1.0, 0.0])

        keypoints, points = self._pictured(rotations, at, betas, focal, assumed.centre, times, rng)
        scores = _hidden(times, rng)
        spread = self._landmarks.spread[:, None] * _sizes(keypoints)[:, None, None]
        drift = _drift(times, 33, 2, rng.uniform(0.4, 1.6), rng)
        stray = rng.uniform(0.4, 1.3) * (0.75 * drift + 0.5 * rng.normal(size=(1, 33, 2)))
        keypoints = keypoints + spread * (stray + rng.uniform(*JITTER) * _drift(times, 33, 2, JITTER_S, rng))
        keypoints += spread * np.where(scores < 0.5, 3.0, 0.0)[..., None] * _drift(times, 33, 2, 0.4, rng)
        world = self._detector_3d(points, times, rng)

        # A person whom the system has watched for a while, or one who has just come into the picture.
        height_known = self._body.stature(betas) + rng.normal(0.0, 0.01) if rng.random() < self._height_known else None
        shape = ShapeEstimate(self._body.n_shape, self._stature, self._stature_gradient, height_known)
        gravity = Gravity()
        if rng.random() < 0.5:
            gravity = _learnt(up, rng)
        track = PersonTrack(self._lifter, self._landmarks, shape)
        true_world = world_from_camera(up)
        count, markers = len(times), len(self._body.marker_names)
        true, seen = np.empty((count, markers, 3)), np.empty((count, markers, 3))
        shapes, settled = np.empty((count, len(betas))), np.zeros(count, bool)
        for n, t in enumerate(times):
            own_3d = None if world is None else world[n]
            pose = track.update(float(t), keypoints[n], scores[n], assumed, gravity, self._iterations, own_3d)
            markers_seen = self._body.pose_markers(pose.rotations, pose.betas, pose.translation)[1]
            markers_true = self._body.pose_markers(rotations[n], betas, at[n])[1]
            seen[n] = markers_seen @ world_from_camera(gravity.up).T
            true[n] = markers_true @ true_world.T
            shapes[n], settled[n] = pose.betas, shape.settled
        return Seen(true, seen, shapes, settled)

    def _placed(
        self,
        sequence: Sequence,
        betas: Floats,
        to_camera: Floats,
        focal: float,
        height: int,
        rng: np.random.Generator,
    ) -> tuple[Floats, Floats]:
        """-> rotations (T, J, 3, 3) with row 0 in the camera frame, translations (T, 3) m before the camera."""
        heading = rng.uniform(-math.pi, math.pi) if rng.random() < 0.6 else rng.normal(0.0, 0.6)
        turn = to_camera @ to_matrix(np.array([0.0, heading, 0.0]))
        rotations = sequence.rotations.copy()
        rotations[:, 0] = turn @ rotations[:, 0]
        move = (turn @ sequence.trans[..., None])[..., 0]
        if sequence.planted:
            ankles = np.array([place(self._landmarks.points, r, np.zeros(3), betas)[1][[7, 8]] for r in rotations])
            low = np.argmin(ankles @ (to_camera @ np.array([0.0, 1.0, 0.0])), axis=1)
            steps = ankles[:-1] - ankles[1:]
            move = np.zeros_like(move)
            move[1:] = np.cumsum(np.take_along_axis(steps, low[1:, None, None], 1)[:, 0], axis=0)
        # The person fills a third to nearly all of the picture's height.
        size = rng.uniform(0.35, 0.9)
        distance = max(focal * 1.7 / (size * height), 1.3)
        offset = np.array([rng.normal(0.0, 0.12), rng.normal(0.03, 0.05), 1.0]) * distance
        at = move + offset
        nearest = at[:, 2].min()
        at[:, 2] += max(1.2 - nearest, 0.0)
        return rotations, at

    def _pictured(
        self,
        rotations: Floats,
        at: Floats,
        betas: Floats,
        focal: float,
        centre: tuple[float, float],
        times: Floats,
        rng: np.random.Generator,
    ) -> tuple[Floats, Floats]:
        """-> landmarks in the picture (T, K, 2) px as this person wears them, and in space (T, K, 3) m."""
        own = self._landmarks.points
        worn = own._replace(keypoint_template=own.keypoint_template + rng.normal(0.0, RIDE_M, (33, 3)))
        points = np.array([place(worn, rotations[n], at[n], betas)[0] for n in range(len(times))])
        picture = points[..., :2] / np.maximum(points[..., 2:], 0.3) * focal + np.array(centre)
        return picture, points

    def _detector_3d(self, points: Floats, times: Floats, rng: np.random.Generator) -> Floats | None:
        """-> (T, K, 3) m as MediaPipe's own 3D might have been: hip-centred, as if the camera looked at the hips."""
        if self._errors is None or rng.random() < 0.1:
            return None
        hips = points[:, [23, 24]].mean(1)
        relative = points - hips[:, None]
        turn = np.array([view.view_rotation(hip, np.array([0.0, -1.0, 0.0])) for hip in hips])
        relative = np.einsum("tij,tkj->tki", turn, relative)
        few = list(view.KEYPOINTS)
        # Errors wander from one picture's to another's.
        count = max(int(times[-1] / 1.5) + 2, 2)
        chosen = self._errors[rng.integers(len(self._errors), size=count)] * rng.choice([0.6, 1.0, 1.5])
        place_in = times / max(times[-1], 1e-6) * (count - 1.001)
        before = place_in.astype(int)
        angle = 0.5 * math.pi * (place_in - before)[:, None, None]
        error = np.cos(angle) * chosen[before] + np.sin(angle) * chosen[before + 1]
        depth = np.array([1.0, 1.0, rng.uniform(0.5, 1.15)])
        guess = np.zeros_like(relative)
        guess[:, few] = math.exp(rng.normal(0.0, 0.1)) * (
            depth * relative[:, few] + error + 0.02 * _drift(times, len(few), 3, 0.2, rng)
        )
        return guess


def _orientation(rng: np.random.Generator) -> Floats:
    """-> (3, 3): world (y up, z towards the camera) to camera frame."""
    pitch = rng.normal(math.radians(6.0), math.radians(8.0)) if rng.random() < 0.8 else rng.uniform(-0.3, 0.8)
    roll = rng.normal(0.0, math.radians(3.0))
    flip = np.diag([1.0, -1.0, -1.0])
    return to_matrix(np.array([0.0, 0.0, roll])) @ to_matrix(np.array([pitch, 0.0, 0.0])) @ flip


def _learnt(up: Floats, rng: np.random.Generator) -> Gravity:
    """A vertical that the system has learnt from people it watched for some seconds."""
    gravity = Gravity()
    for t in np.arange(0.0, rng.uniform(2.0, 20.0), 0.25):
        tilt = to_matrix(np.radians(3.0) * rng.normal(size=3))
        gravity.update(float(t), tilt @ up, float(rng.uniform(BEST_SIGMA, UNKNOWN_SIGMA)))
    return gravity


def _sizes(keypoints: Floats) -> Floats:
    """(T, K, 2) px -> (T,) px: the unit in which detectors' errors are told (`Landmarks.precision`)."""
    few = keypoints[:, list(view.KEYPOINTS)]
    result: Floats = np.sqrt(((few - keypoints[:, [23, 24]].mean(1, keepdims=True)) ** 2).sum(-1).mean(1))
    return result


def _drift(times: Floats, points: int, axes: int, seconds: float, rng: np.random.Generator) -> Floats:
    """-> (T, points, axes): smooth unit noise that forgets itself within `seconds`: Ornstein and Uhlenbeck's process,
    smoothed over half of that time."""
    noise = rng.normal(size=(len(times), points, axes))
    out = np.empty_like(noise)
    out[0] = noise[0]
    for n in range(1, len(times)):
        step = (times[n] - times[n - 1]) / seconds
        keep = math.exp(-step)
        noise[n] = keep * noise[n - 1] + math.sqrt(1.0 - keep**2) * noise[n]
        out[n] = out[n - 1] + (1.0 - math.exp(-2.0 * step)) * (noise[n] - out[n - 1])
    result: Floats = math.sqrt(1.5) * out  # smoothing takes a third of the variance
    return result


def _hidden(times: Floats, rng: np.random.Generator) -> Floats:
    """-> (T, K) scores: high, but for limbs that are hidden for a while."""
    scores = np.full((len(times), 33), 0.97)
    for limb in LIMBS:
        for _ in range(rng.poisson(times[-1] / HIDDEN_EVERY_S)):
            start = rng.uniform(times[0], times[-1])
            gone = (times >= start) & (times < start + rng.exponential(0.5))
            scores[np.ix_(gone, np.array(limb))] = rng.uniform(0.05, 0.5)
    return scores
