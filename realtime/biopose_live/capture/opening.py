"""Settings -> the one source they name."""

from __future__ import annotations

import time

from biopose_live.capture.demo import demo_clip
from biopose_live.capture.device import open_camera
from biopose_live.capture.file import Loop, open_video_file
from biopose_live.capture.lavfi import PREFIX, open_lavfi
from biopose_live.capture.network import open_stream
from biopose_live.capture.source import Clock, Sleep, Source
from biopose_live.errors import EXIT_USAGE, UserError
from biopose_live.settings import Settings


def open_source(
    settings: Settings, *, clock: Clock = time.monotonic_ns, sleep: Sleep | None = None, resumed: bool = False
) -> Source:
    """-> the source that `settings` name, already running.

    `resumed`: a live source was there before and may be away for the moment, so that not finding it is no error.
    Raises UserError for what can be told at once (files); a camera or a stream that cannot be opened says so in `read`.
    """
    if settings.demo:
        loop: Loop = "to and fro" if settings.loop else "no"  # a cut would throw whoever is tracked
        return open_video_file(demo_clip(), every_frame=settings.every_frame, loop=loop, clock=clock, sleep=sleep)
    if settings.video is not None:
        again: Loop = "again" if settings.loop else "no"
        return open_video_file(settings.video, every_frame=settings.every_frame, loop=again, clock=clock, sleep=sleep)
    if settings.url is not None:
        if settings.url.startswith(PREFIX):
            return open_lavfi(settings.url, every_frame=settings.every_frame, clock=clock, sleep=sleep)
        return open_stream(settings.url, resumed=resumed, clock=clock)
    if settings.camera is not None:
        return open_camera(settings.camera, resumed=resumed, clock=clock)
    raise UserError("No source was given: use one of --camera, --video, --url or --demo.", EXIT_USAGE)
