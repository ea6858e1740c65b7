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
from safetensors import SafetensorError
from safetensors.numpy import load_file

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.view import FEATURES
from biopose_live.rotations import from_six

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


def _other_version(path: Path, what: str) -> UserError:
    return UserError(
        f"The lifter's weights in {path} are of another version: {what}; use the file that came with this version.",
        EXIT_MODEL,
    )


def _norm(x: Floats, weight: Floats, bias: Floats) -> Floats:
    centred = x - x.mean(-1, keepdims=True)
    result: Floats = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias
    return result


def _silu(x: Floats) -> Floats:
    result: Floats = x / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))
    return result


class Lifter:
    """Runs the shipped network.  `Lifter.load()` raises UserError when the weights are missing, damaged or of another
    version."""

    def __init__(self, weights: dict[str, Floats]) -> None:
        self._w = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}

    @classmethod
    def load(cls, path: Path | None = None) -> Lifter:
        path = path or WEIGHTS
        if not path.is_file():
            raise UserError(
                f"The lifter's weights are missing: {path} was not found; reinstall biopose-live.", EXIT_MODEL
            )
        try:
            weights = load_file(path)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            found = " ".join(str(error).split())
            raise UserError(
                f"The lifter's weights in {path} cannot be read ({found}); reinstall biopose-live.", EXIT_MODEL
            ) from error
        for name, shape in WEIGHT_SHAPES.items():
            has = weights[name].shape if name in weights else "nothing"
            if has != shape:
                raise _other_version(path, f"{name} should be {shape}, found {has}")
            if not (np.issubdtype(weights[name].dtype, np.floating) and np.isfinite(weights[name]).all()):
                raise UserError(
                    f"The lifter's weights in {path} are damaged: {name} holds something else than finite numbers; "
                    "reinstall biopose-live.",
                    EXIT_MODEL,
                )
        if unknown := sorted(set(weights) - set(WEIGHT_SHAPES)):
            raise _other_version(path, f"{unknown[0]} is not known")
        return cls(weights)

    def __call__(self, inputs: Floats) -> Guess:
        """inputs (B, FEATURES) -> Guess."""
        w = self._w
        x = _silu(_norm(inputs @ w["input.weight"].T + w["input.bias"], w["input_norm.weight"], w["input_norm.bias"]))
        for i in range(BLOCKS):
            y = _norm(x, w[f"blocks.{i}.norm.weight"], w[f"blocks.{i}.norm.bias"])
            y = _silu(y @ w[f"blocks.{i}.up.weight"].T + w[f"blocks.{i}.up.bias"])
            x = x + y @ w[f"blocks.{i}.down.weight"].T + w[f"blocks.{i}.down.bias"]
        tokens = (x @ w["tokens.weight"].T + w["tokens.bias"]).reshape(-1, JOINTS, TOKEN)
        decoded = np.einsum("bjd,jhd->bjh", tokens, w["heads.weight"]) + w["heads.bias"]
        whole = _silu(tokens.reshape(len(tokens), -1)) @ w["whole.weight"].T + w["whole.bias"]
        s = SHAPE
        return Guess(
            rotations=from_six(decoded[..., :6] + w["mean_six"]),
            sigma=np.exp(np.clip(decoded[..., 6:], -5.0, 2.0) - 1.5).astype(np.float64),
            betas=whole[:, :s].astype(np.float64),
            betas_sigma=np.exp(np.clip(whole[:, s : 2 * s], -3.0, 1.0)).astype(np.float64),
            tilt=whole[:, 2 * s : 2 * s + 2].astype(np.float64),
            tilt_sigma=np.exp(np.clip(whole[:, 2 * s + 2 : 2 * s + 4], -4.0, 1.0) - 0.5).astype(np.float64),
        )
