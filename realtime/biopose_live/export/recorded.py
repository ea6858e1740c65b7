"""What a recording folder holds about each person, as arrays: the input of every exported format.

Coordinates and scales come from `frames.msgpack`, up to the point where a crash cut it short; where that file is gone,
from `angles.mot`, `markers.trc` and `skeleton.osim`.

Dimensions: T frames of a person, B bodies, Q coordinates, M markers.  World frame, s, m, rad.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.export.resampling import FALLBACK_RATE, uniform_rate
from biopose_live.sinks.recording import FRAMES_FILE, SESSION_FILE, Recording
from biopose_live.skeleton.bsk24 import bsk24_path
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import FloatArray, SkeletonModel
from biopose_live.skeleton.mot_file import read_mot
from biopose_live.skeleton.osim_file import read_osim
from biopose_live.skeleton.trc_file import read_trc

_SET = re.compile(r"angles(?:_(\d+))?(?:_part(\d+))?\.mot", re.ASCII)


@dataclass(frozen=True, eq=False)
class RecordedPerson:
    """One person: coordinates ``q`` (T, Q) at ``times`` (T,) s since the recording began.

    ``scales`` (T, B, 3) stretch the bodies of ``model``; the last are those that the calibration arrived at.
    ``markers`` (T, M, 3) and joint ``centres`` (T, B, 3; of the joint that carries the body) are as they were recorded,
    each frame with its own scales.  ``skeleton`` is the person's recorded `.osim`, None where there is none.
    """

    id: int
    model: SkeletonModel
    times: FloatArray
    q: FloatArray
    scales: FloatArray
    markers: FloatArray
    centres: FloatArray
    skeleton: Path | None


@dataclass
class RecordedMotion:
    """Everybody in a recording, its frame ``rate`` (Hz), and ``notes``: what is missing and why, a sentence each."""

    people: list[RecordedPerson]
    rate: float
    notes: list[str] = field(default_factory=list)


class _Session(msgspec.Struct):
    people: list[dict[str, Any]] = []


def load_recording(folder: Path) -> RecordedMotion:
    """Everybody in the recording ``folder``.

    Raises UserError (source) when it is not a recording, holds nobody, or its skeleton cannot be found.
    """
    recording = Recording(folder)
    notes: list[str] = []
    session = _session(folder)
    if session is None:
        notes.append(f"{SESSION_FILE} is missing: the run did not end in order, its last moments may be lost.")
    if (folder / FRAMES_FILE).exists():
        found = _from_frames(recording, session, notes)
    else:
        notes.append(f"{FRAMES_FILE} is missing.")
        found = RecordedMotion([], FALLBACK_RATE, notes)
    if not found.people and any(folder.glob("angles*.mot")):
        found = _from_opensim_files(recording, session, notes)
        notes.append("Poses come from the recorded .mot files, bone lengths from the .osim files.")
    if not found.people:
        raise UserError(f"{folder} holds nobody: there is nothing to export.", EXIT_SOURCE)
    return found


def _session(folder: Path) -> _Session | None:
    try:
        return msgspec.json.decode((folder / SESSION_FILE).read_bytes(), type=_Session)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _from_frames(recording: Recording, session: _Session | None, notes: list[str]) -> RecordedMotion:
    size = len(recording.meta.coordinate_names), (len(recording.meta.body_names), 3)
    frame_times: list[float] = []
    rows: dict[int, list[tuple[float, FloatArray, FloatArray]]] = defaultdict(list)
    skipped: dict[int, int] = defaultdict(int)
    start: int | None = None
    for pose in recording:
        start = pose.t_capture if start is None else start
        time = (pose.t_capture - start) / 1e9
        if not frame_times or time > frame_times[-1]:
            frame_times.append(time)
        for person in pose.people:
            usable = _usable(person.q, person.scales, size)
            if usable is None or (rows[person.id] and time <= rows[person.id][-1][0]):
                skipped[person.id] += 1
            else:
                rows[person.id].append((time, *usable))
    if recording.damage is not None:
        notes.append(f"{recording.damage}: what comes before is exported.")
    notes += [f"{count} frames of person {key} hold no usable pose." for key, count in sorted(skipped.items())]
    people = []
    for number, (key, taken) in enumerate((key, taken) for key, taken in rows.items() if taken):
        times, q, scales = (np.array(part) for part in zip(*taken, strict=True))
        skeleton = _skeleton_of(recording.folder, key, number == 0, session)
        model = _generic_model(recording)
        if model is None:
            model, scales = _recorded_model(recording, key, skeleton), scales / scales[-1]
        people.append(_posed(key, model, times, q, scales, skeleton))
    return RecordedMotion(people, uniform_rate(np.array(frame_times)), notes)


def _usable(
    q: list[float], scales: list[list[float]], size: tuple[int, tuple[int, int]]
) -> tuple[FloatArray, FloatArray] | None:
    try:
        coordinates, factors = np.array(q, float), np.array(scales, float)
    except ValueError:  # rows of different length
        return None
    if coordinates.shape != (size[0],) or factors.shape != size[1]:
        return None
    whole = np.isfinite(coordinates).all() and np.isfinite(factors).all() and (factors > 0.0).all()
    return (coordinates, factors) if whole else None


def _posed(
    key: int, model: SkeletonModel, times: FloatArray, q: FloatArray, scales: FloatArray, skeleton: Path | None
) -> RecordedPerson:
    kinematics = Kinematics(model)
    markers = np.array([kinematics.markers(*row) for row in zip(q, scales, strict=True)])
    centres = np.array([kinematics.joint_centres(*row) for row in zip(q, scales, strict=True)])
    return RecordedPerson(key, model, times, q, scales, markers, centres, skeleton)


def _generic_model(recording: Recording) -> SkeletonModel | None:
    """The unscaled skeleton of the run when it is still the same file: the shipped one, or the user's own."""
    given = recording.settings.get("skeleton")
    path = Path(given) if isinstance(given, str) else bsk24_path()
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
    if digest[:12] not in recording.meta.versions.models.get("skeleton", ""):
        return None
    model = read_osim(path)
    return model if _fits(model, recording) else None


def _fits(model: SkeletonModel, recording: Recording) -> bool:
    meta = recording.meta
    return model.coordinate_names == meta.coordinate_names and model.body_names == meta.body_names


def _recorded_model(recording: Recording, key: int, skeleton: Path | None) -> SkeletonModel:
    """The person's scaled skeleton.  Raises UserError."""
    if skeleton is None:
        raise UserError(
            f"{recording.folder} lacks the skeleton of person {key}, and the skeleton that it was recorded with is not "
            f"the one of this program: export it with the version that recorded it.",
            EXIT_SOURCE,
        )
    model = read_osim(skeleton)
    if not _fits(model, recording):
        raise UserError(f"{skeleton} does not belong to this recording: its coordinates differ.", EXIT_SOURCE)
    return model


def _skeleton_of(folder: Path, key: int, first: bool, session: _Session | None) -> Path | None:
    """The person's `.osim`; of several parts (the program was restarted) the last."""
    named = [
        folder / str(entry["skeleton"])
        for entry in ([] if session is None else session.people)
        if entry.get("id") == key and re.fullmatch(r"skeleton\w*\.osim", str(entry.get("skeleton")))
    ]
    stem = "skeleton" if first else f"skeleton_{key}"
    parts = sorted(folder.glob(f"{stem}_part*.osim"), key=lambda path: (len(path.name), path.name))
    return next((path for path in reversed([folder / f"{stem}.osim", *parts, *named]) if path.is_file()), None)


def _from_opensim_files(recording: Recording, session: _Session | None, notes: list[str]) -> RecordedMotion:
    folder = recording.folder
    sets: dict[int, list[tuple[int, Path]]] = defaultdict(list)
    ids = {str(entry.get("angles")): entry.get("id") for entry in ([] if session is None else session.people)}
    found = [(path, match) for path in folder.glob("angles*.mot") if (match := _SET.fullmatch(path.name))]
    # Plain names are the first person's, whose id only session.json tells; without it, the first that is free.
    first = next(key for key in itertools.count() if str(key) not in {match[1] for _, match in found})
    for path, match in found:
        known = ids.get(path.name)
        key = known if isinstance(known, int) else int(match[1] or first)
        sets[key].append((int(match[2] or 1), path))
    people = [_from_set(recording, key, [path for _, path in sorted(sets[key])], notes) for key in sorted(sets)]
    people = [person for person in people if len(person.times)]
    longest = max((person.times for person in people), key=len, default=np.empty(0))
    return RecordedMotion(people, uniform_rate(longest), notes)


def _from_set(recording: Recording, key: int, parts: list[Path], notes: list[str]) -> RecordedPerson:
    """One person from `.mot`, `.trc` and `.osim`: bone lengths are those of the skeleton throughout."""
    suffix = parts[-1].stem.removeprefix("angles")
    path = recording.folder / f"skeleton{suffix}.osim"
    skeleton = path if path.is_file() else None
    model = _recorded_model(recording, key, skeleton)
    times, q = np.empty(0), np.empty((0, len(model.coordinates)))
    markers = np.empty((0, len(model.markers), 3))
    for part in parts:
        motion = read_mot(part, whole=False)
        if motion.damage is not None:
            notes.append(f"{motion.damage.rstrip('.')}: what comes before is exported.")
        coordinates = motion.coordinates(model)
        keep = np.isfinite(coordinates).all(axis=1) & (motion.times > (times[-1] if len(times) else -np.inf))
        times, q = np.concatenate([times, motion.times[keep]]), np.concatenate([q, coordinates[keep]])
        seen = _recorded_markers(part, model, motion.times[keep], notes)
        markers = np.concatenate([markers, seen])
    scales = np.ones((len(times), len(model.bodies), 3))
    if not len(times):
        return RecordedPerson(key, model, times, q, scales, markers, np.empty((0, len(model.bodies), 3)), skeleton)
    posed = _posed(key, model, times, q, scales, skeleton)
    return posed if np.isnan(markers).any() else replace(posed, markers=markers)


def _recorded_markers(part: Path, model: SkeletonModel, times: FloatArray, notes: list[str]) -> FloatArray:
    """The rows (T, M, 3) of the `.trc` beside ``part`` at ``times``; NaN where it has none."""
    found = np.full((len(times), len(model.markers), 3), np.nan)
    path = part.with_name(part.name.replace("angles", "markers", 1)).with_suffix(".trc")
    if not path.is_file():
        return found
    trajectories = read_trc(path, whole=False)
    if trajectories.damage is not None:
        notes.append(f"{trajectories.damage.rstrip('.')}: what comes before is exported.")
    if list(trajectories.names) != model.marker_names or not len(times) or not len(trajectories.times):
        return found
    at = np.clip(np.searchsorted(trajectories.times, times - 1e-5), 0, len(trajectories.times) - 1)
    same = np.abs(trajectories.times[at] - times) < 1e-5
    found[same] = trajectories.positions[at[same]]
    return found
