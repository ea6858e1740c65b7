"""Reader for the CMU exponential-map benchmark: npz files of (T, 117) clips, used since Li et al., "Convolutional
Sequence to Sequence Model for Human Dynamics" (CVPR 2018), section 4.

A row holds the root's position (3, the laboratory's unit, 1 / 0.45 inch) and 38 joints' exponential maps (radians).
The maps describe row-vector rotations (v R), as in the Human3.6M toolbox, so a column-vector rotation is their
transpose.  The first row of a clip is a T-pose: it becomes the reference and is left out of the motion.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.training.motion.motion import Motion, canonical, forward
from biopose_live.training.motion.naming import match
from biopose_live.training.motion.rotation import Array, axis_angle_to_matrix

FPS = 30.0
WIDTH = 117

# name, parent, offset from the parent in the zero pose (the laboratory's unit): the skeleton of the benchmark.
SKELETON = (
    ("Hips", -1, (0, 0, 0)),
    ("LHipJoint", 0, (0, 0, 0)),
    ("LeftUpLeg", 1, (1.65674, -1.80282, 0.62477)),
    ("LeftLeg", 2, (2.5972, -7.13576, 0)),
    ("LeftFoot", 3, (2.49236, -6.8477, 0)),
    ("LeftToeBase", 4, (0.19704, -0.54136, 2.14581)),
    ("LeftToeEnd", 5, (0, 0, 1.11249)),
    ("RHipJoint", 0, (0, 0, 0)),
    ("RightUpLeg", 7, (-1.6107, -1.80282, 0.62476)),
    ("RightLeg", 8, (-2.59502, -7.12977, 0)),
    ("RightFoot", 9, (-2.4678, -6.78024, 0)),
    ("RightToeBase", 10, (-0.23024, -0.63258, 2.13368)),
    ("RightToeEnd", 11, (0, 0, 1.11569)),
    ("LowerBack", 0, (0, 0, 0)),
    ("Spine", 13, (0.01961, 2.0545, -0.14112)),
    ("Spine1", 14, (0.01021, 2.06436, -0.05921)),
    ("Neck", 15, (0, 0, 0)),
    ("Neck1", 16, (0.00713, 1.56711, 0.14968)),
    ("Head", 17, (0.03429, 1.56041, -0.10006)),
    ("HeadEnd", 18, (0.01305, 1.6256, -0.05265)),
    ("LeftShoulder", 15, (0, 0, 0)),
    ("LeftArm", 20, (3.54205, 0.90436, -0.17364)),
    ("LeftForeArm", 21, (4.86513, 0, 0)),
    ("LeftHand", 22, (3.35554, 0, 0)),
    ("LeftFingerBase", 23, (0, 0, 0)),
    ("LeftHandIndex1", 24, (0.66117, 0, 0)),
    ("LeftHandIndexEnd", 25, (0.53306, 0, 0)),
    ("LThumb", 23, (0, 0, 0)),
    ("LThumbEnd", 27, (0.5412, 0, 0.5412)),
    ("RightShoulder", 15, (0, 0, 0)),
    ("RightArm", 29, (-3.49802, 0.75994, -0.32616)),
    ("RightForeArm", 30, (-5.02649, 0, 0)),
    ("RightHand", 31, (-3.36431, 0, 0)),
    ("RightFingerBase", 32, (0, 0, 0)),
    ("RightHandIndex1", 33, (-0.73041, 0, 0)),
    ("RightHandIndexEnd", 34, (-0.58887, 0, 0)),
    ("RThumb", 32, (0, 0, 0)),
    ("RThumbEnd", 36, (-0.59786, 0, 0.59786)),
)
NAMES = tuple(name for name, _, _ in SKELETON)
PARENTS = tuple(parent for _, parent, _ in SKELETON)
OFFSETS = np.array([offset for _, _, offset in SKELETON], dtype=np.float64)


def parse(values: Array, name: str) -> Motion:
    """One clip, (T, 117) with T at least 2, as a Motion.  Raises UserError on another shape or non-finite values."""
    if values.ndim != 2 or values.shape[1] != WIDTH or len(values) < 2 or values.dtype.kind != "f":
        raise UserError(
            f"{name}: an exponential-map clip is a table of at least 2 rows of {WIDTH} floating-point numbers, found "
            f"shape {values.shape} of {values.dtype}; give the 30 fps CMU benchmark arrays.",
            EXIT_SOURCE,
        )
    if not np.isfinite(values).all():
        raise UserError(
            f"{name}: the exponential-map clip holds values that are not finite; fetch it again.", EXIT_SOURCE
        )
    data = values.astype(np.float64)
    local = np.swapaxes(axis_angle_to_matrix(data[:, 3:].reshape(len(data), -1, 3)), -1, -2)
    rotations, positions = forward(local, OFFSETS, PARENTS, data[:, :3])
    reference = rotations[0], positions[0]
    # the benchmark does not tell who moves: one subject for all, so that a split by subject cannot leak
    return canonical(name, "cmu-expmap", NAMES, PARENTS, reference, (rotations[1:], positions[1:]), FPS, match(NAMES))


def read(content: bytes, name: str) -> list[Motion]:
    """Every clip of an npz file, in the file's order.  Raises UserError where it is not an npz of such clips."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            clips = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{name}: not a readable npz file ({error}); fetch it again.", EXIT_SOURCE) from error
    return [parse(values, f"{name}/{key}") for key, values in clips.items()]
