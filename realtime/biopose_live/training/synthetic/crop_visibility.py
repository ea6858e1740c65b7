"""Which places of a body a picture shows: markers and joint centres against depth buffers of what is drawn.

A place is seen when the frame holds it and neither an object, another person nor the person's own naked body lies in
front of it. Cloth that lies on a marker does not hide it, so the person's own depth is that of the naked body.

Markers are carried by bones and stray from the skin by up to some centimetres, so the own body hides a marker only
when it is SKIN_SLACK_M nearer, or BACK_SLACK_M where the skin at the marker faces away. A joint centre lies inside:
there the slack is its depth under the nearest skin, times and plus a little.

Dimension letters: Q places, V vertices, F triangles, H and W picture size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biopose_live.training.synthetic.crop_raster import draw_depth, nearest

SKIN_SLACK_M, BACK_SLACK_M = 0.035, 0.012
FACES_AWAY = -0.15  # cosine between the skin's normal and the ray back to the camera
JOINT_SLACK_FACTOR, JOINT_SLACK_M = 1.35, 0.025
OTHERS_SLACK_M = 0.01


@dataclass(frozen=True)
class Drawn:
    """Triangles on the screen: screen [V, 3] picture px and inverse depth, faces [F, 3]; culled: seen from one side."""

    screen: np.ndarray
    faces: np.ndarray
    culled: bool


def depth_at(pixels: np.ndarray, what: Drawn, inverse: np.ndarray) -> np.ndarray:
    """[Q] m, the nearest surface at picture pixels [Q, 2] (inf: nothing): from the buffer inverse [H, W] where that
    holds the pixel, from the triangles themselves elsewhere."""
    height, width = inverse.shape
    column, row = np.floor(pixels[:, 0]).astype(int), np.floor(pixels[:, 1]).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    found = np.zeros(len(pixels))
    found[inside] = inverse[row[inside], column[inside]]
    if not inside.all():
        rest = np.zeros(int((~inside).sum()))
        nearest(what.screen, what.faces, what.culled, pixels[~inside], rest)
        found[~inside] = rest
    return np.where(found > 0.0, 1.0 / np.maximum(found, 1e-9), np.inf)


def drawn_depth(what: Drawn, side: int) -> np.ndarray:
    """[side, side] inverse depth of triangles."""
    inverse = np.zeros((side, side), np.float32)
    draw_depth(what.screen, what.faces, what.culled, inverse)
    return inverse


def slack(points: np.ndarray, normals: np.ndarray, joint_depth: np.ndarray) -> np.ndarray:
    """[Q] m: how much nearer the own body may be. points [Q, 3] m, camera frame: markers, then joints; normals of the
    markers' skin; joint_depth [24] m under the nearest skin at rest."""
    n = len(normals)
    towards = -points[:n] / np.linalg.norm(points[:n], axis=1, keepdims=True)
    length = np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    away = ((normals / length) * towards).sum(axis=1) < FACES_AWAY
    return np.concatenate(
        [np.where(away, BACK_SLACK_M, SKIN_SLACK_M), JOINT_SLACK_FACTOR * joint_depth + JOINT_SLACK_M]
    )


def seen(
    points: np.ndarray,
    pixels: np.ndarray,
    frame_pixels: np.ndarray,
    size: tuple[int, int],
    own: tuple[Drawn, np.ndarray],
    others: tuple[Drawn, np.ndarray] | None,
    own_slack: np.ndarray,
) -> np.ndarray:
    """[Q] bool. points [Q, 3] m, camera frame; pixels of the picture that the buffers are of and frame_pixels [Q, 2];
    size of the frame; own naked body and what else is there, each with its buffer; own_slack [Q] m."""
    z = points[:, 2]
    inside = ((frame_pixels >= 0.0) & (frame_pixels < np.array(size))).all(axis=1) & (z > 0.0)
    out = inside & (depth_at(pixels, *own) > z - own_slack)
    if others is not None:
        out &= depth_at(pixels, *others) > z - OTHERS_SLACK_M
    return out
