"""How good a stream of joint angles is (paper section 4.2), for NeurIK and inverse kinematics alike.

- MAE_angle: mean absolute error of all rotational coordinates, as they are published, by the shortest way round; and
  offset-free: less each coordinate's median error over its sequence.  The shoulders' and the pelvis' three angles write
  one posture in two ways, so that their rotations' own (geodesic) error stands beside it.
- MPBLPE: mean distance of bony landmarks from the true ones, both told from their pelvis' origin, axes of the world.
- MAE_body: mean error of the length of each body along its longest axis.
- Jitter: mean acceleration of the joint centres in the world, the truth's own, and that of the error.

Letters: N sequences, T frames, Q coordinates, B bodies = joint centres, L bony landmarks.  rad, m, s.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from biopose_live.neurik.outputs import FreeJoint, OutputLayout
from biopose_live.skeleton.model import SkeletonModel

Floats = NDArray[np.float64]

CUT = 5.0  # errors over sigma beyond this count as this: one lost limb must not speak for all frames
GROUPS = {
    "pelvis": ("pelvis_rotation", "pelvis_list", "pelvis_tilt"),
    "spine": ("lumbar", "thorax"),
    "head": ("head",),
    "hip": ("hip",),
    "knee": ("knee",),
    "ankle": ("ankle", "subtalar"),
    "toes": ("mtp",),
    "scapula": ("scapula",),
    "shoulder": ("arm",),
    "elbow": ("elbow",),
    "forearm": ("pro_sup",),
    "wrist": ("wrist",),
}


@dataclass(frozen=True, eq=False)
class Movement:
    """What is compared, of a method or of the truth: q (N, T, Q); scales (N, T, B, 3); joints (N, T, B, 3) m in the
    world; landmarks (N, T, L, 3) m from the pelvis' origin."""

    q: Floats
    scales: Floats
    joints: Floats
    landmarks: Floats


class GroupScore(msgspec.Struct, frozen=True):
    """Degrees, for a place millimetres; the share of errors within the one-sigma (0.68 is right), and their root mean
    square in sigmas (1 is)."""

    mae_deg: float
    offset_free_deg: float
    within_sigma: float
    error_over_sigma: float


class Scores(msgspec.Struct, frozen=True):
    """One method on one set of markers; `ms_per_frame` is processor time of the median frame on one thread."""

    mae_angle_deg: float
    mae_angle_offset_free_deg: float
    shoulder_geodesic_deg: float
    pelvis_geodesic_deg: float
    mpblpe_mm: float
    mae_body_mm: float
    jitter_m_s2: float
    true_jitter_m_s2: float
    acceleration_error_m_s2: float
    bone_length_variation_percent: float
    ms_per_frame: float
    frames: int
    angles: GroupScore
    place: GroupScore
    groups: dict[str, GroupScore]


class Judge:
    """Scores movements of one skeleton."""

    def __init__(self, model: SkeletonModel) -> None:
        self._layout = OutputLayout(model)
        names = model.coordinate_names
        self._turning = np.array([coordinate.rotational for coordinate in model.coordinates])
        self._groups = {
            group: np.array([i for i, name in enumerate(names) if name.startswith(starts)], np.int64)
            for group, starts in GROUPS.items()
        }
        self._axis, self.lengths = longest_axes(model)

    def __call__(
        self, found: Movement, truth: Movement, sigma: Floats, times: Floats, good: NDArray[np.bool_], ms: Floats
    ) -> Scores:
        """sigma (N, T, Q); times (N, T) s; good (N, T): the frames that count; ms: of every frame."""
        raw = found.q - truth.q
        raw[..., self._turning] = wrapped(raw[..., self._turning])
        free = offset_free(raw, good)
        relative = np.clip(self._nearer(found.q, truth.q, raw) / np.maximum(sigma, 1e-9), -CUT, CUT)[good]
        raw, free = np.abs(raw)[good], np.abs(free)[good]

        def group(columns: NDArray[np.int64], unit: float) -> GroupScore:
            own = relative[:, columns]
            return GroupScore(
                unit * float(raw[:, columns].mean()),
                unit * float(free[:, columns].mean()),
                float((np.abs(own) < 1.0).mean()),
                float(np.sqrt((own**2).mean())),
            )

        degree = float(np.degrees(1.0))
        pelvis, *shoulders = self._layout.free
        jitter, _ = acceleration(found.joints, times, good)
        true_jitter, _ = acceleration(truth.joints, times, good)
        error, _ = acceleration(found.joints - truth.joints, times, good)
        lengths = self._along(found.scales)
        return Scores(
            mae_angle_deg=degree * float(raw[:, self._turning].mean()),
            mae_angle_offset_free_deg=degree * float(free[:, self._turning].mean()),
            shoulder_geodesic_deg=float(np.mean([_geodesic(joint, found.q, truth.q)[good] for joint in shoulders])),
            pelvis_geodesic_deg=float(_geodesic(pelvis, found.q, truth.q)[good].mean()),
            mpblpe_mm=1e3 * float(np.linalg.norm(found.landmarks - truth.landmarks, axis=-1)[good].mean()),
            mae_body_mm=1e3 * float(np.abs(lengths - self._along(truth.scales))[good].mean()),
            jitter_m_s2=jitter,
            true_jitter_m_s2=true_jitter,
            acceleration_error_m_s2=error,
            bone_length_variation_percent=100.0 * float((lengths.std(1) / lengths.mean(1)).mean()),
            ms_per_frame=float(np.median(ms)),
            frames=int(good.sum()),
            angles=group(np.flatnonzero(self._turning), degree),
            place=group(self._layout.place, 1e3),
            groups={name: group(columns, degree) for name, columns in self._groups.items()},
        )

    def _along(self, scales: Floats) -> Floats:
        """(N, T, B, 3) -> (N, T, B) m: lengths along the longest axes."""
        result: Floats = scales[..., np.arange(len(self._axis)), self._axis] * self.lengths
        return result

    def _nearer(self, q: Floats, truth: Floats, raw: Floats) -> Floats:
        """-> (N, T, Q) errors, those of free joints of the way of writing them that is nearer to the truth's: what
        their sigmas speak of."""
        result = raw.copy()
        for joint in self._layout.free:
            own, true = q[..., joint.coordinates], truth[..., joint.coordinates]
            other = np.stack([own[..., 0] + np.pi, np.pi - own[..., 1], own[..., 2] + np.pi], -1)
            one, two = wrapped(own - true), wrapped(other - true)
            nearer = np.abs(one).sum(-1) <= np.abs(two).sum(-1)
            result[..., joint.coordinates] = np.where(nearer[..., None], one, two)
        return result


def longest_axes(model: SkeletonModel) -> tuple[NDArray[np.int64], Floats]:
    """-> the axis (B,) along which each unscaled body is longest, and how long (B,) m: what its joint centres and
    markers span.  A body whose mass centre lies beyond all of them (the ulna) is taken for a rod: twice as far."""
    axes, lengths = [], []
    for number, body in enumerate(model.bodies):
        points = [np.zeros(3)]
        points += [joint.parent_frame.position for joint in model.joints if joint.parent == number]
        points += [joint.child_frame.position for joint in model.joints if joint.child == number]
        points += [marker.location for marker in model.markers if marker.body == number]
        span = np.ptp(np.array(points), axis=0)
        if np.abs(body.mass_centre).max() > span.max():
            span = 2.0 * np.abs(body.mass_centre)
        axes.append(int(span.argmax()))
        lengths.append(float(span.max()))
    return np.array(axes, np.int64), np.array(lengths)


def offset_free(errors: Floats, good: NDArray[np.bool_]) -> Floats:
    """(N, T, Q) errors -> less each sequence's median over its good frames."""
    result = errors.copy()
    for row, kept in zip(result, good, strict=True):
        if kept.any():
            row -= np.median(row[kept], axis=0)
    return result


def acceleration(points: Floats, times: Floats, good: NDArray[np.bool_]) -> tuple[float, int]:
    """points (N, T, B, 3) m at times (N, T) s -> their mean acceleration (m/s^2) over the good triples of frames, and
    how many there are."""
    step = np.diff(times, axis=1)
    velocity = np.diff(points, axis=1) / step[..., None, None]
    middle = 0.5 * (step[:, 1:] + step[:, :-1])
    size = np.linalg.norm(np.diff(velocity, axis=1) / middle[..., None, None], axis=-1)
    three = good[:, 2:] & good[:, 1:-1] & good[:, :-2]
    return float(size[three].mean()), int(three.sum())


def wrapped(angle: Floats) -> Floats:
    """rad -> the same turn within half a turn."""
    result: Floats = np.mod(angle + np.pi, 2.0 * np.pi) - np.pi
    return result


def _geodesic(joint: FreeJoint, q: Floats, truth: Floats) -> Floats:
    """-> (N, T) degrees: the one turn between two rotations of a free joint."""
    between = np.swapaxes(joint.rotation(q[..., joint.coordinates]), -1, -2) @ joint.rotation(
        truth[..., joint.coordinates]
    )
    # By sine and cosine: the cosine alone tells nothing of small turns.
    skew = between - np.swapaxes(between, -1, -2)
    sine = np.sqrt((skew**2).sum((-1, -2)) / 8.0)
    cosine = 0.5 * (np.trace(between, axis1=-2, axis2=-1) - 1.0)
    result: Floats = np.degrees(np.arctan2(sine, cosine))
    return result
