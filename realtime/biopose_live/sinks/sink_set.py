"""All outputs of a run behind one object.  An output that fails later on ends alone; the others go on.

Back-pressure: none is passed on.  The publisher drops for slow subscribers; the recorder writes to local files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from biopose_client import schema
from biopose_live.pipeline.control import settings_to_map
from biopose_live.settings import Settings
from biopose_live.sinks.publish import Publisher, parse_address
from biopose_live.sinks.session_meta import build_meta

if TYPE_CHECKING:
    from biopose_live.pipeline.metrics import Summary
    from biopose_live.sinks.record import Recorder

log = logging.getLogger(__name__)


class SinkSet:
    """Publishes and records as the settings say.

    Raises UserError when an output cannot begin (port in use, folder not empty, a model file missing).
    """

    def __init__(self, settings: Settings, session: str) -> None:
        self._frames = self._frames_with_somebody = 0
        meta = build_meta(settings, session)
        address = parse_address(settings.publish)
        self._publisher = None if address is None else Publisher(address, meta)
        self._recorder: Recorder | None = None
        try:
            if settings.record is not None:
                # Imported here: it poses the skeleton and needs numba, 0.2 s that publishing alone does not pay.
                from biopose_live.sinks.record import Recorder

                self._recorder = Recorder(settings.record, meta, settings_to_map(settings))
        except BaseException:
            if self._publisher is not None:
                self._publisher.close()
            raise
        self.idle()

    @property
    def address(self) -> str | None:
        """Where poses are published, None when they are not."""
        return None if self._publisher is None else self._publisher.address

    @property
    def problems(self) -> Sequence[str]:
        """One sentence for each output that had to be given up."""
        return [] if self._recorder is None or self._recorder.problem is None else [self._recorder.problem]

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

    def health(self, health: schema.Health) -> None:
        """Hands on the pipeline's state."""
        if self._publisher is not None:
            self._publisher.send(schema.pack(health))

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
            if self._recorder is not None:
                self._recorder.close(summary)
        finally:
            if self._publisher is not None:
                self._publisher.close()
