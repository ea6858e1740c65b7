"""What stands around a person in a crop: objects in front, a textured room with boxes in it, and the light.

World: y up, floor at y = 0, the person above its origin, the camera towards +z. Metres, linear RGB.
"""

from __future__ import annotations

import numpy as np

from biopose_live.training.synthetic.camera import Camera
from biopose_live.training.synthetic.crop_scene import into_camera
from biopose_live.training.synthetic.dressed_parts import DressedParts, MaterialRow, Solid
from biopose_live.training.synthetic.solid_shapes import KINDS, room, solid

OCCLUDERS = ((0, 0.5), (1, 0.27), (2, 0.15), (3, 0.08))  # how many, how often
NEAREST_OCCLUDER_M = 0.3


def draw_light(rng: np.random.Generator, camera: Camera) -> np.ndarray:
    """[5, 3]: direction to the lamp and up (camera frame, unit), lamp, sky and ground strength; see
    `crop_raster.shade`."""
    azimuth, elevation = rng.uniform(-np.pi, np.pi), rng.uniform(0.1, 1.5)
    towards = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    warmth = rng.uniform(-0.1, 0.3)
    colour = np.array([1.0 + 0.2 * warmth, 1.0, 1.0 - warmth])
    share = rng.uniform(0.1, 0.85)  # of the light that comes from the lamp
    total = rng.uniform(0.75, 1.5)
    sky = total * (1.0 - share) * np.array([1.0 - 0.1 * warmth, 1.0, 1.0 + 0.2 * warmth])
    ground = sky * rng.uniform(0.25, 0.9) * rng.uniform(0.85, 1.1, 3)
    return np.stack([camera.rotation @ towards, camera.up, total * share * colour, sky, ground])


class Surroundings:
    """Draws objects and rooms with the textures of an atlas."""

    def __init__(self, parts: DressedParts) -> None:
        self._cloth = parts.patterns
        self._tiles = parts.tiles
        self._photos = parts.photos
        self._all = [*parts.tiles, *parts.patterns, *parts.photos]

    def material(self, rng: np.random.Generator, low: float = 0.1, high: float = 1.3) -> MaterialRow:
        """A random surface."""
        kinds = (self._tiles[:1], self._tiles, self._cloth or self._tiles, self._photos or self._tiles)
        choice = kinds[int(rng.choice(4, p=[0.3, 0.4, 0.15, 0.15]))]
        texture = choice[int(rng.integers(len(choice)))]
        tint = rng.uniform(low, high) * rng.uniform(0.5 if rng.random() < 0.5 else 0.85, 1.1, 3)
        return texture, tint, -1, 1.0, float(rng.choice([0.0, 0.05, 0.3])), True, -1

    def occluders(self, rng: np.random.Generator, joints: np.ndarray, size: float) -> list[Solid]:
        """Objects between the camera and the person's joints [24, 3] m (camera frame); size: the crop's side over the
        focal length, m per m of depth."""
        counts, shares = zip(*OCCLUDERS, strict=True)
        out = []
        for _ in range(int(rng.choice(counts, p=shares))):
            target = joints[int(rng.integers(24))]
            share = rng.uniform(0.4, 0.94)
            centre = target * share
            if centre[2] < NEAREST_OCCLUDER_M:
                continue
            kind = KINDS[int(rng.integers(len(KINDS)))]
            # Half sizes as shares of the picture that a person fills.
            half = np.exp(rng.uniform(np.log(0.02), np.log(0.16), 3)) * size * centre[2]
            if kind == "plank":
                half[int(rng.integers(3))] *= rng.uniform(3.0, 8.0)
            centre = centre + rng.normal(0.0, 0.06, 3) * np.array([1.0, 1.0, 0.0]) * size * centre[2]
            nearest = NEAREST_OCCLUDER_M + float(half.max())
            if centre[2] > nearest and np.linalg.norm(half) < 0.8 * np.linalg.norm(target - centre):
                turn = rng.normal(0.0, 0.5 if rng.random() < 0.5 else 2.0, 3)
                out.append(solid(kind, half, turn, centre, self.material(rng), float(2.0 ** rng.integers(-1, 2))))
        return out

    def room(self, rng: np.random.Generator, camera: Camera) -> list[Solid]:
        """A room that holds the person and the camera, with things on its floor behind the person, camera frame."""
        x, _, z = camera.position
        low = np.array([min(-rng.uniform(1.2, 5.0), x - 0.6), 0.0, -rng.uniform(0.9, 5.0)])
        high = np.array(
            [max(rng.uniform(1.2, 5.0), x + 0.6), max(rng.uniform(2.4, 4.0), camera.position[1] + 0.4), z + 2.0]
        )
        ceiling = (self._tiles[0], np.full(3, rng.uniform(0.4, 0.9)), -1, 1.0, 0.0, True, -1)
        rows = [self.material(rng, 0.1, 0.9), self.material(rng, 0.2, 1.1), ceiling]
        tiles = (float(rng.uniform(0.5, 4.0)), float(rng.uniform(0.8, 6.0)), 2.0)
        solids = [room(low, high, rows, tiles)]
        for _ in range(int(rng.integers(0, 9))):
            half = np.array([rng.uniform(0.1, 0.6), rng.uniform(0.1, 1.1), rng.uniform(0.05, 0.4)])
            on_wall = rng.random() < 0.4
            at = np.array([rng.uniform(low[0], high[0]), half[1], rng.uniform(low[2], min(-0.9, low[2] + 2.5))])
            if on_wall:  # a picture, a window, a board
                half[2] = 0.02
                at[1:] = rng.uniform(1.0, 2.2), low[2]
            turn = np.array([0.0, 0.0 if on_wall else rng.normal(0.0, 0.4), 0.0])
            kind = "box" if on_wall or rng.random() < 0.7 else KINDS[2 + int(rng.integers(2))]
            solids.append(solid(kind, half, turn, at, self.material(rng)))
        return [into_camera(s, camera.rotation, camera.position) for s in solids]
