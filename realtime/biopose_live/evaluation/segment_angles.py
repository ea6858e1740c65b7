"""Angles between body segments from joint centres alone: they need no axes, so any two skeletons can be compared.

Knee and elbow: between the two segments that meet there, 0 when straight.  Hip and shoulder: between the thigh or upper
arm and the trunk's downward line (middle of the shoulders to middle of the hips), 0 when hanging.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SEGMENT_ANGLES = tuple(f"{joint}_{side}" for joint in ("knee", "elbow", "hip", "shoulder") for side in ("l", "r"))


def between(a: Floats, b: Floats) -> Floats:
    """-> angle between vectors (..., 3), degrees, 0 to 180; well conditioned also near both ends (Kahan 2006)."""
    a = a / np.linalg.norm(a, axis=-1, keepdims=True)
    b = b / np.linalg.norm(b, axis=-1, keepdims=True)
    return np.degrees(2.0 * np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1)))


def segment_angles(joints: Floats, names: Sequence[str]) -> Floats:
    """(F, J, 3) joint centres labelled `names` -> (F, len(SEGMENT_ANGLES)) degrees."""
    at = {name: joints[:, index] for index, name in enumerate(names)}
    down = 0.5 * (at["hip_l"] + at["hip_r"] - at["shoulder_l"] - at["shoulder_r"])
    columns = []
    for name in SEGMENT_ANGLES:
        joint, side = name.split("_")
        chain = {"knee": ("hip", "knee", "ankle"), "elbow": ("shoulder", "elbow", "wrist")}.get(joint)
        if chain is not None:
            upper, middle, lower = (at[f"{part}_{side}"] for part in chain)
            columns.append(between(middle - upper, lower - middle))
        else:
            end = {"hip": "knee", "shoulder": "elbow"}[joint]
            columns.append(between(at[f"{end}_{side}"] - at[name], down))
    return np.stack(columns, 1)
