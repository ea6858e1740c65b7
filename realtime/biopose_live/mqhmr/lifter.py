"""The first guess: query tokens from the last half second of 2D keypoints, decoded to pose, shape and gravity.

This is the form of MQ-HMR (paper section 3.2) that sees keypoints but no image features: one query token per body joint
is made from the keypoints of a causal window, and each token's head decodes that joint's rotation (6D) and its
one-sigma; the shape, and where gravity points, are decoded from all tokens.  The network is a few dense layers, so that
the live stage runs it in NumPy (below 2 ms on one CPU thread) and starts in a moment; `training/lifter/network.py`
holds the PyTorch twin.

Letters: J = 22 joints (SMPL order without the hands, which 2D keypoints do not show), D width of a token, S = 10 shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biopose_live.dense_layers import layer_norm, silu
from biopose_live.mqhmr.view import FEATURES
from biopose_live.rotations import from_six
from biopose_live.weight_file import WeightFile

Floats = NDArray[np.floating]

WEIGHTS = Path(__file__).parent.parent / "assets" / "lifter" / "lifter.safetensors"
JOINTS = 22
TOKEN = 32
HEAD = 9  # six numbers of the rotation, three of its log sigma
SHAPE = 10
HIDDEN = 640
BLOCKS = 3


def _weight_shapes() -> dict[str, tuple[int, ...]]:
    """-> the shape of every tensor in the file."""
    dense = {"input": (HIDDEN, FEATURES), "tokens": (JOINTS * TOKEN, HIDDEN), "whole": (2 * SHAPE + 4, JOINTS * TOKEN)}
    norms = ["input_norm"]
    for i in range(BLOCKS):
        dense |= {f"blocks.{i}.up": (HIDDEN, HIDDEN), f"blocks.{i}.down": (HIDDEN, HIDDEN)}
        norms.append(f"blocks.{i}.norm")
    shapes: dict[str, tuple[int, ...]] = {"heads.weight": (JOINTS, HEAD, TOKEN), "heads.bias": (JOINTS, HEAD)}
    for name, shape in dense.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (HIDDEN,), f"{name}.bias": (HIDDEN,)}
    shapes["mean_six"] = (JOINTS, 6)
    return shapes


WEIGHT_SHAPES = _weight_shapes()


@dataclass(slots=True)
class Guess:
    """rotations (B, 22, 3, 3): row 0 turns the body's rest frame into the view frame, the others are local; sigma
    (B, 22, 3) rad, in each joint's own frame; betas (B, 10) and their sigma; tilt (B, 2): how far gravity's true
    direction lies from the assumed one, as (roll, elevation) rad, and its sigma."""

    rotations: NDArray[np.float64]
    sigma: NDArray[np.float64]
    betas: NDArray[np.float64]
    betas_sigma: NDArray[np.float64]
    tilt: NDArray[np.float64]
    tilt_sigma: NDArray[np.float64]


def _product(x: Floats, weight: Floats) -> Floats:
    """(B, inputs), (outputs, inputs) -> (B, outputs).  For the two rows of a live frame this way round takes an eighth
    of the time: `x @ weight.T` would copy the weights into another layout at every call."""
    result: Floats = (weight @ np.ascontiguousarray(x.T)).T
    return result


class Lifter:
    """Runs the shipped network.  `Lifter.load()` raises UserError when the weights are missing, damaged or of another
    version."""

    def __init__(self, weights: dict[str, Floats]) -> None:
        self._w = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}

    @classmethod
    def load(cls, path: Path | None = None) -> Lifter:
        file = WeightFile("The lifter's", path or WEIGHTS)
        file.check(WEIGHT_SHAPES)
        return cls(file.tensors)

    def __call__(self, inputs: Floats) -> Guess:
        """inputs (B, FEATURES) -> Guess."""
        w = self._w
        x = silu(
            layer_norm(
                _product(inputs, w["input.weight"]) + w["input.bias"], w["input_norm.weight"], w["input_norm.bias"]
            )
        )
        for i in range(BLOCKS):
            y = layer_norm(x, w[f"blocks.{i}.norm.weight"], w[f"blocks.{i}.norm.bias"])
            y = silu(_product(y, w[f"blocks.{i}.up.weight"]) + w[f"blocks.{i}.up.bias"])
            x = x + _product(y, w[f"blocks.{i}.down.weight"]) + w[f"blocks.{i}.down.bias"]
        tokens = (_product(x, w["tokens.weight"]) + w["tokens.bias"]).reshape(-1, JOINTS, TOKEN)
        decoded = np.einsum("bjd,jhd->bjh", tokens, w["heads.weight"]) + w["heads.bias"]
        whole = _product(silu(tokens.reshape(len(tokens), -1)), w["whole.weight"]) + w["whole.bias"]
        s = SHAPE
        return Guess(
            rotations=from_six(decoded[..., :6] + w["mean_six"]),
            sigma=np.exp(np.clip(decoded[..., 6:], -5.0, 2.0) - 1.5).astype(np.float64),
            betas=whole[:, :s].astype(np.float64),
            betas_sigma=np.exp(np.clip(whole[:, s : 2 * s], -3.0, 1.0)).astype(np.float64),
            tilt=whole[:, 2 * s : 2 * s + 2].astype(np.float64),
            tilt_sigma=np.exp(np.clip(whole[:, 2 * s + 2 : 2 * s + 4], -4.0, 1.0) - 0.5).astype(np.float64),
        )
