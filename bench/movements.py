"""Everyday movements of the shipped skeleton, as coordinates: what the inverse kinematics benchmark has to find again.

Walking follows the sagittal curves that gait books agree on to a few degrees (Perry and Burnfield 2010, Gait Analysis,
ch. 3-6; Winter 2009, Biomechanics and Motor Control, appendix A); squatting keeps the feet flat; reaching raises both
arms overhead, a third of it in the shoulder girdle (Inman 1944).  Nothing here is measured: joints that the books leave
out drift smoothly by a few degrees, so that every coordinate moves.

Letters: T frames, Q coordinates.  Ground frame: x forward, y up, z right; m and rad.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import SkeletonModel

Floats = NDArray[np.float64]
Movement = Callable[[SkeletonModel, Floats], Floats]

CYCLE_S = 1.1
# Degrees at every tenth of the gait cycle, which starts when that side's heel lands.
HIP_FLEXION = (30.0, 27.0, 20.0, 10.0, 0.0, -9.0, -6.0, 11.0, 26.0, 32.0)
KNEE_FLEXION = (5.0, 16.0, 15.0, 8.0, 5.0, 11.0, 35.0, 60.0, 52.0, 20.0)
DORSIFLEXION = (0.0, -5.0, 3.0, 7.0, 10.0, 9.0, -14.0, -9.0, 0.0, 1.0)
TOE_EXTENSION = (0.0, 0.0, 0.0, 0.0, 4.0, 22.0, 30.0, 8.0, 4.0, 4.0)
CONTACT_M = 0.004  # a point of the sole this far above the lowest one bears a third of its share
SOLE = ("CAL", "MT1", "MT5", "TOE")


def periodic(knots: Sequence[float], phase: Floats) -> Floats:
    """The smoothest periodic curve through evenly spaced ``knots``, at ``phase`` (T,) in cycles: its Fourier series."""
    spectrum = np.fft.rfft(knots) / len(knots)
    order = np.arange(len(spectrum))
    share = np.where((order == 0) | (2 * order == len(knots)), 1.0, 2.0) * spectrum
    return np.real(np.exp(2j * np.pi * np.asarray(phase)[:, None] * order) @ share)


def walking(model: SkeletonModel, times: Floats) -> Floats:
    """Level walking in the +x direction: (T, Q) for ``times`` (T,) s.  Each stance foot stays where it landed."""
    q = _standing(model, times)
    cycle = times / CYCLE_S
    for side, phase in (("_r", cycle), ("_l", cycle + 0.5)):
        _add(model, q, "hip_flexion" + side, periodic(HIP_FLEXION, phase))
        _add(model, q, "knee_angle" + side, periodic(KNEE_FLEXION, phase))
        _add(model, q, "ankle_angle" + side, periodic(DORSIFLEXION, phase))
        _add(model, q, "mtp_angle" + side, -periodic(TOE_EXTENSION, phase))
        _add(model, q, "hip_adduction" + side, 5.0 * np.sin(2 * np.pi * phase))
        _add(model, q, "arm_flex" + side, -5.0 - 20.0 * np.cos(2 * np.pi * phase))
        _add(model, q, "elbow_flex" + side, 25.0 - 12.0 * np.cos(2 * np.pi * phase))
    _add(model, q, "pelvis_rotation", 5.0 * np.cos(2 * np.pi * cycle))
    _add(model, q, "thorax_rotation", -9.0 * np.cos(2 * np.pi * cycle))
    _add(model, q, "pelvis_list", 4.0 * np.sin(2 * np.pi * cycle))
    _add(model, q, "lumbar_bending", -3.0 * np.sin(2 * np.pi * cycle))
    _add(model, q, "pelvis_tilt", np.full(len(times), -8.0))
    _add(model, q, "lumbar_extension", np.full(len(times), 5.0))
    _add(model, q, "thorax_extension", np.full(len(times), 3.0))
    for side in ("_r", "_l"):
        _add(model, q, "hip_flexion" + side, np.full(len(times), 8.0))
    return _on_the_floor(model, q)


def squatting(model: SkeletonModel, times: Floats) -> Floats:
    """Down to 110 degrees of knee flexion and up again every 3 s, heels on the floor, arms held out in front."""
    q = _standing(model, times)
    depth = 0.5 - 0.5 * np.cos(2 * np.pi * times / 3.0)
    knee, ankle, tilt = 110.0 * depth, 28.0 * depth, -34.0 * depth
    _add(model, q, "pelvis_tilt", tilt)
    _add(model, q, "lumbar_extension", -6.0 * depth)
    _add(model, q, "thorax_extension", -4.0 * depth)
    _add(model, q, "head_extension", 25.0 * depth)
    for side in ("_r", "_l"):
        _add(model, q, "knee_angle" + side, knee)
        _add(model, q, "ankle_angle" + side, ankle)
        _add(model, q, "hip_flexion" + side, knee - ankle - tilt)  # the sole stays level
        _add(model, q, "hip_adduction" + side, -8.0 * depth)
        _add(model, q, "arm_flex" + side, 110.0 * depth)
    return _on_the_floor(model, q)


def reaching(model: SkeletonModel, times: Floats) -> Floats:
    """Both arms overhead and back every 4 s, in front of the body, a third of the way by the shoulder girdle."""
    q = _standing(model, times)
    raised = 0.5 - 0.5 * np.cos(2 * np.pi * times / 4.0)
    _add(model, q, "lumbar_extension", 5.0 * raised)
    for side in ("_r", "_l"):
        _add(model, q, "arm_flex" + side, 140.0 * raised)
        _add(model, q, "arm_add" + side, -25.0 * raised)
        _add(model, q, "scapula_upward_rot" + side, 30.0 * raised)
        _add(model, q, "scapula_elevation" + side, 15.0 * raised)
        _add(model, q, "scapula_abduction" + side, -15.0 * raised)
        _add(model, q, "elbow_flex" + side, 30.0 - 15.0 * raised)
    return _on_the_floor(model, q)


MOVEMENTS: Mapping[str, Movement] = {"walking": walking, "squatting": squatting, "reaching": reaching}


def with_drift(model: SkeletonModel, q: Floats, times: Floats, degrees: float = 4.0, seed: int = 0) -> Floats:
    """``q`` (T, Q) with slow, independent drifts of about ``degrees`` on every rotation, kept within the limits."""
    rng = np.random.default_rng(seed)
    moved = q.copy()
    for number, coordinate in enumerate(model.coordinates):
        if not coordinate.rotational:
            continue
        rates, phases = rng.uniform(0.1, 0.5, 3), rng.uniform(0.0, 2.0 * np.pi, 3)
        waves = np.sin(2 * np.pi * times[:, None] * rates + phases).sum(axis=1) / np.sqrt(1.5)
        moved[:, number] += np.radians(degrees) * waves
        if coordinate.clamped:
            low, high = coordinate.range
            margin = 0.02 * (high - low)
            moved[:, number] = np.clip(moved[:, number], low + margin, high - margin)
    return moved


def _standing(model: SkeletonModel, times: Floats) -> Floats:
    q = np.tile(model.default_pose(), (len(times), 1))
    for side in ("_r", "_l"):
        _add(model, q, "arm_add" + side, np.full(len(times), -8.0))
        _add(model, q, "pro_sup" + side, np.full(len(times), 80.0))
    return q


def _add(model: SkeletonModel, q: Floats, coordinate: str, degrees: Floats) -> None:
    q[:, model.coordinate_index(coordinate)] += np.radians(degrees)


def _on_the_floor(model: SkeletonModel, q: Floats) -> Floats:
    """Moves the pelvis so that the lowest foot stands on y = 0 and does not slide from one frame to the next."""
    kinematics = Kinematics(model)
    soles = [model.marker_names.index(side + name) for side in "RL" for name in SOLE]
    rest = kinematics.markers(model.default_pose())[soles, 1]  # of the skin above the ground
    tx, ty, tz = (model.coordinate_index(f"pelvis_t{axis}") for axis in "xyz")
    before: tuple[Floats, Floats] | None = None
    for row in q:
        points = kinematics.markers(row)[soles]
        gaps = points[:, 1] - rest
        gaps -= gaps.min()
        row[ty] -= (points[:, 1] - rest).min()
        if before is not None:
            load = np.exp(-(gaps + before[1]) / (2.0 * CONTACT_M))
            row[[tx, tz]] += (load @ (before[0] - points)[:, [0, 2]]) / load.sum()
        before = kinematics.markers(row)[soles], gaps
    return q
