"""Compiled steps from a shaped person to pixels: skinning, normals, a z-buffer with deferred shading, depth look-ups.

The small-picture twin of `raster`: single precision, eight-bit textures with a mip pyramid (Williams 1983), materials
with a tint and an optional second pattern, one lamp with a shadow map. Conventions are those of `raster`: camera frame
as in OpenCV, metres; pixel (i, j) has its centre at i + 0.5, j + 0.5; skin runs counter-clockwise seen from outside and
is culled from behind. Buffers hold inverse depth, 1 / m, 0 where there is nothing.

Dimension letters: P vertices of a part, V vertices of a scene, F triangles, M materials, T textures, L mip levels,
N bones per vertex, K shape coefficients, H and W picture size.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from biopose_live.training.synthetic.crop_shadows import lit_share

NEAR = 0.12  # m; triangles that reach nearer are dropped
LEVELS = 5
ALPHA_CUT = 128
_jit = nb.njit(cache=True, fastmath=True, nogil=True)


@_jit
def pose_part(
    template: np.ndarray,
    directions: np.ndarray,
    betas: np.ndarray,
    bones: np.ndarray,
    weights: np.ndarray,
    motions: np.ndarray,
    out: np.ndarray,
) -> None:
    """Shape and skin a part: template [P, 3] m, directions [P, 3, K], betas [K], bones [P, N], weights [P, N], motions
    [24, 12] (rows of [3, 4]) -> out [P, 3]."""
    for p in range(template.shape[0]):
        x, y, z = template[p, 0], template[p, 1], template[p, 2]
        for k in range(betas.shape[0]):
            b = betas[k]
            x += directions[p, 0, k] * b
            y += directions[p, 1, k] * b
            z += directions[p, 2, k] * b
        a0 = a1 = a2 = np.float32(0.0)
        for n in range(bones.shape[1]):
            w = weights[p, n]
            if w == 0.0:
                break
            m = motions[bones[p, n]]
            a0 += w * (m[0] * x + m[1] * y + m[2] * z + m[3])
            a1 += w * (m[4] * x + m[5] * y + m[6] * z + m[7])
            a2 += w * (m[8] * x + m[9] * y + m[10] * z + m[11])
        out[p, 0], out[p, 1], out[p, 2] = a0, a1, a2


@_jit
def move(points: np.ndarray, rotation: np.ndarray, position: np.ndarray) -> None:
    """World points [V, 3] into the camera frame, in place: rotation (point - position)."""
    for v in range(points.shape[0]):
        x, y, z = points[v, 0] - position[0], points[v, 1] - position[1], points[v, 2] - position[2]
        for i in range(3):
            points[v, i] = rotation[i, 0] * x + rotation[i, 1] * y + rotation[i, 2] * z


@_jit
def to_screen(points: np.ndarray, focal: float, cx: float, cy: float, affine: np.ndarray, out: np.ndarray) -> None:
    """Camera-frame points [V, 3] -> out [V, 3]: picture px x, y and inverse depth; affine [2, 3] carries px of the
    frame to px of the picture. Inverse depth is -1 for points nearer than NEAR."""
    for v in range(points.shape[0]):
        z = points[v, 2]
        if z < NEAR:
            out[v, 0] = out[v, 1] = 0.0
            out[v, 2] = -1.0
            continue
        u = points[v, 0] / z * focal + cx
        w = points[v, 1] / z * focal + cy
        out[v, 0] = affine[0, 0] * u + affine[0, 1] * w + affine[0, 2]
        out[v, 1] = affine[1, 0] * u + affine[1, 1] * w + affine[1, 2]
        out[v, 2] = 1.0 / z


@_jit
def add_normals(vertices: np.ndarray, faces: np.ndarray, out: np.ndarray) -> None:
    """Add every face's area vector to its corners' normals, out [V, 3]."""
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ex, ey, ez = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        gx, gy, gz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = ey * gz - ez * gy, ez * gx - ex * gz, ex * gy - ey * gx
        for k in range(3):
            i = faces[f, k]
            out[i, 0] += nx
            out[i, 1] += ny
            out[i, 2] += nz


@_jit
def _texel(texture: np.ndarray, u: float, v: float, to_linear: np.ndarray, out: np.ndarray) -> None:
    """Bilinear look-up with wrap-around of texture [S, S, 4], S a power of two -> linear RGB in out [3]."""
    size = texture.shape[0]
    x, y = u * size - 0.5, (1.0 - v) * size - 0.5
    x0, y0 = math.floor(x), math.floor(y)
    fx, fy = x - x0, y - y0
    c0, r0 = int(x0) & (size - 1), int(y0) & (size - 1)
    c1, r1 = (c0 + 1) & (size - 1), (r0 + 1) & (size - 1)
    for i in range(3):
        top = to_linear[texture[r0, c0, i]] * (1.0 - fx) + to_linear[texture[r0, c1, i]] * fx
        bottom = to_linear[texture[r1, c0, i]] * (1.0 - fx) + to_linear[texture[r1, c1, i]] * fx
        out[i] = top * (1.0 - fy) + bottom * fy


@_jit
def draw(
    screen: np.ndarray,
    faces: np.ndarray,
    uv: np.ndarray,
    material: np.ndarray,
    two_sided: np.ndarray,
    cut_by: np.ndarray,
    alpha: np.ndarray,
    inverse: np.ndarray,
    face: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Draw triangles into inverse [H, W], face [H, W] (index) and weights [H, W, 2] (perspective-correct, of the first
    two corners), on top of what these hold. material [F]; two_sided [M]; cut_by [M]: the texture in alpha [T, S, S, 4]
    whose alpha cuts the material out, or -1."""
    height, width = inverse.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ia, ib, ic = screen[a, 2], screen[b, 2], screen[c, 2]
        if ia < 0.0 or ib < 0.0 or ic < 0.0:
            continue
        xa, ya = screen[a, 0], screen[a, 1]
        xb, yb = screen[b, 0], screen[b, 1]
        xc, yc = screen[c, 0], screen[c, 1]
        left = max(0, math.ceil(min(xa, xb, xc) - 0.5))
        right = min(width - 1, math.floor(max(xa, xb, xc) - 0.5))
        top = max(0, math.ceil(min(ya, yb, yc) - 0.5))
        bottom = min(height - 1, math.floor(max(ya, yb, yc) - 0.5))
        if right < left or bottom < top:
            continue
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        m = material[f]
        if area == 0.0 or (area > 0.0 and not two_sided[m]):
            continue
        per = 1.0 / area
        cut = cut_by[m]
        for row in range(top, bottom + 1):
            py = row + 0.5
            for column in range(left, right + 1):
                px = column + 0.5
                wa = ((xb - px) * (yc - py) - (xc - px) * (yb - py)) * per
                wb = ((xc - px) * (ya - py) - (xa - px) * (yc - py)) * per
                wc = 1.0 - wa - wb
                if wa < 0.0 or wb < 0.0 or wc < 0.0:
                    continue
                near = wa * ia + wb * ib + wc * ic
                if near <= inverse[row, column]:
                    continue
                wa, wb = wa * ia / near, wb * ib / near
                if cut >= 0:
                    wc = 1.0 - wa - wb
                    u = wa * uv[f, 0, 0] + wb * uv[f, 1, 0] + wc * uv[f, 2, 0]
                    v = wa * uv[f, 0, 1] + wb * uv[f, 1, 1] + wc * uv[f, 2, 1]
                    size = alpha.shape[1]
                    i = math.floor(u * size) & (size - 1)
                    j = math.floor((1.0 - v) * size) & (size - 1)
                    if alpha[cut, j, i, 3] < ALPHA_CUT:
                        continue
                inverse[row, column] = near
                face[row, column] = f
                weights[row, column, 0] = wa
                weights[row, column, 1] = wb


@_jit
def draw_depth(screen: np.ndarray, faces: np.ndarray, culled: bool, inverse: np.ndarray) -> None:
    """Draw triangles into inverse [H, W] alone, all opaque; culled drops those seen from behind."""
    height, width = inverse.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ia, ib, ic = screen[a, 2], screen[b, 2], screen[c, 2]
        if ia < 0.0 or ib < 0.0 or ic < 0.0:
            continue
        xa, ya = screen[a, 0], screen[a, 1]
        xb, yb = screen[b, 0], screen[b, 1]
        xc, yc = screen[c, 0], screen[c, 1]
        left = max(0, math.ceil(min(xa, xb, xc) - 0.5))
        right = min(width - 1, math.floor(max(xa, xb, xc) - 0.5))
        top = max(0, math.ceil(min(ya, yb, yc) - 0.5))
        bottom = min(height - 1, math.floor(max(ya, yb, yc) - 0.5))
        if right < left or bottom < top:
            continue
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if area == 0.0 or (area > 0.0 and culled):
            continue
        per = 1.0 / area
        for row in range(top, bottom + 1):
            py = row + 0.5
            for column in range(left, right + 1):
                px = column + 0.5
                wa = ((xb - px) * (yc - py) - (xc - px) * (yb - py)) * per
                wb = ((xc - px) * (ya - py) - (xa - px) * (yc - py)) * per
                wc = 1.0 - wa - wb
                if wa < 0.0 or wb < 0.0 or wc < 0.0:
                    continue
                near = wa * ia + wb * ib + wc * ic
                if near > inverse[row, column]:
                    inverse[row, column] = near


@_jit
def nearest(screen: np.ndarray, faces: np.ndarray, culled: bool, points: np.ndarray, out: np.ndarray) -> None:
    """The largest inverse depth of any triangle at exact picture points [Q, 2] px -> out [Q], 0 where there is none.
    For points that lie outside of a drawn picture."""
    for q in range(points.shape[0]):
        px, py = points[q, 0], points[q, 1]
        best = 0.0
        for f in range(faces.shape[0]):
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            xa, xb, xc = screen[a, 0], screen[b, 0], screen[c, 0]
            if (xa < px and xb < px and xc < px) or (xa > px and xb > px and xc > px):
                continue
            ya, yb, yc = screen[a, 1], screen[b, 1], screen[c, 1]
            if (ya < py and yb < py and yc < py) or (ya > py and yb > py and yc > py):
                continue
            ia, ib, ic = screen[a, 2], screen[b, 2], screen[c, 2]
            area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
            if ia < 0.0 or ib < 0.0 or ic < 0.0 or area == 0.0 or (area > 0.0 and culled):
                continue
            wa = ((xb - px) * (yc - py) - (xc - px) * (yb - py)) / area
            wb = ((xc - px) * (ya - py) - (xa - px) * (yc - py)) / area
            wc = 1.0 - wa - wb
            if wa >= 0.0 and wb >= 0.0 and wc >= 0.0:
                best = max(best, wa * ia + wb * ib + wc * ic)
        out[q] = best


@_jit
def shade(
    vertices: np.ndarray,
    normals: np.ndarray,
    screen: np.ndarray,
    faces: np.ndarray,
    uv: np.ndarray,
    material: np.ndarray,
    texture: np.ndarray,
    tint: np.ndarray,
    pattern: np.ndarray,
    pattern_scale: np.ndarray,
    shine: np.ndarray,
    textures: tuple[np.ndarray, ...],
    to_linear: np.ndarray,
    light: np.ndarray,
    shadow_from: np.ndarray,
    shadow: np.ndarray,
    bias: float,
    face: np.ndarray,
    weights: np.ndarray,
    out: np.ndarray,
) -> None:
    """Paint the drawn pixels into out [H, W, 4]: linear RGB and 1; others are set to 0.

    Materials: texture [M], tint [M, 3], pattern [M] (a texture whose colour replaces the first one's, which then only
    darkens, or -1), pattern_scale [M], shine [M]. textures: L levels [T, S, S, 4]. light [5, 3]: direction to the lamp
    and up (camera frame, unit), lamp, sky and ground strength (RGB). shadow_from [3, 4]: camera frame -> column and row
    px and depth of the shadow map shadow [S, S], which holds depths towards the lamp negated (larger is nearer).
    """
    n, p = np.zeros(3), np.zeros(3)
    colour, over = np.zeros(3), np.zeros(3)
    full = textures[0].shape[1]
    side = shadow.shape[0]
    for row in range(face.shape[0]):
        for column in range(face.shape[1]):
            f = face[row, column]
            if f < 0:
                out[row, column, 0] = out[row, column, 1] = out[row, column, 2] = out[row, column, 3] = 0.0
                continue
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            wa, wb = weights[row, column, 0], weights[row, column, 1]
            wc = 1.0 - wa - wb
            u = wa * uv[f, 0, 0] + wb * uv[f, 1, 0] + wc * uv[f, 2, 0]
            v = wa * uv[f, 0, 1] + wb * uv[f, 1, 1] + wc * uv[f, 2, 1]
            for i in range(3):
                n[i] = wa * normals[a, i] + wb * normals[b, i] + wc * normals[c, i]
                p[i] = wa * vertices[a, i] + wb * vertices[b, i] + wc * vertices[c, i]
            length = 1.0 / (math.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]) + 1e-20)
            away = 1.0 / (math.sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]) + 1e-12)
            if n[0] * p[0] + n[1] * p[1] + n[2] * p[2] > 0.0:  # the inside of cloth, or a normal past the outline
                length = -length
            diffuse = height = half = squared = 0.0
            for i in range(3):
                n[i] *= length
                diffuse += n[i] * light[0, i]
                height += n[i] * light[1, i]
                h = light[0, i] - p[i] * away
                half += n[i] * h
                squared += h * h
            lit = 1.0
            if side > 0 and diffuse > 0.0:
                lit = lit_share(p[0], p[1], p[2], shadow_from, shadow, bias)
            # How many texels of the full texture one pixel covers decides the level.
            uva = (uv[f, 1, 0] - uv[f, 0, 0]) * (uv[f, 2, 1] - uv[f, 0, 1])
            uva -= (uv[f, 2, 0] - uv[f, 0, 0]) * (uv[f, 1, 1] - uv[f, 0, 1])
            area = (screen[b, 0] - screen[a, 0]) * (screen[c, 1] - screen[a, 1])
            area -= (screen[c, 0] - screen[a, 0]) * (screen[b, 1] - screen[a, 1])
            texels = abs(uva) * full * full / max(abs(area), 1e-6)
            m = material[f]
            level, limit = 0, 2.0
            while level < LEVELS - 1 and texels > limit:
                level += 1
                limit *= 4.0
            _texel(textures[level][texture[m]], u, v, to_linear, colour)
            if pattern[m] >= 0:
                scale = pattern_scale[m]
                level, limit = 0, 2.0
                while level < LEVELS - 1 and texels * scale * scale > limit:
                    level += 1
                    limit *= 4.0
                _texel(textures[level][pattern[m]], u * scale, v * scale, to_linear, over)
                fold = 0.45 + 0.55 * min(1.0, (colour[0] + colour[1] + colour[2]) * 0.8)
                for i in range(3):
                    colour[i] = over[i] * fold
            high = half / math.sqrt(squared + 1e-12)
            high = max(0.0, high)
            high *= high
            high *= high * high
            high *= high
            high *= high
            diffuse = max(0.0, diffuse) * lit
            blend = 0.5 + 0.5 * height
            for i in range(3):
                ambient = blend * light[3, i] + (1.0 - blend) * light[4, i]
                value = colour[i] * tint[m, i] * (ambient + light[2, i] * diffuse)
                out[row, column, i] = value + light[2, i] * shine[m] * high * lit
            out[row, column, 3] = 1.0
