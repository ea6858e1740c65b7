"""Plain textured solids: boxes, planks, cylinders and balls that hide people, and rooms that people stand in.

Triangles run counter-clockwise seen from outside (from inside for a room). Metres.

Dimension letters: P vertices, F triangles.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from biopose_live.rotations import to_matrix
from biopose_live.training.synthetic.crop_raster import add_normals
from biopose_live.training.synthetic.dressed_parts import MaterialRow, Solid

Shape = tuple[np.ndarray, np.ndarray, np.ndarray]  # vertices [P, 3] in -1..1, faces [F, 3], uv [F, 3, 2]
WALL_CELL_M = 0.7
KINDS = ("box", "plank", "cylinder", "ball")


@lru_cache(maxsize=8)
def _grid(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (u, v) of a unit grid [(rows + 1) (columns + 1), 2] and its triangles [2 rows columns, 3]."""
    v, u = np.mgrid[0 : rows + 1, 0 : columns + 1]
    points = np.stack([u.ravel() / columns, v.ravel() / rows], axis=1)
    r, c = np.mgrid[0:rows, 0:columns]
    a = (r * (columns + 1) + c).ravel()
    b, d, e = a + 1, a + columns + 1, a + columns + 2
    return points, np.concatenate([np.stack([a, b, e], 1), np.stack([a, e, d], 1)]).astype(np.int32)


@lru_cache(maxsize=8)
def _shape(kind: str) -> Shape:
    if kind in ("box", "plank"):
        return _box()
    points, faces = _grid(10, 20)
    angle, height = 2.0 * np.pi * points[:, 0], points[:, 1]
    if kind == "cylinder":
        vertices = np.stack([np.sin(angle), 2.0 * height - 1.0, np.cos(angle)], axis=1)
        ends = []
        for sign in (-1.0, 1.0):
            ring = np.stack([np.sin(angle[:21]), np.full(21, sign), np.cos(angle[:21])], axis=1)
            ends.append(np.concatenate([ring, [[0.0, sign, 0.0]]]))
        start = len(vertices)
        i = np.arange(20)
        low = np.stack([i + 1, i, np.full(20, 21)], 1) + start
        high = np.stack([i, i + 1, np.full(20, 21)], 1) + start + 22
        every = np.concatenate([vertices, *ends])
        faces = np.concatenate([faces, low, high]).astype(np.int32)
        uv = np.concatenate([points, np.tile(0.5 + 0.5 * ends[0][:, [0, 2]], (2, 1))])[faces]
        return every, faces, uv.astype(np.float32)
    polar = np.pi * (1.0 - height)
    vertices = np.stack([np.sin(polar) * np.sin(angle), np.cos(polar), np.sin(polar) * np.cos(angle)], axis=1)
    return vertices, faces, points[faces].astype(np.float32)


def _box() -> Shape:
    vertices: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    uv: list[np.ndarray] = []
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    for axis in range(3):
        for sign in (-1.0, 1.0):
            first, second = ((1, 2), (2, 0), (0, 1))[axis]
            corner = np.zeros((4, 3))
            corner[:, axis] = sign
            corner[:, first], corner[:, second] = 2.0 * square[:, 0] - 1.0, 2.0 * square[:, 1] - 1.0
            start = 4 * len(vertices)
            turn = np.array([[0, 1, 2], [0, 2, 3]]) if sign > 0 else np.array([[0, 2, 1], [0, 3, 2]])
            vertices.append(corner)
            faces.append(turn + start)
            uv.append(square[turn])
    return np.concatenate(vertices), np.concatenate(faces).astype(np.int32), np.concatenate(uv).astype(np.float32)


def solid(
    kind: str, half: np.ndarray, turn: np.ndarray, centre: np.ndarray, row: MaterialRow, repeat: float = 1.0
) -> Solid:
    """A shape of KINDS: half sizes [3] m, rotation vector turn [3], centre [3] m, material row, texture repeats."""
    vertices, faces, uv = _shape(kind)
    placed = np.ascontiguousarray((vertices * half) @ to_matrix(turn).T + centre, np.float32)
    normals = np.zeros_like(placed)
    add_normals(placed, faces, normals)
    return Solid(placed, normals, faces, uv * np.float32(repeat), np.zeros(len(faces), np.int32), [row])


def room(low: np.ndarray, high: np.ndarray, rows: list[MaterialRow], tile_m: tuple[float, float, float]) -> Solid:
    """The inside of a box from low to high [3] m: rows are the materials of floor, walls and ceiling, tile_m their
    textures' widths."""
    vertices, normals, faces, uv, material = [], [], [], [], []
    start = 0
    for axis in range(3):
        first, second = ((1, 2), (2, 0), (0, 1))[axis]
        spans = high[first] - low[first], high[second] - low[second]
        points, triangles = _grid(int(spans[1] / WALL_CELL_M) + 1, int(spans[0] / WALL_CELL_M) + 1)
        for sign in (0, 1):
            corner = np.empty((len(points), 3), np.float32)
            corner[:, axis] = (low, high)[sign][axis]
            corner[:, first] = low[first] + points[:, 0] * spans[0]
            corner[:, second] = low[second] + points[:, 1] * spans[1]
            which = 1 if axis != 1 else (0, 2)[sign]
            normal = np.zeros_like(corner)
            normal[:, axis] = (1.0, -1.0)[sign]
            vertices.append(corner)
            normals.append(normal)
            turned = triangles if sign == 0 else triangles[:, [0, 2, 1]]
            faces.append(turned + np.int32(start))
            along = corner[:, [first, second]] / tile_m[which]
            # Walls keep their texture upright: v runs along the world's y.
            along = along[:, ::-1] if axis == 0 else along
            uv.append(along[turned].astype(np.float32))
            material.append(np.full(len(triangles), which, np.int32))
            start += len(points)
    return Solid(
        np.concatenate(vertices), np.concatenate(normals), np.concatenate(faces), np.concatenate(uv),
        np.concatenate(material), rows,
    )  # fmt: skip
