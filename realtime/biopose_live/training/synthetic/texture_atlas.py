"""Every texture that a crop may show, in one eight-bit pyramid: skins, garments, hair, fabric, photographs, patterns.

A pyramid level halves the one before (Williams 1983). Colours are sRGB; alpha is kept for materials that it cuts out.

Dimension letters: T textures, S side of the full size, L levels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from biopose_live.training.synthetic.crop_raster import LEVELS
from biopose_live.training.synthetic.makehuman_files import TEXTURE_SIZE, read_texture
from biopose_live.training.synthetic.wardrobe import eye_texture

N_EYES = 6
N_GENERATED = 28
_AXIS = (np.arange(TEXTURE_SIZE) + 0.5) / TEXTURE_SIZE


class TextureAtlas:
    """`levels`: L arrays [T, S / 2^l, S / 2^l, 4] uint8 sRGB and alpha, top row first; `to_linear` [256] float32."""

    def __init__(self) -> None:
        self._pictures: list[np.ndarray] = []
        self._index: dict[str, int] = {}
        self.to_linear = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
        self._levels: tuple[np.ndarray, ...] = ()

    def add(self, name: str, picture: Callable[[], np.ndarray]) -> int:
        """The number of a texture [S, S, 4] (float linear RGB, alpha), read once."""
        if name not in self._index:
            coded = np.clip(picture(), 0.0, 1.0)
            coded[:, :, :3] **= 1.0 / 2.2
            self._index[name] = len(self._pictures)
            self._pictures.append((coded * 255.0 + 0.5).astype(np.uint8))
        return self._index[name]

    def add_file(self, path: Path) -> int:
        """The number of a texture file. Raises UserError when it is missing or no picture."""
        return self.add(str(path), lambda: read_texture(path))

    def close(self) -> None:
        """Build the pyramid; nothing can be added afterwards."""
        full = np.stack(self._pictures)
        levels = [full]
        for level in range(1, LEVELS):
            side = TEXTURE_SIZE >> level
            levels.append(np.stack([cv2.resize(t, (side, side), interpolation=cv2.INTER_AREA) for t in levels[-1]]))
        self._levels = tuple(levels)
        self._pictures = []

    @property
    def levels(self) -> tuple[np.ndarray, ...]:
        return self._levels


def generated(atlas: TextureAtlas) -> list[int]:
    """Add the plain and patterned tiles that are drawn here -> their numbers; the first is white."""
    rng = np.random.default_rng(20)
    numbers = [atlas.add("white", lambda: np.ones((TEXTURE_SIZE, TEXTURE_SIZE, 4)))]
    for i in range(N_GENERATED):
        numbers.append(atlas.add(f"pattern {i}", partial(_pattern, rng, i % 7)))
    return numbers


def eyes(atlas: TextureAtlas) -> list[int]:
    """Add eyes of several colours -> their numbers."""
    rng = np.random.default_rng(21)
    base = np.array([0.22, 0.16, 0.10])
    out = []
    for i in range(N_EYES):
        colour = base * rng.uniform(0.4, 1.6) * rng.uniform(0.7, 1.5, 3)
        rgb = (float(colour[0]), float(colour[1]), float(colour[2]))
        out.append(atlas.add(f"eye {i}", partial(eye_texture, rgb)))
    return out


def _pattern(rng: np.random.Generator, kind: int) -> np.ndarray:
    """A tile of two colours: stripes, checks, dots, clouds, planks, bricks or speckles."""
    x, y = np.meshgrid(_AXIS, _AXIS)
    count = int(rng.integers(2, 12))
    share = rng.uniform(0.15, 0.6)
    if kind == 0:
        mask = ((x * count) % 1.0 < share).astype(float)
    elif kind == 1:
        mask = 0.5 * ((x * count) % 1.0 < share) + 0.5 * ((y * count) % 1.0 < share)
    elif kind == 2:
        mask = (np.hypot((x * count) % 1.0 - 0.5, (y * count) % 1.0 - 0.5) < 0.5 * share).astype(float)
    elif kind == 3:
        mask = _clouds(rng, (2, 4, 8, 16))
    elif kind == 4:
        row = np.floor(x * count)
        seam = np.abs(x * count - row - 0.5) > 0.48
        grain = cv2.resize(rng.random((8, 256)), (TEXTURE_SIZE, TEXTURE_SIZE), interpolation=cv2.INTER_CUBIC)
        mask = np.where(seam, 0.0, 0.35 + 0.3 * rng.random(count + 1)[row.astype(int)] + 0.3 * grain)
    elif kind == 5:
        row = np.floor(y * 2 * count)
        along = x * count + 0.5 * (row % 2)
        seam = (np.abs(along % 1.0 - 0.5) > 0.46) | (np.abs(y * 2 * count - row - 0.5) > 0.42)
        mask = np.where(seam, 1.0, 0.5 * _clouds(rng, (16, 64)))
    else:
        mask = _clouds(rng, (32, 64, 128, 256))
    first, second = rng.uniform(0.03, 0.8, 3), rng.uniform(0.03, 0.8, 3)
    mask = np.clip(mask, 0.0, 1.0)[:, :, None]
    return np.dstack([first * (1.0 - mask) + second * mask, np.ones_like(x)])


def _clouds(rng: np.random.Generator, octaves: tuple[int, ...]) -> np.ndarray:
    """Smooth noise in 0..1 that repeats at the tile's edges."""
    total = np.zeros((TEXTURE_SIZE, TEXTURE_SIZE))
    for i, cells in enumerate(octaves):
        grid = np.pad(rng.random((cells, cells)), 2, mode="wrap")
        side = TEXTURE_SIZE * (cells + 4) // cells
        big = cv2.resize(grid, (side, side), interpolation=cv2.INTER_LINEAR)
        start = 2 * TEXTURE_SIZE // cells
        total += big[start : start + TEXTURE_SIZE, start : start + TEXTURE_SIZE] * 0.6**i
    return (total - total.min()) / np.ptp(total)
