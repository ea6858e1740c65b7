"""A z-buffer triangle rasteriser in numba: visibility first, then one shading pass over the visible pixels.

Conventions: camera frame as in OpenCV (x right, y down, z forward, metres); pixel (i, j) has its centre at i + 0.5,
j + 0.5. A triangle whose corners run counter-clockwise seen from outside faces the camera when its signed area on the
screen (y down) is negative. Attributes are interpolated perspective-correctly: linearly in w_i / z_i. Pixel centres on
a shared edge go to the triangle that is drawn first, so results depend on the order of triangles and nothing else.

Dimension letters: V vertices, F triangles, K textures, S texture size, H and W image size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np

ALPHA_CUT = 0.5
NEAR = 0.05  # m; triangles that reach nearer than this are dropped (people stand farther away)


@dataclass(frozen=True)
class Mesh:
    """Textured triangles in the camera frame, ready to draw."""

    vertices: np.ndarray  # [V, 3] float64 m
    normals: np.ndarray  # [V, 3] float64, outward, any length
    faces: np.ndarray  # [F, 3] int32
    uv: np.ndarray  # [F, 3, 2] float32, origin bottom left
    texture: np.ndarray  # [F] int32 index into `textures`
    two_sided: np.ndarray  # [F] bool; others are culled when seen from behind
    textures: np.ndarray  # [K, S, S, 4] float32 linear RGB and alpha in 0..1; K = 0 draws depth alone, all opaque


@dataclass(frozen=True)
class Light:
    """A sky-and-ground ambient term plus one distant lamp. Directions in the camera frame, unit length."""

    towards: np.ndarray  # [3] from the surface to the lamp
    up: np.ndarray  # [3] against gravity
    lamp: np.ndarray  # [3] RGB strength
    sky: np.ndarray  # [3] RGB ambient from above
    ground: np.ndarray  # [3] RGB ambient from below
    shine: float = 0.06  # strength of the highlight


@dataclass
class Visibility:
    """What each pixel sees. depth [H, W] m (inf: nothing), face [H, W] int32 (-1: nothing), weights [H, W, 3]:
    perspective-correct barycentric weights of the face's corners."""

    depth: np.ndarray
    face: np.ndarray
    weights: np.ndarray


def project(points: np.ndarray, focal: float, centre: tuple[float, float]) -> np.ndarray:
    """[..., 3] camera-frame points (m) -> [..., 3] columns x px, y px, z m."""
    z = points[..., 2]
    return np.stack([points[..., 0] / z * focal + centre[0], points[..., 1] / z * focal + centre[1], z], axis=-1)


def visible(
    mesh: Mesh,
    focal: float,
    centre: tuple[float, float],
    size: tuple[int, int],
    behind: np.ndarray | None = None,
) -> Visibility:
    """Draw a mesh's visibility into an image of `size` (width, height) pixels. `behind` [H, W] m is the depth of what
    is there already (default: nothing); it is not changed."""
    width, height = size
    depth = np.full((height, width), np.inf) if behind is None else behind.copy()
    out = Visibility(depth, np.full((height, width), -1, np.int32), np.zeros((height, width, 3)))
    _draw(
        project(mesh.vertices, focal, centre), mesh.faces, mesh.uv, mesh.texture, mesh.two_sided, mesh.textures,
        out.depth, out.face, out.weights,
    )  # fmt: skip
    return out


def shade(mesh: Mesh, seen: Visibility, light: Light, image: np.ndarray, shadow: np.ndarray | None = None) -> None:
    """Paint the visible pixels into `image` [H, W, 3] float32, linear RGB. `shadow` [H, W] is the share of the lamp
    that reaches each pixel (default: all of it)."""
    lit = np.ones(seen.face.shape) if shadow is None else shadow
    _shade(
        mesh.vertices, mesh.normals, mesh.faces, mesh.uv, mesh.texture, mesh.textures, seen.face, seen.weights, lit,
        light.towards, light.up, light.lamp, light.sky, light.ground, light.shine, image,
    )  # fmt: skip


@nb.njit(cache=True)
def _sample(texture: np.ndarray, u: float, v: float, channel: int) -> float:
    """Bilinear look-up with wrap-around; (0, 0) is the bottom left corner of the texture."""
    size = texture.shape[0]
    x = u * size - 0.5
    y = (1.0 - v) * size - 0.5
    x0, y0 = math.floor(x), math.floor(y)
    fx, fy = x - x0, y - y0
    c0, r0 = int(x0) % size, int(y0) % size
    c1, r1 = (c0 + 1) % size, (r0 + 1) % size
    top = texture[r0, c0, channel] * (1.0 - fx) + texture[r0, c1, channel] * fx
    bottom = texture[r1, c0, channel] * (1.0 - fx) + texture[r1, c1, channel] * fx
    return top * (1.0 - fy) + bottom * fy


@nb.njit(cache=True)
def _draw(
    screen: np.ndarray,
    faces: np.ndarray,
    uv: np.ndarray,
    texture: np.ndarray,
    two_sided: np.ndarray,
    textures: np.ndarray,
    depth: np.ndarray,
    face: np.ndarray,
    weights: np.ndarray,
) -> None:
    height, width = depth.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        za, zb, zc = screen[a, 2], screen[b, 2], screen[c, 2]
        if min(za, zb, zc) < NEAR:
            continue
        xa, ya = screen[a, 0], screen[a, 1]
        xb, yb = screen[b, 0], screen[b, 1]
        xc, yc = screen[c, 0], screen[c, 1]
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if area == 0.0 or (area > 0.0 and not two_sided[f]):
            continue
        left = max(0, math.ceil(min(xa, xb, xc) - 0.5))
        right = min(width - 1, math.floor(max(xa, xb, xc) - 0.5))
        top = max(0, math.ceil(min(ya, yb, yc) - 0.5))
        bottom = min(height - 1, math.floor(max(ya, yb, yc) - 0.5))
        cut = texture[f]
        for row in range(top, bottom + 1):
            py = row + 0.5
            for column in range(left, right + 1):
                px = column + 0.5
                wa = ((xb - px) * (yc - py) - (xc - px) * (yb - py)) / area
                wb = ((xc - px) * (ya - py) - (xa - px) * (yc - py)) / area
                wc = 1.0 - wa - wb
                if wa < 0.0 or wb < 0.0 or wc < 0.0:
                    continue
                ia, ib, ic = wa / za, wb / zb, wc / zc
                z = 1.0 / (ia + ib + ic)
                if z >= depth[row, column]:
                    continue
                wa, wb, wc = ia * z, ib * z, ic * z
                if textures.shape[0] > 0:
                    u = wa * uv[f, 0, 0] + wb * uv[f, 1, 0] + wc * uv[f, 2, 0]
                    v = wa * uv[f, 0, 1] + wb * uv[f, 1, 1] + wc * uv[f, 2, 1]
                    if _sample(textures[cut], u, v, 3) < ALPHA_CUT:
                        continue
                depth[row, column] = z
                face[row, column] = f
                weights[row, column, 0] = wa
                weights[row, column, 1] = wb
                weights[row, column, 2] = wc


@nb.njit(cache=True)
def _shade(
    vertices: np.ndarray,
    normals: np.ndarray,
    faces: np.ndarray,
    uv: np.ndarray,
    texture: np.ndarray,
    textures: np.ndarray,
    face: np.ndarray,
    weights: np.ndarray,
    lit: np.ndarray,
    towards: np.ndarray,
    up: np.ndarray,
    lamp: np.ndarray,
    sky: np.ndarray,
    ground: np.ndarray,
    shine: float,
    image: np.ndarray,
) -> None:
    n, p, h = np.zeros(3), np.zeros(3), np.zeros(3)
    for row in range(face.shape[0]):
        for column in range(face.shape[1]):
            f = face[row, column]
            if f < 0:
                continue
            n[:] = 0.0
            p[:] = 0.0
            u = v = 0.0
            for k in range(3):
                w, vertex = weights[row, column, k], faces[f, k]
                u += w * uv[f, k, 0]
                v += w * uv[f, k, 1]
                for i in range(3):
                    n[i] += w * normals[vertex, i]
                    p[i] += w * vertices[vertex, i]
            length = math.sqrt(n[0] ** 2 + n[1] ** 2 + n[2] ** 2) + 1e-12
            distance = math.sqrt(p[0] ** 2 + p[1] ** 2 + p[2] ** 2) + 1e-12
            facing = 0.0
            for i in range(3):
                n[i] /= length
                facing -= n[i] * p[i] / distance
            if facing < 0.0:  # the inside of a two-sided garment, or a smooth normal that tips over at the outline
                for i in range(3):
                    n[i] = -n[i]
            diffuse = half = height = squared = 0.0
            for i in range(3):
                diffuse += n[i] * towards[i]
                height += n[i] * up[i]
                h[i] = towards[i] - p[i] / distance
                squared += h[i] * h[i]
            for i in range(3):
                half += n[i] * h[i] / math.sqrt(squared + 1e-12)
            diffuse = max(0.0, diffuse) * lit[row, column]
            highlight = shine * max(0.0, half) ** 24 * lit[row, column]
            blend = 0.5 + 0.5 * height
            for i in range(3):
                colour = _sample(textures[texture[f]], u, v, i)
                ambient = blend * sky[i] + (1.0 - blend) * ground[i]
                image[row, column, i] = colour * (ambient + lamp[i] * diffuse) + lamp[i] * highlight


@nb.njit(cache=True)
def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V, 3] area-weighted outward normals of a mesh whose triangles run counter-clockwise seen from outside."""
    out = np.zeros_like(vertices)
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ex, ey, ez = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        gx, gy, gz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = ey * gz - ez * gy, ez * gx - ex * gz, ex * gy - ey * gx
        for k in range(3):
            out[faces[f, k], 0] += nx
            out[faces[f, k], 1] += ny
            out[faces[f, k], 2] += nz
    return out


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """Average `factor` x `factor` blocks of an [H, W, C] supersampled image."""
    height, width, channels = image.shape
    blocks = image.reshape(height // factor, factor, width // factor, factor, channels)
    return blocks.mean(axis=(1, 3), dtype=np.float32)
