"""Reader for DeepMimic's humanoid clips (Peng et al., "DeepMimic", SIGGRAPH 2018): JSON with "Frames" of 44 numbers.

A frame: its duration (s), root position (m), root quaternion, then joints in the order of `LAYOUT`; quaternions are
scalar first, knees and elbows one angle about z.  Axes: x forward, y up, z to the subject's right.  In the zero pose
arms and legs hang down.  The model has no hands: they follow the forearm.
"""

from __future__ import annotations

import json

import numpy as np

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.training.motion.motion import Motion, canonical, forward
from biopose_live.training.motion.rotation import Array, axis_rotation, quaternion_to_matrix

WIDTH = 44

# name, parent, offset from the parent (m): the humanoid of the paper's published model file.
SKELETON = (
    ("root", -1, (0.0, 0.0, 0.0)),
    ("chest", 0, (0.0, 0.236151, 0.0)),
    ("neck", 1, (0.0, 0.223894, 0.0)),
    ("right_hip", 0, (0.0, 0.0, 0.084887)),
    ("right_knee", 3, (0.0, -0.421546, 0.0)),
    ("right_ankle", 4, (0.0, -0.40987, 0.0)),
    ("right_shoulder", 1, (-0.02405, 0.2435, 0.18311)),
    ("right_elbow", 6, (0.0, -0.274788, 0.0)),
    ("right_wrist", 7, (0.0, -0.258947, 0.0)),
    ("left_hip", 0, (0.0, 0.0, -0.084887)),
    ("left_knee", 9, (0.0, -0.421546, 0.0)),
    ("left_ankle", 10, (0.0, -0.40987, 0.0)),
    ("left_shoulder", 1, (-0.02405, 0.2435, -0.18311)),
    ("left_elbow", 12, (0.0, -0.274788, 0.0)),
    ("left_wrist", 13, (0.0, -0.258947, 0.0)),
)
NAMES = tuple(name for name, _, _ in SKELETON)
PARENTS = tuple(parent for _, parent, _ in SKELETON)
OFFSETS = np.array([offset for _, _, offset in SKELETON])

# joint and how many numbers it takes, from column 4 on
LAYOUT = (
    ("root", 4),
    ("chest", 4),
    ("neck", 4),
    ("right_hip", 4),
    ("right_knee", 1),
    ("right_ankle", 4),
    ("right_shoulder", 4),
    ("right_elbow", 1),
    ("left_hip", 4),
    ("left_knee", 1),
    ("left_ankle", 4),
    ("left_shoulder", 4),
    ("left_elbow", 1),
)

ANATOMY = {"pelvis": "root", "spine3": "chest", "head": "neck"} | {
    name: name for name in NAMES if name.startswith(("left_", "right_"))
}

# Flexion turns: knees bend for negative angles about z (z to the right), elbows for positive ones.
HINGES = {
    "left_knee": np.array([0.0, 0.0, -1.0]),
    "right_knee": np.array([0.0, 0.0, -1.0]),
    "left_elbow": np.array([0.0, 0.0, 1.0]),
    "right_elbow": np.array([0.0, 0.0, 1.0]),
}


def parse(text: str, name: str) -> Array:
    """The frames (T, 44) of a clip's JSON text.  Raises UserError where it does not hold such frames."""
    try:
        document = json.loads(text)
        frames = np.array(document["Frames"], dtype=np.float64)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise UserError(
            f'{name}: not a DeepMimic clip: expected JSON with "Frames", lists of {WIDTH} numbers '
            f"({type(error).__name__}); fetch it again.",
            EXIT_SOURCE,
        ) from error
    good = frames.ndim == 2 and frames.shape[0] > 0 and frames.shape[1] == WIDTH and np.isfinite(frames).all()
    if not good or np.median(frames[:, 0]) <= 0:
        raise UserError(
            f"{name}: not a DeepMimic clip: expected frames of {WIDTH} finite numbers that start with their duration, "
            f"found shape {frames.shape}; fetch it again.",
            EXIT_SOURCE,
        )
    return frames


def read(text: str, name: str) -> Motion:
    """The clip in a DeepMimic JSON text as a Motion.  Raises UserError where it cannot be read."""
    frames = parse(text, name)
    local = np.tile(np.eye(3), (len(frames), len(NAMES), 1, 1))
    column = 4
    for joint, width in LAYOUT:
        part = frames[:, column : column + width]
        if width == 4:
            if (np.linalg.norm(part, axis=-1) < 1e-6).any():
                raise UserError(f"{name}: the quaternion of {joint} is zero in a frame; fetch it again.", EXIT_SOURCE)
            local[:, NAMES.index(joint)] = quaternion_to_matrix(part)
        else:
            local[:, NAMES.index(joint)] = axis_rotation("z", part[:, 0])
        column += width
    moving = forward(local, OFFSETS, PARENTS, frames[:, 1:4])
    rest = forward(np.tile(np.eye(3), (1, len(NAMES), 1, 1)), OFFSETS, PARENTS, np.zeros((1, 3)))
    fps = 1 / float(np.median(frames[:, 0]))
    # the clips do not tell who moves: one subject for all, so that a split by subject cannot leak
    return canonical(name, "deepmimic", NAMES, PARENTS, (rest[0][0], rest[1][0]), moving, fps, ANATOMY, HINGES)
