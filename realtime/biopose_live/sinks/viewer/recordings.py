"""Recordings that a viewer starts and stops: the folder of `--record` in a temporary place, downloaded as a zip.

Back-pressure: poses wait in a bounded queue for a thread of its own, because the first recording of a run compiles the
skeleton's kinematics, which must not hold up the other outputs; when it is full, poses are left out and counted.
"""

from __future__ import annotations

import logging
import queue
import secrets
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from biopose_client.schema import Meta, Pose
from biopose_live.errors import EXIT_SINK, UserError
from biopose_live.pipeline.metrics import Histogram, Percentiles, StageSummary, Summary
from biopose_live.sinks.film import VIDEO_FILE

if TYPE_CHECKING:
    from biopose_live.sinks.viewer.pictures import Pictures

QUEUE = 1800  # poses: a minute at 30 per second
LEAST_FREE_BYTES = 200_000_000
ID_BYTES = 12

log = logging.getLogger(__name__)


class Finished(msgspec.Struct):
    """A recording that can be downloaded."""

    id: str
    frames: int
    seconds: float
    bytes: int
    problem: str | None


class _Tally:
    """What `session.json` says about a recording."""

    def __init__(self) -> None:
        self.frames = self.left_out = 0
        self._first: Pose | None = None
        self._last: Pose | None = None
        self._latency = Histogram()
        self._stages: dict[str, Histogram] = {}

    def add(self, pose: Pose) -> None:
        self.frames += 1
        self._first = self._first or pose
        self._last = pose
        self._latency.add([(pose.t_publish - pose.t_capture) / 1e6])
        for name, ms in pose.stages.items():
            self._stages.setdefault(name, Histogram()).add([ms])

    @property
    def seconds(self) -> float:
        return (
            0.0 if self._first is None or self._last is None else (self._last.t_capture - self._first.t_capture) / 1e9
        )

    def summary(self, session: str, settings: dict[str, Any]) -> Summary:
        captured = 0 if self._first is None or self._last is None else self._last.seq - self._first.seq + 1
        count, seconds = self.frames, self.seconds

        def row(percentiles: Percentiles) -> StageSummary:
            return StageSummary(percentiles, count, count, 0, 0)

        return Summary(
            session=session,
            settings=settings,
            captured=captured,
            processed=count,
            dropped=max(captured - count, 0),
            seconds=seconds,
            fps=(count - 1) / seconds if seconds > 0.0 else 0.0,
            latency=self._latency.percentiles(),
            stages={name: row(times.percentiles()) for name, times in self._stages.items()},
            end_reason="stopped in the viewer",
            problems=[f"{self.left_out} frames were left out: the disk did not keep up."] if self.left_out else [],
        )


class _Running(threading.Thread):
    """One recording while it goes on."""

    def __init__(self, folder: Path, meta: Meta, settings: dict[str, Any], pictures: Pictures | None) -> None:
        super().__init__(name="viewer recording", daemon=True)
        self.folder = folder
        self._pictures = pictures
        # Beside the folder at first: the video begins at once, the folder once the recorder is ready.
        self._film = None if pictures is None else pictures.film(folder.with_suffix(".mp4"))
        self.failure: str | None = None
        self.tally = _Tally()
        self._meta, self._settings = meta, settings
        self._poses: queue.Queue[tuple[Pose, bytes] | None] = queue.Queue(QUEUE)

    def feed(self, pose: Pose, packed: bytes) -> None:
        try:
            self._poses.put_nowait((pose, packed))
        except queue.Full:
            self.tally.left_out += 1

    def complete(self) -> None:
        """Ends it; waits until its files are whole."""
        if self._film is not None and self._pictures is not None:
            self._pictures.end_film(self._film)
        self._poses.put(None)
        self.join()

    def run(self) -> None:
        # Imported here: it poses the skeleton and needs numba, which a run that never records does not pay.
        from biopose_live.sinks.record import Recorder

        try:
            recorder = Recorder(self.folder, self._meta, self._settings)
        except UserError as error:
            self.failure = str(error)
            while self._poses.get() is not None:
                pass
            return
        while (item := self._poses.get()) is not None:
            pose, packed = item
            recorder.write(pose, packed)
            self.tally.add(pose)
        film = self._film
        self.failure = recorder.problem or (None if film is None else film.problem)
        if film is not None and film.path.exists():
            film.path.replace(self.folder / VIDEO_FILE)
        summary = self.tally.summary(self._meta.session, self._settings)
        summary.problems += [] if self.failure is None else [self.failure]
        recorder.close(summary)
        self.failure = self.failure or recorder.problem


class RecordingDesk:
    """All recordings that viewers have made in this run; `feed` belongs to the sinks' thread, the rest to anyone's."""

    def __init__(self, meta: Meta, settings: dict[str, Any], pictures: Pictures | None = None) -> None:
        """`pictures`: recordings hold the video, too."""
        self._meta, self._settings, self._pictures = meta, settings, pictures
        self._root: Path | None = None
        self._running: tuple[str, _Running] | None = None
        self._finished: dict[str, Finished] = {}
        self._kept: set[str] = set()  # not downloaded yet
        self._lock = threading.Lock()

    @property
    def running(self) -> str | None:
        """The id of the recording that goes on."""
        running = self._running
        return None if running is None else running[0]

    @property
    def frames(self) -> int:
        """How many frames the recording that goes on has so far."""
        running = self._running
        return 0 if running is None else running[1].tally.frames

    def feed(self, pose: Pose, packed: bytes) -> None:
        """Takes one pose, `packed` without its topic; never waits."""
        running = self._running
        if running is not None:
            running[1].feed(pose, packed)

    def start(self) -> str:
        """-> the new recording's id.  Raises UserError when one is running already, or the disk is nearly full."""
        with self._lock:
            if self._running is not None:
                raise UserError("A recording is running already: stop it first.", EXIT_SINK)
            try:
                if self._root is None:
                    self._root = Path(tempfile.mkdtemp(prefix="biopose-recordings-"))
                free = shutil.disk_usage(self._root).free
            except OSError as error:
                raise UserError(f"No temporary folder can be made ({error.strerror}).", EXIT_SINK) from error
            if free < LEAST_FREE_BYTES:
                raise UserError(
                    f"{self._root.parent} has {free / 1e6:.0f} MB free, {LEAST_FREE_BYTES / 1e6:.0f} MB are needed to "
                    f"begin: free some.",
                    EXIT_SINK,
                )
            name = secrets.token_urlsafe(ID_BYTES)
            thread = _Running(self._root / name, self._meta, self._settings, self._pictures)
            thread.start()
            self._running = (name, thread)
            return name

    def stop(self) -> Finished:
        """Completes the recording that goes on and packs it; takes as long as the disk does.

        Raises UserError when none is running, or it could not be made at all.
        """
        with self._lock:
            if self._running is None:
                raise UserError("No recording is running.", EXIT_SINK)
            (name, thread), self._running = self._running, None
            thread.complete()
            if thread.failure is not None and not thread.folder.is_dir():
                raise UserError(thread.failure, EXIT_SINK)
            try:
                size = _pack(thread.folder, self._archive(name))
            except OSError as error:
                raise UserError(
                    f"The recording in {thread.folder} could not be packed ({error.strerror}): it is kept there.",
                    EXIT_SINK,
                ) from error
            shutil.rmtree(thread.folder, ignore_errors=True)
            found = Finished(name, thread.tally.frames, round(thread.tally.seconds, 3), size, thread.failure)
            self._finished[name] = found
            self._kept.add(name)
            return found

    def archive(self, name: str) -> Path | None:
        """-> the zip of a finished recording, None when there is none of that id."""
        return self._archive(name) if name in self._finished else None

    def downloaded(self, name: str) -> None:
        """Notes that somebody has it, so that it need not be kept after the run."""
        self._kept.discard(name)

    def _archive(self, name: str) -> Path:
        assert self._root is not None
        return self._root / f"{name}.zip"

    def close(self) -> None:
        """Completes what is running and removes what was downloaded; says where the rest is."""
        if self._running is not None:
            try:
                self.stop()
            except UserError as error:
                log.warning("%s", error)
        if self._root is None:
            return
        if self._kept:
            log.warning("%d recordings were not downloaded and are kept in %s.", len(self._kept), self._root)
            return
        shutil.rmtree(self._root, ignore_errors=True)


def _pack(folder: Path, archive: Path) -> int:
    """Writes the folder's files into a zip; -> its size.  Raises OSError."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for path in sorted(folder.iterdir()):
            packed.write(path, path.name, zipfile.ZIP_STORED if path.suffix == ".mp4" else None)
    return archive.stat().st_size
