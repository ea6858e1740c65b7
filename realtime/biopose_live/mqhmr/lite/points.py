"""The dense anatomical points that query tokens look after: the body's virtual markers, then its joint centres.

Letters: M = 89 markers, J = 24 joints, P = M + J points, S shape coefficients.
"""

from __future__ import annotations

import numpy as np

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.refinement import BodyPoints

MARKERS = 89
JOINTS = 24
POINTS = MARKERS + JOINTS


def spread_markers(body: BodyModel, count: int) -> tuple[int, ...]:
    """-> `count` of the markers that lie evenly over the body, rising: each next one is that which is farthest, at rest
    and on the mean shape, from all joint centres and the markers before it.

    Raises ValueError for more than there are."""
    if not 0 <= count <= MARKERS:
        raise ValueError(f"the body has {MARKERS} markers; {count} were asked for")
    off = body.marker_template[:, None] - body.joint_template[None]
    nearest = np.linalg.norm(off, axis=2).min(1)
    chosen: list[int] = []
    for _ in range(count):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(body.marker_template - body.marker_template[chosen[-1]], axis=1))
    return tuple(sorted(chosen))


def dense_points(body: BodyModel) -> BodyPoints:
    """-> the P points as they ride on the body's joints; a joint centre rides on its parent.

    Raises ValueError for a body whose markers ride on the skin."""
    carriers = body.marker_weights.argmax(1)
    if body.marker_pose_dirs is not None or not np.allclose(body.marker_weights.max(1), 1.0):
        raise ValueError("Dense points need a body whose markers ride on bones.")
    return BodyPoints(
        np.array(body.parents, np.int64),
        np.ascontiguousarray(body.joint_template, np.float64),
        np.ascontiguousarray(body.joint_dirs, np.float64),
        np.concatenate([carriers, np.maximum(body.parents, 0)]).astype(np.int64),
        np.concatenate([body.marker_template, body.joint_template]).astype(np.float64),
        np.concatenate([body.marker_dirs, body.joint_dirs]).astype(np.float64),
    )
