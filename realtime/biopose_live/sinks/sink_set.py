"""All outputs of a run behind one object.  An output that fails later on ends alone; the others go on.

Back-pressure: none is passed on.  The publisher and the viewer drop for slow receivers; the recorder writes to local
files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from biopose_client import schema
from biopose_live.pipeline.control import settings_to_map
from biopose_live.pipeline.live_calibration import CalibrationState, CalibrationWish
from biopose_live.settings import Settings
from biopose_live.sinks.publish import Publisher, parse_address
from biopose_live.sinks.session_meta import build_meta
from biopose_live.sinks.viewer.access import ViewAccess
from biopose_live.stages import Announcer, FrameFinder

if TYPE_CHECKING:
    from biopose_live.pipeline.metrics import Summary
    from biopose_live.sinks.film import Film
    from biopose_live.sinks.record import Recorder
    from biopose_live.sinks.viewer.pictures import Pictures
    from biopose_live.sinks.viewer.viewer import Viewer

log = logging.getLogger(__name__)


class SinkSet:
    """Publishes and records as the settings say, and shows the run in browsers when it is told where (`view`).

    Raises UserError when an output cannot begin (port in use, folder not empty, a model file missing).
    """

    def __init__(
        self,
        settings: Settings,
        session: str,
        *,
        frames: FrameFinder | None = None,
        view: ViewAccess | None = None,
        announced: Announcer | None = None,
    ) -> None:
        self._frames = self._frames_with_somebody = 0
        meta = build_meta(settings, session)
        address = parse_address(settings.publish)
        self._publisher = None if address is None else Publisher(address, meta)
        self._recorder: Recorder | None = None
        self._viewer: Viewer | None = None
        self._pictures: Pictures | None = None
        self._film: Film | None = None
        if frames is not None and (view is not None or settings.record_video):
            # Imported here: what neither shows nor films needs no encoder.
            from biopose_live.sinks.viewer.pictures import Pictures

            self._pictures = Pictures(frames, settings.every_frame, announced)
        try:
            if settings.record is not None:
                # Imported here: it poses the skeleton and needs numba, 0.2 s that publishing alone does not pay.
                from biopose_live.sinks.record import Recorder

                self._recorder = Recorder(settings.record, meta, settings_to_map(settings))
                if self._pictures is not None and settings.record_video:
                    from biopose_live.sinks.film import next_video

                    self._film = self._pictures.film(next_video(settings.record))
        except BaseException:
            if self._pictures is not None:
                self._pictures.close()
            if self._publisher is not None:
                self._publisher.close()
            raise
        if view is not None and self._pictures is not None:
            from biopose_live.sinks.viewer.viewer import Viewer

            self._viewer = Viewer(view, self._pictures, meta, settings_to_map(settings), source_name(settings))
        self.idle()

    @property
    def address(self) -> str | None:
        """Where poses are published, None when they are not."""
        return None if self._publisher is None else self._publisher.address

    @property
    def problems(self) -> Sequence[str]:
        """One sentence for each output that had to be given up."""
        outputs = (self._recorder, self._viewer, self._pictures, self._film)
        return [output.problem for output in outputs if output is not None and output.problem is not None]

    def write(self, pose: schema.Pose) -> None:
        """Hands one frame's people to every output."""
        self._frames += 1
        self._frames_with_somebody += bool(pose.people)
        packed = schema.pack(pose)
        if self._publisher is not None:
            self._publisher.keep_alive(time.monotonic_ns())
            self._publisher.send(packed)
        if self._recorder is not None:
            self._recorder.write(pose, packed[len(schema.TOPIC_POSE) :])
        if self._viewer is not None:
            self._viewer.write(pose, packed)
        if self._pictures is not None:
            self._pictures.show(pose.seq, pose.t_capture)

    def health(self, health: schema.Health) -> None:
        """Hands on the pipeline's state."""
        packed = schema.pack(health)
        if self._publisher is not None:
            self._publisher.send(packed)
        if self._viewer is not None:
            self._viewer.health(health, packed)

    @property
    def wish(self) -> CalibrationWish | None:
        """Whom a viewer wants measured, None while nobody has wanted that."""
        return None if self._viewer is None else self._viewer.calibrations.wish

    def calibration(self, state: CalibrationState) -> None:
        """Hands on how far a measurement is."""
        if self._viewer is not None:
            self._viewer.calibrations.update(state)

    def idle(self) -> None:
        """Does what is due without a pose: `meta` each second, writing what waits."""
        if self._publisher is not None:
            self._publisher.keep_alive(time.monotonic_ns())
        if self._recorder is not None:
            self._recorder.idle()

    def close(self, summary: Summary) -> None:
        """Completes every output; called once."""
        if self._frames and not self._frames_with_somebody and self._frames == summary.processed:
            log.warning(
                "Nobody was seen in any of the %d frames: one person should be in the picture, from head to feet.",
                self._frames,
            )
        try:
            if self._pictures is not None and self._film is not None:
                self._pictures.end_film(self._film)
            if self._recorder is not None:
                self._recorder.close(summary)
            if self._viewer is not None:
                self._viewer.close()
            if self._pictures is not None:
                self._pictures.close()
        finally:
            if self._publisher is not None:
                self._publisher.close()


def source_name(settings: Settings) -> str:
    """-> the source in a few words; of an address only the host, since the rest may hold a password."""
    if settings.demo:
        return "demo clip"
    if settings.camera is not None:
        return f"camera {settings.camera}"
    if settings.video is not None:
        return settings.video.name
    return urlsplit(settings.url or "").hostname or "stream"
