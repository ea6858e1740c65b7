"""Generates ``bsk24.osim``, the project's own 24-body skeleton, from the table of published facts in `bsk24_table`.

``python -m biopose_live.skeleton.bsk24 --out FILE [--height M] [--mass KG]`` writes the model;
``--angles docs/angles.md`` writes what its angles mean.

At the zero pose every body frame is aligned with the ground frame (x forward, y up, z right): the subject stands
upright, arms hanging, palms forward. Origins: pelvis at mid-ASIS, femur at the hip centre, tibia at the knee centre,
talus at the ankle centre, calcn under the heel, toes at the metatarsophalangeal joint, lumbar at L5/S1, thorax at
T12/L1, head at C7/T1, scapula at the sternoclavicular joint, humerus at the shoulder, ulna at the elbow, radius at the
radial head, hand at the wrist.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import numpy as np

from biopose_live.errors import EXIT_SINK, EXIT_USAGE, UserError

from .bsk24_angles import angles_document
from .bsk24_table import ANKLE_HEIGHT, HEIGHT, JOINTS, LANDMARKS, MASS, MASSES, JointRow, Rotation, hip_centre
from .functions import IDENTITY, ZERO
from .model import GROUND, Axis, Body, Coordinate, FloatArray, Frame, Joint, Marker, SkeletonModel, complete_rotations
from .osim_file import read_osim
from .osim_writer import write_osim

HEIGHTS = (0.5, 2.6)
MASSES_KG = (5.0, 400.0)
NOTE = "bsk24: written by biopose_live.skeleton.bsk24 from a table of published facts; edit the table, not this file."
_NO_ROTATION = np.eye(3)


def bsk24_path() -> Path:
    """Where the shipped generic model file lies."""
    return Path(str(files("biopose_live") / "assets" / "skeleton" / "bsk24.osim"))


def load_bsk24() -> SkeletonModel:
    """The shipped generic model (1.70 m, 75 kg). Raises UserError when the file is missing or damaged."""
    return read_osim(bsk24_path())


def build_bsk24(height: float = HEIGHT, mass: float = MASS) -> SkeletonModel:
    """The 24-body skeleton of a person of ``height`` (m) and ``mass`` (kg). Raises UserError for senseless sizes.

    Every length grows with the stature; masses with the mass; radii of gyration with the stature.
    """
    for label, value, (low, high) in (("height", height, HEIGHTS), ("mass", mass, MASSES_KG)):
        if not low <= value <= high:
            unit = "m" if label == "height" else "kg"
            raise UserError(
                f"The {label} {value:g} {unit} is not that of a person; give {low:g} to {high:g} {unit}.", EXIT_USAGE
            )
    ratio = height / HEIGHT
    bodies: list[Body] = []
    joints: list[Joint] = []
    coordinates: list[Coordinate] = []
    numbers: dict[str, int] = {"ground": GROUND}
    for row, side in _sided_joints():
        child = row.child + side
        parent = row.parent + side if row.parent + side in numbers else row.parent
        numbers[child] = len(bodies)
        bodies.append(_body(row.child, side, ratio, mass))
        axes, own = _motions(row, side, len(joints), len(coordinates), ratio)
        coordinates += own
        parent_frame = Frame(_mirrored(row.centre, side) * ratio, _NO_ROTATION)
        joint = Joint(
            row.name + side, numbers[parent], numbers[child], parent_frame, Frame(np.zeros(3), _NO_ROTATION), axes
        )
        joints.append(joint)
    markers = []
    for landmark in LANDMARKS:
        for side in ("_r", "_l") if landmark.paired else ("",):
            body = landmark.body + side if landmark.body + side in numbers else landmark.body
            prefix = {"_r": "R", "_l": "L", "": ""}[side]
            location = _mirrored(landmark.location, side) * ratio
            markers.append(Marker(prefix + landmark.name, numbers[body], location, fixed=True))
    return SkeletonModel("bsk24", tuple(bodies), tuple(joints), tuple(coordinates), markers=tuple(markers))


def _sided_joints() -> list[tuple[JointRow, str]]:
    """Midline joints first, then the right limbs, then the left ones."""
    middle = [(row, "") for row in JOINTS if not row.paired]
    return middle + [(row, side) for side in ("_r", "_l") for row in JOINTS if row.paired]


def _mirrored(point: tuple[float, float, float], side: str) -> FloatArray:
    x, y, z = point
    return np.array([x, y, -z if side == "_l" else z])


def _mirrored_axis(axis: tuple[float, float, float], side: str) -> FloatArray:
    """A rotation axis seen in the sagittal mirror: equal angles on both sides then mean mirrored poses."""
    x, y, z = axis
    direction = np.array([-x, -y, z] if side == "_l" else [x, y, z])
    return direction / np.linalg.norm(direction) + 0.0


def _body(name: str, side: str, ratio: float, total: float) -> Body:
    row = next(row for row in MASSES if row.body == name)
    mass = row.fraction * total
    moments = mass * (np.array(row.radii) * ratio) ** 2
    return Body(name + side, mass, _mirrored(row.centre, side) * ratio, np.concatenate([moments, np.zeros(3)]))


def _motions(
    row: JointRow, side: str, joint: int, first: int, ratio: float
) -> tuple[tuple[Axis, ...], list[Coordinate]]:
    axes: list[Axis] = []
    coordinates: list[Coordinate] = []
    for rotation in row.rotations:
        axes.append(Axis(_mirrored_axis(rotation.axis, side), IDENTITY, first + len(coordinates)))
        coordinates.append(_coordinate(rotation, side, joint))
    axes = complete_rotations(axes)
    floating = row.parent == "ground"
    for number, unit in enumerate(np.eye(3)):
        if not floating:
            axes.append(Axis(unit, ZERO, None))
            continue
        axes.append(Axis(unit, IDENTITY, first + len(coordinates)))
        default = _standing_height() * ratio if number == 1 else 0.0
        name = "pelvis_t" + "xyz"[number]
        coordinates.append(Coordinate(name, joint, False, default, (-100.0, 100.0), clamped=False, locked=False))
    return tuple(axes), coordinates


def _coordinate(rotation: Rotation, side: str, joint: int) -> Coordinate:
    low, high = (math.radians(limit) for limit in rotation.limits)
    return Coordinate(rotation.coordinate + side, joint, True, 0.0, (low, high), rotation.clamped, locked=False)


def _standing_height() -> float:
    """Height (m) of mid-ASIS above the soles of the generic subject, standing at the zero pose."""
    lengths = {row.name: -row.centre[1] for row in JOINTS}
    return lengths["knee"] + lengths["ankle"] + ANKLE_HEIGHT - hip_centre()[1]


def main(arguments: list[str] | None = None) -> int:
    """The command line of the generator; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m biopose_live.skeleton.bsk24", description="Write the 24-body skeleton as an OpenSim 4 model."
    )
    parser.add_argument("--out", type=Path, help="model file to write, for example bsk24.osim")
    parser.add_argument("--height", type=float, default=HEIGHT, help=f"stature in metres (default {HEIGHT})")
    parser.add_argument("--mass", type=float, default=MASS, help=f"body mass in kilograms (default {MASS:g})")
    parser.add_argument("--angles", type=Path, help="document on the meaning of the angles to write (Markdown)")
    options = parser.parse_args(arguments)
    if options.out is None and options.angles is None:
        parser.error("nothing to write: give --out FILE for the model, or --angles FILE for the document")
    try:
        if options.out is not None:
            model = build_bsk24(options.height, options.mass)
            with _writable(options.out):
                write_osim(model, options.out, NOTE)
            print(
                f"{options.out}: {len(model.bodies)} bodies, {len(model.coordinates)} coordinates, {options.height:g} m"
            )
        if options.angles is not None:
            with _writable(options.angles):
                options.angles.write_text(angles_document(), encoding="utf-8")
            print(f"{options.angles}: what the angles mean")
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Turns a failure to write ``path`` into one sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}; choose another file.", EXIT_SINK) from None


if __name__ == "__main__":
    sys.exit(main())
