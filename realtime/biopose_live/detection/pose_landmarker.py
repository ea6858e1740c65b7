"""MediaPipe Tasks' PoseLandmarker: an RGB frame in, every person's 33 keypoints out.

`follow` is its VIDEO mode: it looks for people only while fewer than `people` are followed, otherwise each one's
keypoints give the next frame's crop, and it smooths keypoints over time.  Without, each frame stands for itself (IMAGE
mode).

Dimension letter: K = 33 keypoints in MediaPipe's order (BlazePose GHUM).
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.messages import FeatureMaps

KEYPOINTS = 33
MODELS = Path(__file__).resolve().parents[1] / "assets" / "mediapipe"
SMALLEST_SIDE = 16  # px; below this nobody can be told and MediaPipe's crops degenerate

# What absl and TensorFlow Lite say at every start although nothing is wrong.
_CHATTER = re.compile(
    rb"^([IW]\d{4} |INFO: |WARNING: Logging before |WARNING: All log messages before |WARNING: \[\w+\.cc:\d+\] )"
)


@dataclass(frozen=True, slots=True)
class RawPerson:
    """One person of one frame, before anybody knows who it is."""

    keypoints: NDArray[np.float32]  # (K, 3) x px, y px, visibility 0..1
    world: NDArray[np.float32]  # (K, 3) m, origin between the hips, camera axes (x right, y down, z forward)
    maps: FeatureMaps | None = None


@contextmanager
def without_chatter() -> Iterator[None]:
    """Holds back standard error of the whole process, native libraries included, then passes on all but `_CHATTER`."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # no standard error at all, as under some services
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not _CHATTER.match(line):
                    os.write(2, line)


def model_path(model: str) -> Path:
    """-> the .task file of "lite", "full" or "heavy"; raises UserError when the package was built without it."""
    path = MODELS / f"pose_{model}.task"
    if not path.is_file():
        raise UserError(
            f"The pose model {path} is missing: run `python realtime/build_models.py` in the source tree, "
            "or install biopose-live again.",
            EXIT_MODEL,
        )
    return path


class PoseLandmarker:
    """Finds up to `people` persons per frame.  Frames must come in order; not for use by two threads at once.

    Raises UserError when the model file is missing or MediaPipe cannot read it.
    """

    def __init__(self, model: str = "full", people: int = 1, *, follow: bool = True) -> None:
        path = model_path(model)
        with without_chatter():
            # Imported here: half a second that only a detecting process should pay.
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision

            self._mediapipe = mediapipe
            options = vision.PoseLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(path), delegate=BaseOptions.Delegate.CPU),
                running_mode=vision.RunningMode.VIDEO if follow else vision.RunningMode.IMAGE,
                num_poses=people,
            )
            try:
                self._landmarker = vision.PoseLandmarker.create_from_options(options)
            except (ValueError, RuntimeError) as error:
                raise UserError(
                    f"MediaPipe cannot use the pose model {path} ({str(error).splitlines()[0]}): "
                    "delete it and run `python realtime/build_models.py`, or install biopose-live again.",
                    EXIT_MODEL,
                ) from error
        self._follow = follow
        self._last_ms = -1
        self._found = False

    def __call__(self, image: NDArray[np.uint8], t: int) -> list[RawPerson]:
        """-> the people in an RGB frame (height, width, 3) caught at t (ns, any origin).

        A frame under 16 px a side has nobody in it.

        Raises ValueError when the array is no RGB frame.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"a frame is (height, width, 3) uint8 RGB, not {image.shape} {image.dtype}")
        height, width = image.shape[:2]
        if min(height, width) < SMALLEST_SIDE:
            return []
        # MediaPipe refuses a time that is not later than the last one, and counts in whole milliseconds.
        self._last_ms = max(self._last_ms + 1, t // 1_000_000)
        # MediaPipe ignores strides: rows padded by a decoder would be read as a sheared picture.
        frame = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        # The first person starts the second network, which has its own chatter; from then on nothing is held back.
        with without_chatter() if not self._found else nullcontext():
            if self._follow:
                result = self._landmarker.detect_for_video(frame, self._last_ms)
            else:
                result = self._landmarker.detect(frame)
        self._found = self._found or bool(result.pose_landmarks)
        people = []
        for marks, world in zip(result.pose_landmarks, result.pose_world_landmarks, strict=True):
            keypoints = np.array([(m.x * width, m.y * height, m.visibility) for m in marks], np.float32)
            people.append(RawPerson(keypoints, np.array([(m.x, m.y, m.z) for m in world], np.float32)))
        return people

    def close(self) -> None:
        """Ends MediaPipe's graph; further calls are errors."""
        with without_chatter():
            self._landmarker.close()

    def __enter__(self) -> PoseLandmarker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
