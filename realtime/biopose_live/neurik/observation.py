"""What NeurIK sees of a frame: virtual markers in a frame that goes with the person, and how the segments stand to one
another.

Where a person stands and which way the person faces is no business of joint angles: each frame's markers are told from
the pelvis, turned about the vertical so that the pelvis faces along x (`heading`).  Beside the markers themselves
(paper section 3.3) the network gets how each segment is turned against its neighbour, in closed form from three markers
each: rotations, and their angles in the skeleton's order.

Frames: world is OpenSim's (x forward, y up, z right), m, rad, s.  Everything works on any leading dimensions.

Letters: M virtual markers, S segments with a frame, J turns, F features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

MARKER_UNIT_M = 0.5
ORIGIN = ("RASI", "LASI", "RPSI", "LPSI")
TURN_RATE = 0.2  # s/rad and s/m: what motion since the last frame is multiplied by
MOVE_RATE = 0.4
STEP_S = 1.0 / 30.0
MOTION = 7


class SegmentFrame(NamedTuple):
    """Directions (from, to) of a segment, each end the mean of some markers: the first exactly, the second roughly."""

    first: tuple[tuple[str, ...], tuple[str, ...]]
    second: tuple[tuple[str, ...], tuple[str, ...]]


def _limbs(s: str) -> dict[str, SegmentFrame]:
    def of(*names: str) -> tuple[str, ...]:
        return tuple(s + name for name in names)

    return {
        s + "femur": SegmentFrame((of("LFC", "MFC"), of("GTR")), (of("MFC"), of("LFC"))),
        s + "tibia": SegmentFrame((of("LMAL", "MMAL"), of("TTB", "FIB")), (of("MMAL"), of("LMAL"))),
        s + "foot": SegmentFrame((of("CAL"), of("MT2")), (of("MT1"), of("MT5"))),
        s + "humerus": SegmentFrame((of("LEL", "MEL"), of("UA2", "UA3")), (of("MEL"), of("LEL"))),
        s + "radius": SegmentFrame((of("RAD", "ULN"), of("FA1", "FA2")), (of("ULN"), of("RAD"))),
        s + "hand": SegmentFrame((of("H5"), of("H2")), (of("H2"), of("HTH"))),
    }


FRAMES = {
    "pelvis": SegmentFrame((("RPSI", "LPSI"), ("RASI", "LASI")), (("LASI",), ("RASI",))),
    "thorax": SegmentFrame((("T10", "STRN"), ("C7", "CLAV")), (("C7", "T10"), ("CLAV", "STRN"))),
    "head": SegmentFrame((("LEAR",), ("REAR",)), (("RBHD", "LBHD"), ("RFHD", "LFHD"))),
    **_limbs("R"),
    **_limbs("L"),
}
TURNS = (
    ("pelvis", "thorax"), ("thorax", "head"),
    *(
        (parent if parent in ("pelvis", "thorax") else side + parent, side + child)
        for side in "RL"
        for parent, child in (
            ("pelvis", "femur"), ("femur", "tibia"), ("tibia", "foot"),
            ("thorax", "humerus"), ("humerus", "radius"), ("radius", "hand"),
        )
    ),
)  # fmt: skip
# Segments with too few markers for a frame of their own: where one of their markers lies from one of a neighbour's, in
# the neighbour's frame.
OFFSETS = (
    ("pelvis", "SACR", "L3"),
    *(
        offset
        for side in "RL"
        for offset in (
            (side + "foot", side + "MT2", side + "TOE"),
            ("thorax", "CLAV", side + "ACR"),
            ("thorax", "CLAV", side + "SCA"),
        )
    ),
)  # fmt: skip


# Which of the turns are also told as three angles: all but the shoulders', whose angles are singular in the T-pose.
ANGLED = tuple(i for i, (_, child) in enumerate(TURNS) if not child.endswith("humerus"))


class Observation(NamedTuple):
    """markers (..., M, 3) in the person's frame, in units of MARKER_UNIT_M; turns (..., F): how segments stand to one
    another; heading (...,) rad and origin (..., 3) m: where that frame is in the world."""

    markers: NDArray[np.float32]
    turns: NDArray[np.float32]
    heading: NDArray[np.float64]
    origin: NDArray[np.float64]


class Observer:
    """Observes frames of a body's markers."""

    features = 9 * (len(TURNS) + 1) + 3 * len(ANGLED) + 3 * len(OFFSETS)

    def __init__(self, names: tuple[str, ...], standing: Floats) -> None:
        """standing (M, 3) m: the markers of the mean person in the skeleton's zero pose, in the skeleton's axes; turns
        are told from there.  Raises KeyError when a marker that is needed is not among `names`."""
        index = {name: number for number, name in enumerate(names)}

        def mean(of: tuple[str, ...]) -> Floats:
            row = np.zeros(len(names))
            row[[index[name] for name in of]] = 1.0 / len(of)
            return row

        rows = [[mean(f.first[1]) - mean(f.first[0]), mean(f.second[1]) - mean(f.second[0])] for f in FRAMES.values()]
        self._directions = np.array(rows).reshape(-1, len(names))  # (2 S, M)
        order = list(FRAMES)
        self._parents = np.array([order.index(parent) for parent, _ in TURNS])
        self._children = np.array([order.index(child) for _, child in TURNS])
        self._offset_frames = np.array([order.index(frame) for frame, _, _ in OFFSETS])
        self._offsets = np.array([mean((end,)) - mean((start,)) for _, start, end in OFFSETS])
        self._origin = mean(ORIGIN)
        # Half precision, in which it is kept beside the weights.
        self.standing = np.asarray(standing, np.float16).astype(np.float64)
        self._unturn = np.eye(3)[None]
        self._unturn = np.swapaxes(self._frames(self.standing), -1, -2)
        self.names = names

    def _frames(self, markers: Floats) -> NDArray[np.float64]:
        """-> (..., S, 3, 3): how each segment is turned from the zero pose."""
        directions = self._directions @ markers
        x, y = directions[..., 0::2, :], directions[..., 1::2, :]
        x = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)
        y = y - (x * y).sum(-1, keepdims=True) * x
        y = y / np.maximum(np.linalg.norm(y, axis=-1, keepdims=True), 1e-9)
        result: NDArray[np.float64] = np.stack([x, y, np.cross(x, y)], -1) @ self._unturn
        return result

    def __call__(self, markers: Floats) -> Observation:
        """markers (..., M, 3) m in the world."""
        markers = np.asarray(markers, np.float64)
        origin = self._origin @ markers
        frames = self._frames(markers)
        heading = heading_of(frames[..., 0, :, :])
        turn = about_y(heading)
        pelvis = np.swapaxes(turn, -1, -2) @ frames[..., 0, :, :]
        between = np.swapaxes(frames[..., self._parents, :, :], -1, -2) @ frames[..., self._children, :, :]
        turns = np.concatenate([pelvis[..., None, :, :], between], -3)
        angles = _angles(between[..., ANGLED, :, :])
        offsets = ((self._offsets @ markers)[..., None, :] @ frames[..., self._offset_frames, :, :])[..., 0, :]
        lead = markers.shape[:-2]
        told = np.concatenate(
            [turns.reshape(*lead, -1), angles.reshape(*lead, -1), offsets.reshape(*lead, -1) / (0.2 * MARKER_UNIT_M)],
            -1,
        )
        local = (markers - origin[..., None, :]) @ turn / MARKER_UNIT_M
        return Observation(local.astype(np.float32), told.astype(np.float32), heading, origin)


def _angles(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 3, 3) -> (..., 3) rad: turns about z, then x, then y, each turning with the one before (flexion first, as
    the skeleton's joints have it)."""
    middle = np.arcsin(np.clip(rotation[..., 2, 1], -1.0, 1.0))
    first = np.arctan2(-rotation[..., 0, 1], rotation[..., 1, 1])
    last = np.arctan2(-rotation[..., 2, 0], rotation[..., 2, 2])
    return np.stack([first, middle, last], -1)


def heading_of(pelvis: Floats) -> NDArray[np.float64]:
    """(..., 3, 3) -> (...,) rad: the turn about the vertical y nearest to a rotation."""
    forward, right = pelvis[..., 0], pelvis[..., 2]
    # The turn by a about y that maximises forward . (cos a, 0, -sin a) + right . (sin a, 0, cos a).
    result: NDArray[np.float64] = np.arctan2(right[..., 0] - forward[..., 2], forward[..., 0] + right[..., 2])
    return result


def about_y(angle: Floats) -> NDArray[np.float64]:
    """(...,) rad -> (..., 3, 3): rotations about y."""
    c, s = np.cos(angle), np.sin(angle)
    zero, one = np.zeros_like(c), np.ones_like(c)
    return np.stack([c, zero, s, zero, one, zero, -s, zero, c], -1).reshape(*np.shape(angle), 3, 3)


def motion(
    heading: Floats, origin: Floats, heading_before: Floats, origin_before: Floats, step: Floats
) -> NDArray[np.float32]:
    """-> (..., MOTION): how the person's frame moved since the frame before, `step` s ago: rates of turning and moving
    (seen from the frame), the step itself, and how the person stands to the camera, in whose direction markers err most
    (the world's x points to it).  A step of zero says that there was no frame before."""
    safe = np.maximum(step, 1e-3)
    turn = np.mod(heading - heading_before + np.pi, 2.0 * np.pi) - np.pi
    move = ((origin - origin_before)[..., None, :] @ about_y(heading))[..., 0, :]
    known = step > 0.0
    rates = np.concatenate(
        [
            (TURN_RATE * turn / safe)[..., None],
            MOVE_RATE * move / safe[..., None],
            np.log(safe / STEP_S)[..., None],
        ],
        -1,
    )
    rates = np.clip(np.where(known[..., None], rates, 0.0), -4.0, 4.0)
    facing = np.stack([np.cos(heading), np.sin(heading)], -1)
    result: NDArray[np.float32] = np.concatenate([rates, facing], -1).astype(np.float32)
    return result
