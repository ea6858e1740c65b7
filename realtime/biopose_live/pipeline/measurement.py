"""One person's measurement: what the frames of a session tell, and what comes of it.

Used by `biopose-live calibrate`, which has the camera to itself, and by a live run that is asked to measure somebody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.model import EMBEDDED_BODY, BodyModel
from biopose_live.errors import EXIT_SINK, EXIT_SOURCE, UserError
from biopose_live.messages import MeshPerson
from biopose_live.mqhmr.shape import ShapeEstimate
from biopose_live.neurik.calibration import Calibrator
from biopose_live.neurik.kinematic_track import KinematicTrack
from biopose_live.neurik.person_file import Made, PersonFile, Quality, write_person_file
from biopose_live.neurik.shape_session import ShapeSession, with_stature
from biopose_live.rotations import to_matrix
from biopose_live.settings import Settings
from biopose_live.skeleton.choice import load_skeleton, skeleton_path
from biopose_live.skeleton.mass import with_mass
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.skeleton.osim_writer import write_scaled_osim
from biopose_live.stages.neurik import world_from_camera

Floats = NDArray[np.float64]

LEAST_S = 5.0  # of good frames
FITTED_FRAMES = 150  # the newest ones, on which the skeleton's fit is measured


class _Frame(NamedTuple):
    t: float
    rotations: Floats
    translation: Floats
    up: Floats


class Measurement:
    """Takes frames of one person (whose track may be lost and found: `take` by any id)."""

    def __init__(self, unseen: ShapeEstimate) -> None:
        """`unseen`: the shape of somebody of whom nothing has been seen, never settling by itself."""
        self.shapes = ShapeSession(unseen)
        self._kept: deque[_Frame] = deque(maxlen=FITTED_FRAMES)

    @property
    def seconds(self) -> float:
        """Seconds of good frames so far."""
        return self.shapes.seconds

    def take(self, t: float, person: MeshPerson, shape: ShapeEstimate) -> bool:
        """Takes a frame at `t` s and the running shape after it; -> whether it showed the person well."""
        if not self.shapes.add(person.id, shape):
            return False
        self._kept.append(_Frame(t, to_matrix(person.theta), person.translation, person.up))
        return True

    def result(self, settings: Settings, basis: Basis) -> PersonFile:
        """-> what the frames tell.  Raises UserError when they are too few."""
        shapes, body = self.shapes, basis.body
        if shapes.seconds < LEAST_S or len(shapes.blocks) < 2:
            raise UserError(
                f"The person was seen well for {shapes.seconds:.1f} s, {LEAST_S:g} s are needed: one person, from head "
                f"to feet, in good light.",
                EXIT_SOURCE,
            )
        found = shapes.combine()
        betas = found.betas if settings.height is None else with_stature(body, found, settings.height)
        track = KinematicTrack(basis.model, basis.calibrator)
        return PersonFile(
            body=Made.of(settings.body or EMBEDDED_BODY),
            skeleton=Made.of(skeleton_path(settings.skeleton)),
            betas=[round(float(value), 6) for value in betas],
            height=round(body.stature(betas), 4),
            mass=settings.mass,
            body_names=basis.model.body_names,
            scales=[[round(float(value), 6) for value in row] for row in basis.calibrator(betas).scales],
            quality=Quality(
                frames=shapes.frames,
                seconds=round(shapes.seconds, 2),
                spread_mm=round(1e3 * shapes.spread(body), 2),
                marker_residual_mm=round(1e3 * _residual(body, track, betas, self._kept), 2),
            ),
        )


class Basis(NamedTuple):
    """What a measurement is worked out with."""

    body: BodyModel
    model: SkeletonModel
    calibrator: Calibrator

    @staticmethod
    def of(settings: Settings) -> Basis:
        """Raises UserError when the body or skeleton file cannot be used."""
        model = load_skeleton(settings.skeleton)
        if settings.mass is not None:
            model = with_mass(model, settings.mass)
        body = BodyModel.load(settings.body)
        return Basis(body, model, Calibrator(body, model))


def write_person(person: PersonFile, model: SkeletonModel, out: Path) -> None:
    """Writes `out` and the scaled skeleton beside it.  Raises UserError when they cannot be written."""
    write_person_file(person, out)
    try:
        write_scaled_osim(model, np.array(person.scales), None, skeleton_file(out))
    except OSError as error:
        raise UserError(
            f"{skeleton_file(out)} cannot be written ({error.strerror}): give another --out.", EXIT_SINK
        ) from error


def skeleton_file(out: Path) -> Path:
    """-> where the scaled skeleton goes."""
    return out.with_suffix(".osim")


GOOD_SPREAD_MM = 10.0
GOOD_RESIDUAL_MM = 15.0


def report(person: PersonFile) -> list[str]:
    """-> what was found and how good it is, in plain sentences."""
    quality = person.quality
    lines = [
        f"Height {person.height:.2f} m{'' if person.mass is None else f', mass {person.mass:g} kg'}; "
        f"{quality.frames} frames in {quality.seconds:.0f} s.",
        f"Bone lengths agree to {quality.spread_mm:.1f} mm (one-sigma over the session); "
        f"markers fit the skeleton to {quality.marker_residual_mm:.1f} mm.",
    ]
    if not is_good(person):
        lines.append("That is not good: calibrate again, closer to the camera, in good light and tight clothes.")
    return lines


def is_good(person: PersonFile) -> bool:
    """Whether the measurement repeats and fits well enough to be used."""
    return person.quality.spread_mm < GOOD_SPREAD_MM and person.quality.marker_residual_mm < GOOD_RESIDUAL_MM


def _residual(body: BodyModel, track: KinematicTrack, betas: Floats, frames: Iterable[_Frame]) -> float:
    """-> root mean square (m) over the frames of the markers' distance from the skeleton posed to them."""
    squares = []
    for frame in frames:
        _, markers, _ = body.pose_markers(frame.rotations, betas, frame.translation)
        solved = track.update(frame.t, markers @ world_from_camera(frame.up).T, betas, True)
        squares.append(solved.rms**2)
    return float(np.sqrt(np.mean(squares)))
