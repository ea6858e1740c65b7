"""One picture: a room or a photograph, people in it, the shadows they throw, and a camera's blur and noise.

The lamp's view of the people (a depth map, Williams 1978) gives the shadows on themselves and on the floor; a view from
below gives the soft darkening where they touch the floor. Light adds up in linear RGB; the picture leaves in sRGB.

Dimension letters: H and W image size, S side of a depth map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numba as nb
import numpy as np

from biopose_live.training.synthetic.camera import Camera
from biopose_live.training.synthetic.raster import Light, Mesh, shade, shrink, visible
from biopose_live.training.synthetic.room import View

LAMP_DISTANCE = 40.0  # m; far enough for nearly parallel rays
MAP_SIZE = 320


@dataclass(frozen=True)
class Lighting:
    """World frame, linear RGB: towards [3] unit vector to the lamp, and the strengths of lamp, sky and ground [3]."""

    towards: np.ndarray
    lamp: np.ndarray
    sky: np.ndarray
    ground: np.ndarray


@dataclass(frozen=True)
class Sensor:
    """A camera's imperfections: blur sigma (px), noise sigma (of 1.0), exposure factor."""

    blur: float = 0.5
    noise: float = 0.008
    exposure: float = 1.0


@dataclass(frozen=True)
class DepthMap:
    """What a distant view sees of a mesh. rotation [3, 3] world -> view, position [3] m, focal px, depth [S, S] m."""

    rotation: np.ndarray
    position: np.ndarray
    focal: float
    depth: np.ndarray


def depth_map(mesh: Mesh, towards: np.ndarray, size: int = MAP_SIZE) -> DepthMap:
    """The mesh (world frame) seen from far away in the direction `towards` [3], filling the map."""
    middle = 0.5 * (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0))
    radius = 1.05 * float(np.linalg.norm(mesh.vertices - middle, axis=1).max())
    forward = -towards / np.linalg.norm(towards)
    side = np.cross(forward, [0.0, 1.0, 0.0] if abs(forward[1]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    rotation = np.stack([side, np.cross(forward, side), forward])
    position = middle - forward * LAMP_DISTANCE
    focal = 0.5 * size * LAMP_DISTANCE / radius
    seen_from = Mesh(
        (mesh.vertices - position) @ rotation.T, mesh.normals, mesh.faces, mesh.uv, mesh.texture,
        np.ones(len(mesh.faces), bool), mesh.textures,
    )  # fmt: skip
    seen = visible(seen_from, focal, (size / 2, size / 2), (size, size))
    return DepthMap(rotation, position, focal, seen.depth)


@nb.njit(cache=True)
def _lit(
    points: np.ndarray,
    wanted: np.ndarray,
    rotation: np.ndarray,
    position: np.ndarray,
    focal: float,
    depth: np.ndarray,
    bias: float,
    spread: int,
    out: np.ndarray,
) -> None:
    """Share of the (2 spread + 1)^2 neighbours in the depth map that let the light through to each wanted point."""
    size = depth.shape[0]
    taps = float((2 * spread + 1) ** 2)
    for row in range(points.shape[0]):
        for column in range(points.shape[1]):
            if not wanted[row, column]:
                continue
            x = y = z = 0.0
            for i in range(3):
                d = points[row, column, i] - position[i]
                x += rotation[0, i] * d
                y += rotation[1, i] * d
                z += rotation[2, i] * d
            i0 = math.floor(x / z * focal + size / 2)
            j0 = math.floor(y / z * focal + size / 2)
            if i0 < spread or j0 < spread or i0 >= size - spread or j0 >= size - spread:
                continue
            blocked = 0.0
            for j in range(j0 - spread, j0 + spread + 1):
                for i in range(i0 - spread, i0 + spread + 1):
                    if depth[j, i] < z - bias:
                        blocked += 1.0
            out[row, column] *= 1.0 - blocked / taps


def lit_share(points: np.ndarray, wanted: np.ndarray, seen: DepthMap, bias: float, spread: int) -> np.ndarray:
    """[H, W] share of the lamp that reaches world points [H, W, 3] m where `wanted` [H, W]; 1 elsewhere."""
    out = np.ones(wanted.shape)
    _lit(points, wanted, seen.rotation, seen.position, seen.focal, seen.depth, bias, spread, out)
    return out


def contact_share(points: np.ndarray, wanted: np.ndarray, mesh: Mesh) -> np.ndarray:
    """[H, W] share of the ambient light that reaches floor points near a mesh (world frame) standing on y = 0."""
    below = depth_map(mesh, np.array([0.0, -1.0, 0.0]), MAP_SIZE // 2)
    height = np.where(np.isfinite(below.depth), below.position[1] + below.depth, np.inf)
    dark = np.exp(-np.maximum(height, 0.0) / 0.18)
    sigma = 0.035 * below.focal / LAMP_DISTANCE
    soft = cv2.GaussianBlur(dark, (0, 0), sigma) * 0.65 + cv2.GaussianBlur(dark, (0, 0), 4.0 * sigma) * 0.35
    local = (points - below.position) @ below.rotation.T
    size = below.depth.shape[0]
    x = (local[:, :, 0] / local[:, :, 2] * below.focal + size / 2 - 0.5).astype(np.float32)
    y = (local[:, :, 1] / local[:, :, 2] * below.focal + size / 2 - 0.5).astype(np.float32)
    looked_up = cv2.remap(soft, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.where(wanted, 1.0 - 0.6 * looked_up, 1.0)


def compose(view: View, camera: Camera, people: list[Mesh], lighting: Lighting) -> np.ndarray:
    """[H, W, 3] float32 linear RGB: people (world frame) in front of, behind and on what `view` shows."""
    image = view.colour.copy()
    depth = view.depth.copy()
    maps = [depth_map(mesh, lighting.towards) for mesh in people]
    total = lighting.lamp.mean() * max(lighting.towards[1], 0.0)
    ambient = lighting.sky.mean()
    for mesh, seen in zip(people, maps, strict=True):
        direct = lit_share(view.points, view.floor, seen, 0.01, 3)
        near = contact_share(view.points, view.floor, mesh)
        share = (total * direct + ambient * near) / (total + ambient)
        image *= share[:, :, None].astype(np.float32)
    light = Light(camera.rotation @ lighting.towards, camera.up, lighting.lamp, lighting.sky, lighting.ground)
    for mesh in people:
        local = Mesh(
            camera.to_camera(mesh.vertices), mesh.normals @ camera.rotation.T, mesh.faces, mesh.uv, mesh.texture,
            mesh.two_sided, mesh.textures,
        )  # fmt: skip
        seen_by = visible(local, camera.focal, camera.centre, camera.size, behind=depth)
        shown = seen_by.face >= 0
        corners = mesh.vertices[mesh.faces[seen_by.face]]
        points = np.einsum("hwk,hwkc->hwc", seen_by.weights, corners)
        lit = np.ones(shown.shape)
        for seen in maps:
            lit *= lit_share(points, shown, seen, 0.035, 2)
        shade(local, seen_by, light, image, lit)
        depth = seen_by.depth
    return image


def develop(image: np.ndarray, sensor: Sensor, rng: np.random.Generator, supersampling: int = 2) -> np.ndarray:
    """[H, W, 3] uint8 sRGB from a supersampled linear picture: averaged, blurred, exposed, noisy."""
    small = shrink(image, supersampling) if supersampling > 1 else image
    if sensor.blur > 0.0:
        small = cv2.GaussianBlur(small, (0, 0), sensor.blur)
    bright = np.clip(small * sensor.exposure, 0.0, None)
    bright = np.where(bright > 0.7, 0.7 + 0.3 * np.tanh((bright - 0.7) / 0.3), bright)  # highlights roll off
    coded = bright ** (1.0 / 2.2)
    coded = coded + rng.normal(0.0, sensor.noise, coded.shape) if sensor.noise > 0.0 else coded
    return (np.clip(coded, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
