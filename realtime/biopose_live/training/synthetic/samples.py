"""Random pictures of dressed people with exact truth, for measuring detectors and for training.

Body shape, outfit, colours, pose, camera, light and background are drawn from one seed; the same seed gives the same
picture. A sequence keeps everything but the pose, which follows the motion-capture clip at 30 frames per second.

Dimension letters: K shape coefficients, H and W image size, T frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from biopose_live.body.joints import PARENTS
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.training.synthetic.base_mesh import BodyArrays, joint_motions, rotation_matrices
from biopose_live.training.synthetic.camera import Camera, place_camera
from biopose_live.training.synthetic.choreography import Motion, PoseSet, facing
from biopose_live.training.synthetic.raster import project
from biopose_live.training.synthetic.room import View, furnish, look
from biopose_live.training.synthetic.scene import Lighting, Sensor, compose, develop
from biopose_live.training.synthetic.wardrobe import Outfit, Person, Wardrobe

SUPERSAMPLING = 2
ASPECTS = ((4, 3), (16, 9), (3, 4), (9, 16))
PHOTO_SHARE = 0.4
SMALLEST_PERSON = 140.0  # px, the longer side of the box around the joints
FLOOR_REACH = 12.0  # m; beyond it nothing of a photograph counts as floor


@dataclass(frozen=True)
class Sample:
    """One picture and its truth, camera frame (x right, y down, z forward; m, rad, px)."""

    image: np.ndarray  # [H, W, 3] uint8 sRGB
    theta: np.ndarray  # [24, 3] axis-angle, body orientation first
    betas: np.ndarray  # [K]
    transl: np.ndarray  # [3]
    joints: np.ndarray  # [24, 3]
    rotations: np.ndarray  # [24, 3, 3] of each segment from the rest pose
    focal: float
    centre: np.ndarray  # [2]
    up: np.ndarray  # [3]


@dataclass(frozen=True)
class _Setting:
    """All that stays the same over a sequence. Lighting in the world."""

    person: Person
    betas: np.ndarray
    motion: Motion
    camera: Camera
    view: View
    lighting: Lighting
    sensor: Sensor


class Sampler:
    """Draws samples from an assets folder and a pose set."""

    def __init__(self, assets: Path, poses: PoseSet, body: BodyArrays) -> None:
        """Raises UserError when the folder lacks base.obj, skins or clothes, or when the pose set is empty."""
        self.wardrobe = Wardrobe(assets, body)
        self.poses = poses
        self.n_shape = body.directions.shape[2]
        self.photos = sorted((assets / "backgrounds").glob("*.jpg"))
        self.lengths = np.bincount(poses.clip_index, minlength=len(poses.clip_names))
        self.skins = [n for n in self.wardrobe.names("skins") if "special" not in n]
        self.clothes, self.shoes = self.wardrobe.names("clothes"), self.wardrobe.names("shoes")
        self.hair = self.wardrobe.names("hair")
        if not (self.skins and self.clothes and self.shoes and self.hair and self.lengths.sum()):
            raise UserError(
                f"The assets folder {assets} needs skins, clothes, shoes and hair, and the pose set frames; give "
                "complete ones.",
                EXIT_MODEL,
            )

    def one(self, seed: int) -> Sample:
        """The sample of a seed."""
        return self.sequence(seed, 1)[0]

    def sequence(self, seed: int, length: int = 8) -> list[Sample]:
        """`length` consecutive frames of a seed. Raises UserError when no clip is that long."""
        rng = np.random.default_rng(seed)
        setting = self._draw(rng, length)
        return [_render(setting, t, rng) for t in range(length)]

    def outfit(self, rng: np.random.Generator) -> Outfit:
        """A random outfit; clothes and skin of one sex, hair of any kind, everything tinted."""
        sex = ("_male", "_female")[int(rng.integers(2))]

        def pick(names: list[str]) -> str:
            return str(names[int(rng.integers(len(names)))])

        # Names begin with or contain the sex; an underscore in front keeps "male" from matching "female".
        skins = [n for n in self.skins if sex in f"_{n}"] or self.skins
        clothes = [n for n in self.clothes if sex in f"_{n}"] or self.clothes
        tint = rng.uniform(0.35, 1.25, 3) if rng.random() < 0.6 else np.ones(3)
        hair = rng.uniform(0.3, 1.6) * np.array([1.0, rng.uniform(0.8, 1.0), rng.uniform(0.6, 1.0)])
        eyes = np.array([0.22, 0.16, 0.10]) * rng.uniform(0.4, 1.6) * rng.uniform(0.7, 1.5, 3)
        return Outfit(
            pick(skins),
            (pick(clothes), pick(self.shoes)),
            pick(self.hair) if rng.random() < 0.95 else None,
            (float(tint[0]), float(tint[1]), float(tint[2])),
            (float(hair[0]), float(hair[1]), float(hair[2])),
            (float(eyes[0]), float(eyes[1]), float(eyes[2])),
        )

    def _stretch(self, rng: np.random.Generator, length: int) -> Motion:
        """A stretch of a clip, every clip as likely as another, every joint turned a little by a constant amount."""
        long_enough = np.where(self.lengths >= length)[0]
        if not len(long_enough):
            raise UserError(f"No clip of the pose set has {length} frames; ask for shorter sequences.", EXIT_MODEL)
        clip = int(rng.choice(long_enough))
        frames = np.where(self.poses.clip_index == clip)[0]
        start = int(rng.integers(len(frames) - length + 1))
        chosen = frames[start : start + length]
        theta, transl = self.poses.theta[chosen].astype(np.float64), self.poses.trans[chosen].astype(np.float64)
        extra = Rotation.from_rotvec(rng.normal(0.0, np.radians(3.0), (24, 3)))
        theta = np.stack([(Rotation.from_rotvec(t) * extra).as_rotvec() for t in theta])
        turn = rng.uniform(-np.pi, np.pi) if rng.random() < 0.5 else rng.normal(0.0, np.radians(35.0))
        return facing(Motion(theta, transl), turn, np.zeros(3), length // 2)

    def _draw(self, rng: np.random.Generator, length: int) -> _Setting:
        betas = np.clip(rng.normal(0.0, 0.9, self.n_shape), -2.0, 2.0)
        person = self.wardrobe.dress(self.outfit(rng), betas)
        motion = self._stretch(rng, length)
        mesh, _ = person.posed(motion.theta[length // 2], motion.transl[length // 2])
        # Half of the time the feet stand on the floor; a person in the air keeps the clip's height.
        drop = mesh.vertices[:, 1].min()
        if drop < 0.0 or rng.random() < 0.9:
            motion = Motion(motion.theta, motion.transl - [0.0, drop, 0.0])
        room = furnish(rng)
        joints = np.concatenate([person.posed(t, x)[1] for t, x in zip(motion.theta, motion.transl, strict=True)])
        camera = aim(rng, joints, float(room.high[1]) - 0.1)
        if self.photos and rng.random() < PHOTO_SHARE:
            view = photo_view(_photo(self.photos[int(rng.integers(len(self.photos)))]), camera, rng)
            azimuth, elevation = rng.uniform(-np.pi, np.pi), rng.uniform(0.4, 1.4)
            towards = np.array(
                [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)]
            )
            bright = rng.uniform(0.5, 1.2)
            sky = rng.uniform(0.3, 0.6) * np.array([0.95, 1.0, 1.08])
            lighting = Lighting(towards, bright * np.array([1.0, 0.97, 0.92]), sky, 0.5 * sky)
        else:
            view = look(room, camera)
            lighting = Lighting(room.towards, room.lamp, room.ambient, 0.5 * room.ambient)
        sensor = Sensor(rng.uniform(0.2, 1.0), rng.uniform(0.002, 0.02), rng.uniform(0.75, 1.35))
        return _Setting(person, betas, motion, camera, view, lighting, sensor)


def aim(rng: np.random.Generator, joints: np.ndarray, ceiling: float) -> Camera:
    """A random camera that sees all of the joints [N, 3] m in the world, large enough to detect: 40 to 80 degrees
    wide, 2 to 7 m away, 0.3 to 2.5 m high (below the ceiling), tilted -30 to 45 degrees down, rolled a little, 480 to
    720 px tall."""
    middle = 0.5 * (joints.min(axis=0) + joints.max(axis=0))
    for attempt in range(200):
        height_px = 8 * int(rng.integers(60, 91))
        across, down = ASPECTS[int(rng.integers(len(ASPECTS)))]
        size = (8 * round(height_px * across / down / 8), height_px)
        distance, azimuth = rng.uniform(2.0, 7.0), rng.uniform(-0.25, 0.25)
        position = middle + distance * np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])
        position[1] = rng.uniform(0.3, min(2.5, ceiling))
        pitch = np.arctan2(position[1] - middle[1], distance)
        wander = 0.0 if attempt > 100 else 1.0
        pitch = np.clip(pitch + wander * rng.normal(0.0, 0.14), np.radians(-30.0), np.radians(45.0))
        yaw = azimuth + wander * rng.normal(0.0, 0.12)
        camera = place_camera(
            position, yaw, pitch, rng.normal(0.0, np.radians(3.0)), rng.uniform(*np.radians([40.0, 80.0])), size
        )
        seen = project(camera.to_camera(joints), camera.focal, camera.centre)
        margin = 0.03 * max(size)
        inside = (seen[:, :2] > margin) & (seen[:, :2] < np.array(size) - margin)
        large = np.ptp(seen[:, :2], axis=0).max() > SMALLEST_PERSON
        if seen[:, 2].min() > 0.5 and inside.all() and large:
            break
    return camera


@lru_cache(maxsize=32)
def _photo(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"The background {path} is no picture; remove it from the assets folder.", EXIT_MODEL)
    return (image[:, :, ::-1].astype(np.float32) / 255.0) ** 2.2


def photo_view(photo: np.ndarray, camera: Camera, rng: np.random.Generator) -> View:
    """A random cut of a photograph [h, w, 3] (linear RGB) as a background. Below the horizon the pixels within
    FLOOR_REACH metres take the people's shadows as if the floor were there."""
    width, height = camera.size
    share = rng.uniform(0.6, 1.0) * min(photo.shape[1] / width, photo.shape[0] / height)
    w, h = int(width * share), int(height * share)
    x, y = int(rng.integers(photo.shape[1] - w + 1)), int(rng.integers(photo.shape[0] - h + 1))
    colour = cv2.resize(photo[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_LINEAR)
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack(
        [(columns - camera.centre[0]) / camera.focal, (rows - camera.centre[1]) / camera.focal, np.ones_like(rows)],
        axis=-1,
    )
    rays = rays @ camera.rotation
    falling = rays[:, :, 1] < -1e-3
    depth = np.where(falling, -camera.position[1] / np.where(falling, rays[:, :, 1], -1.0), np.inf)
    floor = depth < FLOOR_REACH
    points = camera.position + rays * np.where(floor, depth, 0.0)[:, :, None]
    # People always stand in front of a photograph, so it has no depth of its own.
    return View(np.ascontiguousarray(colour), np.full(depth.shape, np.inf), floor, points.astype(np.float32))


def _enlarged(view: View, factor: int) -> View:
    """Every pixel of the background repeated: it is averaged again later, only people need the finer grid."""

    def repeat(a: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(a.repeat(factor, axis=0).repeat(factor, axis=1))

    return View(repeat(view.colour), repeat(view.depth), repeat(view.floor), repeat(view.points))


def _render(setting: _Setting, t: int, rng: np.random.Generator) -> Sample:
    camera, person = setting.camera, setting.person
    mesh, _ = person.posed(setting.motion.theta[t], setting.motion.transl[t])
    view = _enlarged(setting.view, SUPERSAMPLING)
    picture = compose(view, camera.enlarged(SUPERSAMPLING), [mesh], setting.lighting)
    theta = setting.motion.theta[t].copy()
    theta[0] = (Rotation.from_matrix(camera.rotation) * Rotation.from_rotvec(theta[0])).as_rotvec()
    transl = camera.to_camera(setting.motion.transl[t] + person.joints[0]) - person.joints[0]
    local = rotation_matrices(theta)
    rotations = local.copy()
    for j in range(1, 24):
        rotations[j] = rotations[PARENTS[j]] @ local[j]
    return Sample(
        image=develop(picture, setting.sensor, rng, SUPERSAMPLING),
        theta=theta,
        betas=setting.betas,
        transl=transl,
        joints=joint_motions(person.joints, theta, transl)[1],
        rotations=rotations,
        focal=camera.focal,
        centre=np.array(camera.centre),
        up=camera.up,
    )
