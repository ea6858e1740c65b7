"""The layers that the live stages' small networks share, in NumPy: twins of torch's LayerNorm and SiLU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def layer_norm(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """(..., D) -> (..., D), normalised over the last axis, then times `weight` (D,) plus `bias` (D,)."""
    centred = x - x.mean(-1, keepdims=True)
    result: Floats = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias
    return result


def silu(x: Floats) -> Floats:
    """x / (1 + exp(-x)), element by element."""
    result: Floats = x / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))
    return result
