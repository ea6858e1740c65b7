"""The pose data set: every motion-capture clip under some folders or archives, retargeted, in one compact npz.

Formats are told apart by what files are called and hold: .bvh, .amc (with an .asf), .npz (AMASS, or exponential-map
clips), .txt and .json (DeepMimic).  Archives (.tar.xz, .tar.gz, .tar, .zip) are read in place.  Clips are read one
after another, so memory holds the result, one clip, and the bytes of one archive.
"""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.training.motion import amass, amc, bvh, deepmimic, expmap
from biopose_live.training.motion.motion import Motion
from biopose_live.training.motion.posture import knee_bend, standing_offset, steady_runs, straighten_knees
from biopose_live.training.motion.retarget import FPS, RestBody, retarget

SUFFIXES = (".bvh", ".amc", ".asf", ".npz", ".txt", ".json")
_ARCHIVES = (".tar.xz", ".tar.gz", ".tgz", ".tar.bz2", ".tar", ".zip")
MAX_FILE_BYTES = 1 << 30  # a larger member of an archive is not a motion clip


@dataclass(frozen=True)
class Source:
    """A file found: where (folder or archive, for messages and for finding its neighbours), its name, and its bytes."""

    folder: str
    name: str
    read: Callable[[], bytes]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix.lower()

    def text(self) -> str:
        """The file as text; bytes that are not UTF-8 are replaced (old captures carry comments in any code page)."""
        return self.read().decode("utf-8", errors="replace")


@dataclass(frozen=True)
class ClipReport:
    """One line of the table: clip, frames kept at the data set's rate, seconds, mean hinge residual and mean twist
    correction of the bent joints (degrees)."""

    name: str
    frames: int
    seconds: float
    hinge_residual: float
    twist_correction: float


@dataclass
class PoseSet:
    """Poses of all clips, one after another (N frames in all, C clips).

    `theta` (N, 24, 3) float32, axis-angle, radians; `trans` (N, 3) float32, metres; `clip_index` (N,) int32;
    `clip_names` and `subject`: C strings; `fps`.
    """

    theta: NDArray[np.float32]
    trans: NDArray[np.float32]
    clip_index: NDArray[np.int32]
    clip_names: list[str]
    subject: list[str]
    fps: float

    def save(self, path: Path) -> None:
        """Write the npz; it is complete when it appears under its name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial.npz")
        np.savez_compressed(
            partial,
            theta=self.theta,
            trans=self.trans,
            clip_index=self.clip_index,
            clip_names=np.array(self.clip_names),
            subject=np.array(self.subject),
            fps=np.float32(self.fps),
        )
        partial.replace(path)

    @staticmethod
    def load(path: Path) -> PoseSet:
        """Read what `save` wrote.  Raises UserError where the file is missing or is something else."""
        try:
            with np.load(path, allow_pickle=False) as z:
                return PoseSet(
                    z["theta"],
                    z["trans"],
                    z["clip_index"],
                    [str(name) for name in z["clip_names"]],
                    [str(name) for name in z["subject"]],
                    float(z["fps"]),
                )
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path} is not a pose data set ({error}); make one with python -m biopose_live.training.motion.",
                EXIT_SOURCE,
            ) from error


@dataclass
class _Build:
    theta: list[NDArray[np.float32]] = field(default_factory=list)
    trans: list[NDArray[np.float32]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)


def find(path: Path) -> Iterator[Source]:
    """Motion files under a folder, in an archive, or the one file named, in order of name.

    Raises UserError where `path` does not exist or an archive cannot be read.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist; name a folder or an archive of motion-capture clips.", EXIT_SOURCE)
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        if file.name.lower().endswith(_ARCHIVES):
            yield from _members(file)
        elif file.suffix.lower() in SUFFIXES:
            yield Source(str(file.parent), file.name, file.read_bytes)


def _members(file: Path) -> Iterator[Source]:
    """Motion files in an archive, read into memory one by one (a .xz stream cannot be sought cheaply)."""
    found: list[Source] = []

    def add(member: str, size: int, read: Callable[[], bytes]) -> None:
        inside = PurePosixPath(member)
        if inside.suffix.lower() in SUFFIXES and size <= MAX_FILE_BYTES:
            content = read()
            found.append(Source(f"{file}/{inside.parent}", inside.name, lambda: content))

    try:
        if file.suffix.lower() == ".zip":
            with zipfile.ZipFile(file) as zipped:
                for info in zipped.infolist():
                    if not info.is_dir():
                        add(info.filename, info.file_size, lambda info=info: zipped.read(info))  # type: ignore[misc]
        else:
            with tarfile.open(file) as tar:
                for member in tar:
                    stream = tar.extractfile(member) if member.isfile() else None
                    if stream is not None:
                        add(member.name, member.size, stream.read)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(f"{file} is not a readable archive ({error}); fetch it again.", EXIT_SOURCE) from error
    yield from sorted(found, key=lambda source: (source.folder, source.name))


def subject_of(source: Source) -> str:
    """Who moves, as far as a file's name or folder tells.

    CMU's clips are called subject_trial ("07_01", "007_01"): both conversions of one person get one id.  AMASS keeps a
    folder per subject.  Otherwise the folder's name stands for one person.
    """
    folder = PurePosixPath(source.folder.replace("\\", "/")).name
    numbered = re.fullmatch(r"0*(\d+)_\d+", source.stem)
    if source.suffix in (".bvh", ".amc") and numbered:
        return f"cmu-{int(numbered[1]):02d}"
    return folder or source.stem


def read_all(sources: list[Source], amc_fps: float) -> Iterator[tuple[Source, Motion | UserError]]:
    """Every clip of `sources`; a file that cannot be read gives its UserError instead, and the rest go on."""
    skeletons = {(source.folder, source.stem): source for source in sources if source.suffix == ".asf"}
    clips = [source for source in sources if source.suffix != ".asf"]
    t_poses: dict[tuple[object, ...], bvh.TPose] = {}
    waiting: list[Source] = []  # BVH clips whose rig's T-pose has not been seen yet

    for source in clips:
        try:
            if source.suffix == ".bvh":
                clip = bvh.load(source.text(), source.name)
                if clip.t_pose is not None:
                    t_poses.setdefault(clip.t_pose.key, clip.t_pose)
                elif clip.key not in t_poses:
                    waiting.append(source)
                    continue
                yield source, bvh.to_motion(clip, subject_of(source), t_poses.get(clip.key))
            elif source.suffix == ".amc":
                skeleton = _skeleton_for(source, skeletons)
                yield source, amc.read(source.text(), skeleton.text(), source.name, subject_of(source), amc_fps)
            elif source.suffix == ".npz":
                for motion in _read_npz(source):
                    yield source, motion
            else:
                yield source, deepmimic.read(source.text(), source.name)
        except UserError as error:
            yield source, error
    for source in waiting:
        try:
            clip = bvh.load(source.text(), source.name)
            yield source, bvh.to_motion(clip, subject_of(source), t_poses.get(clip.key))
        except UserError as error:
            yield source, error


def _skeleton_for(source: Source, skeletons: dict[tuple[str, str], Source]) -> Source:
    """The ASF of a clip's subject ("07.asf" for "07_01.amc"), or any of the same folder.

    The laboratory's skeletons differ in bone lengths alone, which retargeting replaces by the body's.
    """
    exact = skeletons.get((source.folder, source.stem.split("_")[0]))
    beside = [found for (folder, _), found in sorted(skeletons.items()) if folder == source.folder]
    if exact is None and not beside:
        raise UserError(
            f"{source.name}: no .asf skeleton beside the .amc file; put the subject's one there.", EXIT_SOURCE
        )
    return exact or beside[0]


def _read_npz(source: Source) -> list[Motion]:
    content = source.read()
    if b"mocap_frame" in content or b"poses.npy" in content:
        return [amass.read(content, source.name, subject_of(source))]
    if b"theta.npy" in content:
        raise UserError(
            f"{source.name}: this is a pose data set already made, not motion capture; left out.", EXIT_SOURCE
        )
    return expmap.read(content, source.stem)


def build(
    paths: Iterable[Path],
    body: RestBody,
    report: Callable[[ClipReport | UserError], None],
    amc_fps: float = amc.CMU_FPS,
) -> PoseSet:
    """Retarget every clip under `paths`; `report` hears of each clip, or of why one was left out.

    Raises UserError where a path does not exist, an archive cannot be read, or no clip could be read at all.
    """
    result = _Build()
    for path in paths:
        for source, motion in read_all(list(find(path)), amc_fps):
            if isinstance(motion, UserError):
                report(motion)
                continue
            done = retarget(motion, body)
            runs = steady_runs(done.theta)
            for number, run in enumerate(runs):
                result.theta.append(done.theta[run])
                result.trans.append(done.trans[run])
                part = f"#{number + 1}" if len(runs) > 1 else ""
                result.names.append(f"{PurePosixPath(source.folder).name}/{motion.name}{part}")
                result.subjects.append(motion.subject)
            kept = sum(run.stop - run.start for run in runs)
            report(
                ClipReport(
                    motion.name,
                    kept,
                    kept / FPS,
                    _mean_degrees(done.hinge_residual),
                    _mean_degrees(done.twist_correction),
                )
            )
    if not result.names:
        raise UserError(
            "No motion-capture clip could be read from the sources named; see the reasons above.", EXIT_SOURCE
        )
    _straighten(result, body)
    lengths = [len(part) for part in result.theta]
    return PoseSet(
        np.concatenate(result.theta),
        np.concatenate(result.trans),
        np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
        result.names,
        result.subjects,
        FPS,
    )


def _straighten(result: _Build, body: RestBody) -> None:
    """Take each subject's standing knee bend out, in place.  One format's skeleton of a person is one subject here."""
    groups: dict[tuple[str, str], list[int]] = {}
    for clip, (name, subject) in enumerate(zip(result.names, result.subjects, strict=True)):
        if len(result.theta[clip]) > 1:  # a lone pose tells nothing about how the subject stands
            groups.setdefault((PurePosixPath(name).parts[0], subject), []).append(clip)
    for clips in groups.values():
        offset = standing_offset(np.concatenate([knee_bend(result.theta[clip], body) for clip in clips]))
        for clip in clips:
            result.theta[clip], result.trans[clip] = straighten_knees(
                result.theta[clip], result.trans[clip], body, offset
            )


def _mean_degrees(values: NDArray[np.float32]) -> float:
    seen = values[np.isfinite(values)]
    return float(np.degrees(seen.mean())) if seen.size else 0.0
