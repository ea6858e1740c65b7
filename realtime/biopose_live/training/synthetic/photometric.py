"""What a camera does to a crop's light: blur, exposure, colour, noise, few pixels, compression.

People and objects come supersampled and premultiplied (the share of a pixel that they cover in the fourth channel), the
background at the crop's size; both in linear RGB. Steps run on the frame's own pixels when these are larger than the
crop's, then the picture is enlarged as `Crop.cut` would enlarge it.

Dimension letters: S side of the supersampled picture, N side in the frame's pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba as nb
import numpy as np

TABLE = 1 << 15
BRIGHTEST = 2.5  # linear value that the tone curve ends at
NOISE_SIDE = 640
METERED = 0.2  # mean linear level that exposure meters aim at


@dataclass(frozen=True)
class Look:
    """Blur sigma and motion (length px, angle rad) in pixels of the frame, gain [3], noise sigma (of 255) fine and
    coarse, contrast, brightness (of 255), metering (the power of the exposure meter: 0 leaves a dark picture dark, 1
    makes every picture as bright), saturation, JPEG quality (None: none)."""

    blur: float
    motion: tuple[float, float]
    gain: np.ndarray
    noise: tuple[float, float]
    contrast: float
    brightness: float
    metering: float
    saturation: float
    quality: int | None


def draw_look(rng: np.random.Generator) -> Look:
    """A random camera."""
    warmth = rng.normal(0.0, 0.1)
    exposure = float(np.exp(rng.normal(0.0, 0.3)))
    gain = exposure * np.array([1.0 + warmth, 1.0, 1.0 - warmth]) * np.exp(rng.normal(0.0, 0.04, 3))
    moving = rng.random() < 0.16
    return Look(
        blur=float(rng.choice([0.0, rng.uniform(0.3, 0.9), rng.uniform(0.9, 2.2)], p=[0.35, 0.5, 0.15])),
        motion=(float(rng.uniform(2.0, 9.0)) if moving else 0.0, float(rng.uniform(0.0, np.pi))),
        gain=gain,
        noise=(float(abs(rng.normal(0.0, 3.0))), float(abs(rng.normal(0.0, 1.5)))),
        contrast=float(rng.uniform(0.7, 1.25)),
        brightness=float(rng.normal(0.0, 10.0)),
        metering=float(rng.uniform(0.3, 1.0)),
        saturation=0.0 if rng.random() < 0.03 else float(rng.uniform(0.55, 1.3)),
        quality=int(rng.integers(25, 96)) if rng.random() < 0.7 else None,
    )


class Film:
    """Develops pictures. Keeps tables and noise that are made once."""

    def __init__(self) -> None:
        value = np.arange(TABLE) / (TABLE - 1) * BRIGHTEST
        rolled = np.where(value > 0.7, 0.7 + 0.3 * np.tanh((value - 0.7) / 0.3), value)  # highlights roll off
        self._tone = (255.0 * rolled ** (1.0 / 2.2)).astype(np.float32)
        noise = np.random.default_rng(31).standard_normal((NOISE_SIDE, NOISE_SIDE, 3)).astype(np.float32)
        coarse = cv2.GaussianBlur(noise, (0, 0), 1.6)
        self._fine, self._coarse = noise, coarse / coarse.std()

    def develop(
        self, fore: np.ndarray, back: np.ndarray, side: int, scale: float, look: Look, rng: np.random.Generator
    ) -> np.ndarray:
        """[side, side, 3] uint8 sRGB of fore [S, S, 4] over back [side, side, 3] float32; scale: pixels of the frame
        per pixel of the wanted picture."""
        n = max(24, round(side * min(scale, 1.0)))
        fore = cv2.resize(fore, (n, n), interpolation=cv2.INTER_AREA)
        if n != side:
            back = cv2.resize(back, (n, n), interpolation=cv2.INTER_AREA)
        per = n / (side * scale)  # pixels that are worked on per pixel of the frame
        fore = _streak(fore, look.motion[0] * per * scale_of_motion(scale), look.motion[1])
        picture: np.ndarray = np.empty((n, n, 3), np.float32)
        y, x = rng.integers(0, NOISE_SIDE - n, 2)
        fine, coarse = (a[y : y + n, x : x + n] for a in (self._fine, self._coarse))
        level = float((fore[:, :, :3] + (1.0 - fore[:, :, 3:]) * back).mean())
        gain = look.gain * (METERED / max(level, 0.02)) ** look.metering
        _expose(fore, back, gain, self._tone, TABLE / BRIGHTEST, picture)
        if look.blur * per > 0.2:
            picture = cv2.GaussianBlur(picture, (0, 0), look.blur * per)
        out: np.ndarray = np.empty((n, n, 3), np.uint8)
        _finish(
            picture, fine, coarse, look.noise[0], look.noise[1], look.contrast, look.brightness, look.saturation, out
        )
        if look.quality is not None:
            _, code = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, look.quality])
            out = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
        return out if n == side else cv2.resize(out, (side, side), interpolation=cv2.INTER_LINEAR)


def scale_of_motion(scale: float) -> float:
    """Motion is given for people of a crop's size; fewer pixels see less of it."""
    return max(scale, 0.3)


def _streak(fore: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Blur along a line of `length` px."""
    if length < 1.5:
        return fore
    side = int(length) | 1
    kernel = np.zeros((side, side), np.float32)
    middle = side // 2
    reach = 0.5 * (length - 1.0) * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(round(16 * (middle + sign * float(r))) for r in reach) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 4)
    total = kernel.sum()
    return cv2.filter2D(fore, -1, kernel / total) if total > 0 else fore


@nb.njit(cache=True, fastmath=True, nogil=True)
def _expose(
    fore: np.ndarray, back: np.ndarray, gain: np.ndarray, tone: np.ndarray, per_step: float, out: np.ndarray
) -> None:
    last = tone.shape[0] - 1
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            bare = 1.0 - fore[row, column, 3]
            for i in range(3):
                value = (fore[row, column, i] + bare * back[row, column, i]) * gain[i] * per_step
                out[row, column, i] = tone[min(max(int(value), 0), last)]


@nb.njit(cache=True, fastmath=True, nogil=True)
def _finish(
    picture: np.ndarray,
    fine: np.ndarray,
    coarse: np.ndarray,
    fine_sigma: float,
    coarse_sigma: float,
    contrast: float,
    brightness: float,
    saturation: float,
    out: np.ndarray,
) -> None:
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            grey = (picture[row, column, 0] + 2.0 * picture[row, column, 1] + picture[row, column, 2]) * 0.25
            for i in range(3):
                value = grey + saturation * (picture[row, column, i] - grey)
                value = (value - 110.0) * contrast + 110.0 + brightness
                value += fine[row, column, i] * fine_sigma + coarse[row, column, i] * coarse_sigma
                out[row, column, i] = np.uint8(min(max(value + 0.5, 0.0), 255.0))
