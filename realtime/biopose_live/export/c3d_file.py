"""Writes C3D (the C3D file format user guide, Motion Lab Systems) with the library ezc3d.

Points are the skeleton's markers, then the joint centres (``femur_r_centre``: the hip), in millimetres, world frame,
y up (POINT:X_SCREEN, Y_SCREEN); then for each joint with angles one point (``hip_r_angles``) whose X, Y, Z are the
joint's rotational coordinates in their order, in degrees, as clinical software stores angles: POINT:ANGLES lists them
and POINT:DESCRIPTIONS names the coordinates.  A point that is missing has residual -1.

Dimensions: N frames, M markers, B bodies, Q coordinates, P points.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biopose_live import __version__
from biopose_live.errors import EXIT_SINK, UserError
from biopose_live.skeleton.model import FloatArray, SkeletonModel

MM = 1000.0
MAX_FRAMES = 65_535  # a C3D header counts frames in 16 bits


def angle_points(model: SkeletonModel) -> list[tuple[str, list[int]]]:
    """For each joint with rotational coordinates: the point's label and the coordinates (up to three) in it.

    A joint of more than three gets several points.
    """
    points: list[tuple[str, list[int]]] = []
    for number, joint in enumerate(model.joints):
        turning = [at for at, c in enumerate(model.coordinates) if c.joint == number and c.rotational]
        for start in range(0, len(turning), 3):
            suffix = f"_{start // 3 + 1}" if start else ""
            points.append((f"{joint.name}_angles{suffix}", turning[start : start + 3]))
    return points


def angle_values(points: Sequence[tuple[str, list[int]]], q: FloatArray) -> FloatArray:
    """Degrees (N, P, 3) of ``points`` from coordinates ``q`` (N, Q) rad; unused axes are zero."""
    values = np.zeros((len(q), len(points), 3))
    for at, (_, coordinates) in enumerate(points):
        values[:, at, : len(coordinates)] = np.degrees(q[:, coordinates])
    values[np.isnan(q).any(axis=1)] = np.nan
    return values


def write_c3d(
    path: Path, person: int, model: SkeletonModel, rate: float, first: int, points: tuple[FloatArray, ...]
) -> None:
    """Writes markers (N, M, 3) m, joint centres (N, B, 3) m and coordinates (N, Q) rad, the three ``points``.

    ``first`` is the number (from 0) of the first frame at ``rate`` (Hz). Raises UserError (sink) when the file cannot
    be written, ImportError without ezc3d, ValueError for more than `MAX_FRAMES` frames.
    """
    import ezc3d

    markers, centres, q = points
    if len(q) > MAX_FRAMES:
        raise ValueError(f"{len(q)} frames, at most {MAX_FRAMES} fit")
    angles = angle_points(model)
    labels = _labels(model, angles)
    about = ["marker"] * len(model.markers) + ["joint centre"] * len(model.bodies)
    about += [", ".join(model.coordinates[at].name for at in coordinates) for _, coordinates in angles]
    values = np.concatenate([markers * MM, centres * MM, angle_values(angles, q)], axis=1)  # (N, P, 3)
    data = np.ones((4, len(labels), len(q)))
    data[:3] = values.transpose(2, 1, 0)
    file = ezc3d.c3d()
    group = file["parameters"]["POINT"]
    group["UNITS"]["value"] = ["mm"]
    group["RATE"]["value"] = [rate]
    group["LABELS"]["value"] = labels
    group["DESCRIPTIONS"]["value"] = about
    for name, value in (("X_SCREEN", "+X"), ("Y_SCREEN", "+Y"), ("ANGLE_UNITS", "deg")):
        file.add_parameter("POINT", name, [value])
    if angles:
        file.add_parameter("POINT", "ANGLES", labels[-len(angles) :])
    file.add_parameter("MANUFACTURER", "SOFTWARE", ["biopose-live"])
    file.add_parameter("MANUFACTURER", "VERSION_LABEL", [__version__])
    file.add_parameter("SUBJECTS", "USED", [1])
    file.add_parameter("SUBJECTS", "NAMES", [f"person_{person}"])
    file["data"]["points"] = data
    file["header"]["points"]["first_frame"] = first if first + len(q) <= MAX_FRAMES else 0
    try:
        path.touch()  # says by name what is wrong with the place, which the library does not
        file.write(str(path))
        written = path.stat().st_size
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"Cannot write {path} ({reason}): choose another folder with --out.", EXIT_SINK) from error
    if written < data.size * 4:
        raise UserError(f"{path} could not be written whole: free some space and export again.", EXIT_SINK)


def _labels(model: SkeletonModel, angles: Sequence[tuple[str, list[int]]]) -> list[str]:
    """Every point's label, no two alike."""
    wanted = [*model.marker_names, *(f"{name}_centre" for name in model.body_names), *(label for label, _ in angles)]
    labels: list[str] = []
    taken: set[str] = set()
    for label in wanted:
        free, number = label, 2
        while free in taken:
            free, number = f"{label}_{number}", number + 1
        taken.add(free)
        labels.append(free)
    return labels
