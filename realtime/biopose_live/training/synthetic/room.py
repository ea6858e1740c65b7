"""Generated rooms: floor, walls with a window, a door and pictures, box furniture; drawn by ray casting.

Nothing here comes from a photograph. A room is an axis-aligned box seen from inside, with flat fittings on its walls
and axis-aligned boxes on its floor, each with a procedural surface (planks, tiles, carpet, plaster, stripes, bricks,
wood). World frame: y up, floor at y = 0, metres; colours are linear RGB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np

from biopose_live.training.synthetic.camera import Camera

PLAIN, PLANKS, TILES, CARPET, STRIPES, BRICKS, WOOD, SKY, DOOR = range(9)
FLOORS = (PLANKS, PLANKS, TILES, CARPET)
WALLS = (PLAIN, PLAIN, STRIPES, BRICKS)


@dataclass(frozen=True)
class Room:
    """low, high [3] m: opposite corners. Wall order: x low, x high, y low (floor), y high (ceiling), z low, z high."""

    low: np.ndarray
    high: np.ndarray
    colours: np.ndarray  # [6, 3]
    patterns: np.ndarray  # [6] int32
    fittings: np.ndarray  # [N, 5]: wall, along-wall low and high, height low and high (m)
    fitting_colours: np.ndarray  # [N, 3]
    fitting_patterns: np.ndarray  # [N] int32
    boxes: np.ndarray  # [M, 6]: low corner, high corner
    box_colours: np.ndarray  # [M, 3]
    box_patterns: np.ndarray  # [M] int32
    towards: np.ndarray  # [3] unit, from surfaces to the lamp
    lamp: np.ndarray  # [3] RGB
    ambient: np.ndarray  # [3] RGB
    seed: int


@dataclass(frozen=True)
class View:
    """A room seen by a camera. colour [H, W, 3] float32 linear RGB, depth [H, W] m along the optical axis, floor
    [H, W] bool, points [H, W, 3] float32 m in the world."""

    colour: np.ndarray
    depth: np.ndarray
    floor: np.ndarray
    points: np.ndarray


def furnish(rng: np.random.Generator, clear: float = 1.6) -> Room:
    """A random room whose middle, `clear` metres around the origin, stays free; it is open towards any camera in it."""
    low = np.array([-rng.uniform(2.6, 4.5), 0.0, -rng.uniform(2.2, 4.0)])
    high = np.array([rng.uniform(2.6, 4.5), rng.uniform(2.5, 3.2), rng.uniform(7.5, 9.0)])
    wall = _paint(rng, 0.35, 0.75)
    floor = _paint(rng, 0.10, 0.45, warmth=0.5)
    colours = np.array([wall, wall, floor, np.full(3, 0.75), wall * rng.uniform(0.75, 1.1), wall])
    pattern = int(rng.choice(WALLS))
    patterns = np.array([pattern, pattern, rng.choice(FLOORS), PLAIN, pattern, pattern], np.int32)

    fittings: list[list[float]] = []
    fitting_colours: list[np.ndarray] = []
    fitting_patterns: list[int] = []

    def hang(
        wall_id: int, start: float, width: float, bottom: float, height: float, colour: np.ndarray, kind: int
    ) -> None:
        fittings.append([wall_id, start, start + width, bottom, bottom + height])
        fitting_colours.append(colour)
        fitting_patterns.append(kind)

    # Later fittings cover earlier ones: a frame, then what is in it.
    for wall_id in (0, 1, 4, 5):
        axis = 2 if wall_id < 2 else 0
        spot = rng.uniform(low[axis] + 0.3, low[axis] + 1.2)
        while spot < high[axis] - 1.4:
            sort = int(rng.integers(0, 4))
            if sort == 0:
                width, height, bottom = rng.uniform(0.8, 1.3), rng.uniform(0.9, 1.4), rng.uniform(0.8, 1.1)
                hang(wall_id, spot - 0.07, width + 0.14, bottom - 0.07, height + 0.14, np.full(3, 0.7), PLAIN)
                hang(wall_id, spot, width, bottom, height, np.array([0.75, 0.9, 1.1]) * rng.uniform(0.6, 1.2), SKY)
            elif sort == 1:
                shade = _paint(rng, 0.15, 0.6, warmth=0.4)
                hang(wall_id, spot - 0.06, 0.97, 0.0, 2.11, shade * 0.7, PLAIN)
                hang(wall_id, spot, 0.85, 0.0, 2.05, shade, DOOR)
            elif sort == 2:
                width, height, bottom = rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.7), rng.uniform(1.2, 1.5)
                hang(wall_id, spot - 0.03, width + 0.06, bottom - 0.03, height + 0.06, np.full(3, 0.06), PLAIN)
                hang(wall_id, spot, width, bottom, height, _paint(rng, 0.1, 0.6, warmth=0.1), STRIPES)
            spot += rng.uniform(1.3, 2.4)

    boxes: list[list[float]] = []
    box_colours: list[np.ndarray] = []
    box_patterns: list[int] = []

    def put(x: float, y: float, z: float, w: float, h: float, d: float, colour: np.ndarray, kind: int) -> None:
        boxes.append([x - w / 2, y, z - d / 2, x + w / 2, y + h, z + d / 2])
        box_colours.append(colour)
        box_patterns.append(kind)

    for _ in range(int(rng.integers(2, 6))):
        along = rng.uniform(0.0, 1.0)
        side = int(rng.integers(0, 3))
        x = (low[0] + 0.45, high[0] - 0.45, low[0] + 0.6 + along * (high[0] - low[0] - 1.2))[side]
        z = low[2] + 0.45 if side == 2 else low[2] + 0.6 + along * (3.0 - low[2])
        if math.hypot(x, z) < clear:
            continue
        colour = _paint(rng, 0.05, 0.5, warmth=0.35)
        kind = int(rng.integers(0, 4))
        if kind == 0:  # table
            put(x, 0.70, z, 0.8, 0.04, 0.6, colour, WOOD)
            for i, k in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
                put(x + 0.36 * i, 0.0, z + 0.26 * k, 0.05, 0.70, 0.05, colour * 0.8, WOOD)
        elif kind == 1:  # sofa
            put(x, 0.0, z, 0.85, 0.42, 0.85, colour, PLAIN)
            put(x, 0.42, z - 0.33, 0.85, 0.4, 0.18, colour * 0.9, PLAIN)
        elif kind == 2:  # cupboard
            put(x, 0.0, z, rng.uniform(0.6, 0.8), rng.uniform(0.8, 2.0), 0.45, colour, WOOD)
        else:  # box with another on it
            put(x, 0.0, z, 0.5, 0.45, 0.45, colour, WOOD)
            put(x + 0.05, 0.45, z, 0.3, 0.25, 0.3, _paint(rng, 0.05, 0.6, warmth=0.2), PLAIN)

    azimuth, elevation = rng.uniform(-1.2, 1.2), rng.uniform(0.6, 1.2)
    towards = np.array(
        [math.sin(azimuth) * math.cos(elevation), math.sin(elevation), math.cos(azimuth) * math.cos(elevation)]
    )
    warmth = rng.uniform(0.0, 0.25)
    strength = rng.uniform(0.45, 0.9)
    return Room(
        low, high, colours, patterns,
        np.array(fittings, float).reshape(-1, 5), np.array(fitting_colours, float).reshape(-1, 3),
        np.array(fitting_patterns, np.int32),
        np.array(boxes, float).reshape(-1, 6), np.array(box_colours, float).reshape(-1, 3),
        np.array(box_patterns, np.int32),
        towards, strength * np.array([1.0, 1.0 - 0.3 * warmth, 1.0 - warmth]),
        rng.uniform(0.35, 0.6) * np.array([1.0 - 0.1 * warmth, 1.0, 1.0 + 0.2 * warmth]), int(rng.integers(1 << 30)),
    )  # fmt: skip


def _paint(rng: np.random.Generator, dark: float, light: float, warmth: float = 0.15) -> np.ndarray:
    """A muted colour: one brightness, a little of a random hue, and a share of brown."""
    grey = rng.uniform(dark, light)
    hue = rng.uniform(-0.12, 0.12, 3)
    brown = np.array([0.25, 0.0, -0.3]) * warmth
    return np.clip(grey * (1.0 + hue + brown), 0.01, 0.95)


def look(room: Room, camera: Camera) -> View:
    """What the camera sees of the room."""
    width, height = camera.size
    colour = np.zeros((height, width, 3), np.float32)
    depth = np.zeros((height, width))
    surface = np.zeros((height, width), np.int32)
    points = np.zeros((height, width, 3), np.float32)
    _cast(
        np.ascontiguousarray(camera.rotation), camera.position, camera.focal, camera.centre[0], camera.centre[1],
        room.low, room.high, room.colours, room.patterns, room.fittings, room.fitting_colours, room.fitting_patterns,
        room.boxes, room.box_colours, room.box_patterns, room.towards, room.lamp, room.ambient, room.seed,
        colour, depth, surface, points,
    )  # fmt: skip
    return View(colour, depth, surface == 2, points)


@nb.njit(cache=True)
def _hash(a: int, b: int, seed: int) -> float:
    """A repeatable pseudo-random number in 0..1 for a cell of a grid."""
    n = (a * 374761393 + b * 668265263 + seed * 974711) & 0xFFFFFFFF
    n = ((n ^ (n >> 13)) * 1274126177) & 0xFFFFFFFF
    return float((n ^ (n >> 16)) & 0xFFFF) / 65535.0


@nb.njit(cache=True)
def _noise(x: float, y: float, seed: int) -> float:
    """Value noise in 0..1 with unit cells."""
    i, j = math.floor(x), math.floor(y)
    u, v = x - i, y - j
    u, v = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v)
    a, b = int(i), int(j)
    low = _hash(a, b, seed) * (1.0 - u) + _hash(a + 1, b, seed) * u
    high = _hash(a, b + 1, seed) * (1.0 - u) + _hash(a + 1, b + 1, seed) * u
    return low * (1.0 - v) + high * v


@nb.njit(cache=True)
def _pattern(kind: int, u: float, v: float, seed: int) -> float:
    """Brightness factor of a surface at (u, v) m."""
    if kind == PLANKS:
        row = math.floor(u / 0.14)
        cell = math.floor((v + 0.37 * row) / 1.3)
        seam = abs(u / 0.14 - row - 0.5) > 0.485 or abs((v + 0.37 * row) / 1.3 - cell - 0.5) > 0.498
        grain = _noise(u * 90.0, v * 4.0, seed) + 0.5 * _noise(u * 30.0, v * 2.0, seed + 7)
        value = (0.75 + 0.4 * _hash(int(row), int(cell), seed)) * (0.85 + 0.2 * grain)
        return value * (0.45 if seam else 1.0)
    if kind == TILES:
        i, j = math.floor(u / 0.4), math.floor(v / 0.4)
        seam = abs(u / 0.4 - i - 0.5) > 0.488 or abs(v / 0.4 - j - 0.5) > 0.488
        return 0.6 if seam else 0.92 + 0.1 * _hash(int(i), int(j), seed) + 0.06 * _noise(u * 12.0, v * 12.0, seed)
    if kind == CARPET:
        return 0.8 + 0.25 * _noise(u * 160.0, v * 160.0, seed) + 0.12 * _noise(u * 3.0, v * 3.0, seed + 3)
    if kind == STRIPES:
        return 0.9 + (0.14 if math.floor(u / 0.11) % 2 == 0 else 0.0) + 0.03 * _noise(u * 40.0, v * 40.0, seed)
    if kind == BRICKS:
        row = math.floor(v / 0.075)
        along = u / 0.24 + 0.5 * (row % 2)
        cell = math.floor(along)
        seam = abs(v / 0.075 - row - 0.5) > 0.43 or abs(along - cell - 0.5) > 0.475
        return 1.05 if seam else 0.72 + 0.25 * _hash(int(row), int(cell), seed) + 0.1 * _noise(u * 60, v * 60, seed)
    if kind == WOOD:
        return 0.8 + 0.3 * _noise(u * 6.0, v * 70.0, seed) + 0.1 * _noise(u * 2.0, v * 20.0, seed + 5)
    if kind == DOOR:
        panel = 0.15 < u - math.floor(u) < 0.7 and (0.25 < v < 0.95 or 1.1 < v < 1.85)
        return 0.85 if panel else 1.0
    if kind == SKY:
        return 0.9 + 0.25 * v * _noise(u * 2.0, v * 3.0, seed)
    return 0.97 + 0.05 * _noise(u * 5.0, v * 5.0, seed) + 0.02 * _noise(u * 80.0, v * 80.0, seed + 1)


@nb.njit(cache=True)
def _cast(
    rotation: np.ndarray,
    position: np.ndarray,
    focal: float,
    cx: float,
    cy: float,
    low: np.ndarray,
    high: np.ndarray,
    colours: np.ndarray,
    patterns: np.ndarray,
    fittings: np.ndarray,
    fitting_colours: np.ndarray,
    fitting_patterns: np.ndarray,
    boxes: np.ndarray,
    box_colours: np.ndarray,
    box_patterns: np.ndarray,
    towards: np.ndarray,
    lamp: np.ndarray,
    ambient: np.ndarray,
    seed: int,
    colour: np.ndarray,
    depth: np.ndarray,
    surface: np.ndarray,
    points: np.ndarray,
) -> None:
    height, width = depth.shape
    ray, p = np.zeros(3), np.zeros(3)
    for row in range(height):
        for column in range(width):
            a, b = (column + 0.5 - cx) / focal, (row + 0.5 - cy) / focal
            for i in range(3):
                ray[i] = rotation[0, i] * a + rotation[1, i] * b + rotation[2, i]
            best, plane = 1e9, 2
            for i in range(3):
                if abs(ray[i]) > 1e-12:
                    far = ((high[i] if ray[i] > 0.0 else low[i]) - position[i]) / ray[i]
                    if 0.0 < far < best:
                        best, plane = far, 2 * i + (1 if ray[i] > 0.0 else 0)
            solid, side = -1, 0
            for m in range(boxes.shape[0]):
                enter, leave, face = 0.0, 1e9, 0
                for i in range(3):
                    if abs(ray[i]) < 1e-12:
                        if position[i] < boxes[m, i] or position[i] > boxes[m, 3 + i]:
                            leave = -1.0
                        continue
                    t0 = (boxes[m, i] - position[i]) / ray[i]
                    t1 = (boxes[m, 3 + i] - position[i]) / ray[i]
                    if t0 > t1:
                        t0, t1 = t1, t0
                    if t0 > enter:
                        enter, face = t0, 2 * i + (0 if ray[i] > 0.0 else 1)
                    leave = min(leave, t1)
                if 1e-6 < enter < leave and enter < best:
                    best, solid, side = enter, m, face
            for i in range(3):
                p[i] = position[i] + best * ray[i]
                points[row, column, i] = p[i]
            depth[row, column] = best
            axis = side // 2 if solid >= 0 else plane // 2
            u = p[2] if axis == 0 else p[0]
            v = p[2] if axis == 1 else p[1]
            if solid >= 0:
                surface[row, column] = 6 + solid
                kind, normal = box_patterns[solid], (1.0 if side % 2 == 1 else -1.0)
                tint = box_colours[solid]
            else:
                surface[row, column] = plane
                kind, normal = patterns[plane], (-1.0 if plane % 2 == 1 else 1.0)
                tint = colours[plane]
                for n in range(fittings.shape[0]):
                    f = fittings[n]
                    if int(f[0]) == plane and f[1] < u < f[2] and f[3] < v < f[4]:
                        kind, tint = fitting_patterns[n], fitting_colours[n]
            # Corners are darker: less of the room lights them.
            open_sky = 1.0
            for i in range(3):
                if i != axis or solid >= 0:
                    open_sky -= 0.22 * math.exp(-abs(p[i] - low[i]) / 0.3) + 0.22 * math.exp(-abs(high[i] - p[i]) / 0.3)
            if plane == 2 and solid < 0:
                for m in range(boxes.shape[0]):
                    dx = max(boxes[m, 0] - p[0], 0.0, p[0] - boxes[m, 3])
                    dz = max(boxes[m, 2] - p[2], 0.0, p[2] - boxes[m, 5])
                    under = math.exp(-boxes[m, 1] / 0.4)
                    open_sky *= 1.0 - 0.55 * under * math.exp(-math.sqrt(dx * dx + dz * dz) / 0.10)
            if axis != 1 and solid < 0 and p[1] < 0.08:  # skirting board
                kind, tint = PLAIN, colours[3]
            value = _pattern(kind, u, v, seed)
            shine = max(0.0, normal * towards[axis])
            if kind == SKY:
                shine, open_sky = 0.6, 1.0
            for i in range(3):
                colour[row, column, i] = tint[i] * value * (ambient[i] * max(open_sky, 0.1) + lamp[i] * shine)
