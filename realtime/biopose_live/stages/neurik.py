"""The neurik stage: virtual markers in, joint angles and bone scales of the skeleton out.

Back-pressure: none of its own; it answers each message before it takes the next, and the link keeps the newest.

World frame: origin at the camera; y against gravity; x level, from the people towards the camera, so that somebody who
faces the camera has a pelvis rotation of about zero; z to the right of somebody who faces the camera.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from biopose_client.schema import Camera, Person, Pose
from biopose_live.body.model import BodyModel
from biopose_live.messages import Meshes, MeshPerson
from biopose_live.neurik.calibration import BODY_TO_GROUND, Calibrator
from biopose_live.neurik.kinematic_track import KinematicTrack, Solved
from biopose_live.neurik.naming import LIMB_LANDMARKS
from biopose_live.neurik.neural_track import NeuralSolver, NeuralTrack
from biopose_live.neurik.person_file import read_person_file
from biopose_live.neurik.stream import StreamedNetwork
from biopose_live.settings import Settings
from biopose_live.skeleton.choice import load_skeleton
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.stages import FrameStore
from biopose_live.stages.elapsed import Elapsed

Floats = NDArray[np.float64]

FORGET_S = 30.0


def world_from_camera(up: Floats) -> Floats:
    """-> (3, 3): OpenCV camera axes to the world's, from the direction against gravity (3,) in the camera frame."""
    y = up / np.linalg.norm(up)
    towards = np.array([0.0, 0.0, -1.0])
    # The camera looks straight down or up: its image's lower or upper edge is where people come nearer, and stands in.
    if abs(y @ towards) > 0.98:
        towards = np.array([0.0, -math.copysign(1.0, y[2]), 0.0])
    x = towards - (towards @ y) * y
    x = x / np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)])


def quaternions(rotations: Floats) -> Floats:
    """(B, 3, 3) -> (B, 4) x, y, z, w with w >= 0 (Shepperd 1978: the largest component first)."""
    trace = np.trace(rotations, axis1=1, axis2=2)
    squares = np.stack([*(1.0 + 2.0 * np.diagonal(rotations, axis1=1, axis2=2).T - trace), 1.0 + trace], -1)
    out = np.empty((len(rotations), 4))
    for n, (r, largest) in enumerate(zip(rotations, squares.argmax(-1), strict=True)):
        if largest == 3:
            q = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], squares[n, 3]])
        else:
            i, j, k = largest, (largest + 1) % 3, (largest + 2) % 3
            q = np.empty(4)
            q[i], q[j], q[k], q[3] = squares[n, i], r[j, i] + r[i, j], r[k, i] + r[i, k], r[k, j] - r[j, k]
        out[n] = q / np.linalg.norm(q) * (1.0 if q[3] >= 0 else -1.0)
    return out


def _track_maker(
    settings: Settings, model: SkeletonModel, body: BodyModel, calibrator: Calibrator
) -> Callable[[], KinematicTrack | NeuralTrack]:
    """-> what makes a new person's track."""
    if settings.angles_by == "ik":
        return lambda: KinematicTrack(model, calibrator)
    solver = NeuralSolver(model, body.marker_names, StreamedNetwork.load())
    return lambda: NeuralTrack(solver, calibrator)


class NeurikStage:
    """`process(Meshes) -> Pose`."""

    name = "neurik"

    def __init__(self, settings: Settings, frames: FrameStore | None = None) -> None:
        """Raises UserError when the body, skeleton, weight or calibration file cannot be read or used."""
        self._model = load_skeleton(settings.skeleton)
        body = BodyModel.load(settings.body)
        self._calibrator = Calibrator(body, self._model)
        if settings.calibration is not None:
            person = read_person_file(settings.calibration)
            person.check_body(settings.calibration, settings.body, body.n_shape)
            scales = self._calibrator(np.array(person.betas)).scales
            person.check_skeleton(settings.calibration, settings.skeleton, scales)
        self._root = self._calibrator.root
        self._new_track = _track_maker(settings, self._model, body, self._calibrator)
        self._people: dict[int, KinematicTrack | NeuralTrack] = {}
        self._last_seen: dict[int, float] = {}
        self._elapsed = Elapsed()
        # Loads the compiled code now, so that the first real frame does not wait for it.
        mean = np.zeros(body.n_shape)
        _, markers, _ = body.pose_markers(self._calibrator.standing_pose(mean), mean, np.zeros(3))
        scratch = self._new_track()
        for t in (0.0, 0.04):
            scratch.update(t, markers @ BODY_TO_GROUND.T, mean, False)

    def process(self, message: Meshes) -> Pose:
        frame = message.frame
        t = self._elapsed(frame.t_capture) * 1e-9
        people = []
        for person in message.people:
            track = self._people.get(person.id)
            if track is None:
                track = self._people[person.id] = self._new_track()
            self._last_seen[person.id] = t
            to_world = world_from_camera(person.up)
            solved = track.update(t, person.markers @ to_world.T, person.betas, person.settled)
            people.append(self._person(message, person, solved, to_world))
        for gone in [key for key, last in self._last_seen.items() if t - last > FORGET_S]:
            del self._people[gone], self._last_seen[gone]
        return Pose(
            session="",
            seq=frame.seq,
            t_capture=frame.t_capture,
            t_publish=0,
            image=[frame.width, frame.height],
            stages=message.stages,
            dropped=frame.dropped,
            people=people,
        )

    def _person(self, message: Meshes, person: MeshPerson, solved: Solved, to_world: Floats) -> Person:
        centres = solved.origins @ to_world
        points = np.concatenate([centres, person.landmarks[list(LIMB_LANDMARKS)]])
        return Person(
            id=person.id,
            confidence=person.confidence,
            box=person.box.tolist(),
            keypoints=person.keypoints.tolist(),
            camera=Camera(message.intrinsics.focal, list(message.intrinsics.centre), person.translation.tolist()),
            joints=points.tolist(),
            q=solved.q.tolist(),
            q_sigma=solved.sigma.tolist(),
            scales=solved.scales.tolist(),
            bodies=quaternions(solved.rotations).tolist(),
            root=solved.origins[self._root].tolist(),
            theta=person.theta.tolist(),
            betas=person.betas.tolist(),
            settled=person.settled,
            calibrated=person.calibrated,
        )

    def close(self) -> None:
        self._people.clear()
