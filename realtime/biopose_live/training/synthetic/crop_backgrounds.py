"""What lies behind people in a crop: cut and warped photographs, textured rooms, patterns and collages.

A background belongs to the frame: a pixel of the frame shows the same whatever crop is cut. Pictures leave in linear
RGB.

Dimension letters: H and W size, N side of the wanted picture.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from biopose_live.errors import EXIT_MODEL, UserError

LARGEST_PHOTO = 1600  # px, the longer side that is kept
N_LEVELS = 5


class Photos:
    """Photographs as eight-bit pyramids, and warped cuts of them."""

    def __init__(self, files: list[Path], tiles: np.ndarray) -> None:
        """tiles [T, S, S, 4] uint8: textures that may fill a frame too. Raises UserError for a file that is no
        picture."""
        self.pyramids = [_pyramid(_read(path)) for path in files]
        self.tiles = tiles

    def draw(self, rng: np.random.Generator, size: tuple[int, int], affine: np.ndarray, side: int) -> np.ndarray:
        """[side, side, 3] uint8 sRGB: a random background of a frame of `size`, seen through affine [2, 3] (px of the
        frame -> px of the picture)."""
        kind = rng.random()
        if kind < 0.72 and self.pyramids:
            picture = self._cut(rng, size, affine, side)
        elif kind < 0.85:
            picture = _gradient(rng, size, affine, side)
        else:
            picture = self._tiled(rng, size, affine, side)
        for _ in range(int(rng.choice([0, 1, 2, 4], p=[0.6, 0.15, 0.15, 0.1]))):
            self._paste(rng, picture, size, affine, side)
        return _graded(rng, picture)

    def _cut(self, rng: np.random.Generator, size: tuple[int, int], affine: np.ndarray, side: int) -> np.ndarray:
        pyramid = self.pyramids[int(rng.integers(len(self.pyramids)))]
        height, width = pyramid[0].shape[:2]
        zoom = rng.uniform(0.35, 1.0) * min(width / size[0], height / size[1])  # px of the photo per px of the frame
        turn = rng.normal(0.0, 0.06)
        flip = -1.0 if rng.random() < 0.5 else 1.0
        c, s = zoom * np.cos(turn), zoom * np.sin(turn)
        linear = np.array([[c * flip, -s], [s * flip, c]])
        free = np.maximum(np.array([width, height]) - zoom * np.array(size), 0.0)
        middle = 0.5 * zoom * np.array(size) + rng.random(2) * free
        to_photo = np.concatenate([linear, (middle - linear @ (0.5 * np.array(size)))[:, None]], axis=1)
        back = compose(to_photo, inverted(affine))
        return _warp(pyramid, back, side)

    def _tiled(self, rng: np.random.Generator, size: tuple[int, int], affine: np.ndarray, side: int) -> np.ndarray:
        tile = self.tiles[int(rng.integers(len(self.tiles)))][:, :, :3]
        zoom = tile.shape[0] / size[1] * rng.uniform(0.3, 3.0)
        to_tile = np.array([[zoom, 0.0, rng.uniform(0, 512)], [0.0, zoom, rng.uniform(0, 512)]])
        tint = rng.uniform(0.4, 1.2, 3)
        picture = _warp(_pyramid(tile), compose(to_tile, inverted(affine)), side, cv2.BORDER_WRAP)
        return np.clip(picture * tint, 0, 255).astype(np.uint8)

    def _paste(
        self, rng: np.random.Generator, picture: np.ndarray, size: tuple[int, int], affine: np.ndarray, side: int
    ) -> None:
        """A quadrilateral of another texture somewhere in the frame."""
        middle = rng.random(2) * np.array(size)
        half = rng.uniform(0.03, 0.35, 2) * min(size)
        corners = middle + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half * rng.uniform(0.8, 1.2, (4, 2))
        inside = corners @ affine[:, :2].T + affine[:, 2]
        mask = np.zeros((side, side), np.uint8)
        cv2.fillPoly(mask, [np.rint(inside).astype(np.int32)], 255)
        if rng.random() < 0.5:
            picture[mask > 0] = rng.integers(0, 256, 3)
        else:
            picture[mask > 0] = self._tiled(rng, size, affine, side)[mask > 0]


def inverted(affine: np.ndarray) -> np.ndarray:
    """The inverse of an affine [2, 3]."""
    linear = np.linalg.inv(affine[:, :2])
    return np.concatenate([linear, (-linear @ affine[:, 2])[:, None]], axis=1)


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The affine [2, 3] that applies inner, then outer."""
    return np.concatenate([outer[:, :2] @ inner[:, :2], (outer[:, :2] @ inner[:, 2] + outer[:, 2])[:, None]], axis=1)


def coverage(affine: np.ndarray, size: tuple[int, int], side: int) -> np.ndarray | None:
    """[side, side, 1] float32: the share of each picture pixel that `Crop.cut` takes from inside of the frame (its
    bilinear look-up fades over one pixel of the frame), or None when that is all of every pixel."""
    back = inverted(affine)
    corners = np.array([[0.0, 0.0], [side, 0.0], [side, side], [0.0, side]]) @ back[:, :2].T + back[:, 2]
    if (corners >= 1.0).all() and (corners <= np.array(size) - 1.0).all():
        return None
    axis = (np.arange(side) + 0.5).astype(np.float32)
    share = np.ones((side, side), np.float32)
    for i in range(2):
        at = back[i, 0] * axis[None, :] + back[i, 1] * axis[:, None] + back[i, 2]
        share *= np.clip(at + 0.5, 0.0, 1.0) * np.clip(size[i] + 0.5 - at, 0.0, 1.0)
    return share[:, :, None].astype(np.float32)


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"The background {path} is no picture; remove it from the assets folder.", EXIT_MODEL)
    share = LARGEST_PHOTO / max(image.shape[:2])
    if share < 1.0:
        image = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[:, :, ::-1])


def _pyramid(image: np.ndarray) -> list[np.ndarray]:
    levels = [np.ascontiguousarray(image)]
    while len(levels) < N_LEVELS and min(levels[-1].shape[:2]) > 32:
        last = levels[-1]
        levels.append(cv2.resize(last, (last.shape[1] // 2, last.shape[0] // 2), interpolation=cv2.INTER_AREA))
    return levels


def _warp(pyramid: list[np.ndarray], back: np.ndarray, side: int, border: int = cv2.BORDER_REFLECT_101) -> np.ndarray:
    """Look a picture up through back [2, 3] (px of the wanted picture -> px of the first level)."""
    scale = float(np.sqrt(abs(np.linalg.det(back[:, :2]))))
    level = int(np.clip(np.floor(np.log2(max(scale, 1.0)) + 0.3), 0, len(pyramid) - 1))
    source = pyramid[level]
    ratio = np.array([source.shape[1] / pyramid[0].shape[1], source.shape[0] / pyramid[0].shape[0]])
    m = back * ratio[:, None]
    # OpenCV counts from the first pixel's centre.
    m[:, 2] += m[:, :2] @ [0.5, 0.5] - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(source, m, (side, side), flags=flags, borderMode=border), np.uint8)


def _gradient(rng: np.random.Generator, size: tuple[int, int], affine: np.ndarray, side: int) -> np.ndarray:
    """A wall and a floor of plain colours with soft light."""
    back = inverted(affine)
    axis = np.arange(side) + 0.5
    y = (back[1, 0] * axis[None, :] + back[1, 1] * axis[:, None] + back[1, 2]) / size[1]
    x = (back[0, 0] * axis[None, :] + back[0, 1] * axis[:, None] + back[0, 2]) / size[0]
    # Most walls are grey with a little colour; some are anything.
    muted = 0.15 if rng.random() < 0.7 else 1.0
    wall, floor = rng.uniform(20, 250, (2, 1)) * (1.0 - muted) + muted * rng.uniform(0, 255, (2, 3))
    line = rng.uniform(0.4, 1.2) + rng.normal(0.0, 0.05) * x
    soft = np.clip((y - line) * rng.uniform(5.0, 400.0) + 0.5, 0.0, 1.0)[:, :, None]
    light = 1.0 + rng.uniform(-0.5, 0.5) * (x - 0.5) + rng.uniform(-0.5, 0.5) * (y - 0.5)
    return np.clip((wall * (1.0 - soft) + floor * soft) * light[:, :, None], 0, 255).astype(np.uint8)


def _graded(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Other colours, contrast and focus."""
    gain = rng.uniform(0.6, 1.3) * rng.uniform(0.8, 1.2, 3)
    shift = rng.uniform(-25.0, 25.0)
    table = np.clip(np.arange(256)[:, None] * gain + shift, 0, 255).astype(np.uint8)
    picture = cv2.LUT(picture, table[None])
    if rng.random() < 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.8, 5.0)))
    return picture
