"""The image encoder of `lite`: feature maps of one person's crop, from MediaPipe's landmark network, on the CPU.

That network was taught on real people; its inner maps serve as image features without a second network, and it costs
less than one that would have to be trained.  `encoder_graph` says which maps these are; LiteRT (XNNPACK) runs them: of
the engines in `bench/encoders.py` it is the smallest, and as fast as any without 16-bit arithmetic.

Input as MediaPipe gives it: an upright RGB square (`person_crop`), 0..255 -> 0..1.  All maps are sums or outputs of
ReLU6, hence not negative: strides 4, 8, 16 are sums of two, three and four such maps.
A map's cell (row, column) covers the crop's px [stride * column, stride * (column + 1)) x [stride * row, ...).

Keypoints are refined with the heatmaps as MediaPipe Tasks does (`RefineLandmarksFromHeatmapCalculator`): the centroid
of the 7 x 7 cells around a keypoint, weighted with the sigmoid of its heatmap, where one of them passes 0.5.

Dimension letter: K = 33 keypoints in MediaPipe's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from biopose_live.detection.pose_landmarker import _without_chatter, model_path
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.encoder_graph import SIDE, GraphError, LandmarkGraph, read_landmark_network

KEYPOINTS = 33
POINTS = 39  # the network's: 33 keypoints, then 6 that MediaPipe places its next square with
REFINED_CELLS = 7
REFINED_FROM = 0.5

Maps = NDArray[np.float32]
Model = Literal["lite", "full", "heavy"]

# SHA-256 of the weights of (the maps alone, maps and landmarks): what a decoder was trained on must be what runs.
WEIGHTS = {
    "lite": (
        "fe0b293f8a6003e9a57b7299f1791772aa005d9482f3c45f6f08d772009b0d02",
        "cf3458244a947776d5532a4d6f840cf790c4f787e8c21b7c22cd76c13bcdaf54",
    ),
    "full": (
        "b1cd2258ef5511407607f4fa9d1da37723dce4da30bd070ebcd3000e871e2895",
        "d472b8cb676128b55228c9cf67ae98c4dad1593491abe649099b2a0dee5d1ca7",
    ),
    "heavy": (
        "72af46d96d3fcc844904e756873152c1f2724a6143692601b5a387a5087578b5",
        "2d4fea9e95ff01f88c5b0b801b586deb2207bac6d0a6e6dc449bab30fb9b6727",
    ),
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """maps: (H, W, C) each, as `LandmarkEncoder.levels` says.  The rest is None unless landmarks were asked for.

    keypoints (K, 2) px of the crop from its left upper corner; visibility (K,) 0..1; world (K, 3) m from the hips'
    midpoint, axes x right, y down, z forward of the CROP, as the network gives it (MediaPipe Tasks turns x and y by the
    crop's angle in the frame, `Crop.angle`, to get to the frame's axes); presence 0..1: that the crop shows a person.
    """

    maps: list[Maps]
    keypoints: NDArray[np.float32] | None = None
    visibility: NDArray[np.float32] | None = None
    world: NDArray[np.float32] | None = None
    presence: float | None = None


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-x)), np.float32)


def refine(points: NDArray[np.float32], heatmaps: NDArray[np.float32]) -> NDArray[np.float32]:
    """points (N, 2) px of the crop, heatmaps (H, W, N) logits -> (N, 2): see the module.

    MediaPipe counts cells by their corner, not their centre; so does this.
    """
    height, width, _ = heatmaps.shape
    reach = REFINED_CELLS // 2
    scale = np.array([width, height]) / SIDE
    refined = points.copy()
    for k, (column, row) in enumerate((points * scale).astype(np.int64)):
        if not (0 <= column < width and 0 <= row < height):
            continue
        top, left = max(0, row - reach), max(0, column - reach)
        weight = _sigmoid(heatmaps[top : row + reach + 1, left : column + reach + 1, k])
        if weight.max() < REFINED_FROM:
            continue
        rows, columns = np.mgrid[top : top + weight.shape[0], left : left + weight.shape[1]]
        centroid = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
        refined[k] = centroid / scale
    return refined


class LandmarkEncoder:
    """Runs the landmark network of a size of model on crops, one at a time, on `threads` threads.

    `landmarks`: whether the keypoints are computed too, or only the maps.  `levels`: (H, W, C) of each map, finest
    first.  `weights`: the SHA-256 of the weights that make the maps.  Not for use by two threads at once.  Raises
    UserError when the model is missing, damaged or another one.
    """

    def __init__(self, model: Model = "full", threads: int = 1, landmarks: bool = True) -> None:
        path = model_path(model)
        heads: Sequence[str] = ("keypoints", "world", "presence", "heatmaps") if landmarks else ()
        try:
            graph = LandmarkGraph(read_landmark_network(path), model)
            network, weights = graph.cut([*graph.maps, *(graph.heads[name] for name in heads)])
            if weights != WEIGHTS[model][landmarks]:
                raise GraphError("its weights are not the ones of the release that this version was made with")
        except GraphError as error:
            raise UserError(
                f"The pose model {path} is not the one this version reads feature maps from ({error}): "
                "delete it and run `python realtime/build_models.py`, or install biopose-live again.",
                EXIT_MODEL,
            ) from error
        self.levels: tuple[tuple[int, int, int], ...] = graph.levels
        self.weights = WEIGHTS[model][0]
        self._landmarks = landmarks
        with _without_chatter():
            # Imported here: only a process that looks at pictures should load an engine.
            from ai_edge_litert.interpreter import Interpreter

            self._interpreter = Interpreter(model_content=network, num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [details["index"] for details in self._interpreter.get_output_details()]
        self._pixels = np.empty((1, SIDE, SIDE, 3), np.float32)

    def __call__(self, crop: NDArray[np.uint8]) -> Encoded:
        """crop (256, 256, 3) uint8 RGB -> what the network makes of it.  Raises ValueError on another shape or type."""
        if crop.shape != (SIDE, SIDE, 3) or crop.dtype != np.uint8:
            raise ValueError(f"a crop is ({SIDE}, {SIDE}, 3) uint8 RGB, not {crop.shape} {crop.dtype}")
        np.multiply(crop, np.float32(1 / 255), out=self._pixels[0])
        self._interpreter.set_tensor(self._input, self._pixels)
        self._interpreter.invoke()
        maps = [self._interpreter.get_tensor(t)[0] for t in self._outputs[: len(self.levels)]]
        if not self._landmarks:
            return Encoded(maps)
        points, world, presence, heatmaps = (
            self._interpreter.get_tensor(t)[0] for t in self._outputs[len(self.levels) :]
        )
        points = points.reshape(POINTS, 5)  # x, y, z px, then logits of visibility and of presence in the picture
        return Encoded(
            maps,
            keypoints=refine(points[:KEYPOINTS, :2], heatmaps),
            visibility=_sigmoid(points[:KEYPOINTS, 3]),
            world=world.reshape(POINTS, 3)[:KEYPOINTS].copy(),
            presence=float(presence[0]),
        )
