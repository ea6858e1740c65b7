"""The image encoder of `lite`: feature maps of one person's crop, from MediaPipe's landmark network, on the CPU.

That network was taught on real people; its inner maps serve as image features without a second network, and it costs
less than one that would have to be trained.  `encoder_graph` says which maps these are; LiteRT (XNNPACK) runs them: of
the engines in `bench/encoders.py` it is the smallest and the first to be ready, and within 5 % of the fastest on `full`
in 32-bit floats.

Input as MediaPipe gives it: an upright RGB square (`person_crop`), 0..255 -> 0..1.  All maps are outputs of ReLU6 (0
to 6) or sums of them: of two at stride 16, three at 8, four at 4.

A map's cell i looks at px stride * i + 0.5 of the crop, not at its own middle, stride * (i + 0.5): the network pads its
strided convolutions alike on both sides.  Its heatmaps follow that: a keypoint at px x peaks in cell x / 4 (measured on
the demo clip: the heatmaps' centroid is 0.2 px left of and 0.3 px above the keypoints when so read).

Keypoints are refined with the heatmaps as MediaPipe Tasks does (`RefineLandmarksFromHeatmapCalculator`): the centroid
of the 7 x 7 cells around a keypoint, weighted with the sigmoid of its heatmap, where one of them passes 0.5.

Dimension letter: K = 33 keypoints in MediaPipe's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biopose_live.detection.pose_landmarker import model_path, without_chatter
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.encoder_graph import SIDE, GraphError, LandmarkGraph, read_landmark_network

KEYPOINTS = 33
POINTS = 39  # the network's: 33 keypoints, then 6 that MediaPipe places its next square with
REFINED_CELLS = 7
REFINED_FROM = 0.5

Numbers = NDArray[np.float32]

# Of (the maps alone, maps and landmarks): what a decoder was trained on must be what runs.
FINGERPRINTS = {
    "lite": (
        "cefc651333ae34389c3da549e3429a63138af81a46db798c82d583d87e6b82a3",
        "f700ca520a172a2b2fa22139822f27f53de6816d93f89b659336d818491bed5b",
    ),
    "full": (
        "e40a172a1add7d5cda22c61d93dde70ba7d98af2ec8db95e4b22c7d745ab6749",
        "359f8bdc7d68813155ce802b953d6fad56ebe3130705215406bd65fcb83e2e59",
    ),
    "heavy": (
        "8fdf9cb89a0006e1ca1cc8d6fc63b50034f8a86b3ad678a59df859d8441a52ed",
        "780bc622472e6d4596a47befba537eedb3dc5dbfab820cf772b058fffd8923c4",
    ),
}


@dataclass(frozen=True, slots=True)
class FoundLandmarks:
    """keypoints (K, 2) px of the crop from its left upper corner; visibility (K,) 0..1; world (K, 3) m from the hips'
    midpoint, axes x right, y down, z forward of the CROP, as the network gives it (MediaPipe Tasks turns x and y by the
    crop's angle in the frame, `Crop.angle`, to get to the frame's axes); presence 0..1: that the crop shows a person.
    """

    keypoints: Numbers
    visibility: Numbers
    world: Numbers
    presence: float


@dataclass(frozen=True, slots=True)
class Encoded:
    """maps: (H, W, C) each, as `LandmarkEncoder.levels` says, none when they were not asked for; landmarks: None when
    the encoder was made without.

    The properties are those of `landmarks` and raise ValueError when there are none.
    """

    maps: list[Numbers]
    landmarks: FoundLandmarks | None = None

    def _found(self) -> FoundLandmarks:
        if self.landmarks is None:
            raise ValueError("the encoder was made without landmarks: make it with landmarks=True")
        return self.landmarks

    @property
    def keypoints(self) -> Numbers:
        return self._found().keypoints

    @property
    def visibility(self) -> Numbers:
        return self._found().visibility

    @property
    def world(self) -> Numbers:
        return self._found().world

    @property
    def presence(self) -> float:
        return self._found().presence


def _sigmoid(x: Numbers) -> Numbers:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-x)), np.float32)


def refine(points: Numbers, heatmaps: Numbers) -> Numbers:
    """points (N, 2) px of the crop, heatmaps (H, W, N) logits -> (N, 2): see the module.

    MediaPipe counts cells by their corner, not their centre; so does this.
    """
    height, width, _ = heatmaps.shape
    scale = np.array([width, height]) / SIDE
    # The keypoints' cells; those outside have no window.
    cells = (points * scale).astype(np.int64)
    inside: NDArray[np.bool_] = np.all((cells >= 0) & (cells < [width, height]), axis=1)
    steps = np.arange(REFINED_CELLS) - REFINED_CELLS // 2
    columns, rows = cells[:, :1] + steps, cells[:, 1:] + steps
    held = inside[:, None, None] & _within(rows, height)[:, :, None] & _within(columns, width)[:, None, :]
    found = heatmaps[rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None, :], _each(len(points))]
    weight = np.where(held, _sigmoid(found), 0.0).astype(np.float64)
    moved = weight.max((1, 2)) >= REFINED_FROM
    total = np.where(moved, weight.sum((1, 2)), 1.0)
    centroid = np.stack([(weight.sum(1) * columns).sum(1), (weight.sum(2) * rows).sum(1)], 1) / total[:, None]
    return np.where(moved[:, None], centroid / scale, points).astype(points.dtype)


def _within(numbers: NDArray[np.int64], end: int) -> NDArray[np.bool_]:
    return (numbers >= 0) & (numbers < end)


def _each(count: int) -> NDArray[np.int64]:
    """(count, 1, 1): every heatmap for its own keypoint."""
    return np.arange(count)[:, None, None]


class LandmarkEncoder:
    """Runs the landmark network "lite", "full" or "heavy" on crops, one at a time, on `threads` threads.

    `landmarks`: whether the keypoints are computed too, or only the maps.  `levels`: (H, W, C) of each map, finest
    first.  `fingerprint`: of the computation that makes the maps.  Not for use by two threads at once.  Raises
    UserError when the model is missing, damaged or another one.
    """

    def __init__(self, model: str = "full", threads: int = 1, landmarks: bool = True) -> None:
        path = model_path(model)
        heads: Sequence[str] = ("keypoints", "world", "presence", "heatmaps") if landmarks else ()
        try:
            graph = LandmarkGraph(read_landmark_network(path), model)
            network, fingerprint = graph.cut([*graph.maps, *(graph.heads[name] for name in heads)])
            if fingerprint != FINGERPRINTS[model][landmarks]:
                raise GraphError("it was trained or built otherwise")
        except GraphError as error:
            raise UserError(
                f"The pose model {path} is not the one this version reads feature maps from ({error}): "
                "delete it and run `python realtime/build_models.py`, or install biopose-live again.",
                EXIT_MODEL,
            ) from error
        self.levels: tuple[tuple[int, int, int], ...] = graph.levels
        self.fingerprint = FINGERPRINTS[model][0]
        self._landmarks = landmarks
        with without_chatter():
            # Imported here: only a process that looks at pictures should load an engine.
            from ai_edge_litert.interpreter import Interpreter

            self._interpreter = Interpreter(model_content=network, num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [details["index"] for details in self._interpreter.get_output_details()]
        self._pixels = np.empty((1, SIDE, SIDE, 3), np.float32)

    def __call__(self, crop: NDArray[np.uint8], *, maps: bool = True) -> Encoded:
        """crop (256, 256, 3) uint8 RGB -> what the network makes of it; `maps`: whether its maps are wanted.

        Raises ValueError on another shape or type."""
        if crop.shape != (SIDE, SIDE, 3) or crop.dtype != np.uint8:
            raise ValueError(f"a crop is ({SIDE}, {SIDE}, 3) uint8 RGB, not {crop.shape} {crop.dtype}")
        np.multiply(crop, np.float32(1 / 255), out=self._pixels[0])
        self._interpreter.set_tensor(self._input, self._pixels)
        self._interpreter.invoke()
        levels = self._outputs[: len(self.levels)] if maps else []
        found_maps = [self._interpreter.get_tensor(t)[0] for t in levels]
        if not self._landmarks:
            return Encoded(found_maps)
        points, world, presence, heatmaps = (
            self._interpreter.get_tensor(t)[0] for t in self._outputs[len(self.levels) :]
        )
        points = points.reshape(POINTS, 5)  # x, y, z px, then logits of visibility and of presence in the picture
        found = FoundLandmarks(
            keypoints=refine(points[:KEYPOINTS, :2], heatmaps),
            visibility=_sigmoid(points[:KEYPOINTS, 3]),
            world=world.reshape(POINTS, 3)[:KEYPOINTS].copy(),
            presence=float(presence[0]),
        )
        return Encoded(found_maps, found)
