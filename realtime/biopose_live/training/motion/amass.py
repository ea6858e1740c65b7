"""Reader for a user's own AMASS files (Mahmood et al., "AMASS: Archive of Motion Capture as Surface Shapes", 2019).

An AMASS npz (BML-MoVi's among them) holds `poses` (T, 156; SMPL-H axis-angle, radians), `trans` (T, 3; m), `betas` and
`mocap_framerate`; the world's z axis points up.  The first 22 joints are the body's; fingers are left out.  SMPL's
rest pose is the T-pose whose bone directions `REST` gives to the centimetre, which is all that retargeting needs.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np

from biopose_live.body.joints import JOINT_NAMES, PARENTS
from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.training.motion.motion import Motion, accumulate, canonical, forward
from biopose_live.training.motion.rotation import Array, axis_angle_to_matrix

BODY = 22

# Offsets from the parent, metres: an adult's T-pose in SMPL's joint layout, x to the subject's left, y up, z forward.
REST = np.array(
    [
        (0.00, 0.00, 0.00),
        (0.06, -0.09, -0.01),
        (-0.06, -0.09, -0.01),
        (0.00, 0.12, -0.03),
        (0.04, -0.38, 0.00),
        (-0.04, -0.38, 0.00),
        (0.00, 0.14, 0.03),
        (-0.01, -0.42, -0.04),
        (0.01, -0.42, -0.04),
        (0.00, 0.05, 0.00),
        (0.04, -0.06, 0.12),
        (-0.04, -0.06, 0.12),
        (0.00, 0.21, -0.03),
        (0.08, 0.12, -0.02),
        (-0.08, 0.12, -0.02),
        (0.00, 0.09, 0.05),
        (0.09, 0.03, -0.01),
        (-0.09, 0.03, -0.01),
        (0.26, -0.01, -0.03),
        (-0.26, -0.01, -0.03),
        (0.25, 0.01, 0.00),
        (-0.25, 0.01, 0.00),
    ]
)


def read(content: bytes, name: str, subject: str) -> Motion:
    """The clip in an AMASS npz as a Motion.  Raises UserError where `poses`, `trans` or the frame rate do not fit."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            fields = {
                key: np.asarray(archive[key])
                for key in ("poses", "trans", "mocap_framerate", "mocap_frame_rate")
                if key in archive.files
            }
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{name}: not a readable npz file ({error}); fetch it again.", EXIT_SOURCE) from error
    poses, trans = fields.get("poses", np.zeros(0)), fields.get("trans", np.zeros(0))
    rate = fields.get("mocap_framerate", fields.get("mocap_frame_rate", np.zeros(0)))
    numeric = all(array.dtype.kind in "fiu" and np.isfinite(array).all() for array in (poses, trans, rate))
    if (
        not numeric
        or poses.ndim != 2
        or poses.shape[1] < 3 * BODY
        or len(poses) == 0
        or trans.shape != (len(poses), 3)
        or rate.size != 1
        or not 1 <= float(rate.reshape(-1)[0]) <= 1000
    ):
        raise UserError(
            f"{name}: not an AMASS clip: expected poses (T, 156), trans (T, 3) and mocap_framerate, all finite, found "
            f"shapes {poses.shape}, {trans.shape}, {rate.shape}; use the SMPL+H G files of AMASS.",
            EXIT_SOURCE,
        )
    local = axis_angle_to_matrix(poses[:, : 3 * BODY].astype(np.float64).reshape(len(poses), BODY, 3))
    names, parents = JOINT_NAMES[:BODY], PARENTS[:BODY]
    moving = forward(local, REST, parents, trans.astype(np.float64))
    # the body's own frame is y up, the world's z up: turn the world
    up = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    turned: tuple[Array, Array] = (up @ moving[0], moving[1] @ up.T)
    reference = np.tile(np.eye(3), (BODY, 1, 1)), accumulate(REST, parents)
    anatomy = {joint: joint for joint in names}
    return canonical(name, subject, names, parents, reference, turned, float(rate.reshape(-1)[0]), anatomy)
