"""Pictures of dressed people rendered straight into the person's upright crop, fast enough to train from.

Everything is drawn from one seed; the same seed gives the same picture, whatever was drawn before. The truth is the
live body's (`body.model.BodyModel`), in the frame's camera.

Dimension letters: K shape coefficients, M = 89 virtual markers, P vertices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.person_crop import SIDE, Crop
from biopose_live.rotations import to_matrix, to_vector
from biopose_live.training.synthetic.base_mesh import BodyArrays, joint_motions
from biopose_live.training.synthetic.camera import Camera
from biopose_live.training.synthetic.choreography import PoseSet
from biopose_live.training.synthetic.crop_backgrounds import Photos, coverage
from biopose_live.training.synthetic.crop_poses import CropPoses
from biopose_live.training.synthetic.crop_scene import (
    Canvas,
    Lamp,
    Pinhole,
    into_camera,
    join,
    lamp_on,
    on_screen,
    paint,
    shadow_on_floor,
)
from biopose_live.training.synthetic.crop_views import draw_camera, draw_crop
from biopose_live.training.synthetic.crop_visibility import Drawn, drawn_depth, seen, slack
from biopose_live.training.synthetic.dressed_parts import DressedParts, Solid
from biopose_live.training.synthetic.photometric import Film, draw_look
from biopose_live.training.synthetic.surroundings import Surroundings, draw_light
from biopose_live.training.synthetic.texture_atlas import TextureAtlas

SUPERSAMPLING = 2
OTHER_PERSON_SHARE, SHADOW_SHARE, ROOM_SHARE = 0.3, 0.75, 0.4
FLOOR_SHADOW_SHARE = 0.6  # of pictures without a room: photographs show a floor more often than not
LEAST_SEEN = 0.25  # of the places; where others hide more, they are left out


@dataclass(frozen=True)
class CropSample:
    """A crop and its truth, camera frame (x right, y down, z forward; m, rad, px of the frame)."""

    image: np.ndarray  # [SIDE, SIDE, 3] uint8 sRGB, what Crop.cut would cut out of the frame
    crop: Crop
    focal: float
    centre: np.ndarray  # [2]
    size: tuple[int, int]  # width, height of the frame
    theta: np.ndarray  # [24, 3] axis-angle, body orientation first
    betas: np.ndarray  # [K]
    transl: np.ndarray  # [3]
    up: np.ndarray  # [3] unit, against gravity
    visible: np.ndarray  # [M + 24] bool: markers, then joint centres (see `crop_visibility`)
    keypoints: np.ndarray  # [33, 2] MediaPipe's landmarks


@dataclass(frozen=True)
class _Pose:
    """A person in the world, feet placed: theta [24, 3], shift [3] m added to every point, betas [K]."""

    theta: np.ndarray
    shift: np.ndarray
    betas: np.ndarray
    solid: Solid
    naked_normals: np.ndarray


class CropSampler:
    """Draws crops from an assets folder and a pose set. A process holds about 0.8 GB, torch included."""

    def __init__(self, assets: Path, poses: PoseSet, body: BodyArrays) -> None:
        """Raises UserError when the folder lacks base.obj, skins, clothes, shoes or hair, or the pose set frames."""
        self.poses = CropPoses(poses)
        self.atlas = TextureAtlas()
        self.parts = DressedParts(assets, body, self.atlas)
        self.atlas.close()
        self.model = BodyModel.load()
        self.landmarks = Landmarks(self.model)
        photos = sorted((assets / "backgrounds").glob("*.jpg"))
        self.surroundings = Surroundings(self.parts)
        tiles = self.atlas.levels[0][self.parts.tiles + self.parts.patterns]
        self.photos = Photos(photos, tiles)
        self.film = Film()
        self._markers = self.parts.body_vertices[self.model.marker_vertices]
        surface = self.parts.skin.template[np.unique(self.parts.body_vertices)]
        self._joint_depth = cKDTree(surface).query(self.model.joint_template)[0]
        self._canvas, self._room_canvas = Canvas.of(SIDE * SUPERSAMPLING), Canvas.of(SIDE)

    def one(self, seed: int) -> CropSample:
        """The sample of a seed."""
        rng = np.random.default_rng(seed)
        pose = self._person(rng, np.zeros(3))
        rotations = to_matrix(pose.theta)
        joints = self.model.pose_markers(rotations, pose.betas, pose.shift)[0]
        camera = draw_camera(rng, joints)
        theta, transl = _seen_from(camera, pose, self.model.rest_joints(pose.betas)[0])
        rotations = to_matrix(theta)
        joints, markers, _ = self.model.pose_markers(rotations, pose.betas, transl)
        keypoints = _project(self.landmarks.place(rotations, pose.betas) + transl, camera)
        crop = draw_crop(rng, keypoints)
        view = Pinhole(camera.focal, camera.centre, crop.affine, SIDE)

        main = into_camera(pose.solid, camera.rotation, camera.position)
        others = [into_camera(p.solid, camera.rotation, camera.position) for p in self._others(rng, pose, camera)]
        others += self.surroundings.occluders(rng, joints, crop.size / camera.focal)
        places = np.concatenate([markers, joints])
        own = self._own_depth(main, view)
        visible = self._visible(places, own, pose.naked_normals, others, camera, view)
        if others and visible.mean() < LEAST_SEEN:
            others = []
            visible = self._visible(places, own, pose.naked_normals, others, camera, view)
        group = join([main, *others])
        light = draw_light(rng, camera)
        lamp = lamp_on(group, main.vertices, light, rng.random() < SHADOW_SHARE)
        large = view.enlarged(SUPERSAMPLING)
        paint(group, large, lamp, self.atlas, self._canvas)
        back = self._background(rng, camera, view, lamp)
        image = self.film.develop(self._canvas.colour, back, SIDE, crop.size / SIDE, draw_look(rng), rng)
        inside = coverage(crop.affine, camera.size, SIDE)
        if inside is not None:
            image = (image * inside + 0.5).astype(np.uint8)

        return CropSample(
            image=image,
            crop=crop,
            focal=camera.focal,
            centre=np.array(camera.centre),
            size=camera.size,
            theta=theta,
            betas=pose.betas,
            transl=transl,
            up=camera.up,
            visible=visible,
            keypoints=keypoints,
        )

    def _person(self, rng: np.random.Generator, place: np.ndarray) -> _Pose:
        """A random dressed person above the floor point `place` [3] of the world, most often standing on the floor."""
        betas = np.clip(rng.normal(0.0, 1.0, self.model.n_shape), -2.5, 2.5)
        theta = self.poses.draw(rng)
        rest = self.model.rest_joints(betas)
        motions, _ = joint_motions(rest, theta, -rest[0])
        solid, normals = self.parts.person(self.parts.look(rng), betas, motions)
        lift = 0.0 if rng.random() < 0.9 else rng.uniform(0.0, 0.4)
        shift = place + np.array([0.0, lift - float(solid.vertices[:, 1].min()), 0.0])
        solid.vertices += shift.astype(np.float32)
        return _Pose(theta, shift - rest[0], betas, solid, normals)

    def _others(self, rng: np.random.Generator, pose: _Pose, camera: Camera) -> list[_Pose]:
        """People near by, clear of the first person and of the camera."""
        out: list[_Pose] = []
        if rng.random() > OTHER_PERSON_SHARE:
            return out
        for _ in range(int(rng.choice([1, 2], p=[0.75, 0.25]))):
            distance, angle = rng.uniform(0.45, 2.2), rng.uniform(0.0, 2.0 * np.pi)
            place = distance * np.array([np.sin(angle), 0.0, np.cos(angle)])
            if np.hypot(place[0] - camera.position[0], place[2] - camera.position[2]) > 0.9:
                out.append(self._person(rng, place))
        return out

    def _background(self, rng: np.random.Generator, camera: Camera, view: Pinhole, lamp: Lamp) -> np.ndarray:
        """[SIDE, SIDE, 3] float32 linear RGB behind people and objects."""
        if rng.random() < ROOM_SHARE:
            room = self.surroundings.room(rng, camera)
            paint(join(room), view, lamp, self.atlas, self._room_canvas)
            return np.ascontiguousarray(self._room_canvas.colour[:, :, :3])
        back = self.atlas.to_linear[self.photos.draw(rng, camera.size, view.affine, SIDE)]
        if rng.random() < FLOOR_SHADOW_SHARE:
            shadow_on_floor(back, view, lamp, camera.up, float(camera.position[1]))
        return back

    def _own_depth(self, main: Solid, view: Pinhole) -> tuple[Drawn, np.ndarray]:
        """The person's naked body on the screen, and its depth."""
        skin = self.parts.skin
        own = Drawn(on_screen(main.vertices[: len(skin.template)], view), skin.faces, True)
        return own, drawn_depth(own, view.side)

    def _visible(
        self,
        places: np.ndarray,
        own: tuple[Drawn, np.ndarray],
        naked_normals: np.ndarray,
        others: list[Solid],
        camera: Camera,
        view: Pinhole,
    ) -> np.ndarray:
        """[M + 24] bool of places [M + 24, 3] m, camera frame."""
        rest = None
        if others:
            group = join(others)
            drawn = Drawn(group.screen(view), group.faces, False)
            rest = (drawn, drawn_depth(drawn, view.side))
        frame_pixels = _project(places, camera)
        pixels = frame_pixels @ view.affine[:, :2].T + view.affine[:, 2]
        allowed = slack(places, naked_normals[self._markers], self._joint_depth)
        return seen(places, pixels, frame_pixels, camera.size, own, rest, allowed)


def _seen_from(camera: Camera, pose: _Pose, pelvis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """theta [24, 3] and transl [3] in the camera frame; pelvis [3] m at rest."""
    theta = pose.theta.copy()
    theta[0] = to_vector(camera.rotation @ to_matrix(theta[0]))
    return theta, camera.to_camera(pose.shift + pelvis) - pelvis


def _project(points: np.ndarray, camera: Camera) -> np.ndarray:
    """[..., 3] m, camera frame -> [..., 2] px of the frame."""
    return np.asarray(points[..., :2] / np.maximum(points[..., 2:], 1e-3) * camera.focal + camera.centre)
