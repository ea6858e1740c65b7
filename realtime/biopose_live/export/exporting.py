"""Exports a recording: for each person a `.mot`, `.trc`, `.osim`, `.c3d` and `.bvh`, or those that are asked for.

`.mot` keeps the recorded times; `.trc`, `.c3d` and `.bvh` have the uniform times of `resampling`.  `.trc` and `.c3d`
hold the recorded points, each frame with the bone scales of its moment; `.bvh`, whose bones cannot change, and `.osim`
have the scales that the calibration arrived at.  Where a person was away for longer than the gap limit, `.trc` and
`.c3d` mark points as missing; `.bvh`, which knows nothing missing, goes on in another file.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from biopose_live.errors import EXIT_FAILURE, EXIT_SINK, EXIT_USAGE, UserError
from biopose_live.export.bvh_file import best_order, bones, poses, write_bvh
from biopose_live.export.c3d_file import MAX_FRAMES, write_c3d
from biopose_live.export.recorded import RecordedPerson, load_recording
from biopose_live.export.resampling import Grid, gap_limit, grid
from biopose_live.skeleton.opensim_formats import MotionWriter, TrajectoryWriter
from biopose_live.skeleton.osim_file import read_osim
from biopose_live.skeleton.osim_writer import write_scaled_osim

FORMATS = ("mot", "trc", "osim", "c3d", "bvh")
SLACK_M = 1e-3  # bones that miss a joint centre by more are mentioned


@dataclass
class Exported:
    """The files written, in order, and what to know about them, a sentence each."""

    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def export_recording(
    folder: Path,
    formats: Sequence[str] | None = None,
    out: Path | None = None,
    person: int | None = None,
    rate: float | None = None,
) -> Exported:
    """Writes `person_ID.FORMAT` for everybody in the recording ``folder``, or for ``person`` alone, into ``out``.

    ``formats`` are of `FORMATS`, None means all; ``out`` is the recording's folder `export` by default; ``rate`` (Hz)
    replaces the recording's own for uniform times. Raises UserError: see `load_recording`; (usage) for a person or a
    format that is not there, (sink) for a place that cannot be written or holds such a file already, and (failure) for
    a format that was asked for and cannot be made.
    """
    recorded = load_recording(folder)
    ids = [one.id for one in recorded.people]
    if person is not None and person not in ids:
        raise UserError(f"Person {person} is not in {folder}: it holds {', '.join(map(str, sorted(ids)))}.", EXIT_USAGE)
    work = _Work(out or folder / "export", formats is not None, Exported(notes=list(recorded.notes)))
    work.prepare([one for one in ids if person in (None, one)], formats or FORMATS)
    for one in recorded.people:
        if person in (None, one.id):
            uniform = grid(one.times, rate or recorded.rate)
            for name in formats or FORMATS:
                _WRITERS[name](work, one, uniform)
    return work.done


@dataclass
class _Work:
    folder: Path
    asked: bool
    done: Exported

    def prepare(self, ids: Sequence[int], formats: Sequence[str]) -> None:
        """Makes the folder and makes sure that nothing in it would be overwritten."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The folder {self.folder} cannot be made ({error.strerror}): give another one with --out.", EXIT_SINK
            ) from error
        for path in (self.path(one, name) for one in ids for name in formats):
            if path.exists():
                raise UserError(f"{path} exists and nothing is overwritten: give another folder with --out.", EXIT_SINK)

    def path(self, person: int, name: str, part: int = 1) -> Path:
        return self.folder / f"person_{person}{'' if part == 1 else f'_part{part}'}.{name}"

    def impossible(self, sentence: str) -> None:
        """A format that cannot be made: an error when it was asked for, else a note."""
        if self.asked:
            raise UserError(sentence, EXIT_FAILURE)
        if sentence not in self.done.notes:
            self.done.notes.append(sentence)


def _write_mot(work: _Work, person: RecordedPerson, _: Grid) -> None:
    path = work.path(person.id, "mot")
    with MotionWriter.for_model(path, person.model) as writer:
        for time, q in zip(person.times, person.q, strict=True):
            writer.append(float(time), q)
    work.done.files.append(path)


def _write_trc(work: _Work, person: RecordedPerson, uniform: Grid) -> None:
    if not person.model.markers:
        work.impossible(f"The skeleton {person.model.name} has no markers: there is nothing for a .trc file.")
        return
    path = work.path(person.id, "trc")
    with TrajectoryWriter(path, person.model.marker_names, uniform.rate) as writer:
        for time, markers in zip(uniform.times, uniform.linear(person.markers), strict=True):
            writer.append(float(time), markers)
    work.done.files.append(path)
    missing = int(uniform.missing.sum())
    if missing:
        work.done.notes.append(
            f"Person {person.id} is missing in {missing} of {len(uniform.missing)} frames: gaps of more than "
            f"{gap_limit(person.times):.2g} s are not filled."
        )


def _write_osim(work: _Work, person: RecordedPerson, _: Grid) -> None:
    path = work.path(person.id, "osim")
    try:
        if person.skeleton is not None and _readable(person.skeleton):
            shutil.copyfile(person.skeleton, path)
        else:
            write_scaled_osim(person.model, person.scales[-1], None, path)
    except OSError as error:
        raise UserError(
            f"Cannot write {path} ({error.strerror}): choose another folder with --out.", EXIT_SINK
        ) from error
    work.done.files.append(path)


def _readable(skeleton: Path) -> bool:
    try:
        read_osim(skeleton)
    except UserError:  # cut short by a crash: the frames tell the scales as well
        return False
    return True


def _write_c3d(work: _Work, person: RecordedPerson, uniform: Grid) -> None:
    if find_spec("ezc3d") is None:
        work.impossible("C3D needs the package ezc3d, which is not installed: pip install ezc3d.")
        return
    turning = np.array([c.rotational for c in person.model.coordinates])
    q = np.where(turning, uniform.angles(person.q), uniform.linear(person.q))
    points = uniform.linear(person.markers), uniform.linear(person.centres), q
    for part, start in enumerate(range(0, len(q), MAX_FRAMES), 1):
        piece = slice(start, start + MAX_FRAMES)
        path = work.path(person.id, "c3d", part)
        first = uniform.first + start
        markers, centres, angles = (values[piece] for values in points)
        write_c3d(path, person.id, person.model, uniform.rate, first, (markers, centres, angles))
        work.done.files.append(path)
        if part > 1:
            work.done.notes.append(f"{path.name} begins at {first / uniform.rate:.3f} s: a C3D file is full there.")


def _write_bvh(work: _Work, person: RecordedPerson, uniform: Grid) -> None:
    scales = person.scales[-1]
    try:
        bone = bones(person.model, scales)
    except ValueError as error:
        work.impossible(f"BVH knows one root, but of the skeleton {person.model.name} {error}.")
        return
    posed = poses(person.model, bone, scales, person.q)
    orders = [best_order(posed.local[:, place]) for place in range(len(bone.bodies))]
    names = ["_".join(person.model.bodies[body].name.split()) for body in bone.bodies]
    if posed.slack > SLACK_M:
        work.done.notes.append(
            f"The bones of a BVH file are rigid: its joints lie up to {posed.slack * 1000.0:.1f} mm from person "
            f"{person.id}'s, whose skeleton has joints that slide."
        )
    for part, piece in enumerate(uniform.stretches(), 1):
        path = work.path(person.id, "bvh", part)
        write_bvh(path, names, bone, orders, uniform, posed, piece)
        work.done.files.append(path)
        begin = uniform.times[piece.start]
        if begin > 0.0:
            work.done.notes.append(f"{path.name} begins {begin:.3f} s after the recording.")


_WRITERS = {"mot": _write_mot, "trc": _write_trc, "osim": _write_osim, "c3d": _write_c3d, "bvh": _write_bvh}
