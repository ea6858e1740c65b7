"""Detection stage: a frame's descriptor in, the people of that frame out.

Back-pressure: takes one frame at a time, always the newest that capture has; a frame whose pixels were overwritten
before they could be read is dropped and counted in `lost`.
"""

from __future__ import annotations

import time

from biopose_live.detection.landmark_tracker import LandmarkTracker
from biopose_live.detection.tracks import Tracker
from biopose_live.messages import Detections, FrameRef
from biopose_live.mqhmr import handed_maps
from biopose_live.settings import Settings
from biopose_live.stages import FrameStore
from biopose_live.stages.elapsed import Elapsed


class DetectionStage:
    """Finds and follows people with MediaPipe's networks; raises UserError when the pose model cannot be loaded."""

    name = "detection"

    def __init__(self, settings: Settings, frames: FrameStore) -> None:
        self.lost = 0  # frames overwritten before they were read
        self._frames = frames
        self._elapsed = Elapsed()
        self._landmarker = LandmarkTracker(
            settings.detector, settings.max_people, maps=handed_maps.are_wanted(settings)
        )
        self._tracker = Tracker(settings.max_people)

    def process(self, message: FrameRef) -> Detections | None:
        """-> the people in the frame, perhaps none; None when its pixels are gone."""
        began = time.perf_counter()
        image = self._frames.pixels(message)
        if image is None:
            self.lost += 1
            return None
        t = self._elapsed(message.t_capture)
        raw = self._landmarker(image, t)
        people = self._tracker.update(raw, t / 1e9, message.width, message.height, image)
        return Detections(message, people, {self.name: (time.perf_counter() - began) * 1e3})

    def close(self) -> None:
        self._landmarker.close()
