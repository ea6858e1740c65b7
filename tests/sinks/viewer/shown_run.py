"""A made-up run in front of a viewer."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from itertools import count

import numpy as np

from biopose_client import schema
from biopose_live.pipeline.control import settings_to_map
from biopose_live.pipeline.ring import FrameRing
from biopose_live.settings import Settings
from biopose_live.sinks.viewer.access import ViewAccess
from biopose_live.sinks.viewer.pictures import Pictures
from biopose_live.sinks.viewer.viewer import Viewer

WIDTH, HEIGHT, RATE = 160, 120, 30.0
_numbers = count()


class Show:
    """A run at 30 frames/s: pictures in a ring, poses into the viewer."""

    def __init__(
        self, access: ViewAccess, meta: schema.Meta, make_pose: Callable[..., schema.Pose], record_video: bool = False
    ) -> None:
        self.access = access
        self.meta = meta
        self.captured: set[int] = set()  # capture times, ns
        self.longest_write = 0.0  # s that `write` took at worst
        self.ring = FrameRing.create(f"viewertest_{os.getpid()}_{next(_numbers)}", capacity=WIDTH * HEIGHT * 3)
        self.pictures = Pictures(self.ring)
        settings = settings_to_map(Settings(demo=True, record_video=record_video))
        self.viewer = Viewer(access, self.pictures, meta, settings, "demo clip")
        self._make_pose = make_pose
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for seq in count():
            if self._finished.wait(1.0 / RATE):
                return
            t = time.monotonic_ns()
            picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
            picture[:, seq % WIDTH] = 255
            self.ring.write(seq, t, picture, 0)
            pose = self._make_pose(seq)
            pose.t_capture, pose.t_publish, pose.image = t, t + 1_000_000, [WIDTH, HEIGHT]
            self.captured.add(t)
            before = time.monotonic()
            self.viewer.write(pose, schema.pack(pose))
            self.pictures.show(seq, t)
            self.longest_write = max(self.longest_write, time.monotonic() - before)

    @property
    def base(self) -> str:
        return self.access.url.partition("/?")[0]

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access.token}"}

    def close(self) -> None:
        self._finished.set()
        self._thread.join()
        self.viewer.close()
        self.pictures.close()
        self.ring.close()
