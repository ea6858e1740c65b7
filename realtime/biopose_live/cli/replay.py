"""`biopose-live --replay DIR`: shows a recording in the browser until Ctrl-C."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from biopose_live.cli.viewer import open_viewer
from biopose_live.errors import EXIT_OK, EXIT_SOURCE, UserError
from biopose_live.settings import Settings
from biopose_live.sinks.viewer.access import ViewAccess, ViewAddress, listening_socket

if TYPE_CHECKING:
    from rich.console import Console

    from biopose_live.pipeline.live import Interruption
    from biopose_live.sinks.viewer.replay import ReplayServer

LOOK_S = 0.1  # between two looks for Ctrl-C
VIDEO = "replay.mp4"


def run_replay(console: Console, settings: Settings, address: ViewAddress) -> int:
    """-> exit code.  Raises UserError when the recording cannot be shown."""
    from biopose_live.pipeline.live import interruptible
    from biopose_live.sinks.frame_index import FrameIndex
    from biopose_live.sinks.recorded_video import playable_video
    from biopose_live.sinks.viewer.replay import ReplayServer

    folder = settings.replay
    assert folder is not None
    frames = FrameIndex(folder)
    with tempfile.TemporaryDirectory(prefix="biopose-replay-") as scratch, interruptible(None) as interruption:
        try:
            video, notes = playable_video(folder, Path(scratch) / VIDEO)
        except OSError as error:
            raise UserError(f"{folder} cannot be read ({error.strerror}).", EXIT_SOURCE) from error
        if frames.damage is not None:
            notes.insert(0, f"The recording was cut short or is damaged ({frames.damage}): what is there plays.")
        seconds = (frames.times[-1] - frames.times[0]) / 1e9
        pictures = "" if video is None else f", video of {video.pictures} pictures"
        console.print(f"{folder}: {len(frames)} frames, {seconds:.1f} s{pictures}.", markup=False, soft_wrap=True)
        for note in notes:
            console.print(note, markup=False, soft_wrap=True)
        access = open_viewer(console, settings, address)
        name = folder.resolve().name
        asyncio.run(_serve(access, ReplayServer(access, frames, video, notes, name, body=settings.body), interruption))
    return EXIT_OK


async def _serve(access: ViewAccess, server: ReplayServer, interruption: Interruption) -> None:
    """Serves until somebody presses Ctrl-C.  Raises UserError (sink) when the port was taken meanwhile."""
    from biopose_live.errors import EXIT_SINK
    from biopose_live.sinks.viewer.certificate import tls_context

    try:
        sock = listening_socket(access.host, access.port)
        await server.start(sock, tls_context(access.certificate))
    except OSError as error:
        raise UserError(
            f"The viewer cannot listen on {access.host}:{access.port} ({error.strerror}): choose another with --view.",
            EXIT_SINK,
        ) from error
    try:
        while interruption() is None:
            await asyncio.sleep(LOOK_S)
    finally:
        await server.stop()
