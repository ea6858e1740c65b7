"""Everything solid in one crop, assembled and drawn: supersampled people and objects over a plainer background.

The crop of a pinhole picture is an affine picture of it, so vertices go through the frame's camera and the crop's
affine at once and no pixel outside of the crop is ever drawn.

Dimension letters: V vertices, F triangles, M materials, H and W picture size, S side of the shadow map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biopose_live.training.synthetic.crop_raster import draw, draw_depth, move, shade, to_screen
from biopose_live.training.synthetic.crop_shadows import darken_floor
from biopose_live.training.synthetic.dressed_parts import Materials, Solid
from biopose_live.training.synthetic.texture_atlas import TextureAtlas

SHADOW_SIDE = 176
SHADOW_BIAS = 0.035  # m
_NO_SHADOW = np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class Pinhole:
    """A frame's camera seen through an affine [2, 3], px of the frame -> px of a picture of side `side`."""

    focal: float
    centre: tuple[float, float]
    affine: np.ndarray
    side: int

    def enlarged(self, factor: float) -> Pinhole:
        return Pinhole(self.focal, self.centre, self.affine * factor, round(self.side * factor))


@dataclass(frozen=True)
class Group:
    """Solids in the camera frame, joined: the arrays of `crop_raster`."""

    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    material: np.ndarray
    materials: Materials

    def screen(self, view: Pinhole) -> np.ndarray:
        """[V, 3] picture px and inverse depth."""
        return on_screen(self.vertices, view)


@dataclass
class Canvas:
    """Buffers that are drawn into again and again: inverse depth, face, weights [H, W, 2], colour [H, W, 4]."""

    inverse: np.ndarray
    face: np.ndarray
    weights: np.ndarray
    colour: np.ndarray

    @staticmethod
    def of(side: int) -> Canvas:
        return Canvas(
            np.zeros((side, side), np.float32),
            np.full((side, side), -1, np.int32),
            np.zeros((side, side, 2), np.float32),
            np.zeros((side, side, 4), np.float32),
        )


@dataclass(frozen=True)
class Lamp:
    """light [5, 3] as in `crop_raster.shade` (camera frame); shadow_from [3, 4] and shadow [S, S] its shadow map."""

    light: np.ndarray
    shadow_from: np.ndarray
    shadow: np.ndarray


def on_screen(vertices: np.ndarray, view: Pinhole) -> np.ndarray:
    """[V, 3] picture px and inverse depth of camera-frame points [V, 3] m."""
    out = np.empty_like(vertices)
    to_screen(vertices, view.focal, view.centre[0], view.centre[1], view.affine, out)
    return out


def into_camera(solid: Solid, rotation: np.ndarray, position: np.ndarray) -> Solid:
    """A solid of the world in the camera frame; its arrays are changed."""
    turn = np.ascontiguousarray(rotation, np.float32)
    move(solid.vertices, turn, position.astype(np.float32))
    move(solid.normals, turn, np.zeros(3, np.float32))
    return solid


def join(solids: list[Solid]) -> Group:
    """One group of several solids, drawn in their order."""
    starts = np.cumsum([0, *(len(s.vertices) for s in solids)])
    first_row = np.cumsum([0, *(len(s.rows) for s in solids)])
    return Group(
        np.concatenate([s.vertices for s in solids]),
        np.concatenate([s.normals for s in solids]),
        np.concatenate([s.faces + np.int32(starts[i]) for i, s in enumerate(solids)]),
        np.concatenate([s.uv for s in solids]),
        np.concatenate([s.material + np.int32(first_row[i]) for i, s in enumerate(solids)]),
        Materials.of([row for s in solids for row in s.rows]),
    )


def lamp_on(group: Group, person: np.ndarray, light: np.ndarray, shadows: bool) -> Lamp:
    """The lamp of `light` [5, 3] with the shadow map of a group around the person's vertices [P, 3]."""
    if not shadows:
        return Lamp(light, np.zeros((3, 4)), _NO_SHADOW)
    towards = light[0]
    side = np.cross(towards, [0.0, 1.0, 0.0] if abs(towards[1]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    axes = np.stack([side, np.cross(towards, side), towards])
    middle = 0.5 * (person.min(axis=0) + person.max(axis=0))
    radius = 1.02 * float(np.sqrt(((person - middle) ** 2).sum(axis=1).max()))
    scale = np.array([0.5 * SHADOW_SIDE / radius, 0.5 * SHADOW_SIDE / radius, 1.0])
    turn = axes * scale[:, None]
    # Depths start far below the person so that every one is positive.
    shift = np.array([SHADOW_SIDE / 2, SHADOW_SIDE / 2, 30.0]) - turn @ middle
    shadow_from = np.concatenate([turn, shift[:, None]], axis=1)
    seen = (group.vertices @ turn.T.astype(np.float32) + shift.astype(np.float32)).astype(np.float32)
    shadow = np.zeros((SHADOW_SIDE, SHADOW_SIDE), np.float32)
    draw_depth(np.ascontiguousarray(seen), group.faces, False, shadow)
    return Lamp(light, shadow_from, shadow)


def shadow_on_floor(picture: np.ndarray, view: Pinhole, lamp: Lamp, up: np.ndarray, height: float) -> None:
    """Darken picture [side, side, 3] (linear RGB) where a floor `height` m below the camera lies in the lamp's shadow;
    up [3], camera frame."""
    if not len(lamp.shadow):
        return
    _, _, direct, sky, _ = lamp.light
    falls = float(direct.mean()) * max(float(lamp.light[0] @ up), 0.0)
    share = falls / (falls + float(sky.mean()) + 1e-6)
    linear = np.linalg.inv(view.affine[:, :2]) / view.focal
    shift = -linear @ view.affine[:, 2] - np.array(view.centre) / view.focal
    to_ray = np.concatenate([linear, shift[:, None]], axis=1)
    darken_floor(picture, to_ray, np.ascontiguousarray(up), height, share, lamp.shadow_from, lamp.shadow)


def paint(group: Group, view: Pinhole, lamp: Lamp, atlas: TextureAtlas, canvas: Canvas) -> np.ndarray:
    """Draw and shade a group on an emptied canvas -> its screen coordinates [V, 3]."""
    canvas.inverse.fill(0.0)
    canvas.face.fill(-1)
    screen = group.screen(view)
    m = group.materials
    draw(
        screen, group.faces, group.uv, group.material, m.two_sided, m.cut_by, atlas.levels[1],
        canvas.inverse, canvas.face, canvas.weights,
    )  # fmt: skip
    shade(
        group.vertices, group.normals, screen, group.faces, group.uv, group.material, m.texture, m.tint, m.pattern,
        m.pattern_scale, m.shine, atlas.levels, atlas.to_linear, lamp.light, lamp.shadow_from, lamp.shadow,
        SHADOW_BIAS, canvas.face, canvas.weights, canvas.colour,
    )  # fmt: skip
    return screen
