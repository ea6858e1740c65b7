"""How steady predicted joints are: errors of their acceleration, and how much bones change their length.

Acceleration error (the field's "Accel", as in Kanazawa et al. 2019, "Learning 3D Human Dynamics"): distance of
predicted from true acceleration, each the second difference of positions over time, with the middle of the hips as
origin.  It grows with jitter and with the frame rate squared.  The truth's own noise is in it.

Bone-length variation: a bone's standard deviation over its mean length over a clip, in percent, averaged over bones.

Letters: F frames, J joints (12 limb joints, `joint_errors.LIMB_JOINTS`), B bones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from biopose_live.evaluation.joint_errors import LIMB_JOINTS

Floats = NDArray[np.float64]

_HIPS = [LIMB_JOINTS.index("hip_l"), LIMB_JOINTS.index("hip_r")]
LIMB_BONES = tuple(
    (LIMB_JOINTS.index(f"{upper}_{side}"), LIMB_JOINTS.index(f"{lower}_{side}"))
    for upper, lower in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    for side in ("l", "r")
)


def accelerations(joints: Floats, rate: float) -> Floats:
    """(F, J, 3) m at `rate` Hz, NaN where nobody was found -> (F - 2, J, 3) m/s^2 about the hips, NaN next to such
    frames."""
    centred = joints - joints[:, _HIPS].mean(1, keepdims=True)
    return np.diff(centred, 2, axis=0) * rate**2


def acceleration_errors(joints: Floats, truth: Floats, rate: float) -> Floats:
    """(F, J, 3) m of both, same frames -> m/s^2, of every joint in every frame where both are known."""
    error = np.linalg.norm(accelerations(joints, rate) - accelerations(truth, rate), axis=-1).reshape(-1)
    return error[~np.isnan(error)]


def bone_variation(joints: Floats) -> float:
    """(F, J, 3) m, frames with NaN left out -> percent; not-a-number with fewer than two frames."""
    known = joints[~np.isnan(joints).any((1, 2))]
    if len(known) < 2:
        return float("nan")
    ends = np.array(LIMB_BONES)
    lengths = np.linalg.norm(known[:, ends[:, 0]] - known[:, ends[:, 1]], axis=-1)
    return float((lengths.std(0) / lengths.mean(0)).mean() * 100.0)
