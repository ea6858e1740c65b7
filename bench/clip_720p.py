"""Makes a 1280 × 720, 30 fps H.264 file from the demo clip: enlarged to the full height, black at both sides.

Played forwards and backwards in turn, so that the person never jumps: a cut would make the detector search again.
"""

from __future__ import annotations

from itertools import chain, cycle, islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from biopose_live.capture.demo import demo_clip

WIDTH, HEIGHT, FPS = 1280, 720, 30


def write_clip(path: Path, seconds: float) -> None:
    """Writes `seconds` of video; raises UserError when the installation lacks the demo clip."""
    count = round(seconds * FPS)
    with av.open(str(demo_clip())) as source:
        shots = list(islice(source.decode(video=0), count))
    width = round(HEIGHT * shots[0].width / shots[0].height / 2) * 2
    left = (WIDTH - width) // 2
    there_and_back = chain(range(len(shots)), range(len(shots) - 2, 0, -1))
    enlarge = VideoReformatter()
    canvas = np.empty((HEIGHT * 3 // 2, WIDTH), np.uint8)
    planes = _planes(canvas)
    for plane, black in zip(planes, (16, 128, 128), strict=True):
        plane[:] = black
    with av.open(str(path), "w") as target:
        stream = target.add_stream("h264", rate=FPS, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in islice(cycle(there_and_back), count):
            large = enlarge.reformat(shots[index], width, HEIGHT, "yuv420p", interpolation=Interpolation.BILINEAR)
            parts = _planes(large.to_ndarray().astype(np.uint8, copy=False))
            for plane, part, at in zip(planes, parts, (left, left // 2, left // 2), strict=True):
                plane[:, at : at + part.shape[1]] = part
            target.mux(stream.encode(av.VideoFrame.from_ndarray(canvas, format="yuv420p")))
        target.mux(stream.encode(None))


def _planes(packed: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
    """-> Y, U and V as views of PyAV's yuv420p array (height * 3 / 2, width)."""
    width = packed.shape[1]
    height = packed.shape[0] * 2 // 3
    chroma = packed[height:].reshape(2, height // 2, width // 2)
    return packed[:height], chroma[0], chroma[1]
