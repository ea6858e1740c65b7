"""How far posed bodies lie from true ones: the figures of the field's tables, and those of the dense points.

MPJPE: mean distance of the body's 24 joint centres, pelvis on pelvis.  PA-MPJPE: the same after the best similarity
transform.  MVE (also PVE): mean distance of the skin's vertices, pelvis on pelvis.  Pixels are those of the 256-px
crop.  Hard and hidden people dominate a mean, so a median stands beside each.

Letters: N people, J = 24 joints, V vertices, P dense points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from biopose_live.body.joints import JOINT_INDEX
from biopose_live.evaluation.joint_errors import similarity_aligned
from biopose_live.mqhmr.lite.points import JOINTS
from biopose_live.mqhmr.person_crop import SIDE
from biopose_live.mqhmr.refinement import BodyPoints

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]

MM = 1e3
OUTSIDE = 0.2  # crops; points farther out than this say nothing about the picture
LEG_JOINTS = tuple(
    JOINT_INDEX[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot") for side in ("left", "right")
)


class Summary(msgspec.Struct, frozen=True):
    """Of one figure over all people, or over all their points."""

    mean: float
    median: float


class PointScores(msgspec.Struct, frozen=True):
    """Distances in px of the crop: of all dense points near it, of those that are to be seen, of the legs' and of the
    joint centres among the latter."""

    all: Summary
    seen: Summary
    legs: Summary
    joints: Summary


class PoseScores(msgspec.Struct, frozen=True):
    """Distances in mm."""

    mpjpe_mm: Summary
    pa_mpjpe_mm: Summary
    mve_mm: Summary


@dataclass(frozen=True, slots=True)
class PoseErrors:
    """mm, of one person."""

    mpjpe: float
    pa_mpjpe: float
    mve: float


def summary(values: Floats | Sequence[float]) -> Summary:
    """Of the values that are numbers; not-a-number where none is."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    return Summary(float(known.mean()), float(np.median(known))) if len(known) else Summary(np.nan, np.nan)


def mean_distance(found: Floats, true: Floats, origin: Floats, true_origin: Floats) -> float:
    """Mean distance, mm, of points (V, 3) m after both sets' origins (3,) were laid on each other."""
    return MM * float(np.linalg.norm((found - origin) - (true - true_origin), axis=-1).mean())


def pose_errors(joints: Floats, vertices: Floats, true_joints: Floats, true_vertices: Floats) -> PoseErrors:
    """joints (J, 3) m, the pelvis first, and vertices (V, 3) m of one person, any frame that both share."""
    aligned = similarity_aligned(joints, true_joints)
    return PoseErrors(
        mpjpe=mean_distance(joints, true_joints, joints[0], true_joints[0]),
        pa_mpjpe=mean_distance(aligned, true_joints, np.zeros(3), np.zeros(3)),
        mve=mean_distance(vertices, true_vertices, joints[0], true_joints[0]),
    )


def pose_scores(errors: Sequence[PoseErrors]) -> PoseScores:
    """-> over all people."""
    return PoseScores(
        summary([e.mpjpe for e in errors]), summary([e.pa_mpjpe for e in errors]), summary([e.mve for e in errors])
    )


def leg_points(points: BodyPoints) -> Truths:
    """(P,) which dense points belong to the legs: the markers on them, and their joint centres."""
    of_legs = np.isin(points.keypoint_joint, LEG_JOINTS)
    joints = len(points.parents)
    of_legs[-joints:] = np.isin(np.arange(joints), LEG_JOINTS)
    return of_legs


def point_scores(found: Floats, true: Floats, seen: Truths, legs: Truths) -> PointScores:
    """found and true places (N, P, 2) in the crop, 0..1, the joint centres last; seen (N, P); legs (P,)."""
    error = SIDE * np.linalg.norm(found - true, axis=-1)
    near = np.all((true > -OUTSIDE) & (true < 1.0 + OUTSIDE), axis=-1)
    joints = np.arange(found.shape[1]) >= found.shape[1] - JOINTS
    return PointScores(*(summary(error[near & of]) for of in (np.ones_like(seen), seen, seen & legs, seen & joints)))
