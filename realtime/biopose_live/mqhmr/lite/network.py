"""The light image network as the live stage runs it: NumPy's matrix products and the compiled deformable attention.

Paper, section 3.2, made small: one query token per dense anatomical point (or for some of them, `Architecture`), its
pose anchor where the keypoints-only estimate puts that point; each layer is self-attention, multi-scale deformable
attention into a landmark network's feature maps, and dense layers, after which every token moves its own anchor.  The
tokens' heads give each point's place with a covariance and whether it is seen, and what the pose estimate should be
corrected by.  `training/lite/network.py` holds the PyTorch twin.

Letters: P dense points, Q query tokens, J = 24 joints, C width of a token, L levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from biopose_kernels.numpy_attention import attend
from biopose_live.dense_layers import layer_norm, silu
from biopose_live.mqhmr.lite.architecture import PLACE_UNIT, VERSION, Architecture
from biopose_live.mqhmr.lite.observation import Observation
from biopose_live.mqhmr.lite.points import JOINTS
from biopose_live.weight_file import WeightFile

Floats = NDArray[np.float32]

WEIGHTS = Path(__file__).parents[2] / "assets" / "mqhmr" / "lite.safetensors"
START_SIGMA, SMALLEST_SIGMA, LARGEST_SIGMA = 0.03, 0.002, 0.5  # of a crop
START_ROTATION_SIGMA = 0.15  # rad
UNKNOWN_SIGMA = 1e3  # crops: of a point without a query token, which then weighs nothing


@dataclass(frozen=True, slots=True)
class Answer:
    """places (P, 2) in the crop, 0..1; covariance (P, 2, 2) in squared crops; visible (P,) 0..1; corrections (J, 3) rad
    of the estimate's rotations, each in its joint's own frame, and their one-sigma (J, 3).  A point without a query
    token is where the estimate put it, within UNKNOWN_SIGMA, visible or not (0.5)."""

    places: Floats
    covariance: Floats
    visible: Floats
    corrections: Floats
    sigma: Floats


class LiteNetwork:
    """`LiteNetwork.load()` raises UserError when the weights are missing, damaged or of another version."""

    def __init__(self, architecture: Architecture, weights: dict[str, NDArray[np.floating]]) -> None:
        self.architecture = architecture
        self._queries = np.array(architecture.queries)
        self._w = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}

    @classmethod
    def load(cls, path: Path | None = None) -> LiteNetwork:
        file = WeightFile("The light image network's", path or WEIGHTS)
        try:
            architecture = msgspec.json.decode(file.metadata.get("architecture", ""), type=Architecture)
        except msgspec.DecodeError as error:
            raise file.other_version(f"no architecture that this version knows ({error})") from error
        if architecture.version != VERSION:
            raise file.other_version(f"version {architecture.version} instead of {VERSION}")
        file.check(architecture.tensors())
        return cls(architecture, file.tensors)

    def _dense(self, x: Floats, name: str) -> Floats:
        result: Floats = x @ self._w[f"{name}.weight"].T + self._w[f"{name}.bias"]
        return result

    def _own_heads(self, x: Floats, name: str) -> Floats:
        """(count, C) -> (count, outputs): a head for each."""
        result: Floats = (self._w[f"{name}.weight"] @ x[:, :, None])[..., 0] + self._w[f"{name}.bias"]
        return result

    def _norm(self, x: Floats, name: str) -> Floats:
        return layer_norm(x, self._w[f"{name}.weight"], self._w[f"{name}.bias"]).astype(np.float32, copy=False)

    def __call__(self, maps: Sequence[NDArray[np.float32]], observation: Observation) -> Answer:
        """maps: the encoder's arrays (H, W, C), those of the architecture's `levels` among them -> Answer.

        Raises ValueError where one of these is missing."""
        a = self.architecture
        read = [maps[i] for i in a.read_of([level.shape for level in maps])]
        normal = [(level - self._w[f"mean{i}"]) * self._w[f"scale{i}"] for i, level in enumerate(read)]
        position = self._w["embedding"] + self._dense(observation.own[self._queries], "own")
        told = self._dense(silu(self._dense(observation.whole, "whole.0")), "whole.2")
        tokens = self._norm(position + told, "start")
        places = observation.places[self._queries]
        for i in range(a.layers):
            tokens, seen = self._decode(f"layers.{i}", tokens, position, normal, places)
            both = np.concatenate([tokens, seen], 1)
            point = self._own_heads(both, f"layers.{i}.points")
            places = places + np.float32(PLACE_UNIT) * point[:, :2]
        joint = self._own_heads(both[-JOINTS:], f"layers.{a.layers - 1}.joints")
        covariance = np.tile(np.float32(UNKNOWN_SIGMA**2) * np.eye(2, dtype=np.float32), (len(observation.own), 1, 1))
        visible = np.full(len(observation.own), 0.5, np.float32)
        all_places = observation.places.copy()
        all_places[self._queries] = places
        covariance[self._queries] = _covariance(point)
        visible[self._queries] = 1.0 / (1.0 + np.exp(-point[:, 5].clip(-30.0, 30.0)))
        return Answer(
            places=all_places,
            covariance=covariance,
            visible=visible,
            corrections=joint[:, :3],
            sigma=np.exp((np.log(START_ROTATION_SIGMA) + joint[:, 3:]).clip(-5.0, 1.0)).astype(np.float32),
        )

    def _decode(
        self, layer: str, tokens: Floats, position: Floats, maps: Sequence[Floats], places: Floats
    ) -> tuple[Floats, Floats]:
        a = self.architecture
        qkv = self._dense(tokens + position, f"{layer}.qkv").reshape(len(tokens), 3, a.heads, -1)
        query, key, content = np.ascontiguousarray(qkv.transpose(1, 2, 0, 3))
        weights = _softmax(query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[-1])))
        mixed = (weights @ content).transpose(1, 0, 2).reshape(len(tokens), -1)
        tokens = self._norm(tokens + self._dense(mixed, f"{layer}.attended"), f"{layer}.norms.0")
        asking = tokens + position
        offsets = self._dense(asking, f"{layer}.offsets").reshape(1, len(tokens), a.value_heads, len(maps), a.points, 2)
        logits = self._dense(asking, f"{layer}.logits").reshape(len(tokens), a.value_heads, len(maps), a.points)
        seen = np.zeros_like(tokens)
        for i, level in enumerate(maps):
            height, width, channels = level.shape
            value = np.broadcast_to(level.reshape(1, -1, 1, channels), (1, height * width, a.value_heads, channels))
            found = attend(
                value, [(height, width)], places[None, :, None], offsets[:, :, :, i : i + 1], logits[None, :, :, i]
            )
            seen = seen + self._dense(found[0], f"{layer}.values.{i}")
        tokens = self._norm(tokens + seen, f"{layer}.norms.1")
        inside = self._dense(silu(self._dense(tokens, f"{layer}.up")).astype(np.float32, copy=False), f"{layer}.down")
        return self._norm(tokens + inside, f"{layer}.norms.2"), seen


def _softmax(logits: Floats) -> Floats:
    grown = np.exp(logits - logits.max(-1, keepdims=True))
    result: Floats = grown / grown.sum(-1, keepdims=True)
    return result


def _covariance(point: Floats) -> Floats:
    """(P, 6) of a point's head -> (P, 2, 2), positive definite."""
    logs = (np.log(START_SIGMA) + point[:, 2:4]).clip(np.log(SMALLEST_SIGMA), np.log(LARGEST_SIGMA))
    first, second = np.exp(logs).T
    lower = np.zeros((len(point), 2, 2), np.float32)
    lower[:, 0, 0], lower[:, 1, 1] = first, second
    lower[:, 1, 0] = 3.0 * np.tanh(point[:, 4]) * second
    result: Floats = lower @ lower.transpose(0, 2, 1)
    return result
