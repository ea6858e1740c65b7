"""Video files: paced at real time by their timestamps, or every frame as fast as it is asked for.

The capture time of a frame is `t_start + pts` exactly (pts counted from the first frame, t_start the monotonic clock
when that was decoded), so differences of capture times are differences of pts in both modes.  A container's own frame
count and duration are estimates: everything is decoded, and only a clear shortfall is reported, as a file that breaks
off.

Decoder threads: on 720p H.264 frame threads hold back as many frames as there are threads (4 packets before the first
frame instead of 2 on two cores); they are allowed here, where only throughput counts in `every_frame` mode, and not in
paced mode, which decodes far faster than real time anyway.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import av

from biopose_live.capture.decoding import Pictures, frame_interval_ns, video_stream
from biopose_live.capture.newest import NewestFrame
from biopose_live.capture.reason import reason
from biopose_live.capture.source import Captured, Clock, Sleep, Source
from biopose_live.capture.timeline import NS, MediaTimeline
from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.stages import EndOfStream

log = logging.getLogger(__name__)

Loop = Literal["no", "again", "to and fro"]

LONGEST_NAP_S = 0.5  # so that closing never waits longer
SHORTFALL_S = 0.5  # a file that ends this much before its own duration broke off


def open_video_file(
    path: Path,
    *,
    every_frame: bool,
    loop: Loop = "no",
    clock: Clock = time.monotonic_ns,
    sleep: Sleep | None = None,
) -> Source:
    """-> source of the frames of `path`; raises UserError when it is not a readable video.

    `loop` (at real time): "again" begins anew at the end, a cut; "to and fro" has none, and keeps a short clip's
    pictures in memory."""
    container, stream = open_container(path)
    if every_frame:
        return EveryFrame(str(path), container, stream, clock=clock)
    return Paced(path, container, stream, loop, clock=clock, sleep=sleep)


def open_container(path: Path) -> tuple[Any, Any]:
    """-> (container, its video stream); raises UserError with what is wrong with the file."""
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder, not a video: name the file inside it.", EXIT_SOURCE)
        if not path.exists():
            raise UserError(f"There is no file {path}: check the path given to --video.", EXIT_SOURCE)
        if path.is_file() and path.stat().st_size == 0:
            raise UserError(f"{path} is empty (0 bytes): copy or record it again.", EXIT_SOURCE)
        container = av.open(f"file:{path}")  # the prefix keeps a name like "http:x" a file name
    except PermissionError as error:
        raise UserError(f"{path} may not be read by this user: change its permissions.", EXIT_SOURCE) from error
    except av.error.FFmpegError as error:
        raise UserError(
            f"{path} is not a video that can be read ({reason(error)}): it may be cut off or of another kind; "
            "play it in a video player to check.",
            EXIT_SOURCE,
        ) from error
    stream = video_stream(container)
    if stream is None:
        held = sorted({str(s.type) for s in container.streams}) or ["nothing"]
        container.close()
        raise UserError(f"{path} has no video in it, only {' and '.join(held)}: give a video file.", EXIT_SOURCE)
    return container, stream


def _declared_s(container: Any, stream: Any) -> float | None:
    if stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


class FileFrames:
    """The decoded frames of an open container with their times, and the report on how it ended."""

    def __init__(
        self, name: str, container: Any, stream: Any, threads: str, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self._name = name
        self._container = container
        self._stream = stream
        stream.thread_type = threads
        self._pictures = Pictures(container, stream, stopped)
        self._timeline = MediaTimeline(stream.time_base, frame_interval_ns(stream))
        self._stopped = stopped
        self._expected_s = _declared_s(container, stream)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Yields (ns since the first frame, av.VideoFrame); raises UserError when there was not a single one."""
        interval = frame_interval_ns(self._stream)
        reached, count, problem = 0, 0, ""
        try:
            for picture in self._pictures:
                since_start = self._timeline.advance(picture)
                reached = since_start + interval
                count += 1
                yield since_start, picture
        except av.error.FFmpegError as error:
            problem = reason(error)
        finally:
            self._container.close()
        if self._stopped():
            return
        if count == 0:
            why = problem or "it was cut off or its codec is damaged"
            raise UserError(
                f"{self._name} holds no picture that can be decoded ({why}): give another file.", EXIT_SOURCE
            )
        self._report(reached / NS, problem)

    def _report(self, reached_s: float, problem: str) -> None:
        expected_s = self._expected_s
        if problem:
            log.warning("%s broke off at %.1f s (%s)", self._name, reached_s, problem)
        elif expected_s is not None and reached_s < expected_s - SHORTFALL_S:
            log.warning(
                "%s broke off at %.1f s although it says it is %.1f s long: it may be truncated",
                self._name,
                reached_s,
                expected_s,
            )
        if self._pictures.bad_packets:
            log.warning("%s: %d damaged packets were skipped", self._name, self._pictures.bad_packets)
        if self._timeline.repaired:
            log.warning("%s: %d frames had no usable timestamp", self._name, self._timeline.repaired)


class EveryFrame:
    """Each frame in turn, none dropped, however long the caller takes; `read` never returns None."""

    def __init__(self, name: str, container: Any, stream: Any, *, clock: Clock = time.monotonic_ns) -> None:
        self._container = container
        self._frames = iter(FileFrames(name, container, stream, "AUTO"))
        self._clock = clock
        self._t_start: int | None = None
        self._index = 0

    def read(self, timeout: float) -> Captured:
        try:
            since_start, picture = next(self._frames)
        except StopIteration:
            raise EndOfStream from None
        if self._t_start is None:
            self._t_start = self._clock()
        captured = Captured(self._index, self._t_start + since_start, picture, 0)
        self._index += 1
        return captured

    def close(self) -> None:
        self._container.close()


class Paced:
    """Real time: a thread decodes, waits until each frame is due and keeps the newest."""

    def __init__(
        self,
        path: Path | str,
        container: Any,
        stream: Any,
        loop: Loop = "no",
        *,
        clock: Clock = time.monotonic_ns,
        sleep: Sleep | None = None,
    ) -> None:
        self._stop = threading.Event()
        self._clock = clock
        self._sleep: Sleep = sleep or self._stop.wait
        self._newest = NewestFrame()
        self._path, self._container, self._stream, self._loop = path, container, stream, loop
        self._thread = threading.Thread(target=self._run, name="capture-decode", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            interval = frame_interval_ns(self._stream)
            frames = FileFrames(str(self._path), self._container, self._stream, "SLICE", self._stop.is_set)
            kept: list[tuple[int, Any]] | None = [] if self._loop == "to and fro" else None
            t = self._play(frames, None, kept)
            while self._loop != "no" and not self._stop.is_set():
                if kept is not None:
                    last = kept[-1][0]
                    # The last picture has just been shown, and the first is next.
                    t = self._play([(last - since, picture) for since, picture in kept[-2::-1]], t)
                    t = self._play(kept[1:], t)
                    continue
                container, stream = open_container(Path(self._path))
                frames = FileFrames(str(self._path), container, stream, "SLICE", self._stop.is_set)
                t = self._play(frames, t + interval)
            self._newest.finish(EndOfStream())
        except BaseException as error:  # whatever it is, the caller of `read` must see it
            self._newest.finish(error)

    def _play(
        self, frames: Iterable[tuple[int, Any]], t_start: int | None, kept: list[tuple[int, Any]] | None = None
    ) -> int:
        """Plays `frames` (ns since the start, picture) from `t_start` (ns) or from when the first is decoded, and adds
        them to `kept`; -> when the last was due."""
        due = t_start or 0
        for since_start, picture in frames:
            if t_start is None:
                t_start = self._clock()
            due = t_start + since_start
            self._wait_until(due)
            if self._stop.is_set():
                break
            self._newest.put(picture, due)
            if kept is not None:
                kept.append((since_start, picture))
        return due

    def _wait_until(self, due: int) -> None:
        while not self._stop.is_set() and (remaining := due - self._clock()) > 0:
            self._sleep(min(remaining / NS, LONGEST_NAP_S))

    def read(self, timeout: float) -> Captured | None:
        return self._newest.take(timeout)

    def close(self) -> None:
        self._stop.set()
        self._newest.finish(EndOfStream())
        self._thread.join(timeout=2 * LONGEST_NAP_S)
