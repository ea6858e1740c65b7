"""The yardstick: MediaPipe's PoseLandmarker and nothing else, in one process, on the same paced file.

    python bench/mediapipe_alone.py FILE --model full --warm-up 3 --seconds 20

Tasks API, VIDEO mode, its own threads, the newest frame each time: what one would write after MediaPipe's own example.
Prints one JSON object, `figures.Figures`.  The frames come from the same paced reader as those of biopose-live, so a
frame's capture time means the same; capture -> result is measured, MediaPipe publishes nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import mediapipe
import msgspec
import numpy as np
import psutil
from mediapipe.tasks.python import BaseOptions, vision

from biopose_live.capture.file import open_video_file
from biopose_live.capture.upright import UprightRGB
from biopose_live.detection.pose_landmarker import model_path
from biopose_live.stages import EndOfStream
from figures import Figures, Sample, figures


def measure_mediapipe(video: Path, model: str, warm_up_s: float, seconds: float) -> Figures:
    """-> figures of `seconds` that begin `warm_up_s` after the first result; raises ValueError on too few frames."""
    process = psutil.Process()
    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model_path(model))), running_mode=vision.RunningMode.VIDEO
    )
    samples: list[Sample] = []
    begin = end = 0  # not yet
    convert = UprightRGB()
    with vision.PoseLandmarker.create_from_options(options) as landmarker:
        source = open_video_file(video, every_frame=False)
        try:
            while True:
                frame = source.read(0.2)
                if frame is None:
                    continue
                pixels = np.ascontiguousarray(convert.pixels(frame.picture))
                image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
                taken = time.monotonic_ns()
                found = landmarker.detect_for_video(image, frame.t_capture // 1_000_000)
                at = time.monotonic_ns()
                if not begin:
                    startup_s = time.time() - process.create_time()
                    begin = at + round(warm_up_s * 1e9)
                    end = begin + round(seconds * 1e9)
                if at < begin:
                    process.cpu_percent(None)
                    continue
                if at >= end:
                    break
                spent = {"detection": (at - taken) * 1e-6}
                samples.append(Sample(frame.index, frame.t_capture, at, at, spent, bool(found.pose_landmarks)))
        except EndOfStream:
            raise ValueError("the video ended before the measurement did") from None
        finally:
            source.close()
        used = {"mediapipe": (process.cpu_percent(None) / 100, process.memory_info().rss / 1e6)}
    return figures(samples, [], used, startup_s, subscribed=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--model", default="full", choices=("lite", "full", "heavy"))
    parser.add_argument("--warm-up", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    try:
        measured = measure_mediapipe(given.video, given.model, given.warm_up, given.seconds)
    except ValueError as error:
        print(f"MediaPipe alone gave no figures: {error}.", file=sys.stderr)
        return 1
    print(msgspec.json.encode(measured).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
