"""How far 2D leg points lie from the truth's: px, percent of the person's height, and without what is constant.

Whose points they are differs: a keypoint detector's ankle is what people clicked on, a motion-capture model's is a
joint centre.  So a raw error is partly a matter of definition; the error once each point's median offset over the video
has been taken off is not.  Offsets are taken in units of the person's height in the picture, which grows as the person
comes nearer.

Where a video's camera is not known, each system gets the one camera (focal length, rotation, translation, and a shift
in time of at most six frames) with which the truth lies nearest to that very system's points; it stands still, so it
takes up no error that changes with the pose.

Letters: F frames, P = 10 leg points (`LEG_POINTS`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from biopose_live.body.joints import JOINT_INDEX
from biopose_live.messages import Intrinsics
from biopose_live.mqhmr.lite.points import MARKERS

Floats = NDArray[np.float64]

KINDS = ("hip", "knee", "ankle", "heel", "toe")
LEG_POINTS = tuple(f"{kind}_{side}" for kind in KINDS for side in ("l", "r"))
LEG_SHARE = 0.491  # thigh and shank of the stature (Winter 2009, Biomechanics and Motor Control, fig. 4.1)
LARGEST_LAG = 6  # frames
FIT_EVERY = 3  # frames: neighbours say the same
TRIMMED = 3.0  # times the median residual: what lies farther off is left out of a camera's fit
FIT_ROUNDS = 3
FOCAL_SHARES = (0.5, 0.65, 0.8, 1.0, 1.3, 1.7, 2.2)  # of the longer side: lenses from 90 to 26 degrees
GOLDEN, GOLDEN_STEPS = (math.sqrt(5.0) - 1.0) / 2.0, 12
FEWEST = 30  # points that a camera may be fitted to
_SIDES = {"l": "left", "r": "right"}


def landmark_names() -> list[str]:
    """-> MediaPipe's keypoint for each leg point; its toe is the big toe's tip."""
    toes = {"toe": "foot_index"}
    return [f"{_SIDES[p[-1]]}_{toes.get(p[:-2], p[:-2])}" for p in LEG_POINTS]


def dense_rows(marker_names: tuple[str, ...], toe: str) -> list[int]:
    """-> the image network's dense point for each leg point: joint centres, the heel's marker, and for the toe its tip
    ("tip", as MediaPipe's) or the ball of the foot ("ball", as OpenSim's toe joint)."""
    rows = []
    for point in LEG_POINTS:
        kind, side = point[:-2], point[-1]
        if kind == "heel":
            rows.append(marker_names.index(f"{side.upper()}CAL"))
        elif kind == "toe" and toe == "tip":
            rows.append(marker_names.index(f"{side.upper()}TOE"))
        else:
            rows.append(MARKERS + JOINT_INDEX[f"{_SIDES[side]}_{'foot' if kind == 'toe' else kind}"])
    return rows


def heights(truth: Floats, focal: float) -> Floats:
    """truth (F, P, 3) m in the camera frame -> (F,) the person's height at that distance, px."""
    bones = [
        np.linalg.norm(truth[:, LEG_POINTS.index(f"{a}_{s}")] - truth[:, LEG_POINTS.index(f"{b}_{s}")], axis=1)
        for a, b in (("hip", "knee"), ("knee", "ankle"))
        for s in ("l", "r")
    ]
    stature = float(np.nansum([np.nanmedian(bone) for bone in bones])) / 2 / LEG_SHARE
    hips = [LEG_POINTS.index("hip_l"), LEG_POINTS.index("hip_r")]
    height: Floats = focal * stature / truth[:, hips, 2].mean(1)
    return height


@dataclass(frozen=True)
class LegErrors:
    """Lengths (F, P) of one video's errors, px and % of the person's height, raw and without each point's median
    offset; NaN where a point was not found."""

    raw_px: Floats
    offset_free_px: Floats
    raw_percent: Floats
    offset_free_percent: Floats


def leg_errors(found: Floats, true: Floats, height: Floats) -> LegErrors:
    """found and true (F, P, 2) px, height (F,) px."""
    error = (found - true) / height[:, None, None]
    # The median: a leg that was taken for the other one for some frames is no constant offset.
    free = error - np.nanmedian(error, axis=0, keepdims=True)
    raw, without = np.linalg.norm(error, axis=-1), np.linalg.norm(free, axis=-1)
    scale = height[:, None]
    return LegErrors(raw * scale, without * scale, 100.0 * raw, 100.0 * without)


@dataclass(frozen=True)
class FittedCamera:
    """points (F, P, 3) m of the truth in its frame, at the video's frames, and (F, P, 2) px where they appear; lag:
    frames that the video is behind the truth's clock; residual: median, px."""

    focal: float
    points: Floats
    places: Floats
    lag: int
    residual: float


def at_frames(time: Floats, places: Floats, frames: int, rate: float, lag: int) -> Floats:
    """(F', P, 3) at `time` (F',) s -> (frames, P, 3) at the frames of a video that runs `lag` frames late, NaN outside
    of the truth's time."""
    t = (np.arange(frames) - lag) / rate
    flat = places.reshape(len(time), -1)
    resampled = np.stack([np.interp(t, time, column, np.nan, np.nan) for column in flat.T], 1)
    return resampled.reshape(frames, *places.shape[1:])


def fit_camera(found: Floats, time: Floats, places: Floats, rate: float, size: tuple[int, int]) -> FittedCamera:
    """found (F, P, 2) px, NaN where nobody was; places (F', P, 3) m at time (F',) s; size (width, height) px -> the
    camera that suits them best.

    Raises ValueError where fewer than FEWEST points can be held against each other."""
    tried = [_fit(found, at_frames(time, places, len(found), rate, lag), size, lag) for lag in _lags()]
    return min(tried, key=lambda fitted: fitted.residual)


def _lags() -> range:
    return range(-LARGEST_LAG, LARGEST_LAG + 1)


def _fit(found: Floats, truth: Floats, size: tuple[int, int], lag: int) -> FittedCamera:
    some = np.zeros(found.shape[:2], bool)
    some[::FIT_EVERY] = True
    good = some & ~np.isnan(found).any(-1) & ~np.isnan(truth).any(-1)
    if good.sum() < FEWEST:
        raise ValueError(f"a camera needs {FEWEST} points to be fitted to, found {good.sum()}")
    kept = good
    for _ in range(FIT_ROUNDS):
        focal = _best_focal(truth[kept], found[kept], size)
        points, where, _ = _stand(truth[kept], found[kept], size, focal, truth)
        residual = np.linalg.norm(where - found, axis=-1)
        middle = float(np.median(residual[good]))
        kept = good & (residual < TRIMMED * middle)
    return FittedCamera(focal, points, where, lag, middle)


def _best_focal(truth: Floats, found: Floats, size: tuple[int, int]) -> float:
    """-> px: the best of a coarse series, then golden sections between its neighbours."""

    def cost(log_focal: float) -> float:
        return _stand(truth, found, size, math.exp(log_focal), truth)[2]

    series = [math.log(max(size) * share) for share in FOCAL_SHARES]
    best = min(range(len(series)), key=lambda i: cost(series[i]))
    low, high = series[max(best - 1, 0)], series[min(best + 1, len(series) - 1)]
    for _ in range(GOLDEN_STEPS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        low, high = (low, right) if cost(left) < cost(right) else (left, high)
    return math.exp((low + high) / 2)


def _stand(
    truth: Floats, found: Floats, size: tuple[int, int], focal: float, every: Floats
) -> tuple[Floats, Floats, float]:
    """Where a camera of this focal length stands best for points (N, 3) m seen at (N, 2) px -> `every` (..., 3) in its
    frame and in its picture, and the mean squared error over the N, px^2."""
    width, height = size
    camera = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    _, turn, move = cv2.solvePnP(truth[:, None], found[:, None], camera, None, flags=cv2.SOLVEPNP_ITERATIVE)
    rotation, lens = cv2.Rodrigues(turn)[0], Intrinsics(focal, (width / 2, height / 2))
    error = project(truth @ rotation.T + move[:, 0], lens) - found
    points = every @ rotation.T + move[:, 0]
    return points, project(points, lens), float((error**2).sum(-1).mean())


def project(points: Floats, camera: Intrinsics) -> Floats:
    """(..., 3) m in the camera frame -> (..., 2) px."""
    result: Floats = points[..., :2] / points[..., 2:] * camera.focal + np.array(camera.centre)
    return result
