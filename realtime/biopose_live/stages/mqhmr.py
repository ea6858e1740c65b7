"""The mqhmr stage: 2D keypoints in, bodies out (paper sections 3.2 and 3.4).

Back-pressure: none of its own; it answers each message before it takes the next, and the link keeps the newest.
Memory of a person is kept for half a minute after the person was last seen.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from biopose_live.body.model import BodyModel
from biopose_live.capture.intrinsics import intrinsics_for
from biopose_live.messages import Detected, Detections, Intrinsics, Meshes, MeshPerson
from biopose_live.mqhmr import handed_maps
from biopose_live.mqhmr.gravity import Gravity
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.lifter import Lifter
from biopose_live.mqhmr.lite.evidence import ImageNetwork
from biopose_live.mqhmr.person import Eyes, PersonTrack
from biopose_live.mqhmr.shape import SETTLE_S, ShapeEstimate
from biopose_live.neurik.person_file import read_person_file
from biopose_live.rotations import to_vector
from biopose_live.settings import Settings
from biopose_live.stages import FrameStore
from biopose_live.stages.elapsed import Elapsed

if TYPE_CHECKING:
    from biopose_live.mqhmr.network.live import LargeNetwork

FORGET_S = 30.0


class MqhmrStage:
    """`process(Detections) -> Meshes`."""

    name = "mqhmr"

    def __init__(self, settings: Settings, frames: FrameStore | None = None, *, settle_s: float = SETTLE_S) -> None:
        """`settle_s`: seconds of good frames until a shape is held.

        Raises UserError when the body file, a network's weights, the landmark table or the calibration cannot be
        read."""
        self.unseen = 0  # frames whose pixels were overwritten before they could be looked at
        self._settings = settings
        self._settle_s = settle_s
        self._body = BodyModel.load(settings.body)
        self._landmarks = Landmarks(self._body)
        self._lifter = Lifter.load()
        self._frames = frames
        self._network: ImageNetwork | None = None
        self._large: LargeNetwork | None = None
        if settings.network is not None and frames is not None:
            from biopose_live.mqhmr.network.live import LargeNetwork  # with it PyTorch, which nothing else here needs

            self._large = LargeNetwork(settings, self._body)
        elif settings.image == "on" and frames is not None:
            self._network = ImageNetwork(self._landmarks.dense, maps_come=handed_maps.are_wanted(settings))
        pitch = None if settings.camera_pitch is None else math.radians(settings.camera_pitch)
        self._gravity = Gravity(pitch)
        self._cameras: dict[tuple[int, int], Intrinsics] = {}
        self._people: dict[int, PersonTrack] = {}
        self._last_seen: dict[int, float] = {}
        self._elapsed = Elapsed()
        self._stature, self._stature_gradient = self._body.stature_near_mean()
        self._known = None
        if settings.calibration is not None:
            person = read_person_file(settings.calibration)
            person.check_body(settings.calibration, settings.body, self._body.n_shape)
            self._known = np.array(person.betas)
        self._warm_up()

    def shape_of(self, person_id: int) -> ShapeEstimate:
        """-> the running shape of a person who is tracked.  Raises KeyError."""
        return self._people[person_id].shape

    def replace_shape(self, person_id: int, shape: ShapeEstimate) -> ShapeEstimate:
        """Goes on with another shape of a person who is tracked; -> the one before.  Raises KeyError."""
        track = self._people[person_id]
        before, track.shape = track.shape, shape
        return before

    def know(self, betas: np.ndarray) -> None:
        """Whoever comes from now on has this shape (S,): as if the run had begun with the calibration."""
        self._known = betas

    def _warm_up(self) -> None:
        """Loads the compiled code on a made-up person, so that the first real frame does not wait for it."""
        facing = np.tile(np.eye(3), (24, 1, 1))
        facing[0] = np.diag([1.0, -1.0, -1.0])
        points = self._landmarks.place(facing, np.zeros(self._body.n_shape)) + np.array([0.0, 0.0, 4.0])
        track = self._new_track()
        for frame in range(3):
            track.update(
                0.04 * frame,
                1e3 * points[:, :2] / points[:, 2:],
                np.ones(33),
                Intrinsics(1e3, (0.0, 0.0)),
                Gravity(),
                1,
            )

    def process(self, message: Detections) -> Meshes:
        frame = message.frame
        camera = self._camera(frame.width, frame.height)
        t = self._elapsed(frame.t_capture) * 1e-9
        people = []
        for seen, eyes in zip(message.people, self._eyes(message, camera, t), strict=True):
            track = self._people.get(seen.id)
            if track is None:
                track = self._people[seen.id] = self._new_track()
            self._last_seen[seen.id] = t
            keypoints = seen.keypoints.astype(np.float64)
            pose = track.update(
                t,
                keypoints[:, :2],
                keypoints[:, 2],
                camera,
                self._gravity,
                self._settings.refine_iterations,
                seen.world.astype(np.float64),
                eyes,
            )
            joints, markers, _ = self._body.pose_markers(pose.rotations, pose.betas, pose.translation)
            people.append(
                MeshPerson(
                    id=seen.id,
                    confidence=seen.confidence,
                    box=seen.box,
                    keypoints=seen.keypoints,
                    theta=to_vector(pose.rotations),
                    theta_sigma=pose.sigma,
                    betas=pose.betas,
                    translation=pose.translation,
                    joints=joints,
                    landmarks=self._landmarks.place(pose.rotations, pose.betas) + pose.translation,
                    markers=markers,
                    up=self._gravity.up,
                    settled=track.shape.settled,
                    calibrated=track.shape.progress,
                )
            )
        for gone in [key for key, last in self._last_seen.items() if t - last > FORGET_S]:
            del self._people[gone], self._last_seen[gone]
        return Meshes(frame, camera, people, message.stages)

    def _eyes(self, message: Detections, camera: Intrinsics, t: float) -> list[Eyes | None]:
        """-> what lets each person's track look at this frame, by the maps that came along or by the pixels; None
        without an image network, or when the pixels are gone."""
        network, frames, up = self._network, self._frames, self._gravity.up
        if self._large is not None and frames is not None:
            return self._large_eyes(self._large, frames, message, camera, t)
        if network is None or frames is None:
            return [None] * len(message.people)

        def handed(seen: Detected) -> Eyes | None:
            if seen.maps is None or not network.reads(seen.maps):
                return None
            return partial(network.looking, seen.maps, camera, up)

        eyes = [handed(seen) for seen in message.people]
        if None in eyes:
            image = frames.pixels(message.frame)
            if image is None:
                self.unseen += 1
            else:
                eyes = [one or partial(network.looking, image, camera, up) for one in eyes]
        return eyes

    def _large_eyes(
        self, network: LargeNetwork, frames: FrameStore, message: Detections, camera: Intrinsics, t: float
    ) -> list[Eyes | None]:
        image = frames.pixels(message.frame) if message.people else None
        if image is None:
            self.unseen += bool(message.people)
            return [None] * len(message.people)
        eyes = network.looking_at(image, camera, self._gravity.up, t, message.people)
        return [eyes.get(seen.id) for seen in message.people]

    def _camera(self, width: int, height: int) -> Intrinsics:
        """The camera of a frame of this size; read and worked out once per size."""
        camera = self._cameras.get((width, height))
        if camera is None:
            camera = self._cameras[width, height] = intrinsics_for(self._settings, width, height)
        return camera

    def unseen_shape(self) -> ShapeEstimate:
        """-> the shape of somebody of whom no frame has been seen: what the settings tell about it."""
        return self._shape(self._settings.height, self._known, self._settle_s)

    def measured_shape(self, height: float | None = None, betas: np.ndarray | None = None) -> ShapeEstimate:
        """-> a shape that is held, of `betas` (S,), or one that nothing is known of but the stature (m), and that goes
        on learning for as long as it is used."""
        return self._shape(height, betas, math.inf)

    def _shape(self, height: float | None, known: np.ndarray | None, settle_s: float) -> ShapeEstimate:
        return ShapeEstimate(self._body.n_shape, self._stature, self._stature_gradient, height, known, settle_s)

    def _new_track(self) -> PersonTrack:
        return PersonTrack(self._lifter, self._landmarks, self.unseen_shape())

    def close(self) -> None:
        self._people.clear()
