"""Loose cloth with folds: garments pushed off the skin along their normals, by a constant and by a few waves.

MakeHuman's garments are tight; a network that has only seen tight ones takes the outline of a coat for the outline of
the body.

Dimension letters: G garment vertices, W waves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np

N_WAVES = 4


@dataclass(frozen=True)
class Looseness:
    """distance and fold m; waves [W, 4]: wave vector (rad / m, rest pose) and phase (rad)."""

    distance: float
    fold: float
    waves: np.ndarray


def draw_looseness(rng: np.random.Generator) -> Looseness | None:
    """How a random garment hangs; None: as it was made."""
    if rng.random() < 0.3:
        return None
    fold = float(rng.uniform(0.0, 0.006))
    direction = rng.normal(size=(N_WAVES, 3))
    direction *= rng.uniform(15.0, 70.0, (N_WAVES, 1)) / np.linalg.norm(direction, axis=1, keepdims=True)
    waves = np.concatenate([direction, rng.uniform(0.0, 2.0 * np.pi, (N_WAVES, 1))], axis=1)
    # Half of the loose garments hang close.
    distance = float(rng.uniform(0.0, 0.008) if rng.random() < 0.5 else rng.uniform(0.005, 0.028))
    return Looseness(max(distance, fold), fold, waves.astype(np.float32))


@nb.njit(cache=True, fastmath=True, nogil=True)
def loosen(
    template: np.ndarray, normals: np.ndarray, distance: float, fold: float, waves: np.ndarray, vertices: np.ndarray
) -> None:
    """Move posed vertices [G, 3] m along normals [G, 3] (any length) by distance + fold * (mean of the waves at the
    rest positions template [G, 3])."""
    for g in range(vertices.shape[0]):
        length = np.sqrt(normals[g, 0] ** 2 + normals[g, 1] ** 2 + normals[g, 2] ** 2)
        if length < 1e-12:
            continue
        wave = 0.0
        for w in range(waves.shape[0]):
            angle = waves[w, 3]
            for i in range(3):
                angle += waves[w, i] * template[g, i]
            wave += np.sin(angle)
        push = (distance + fold * wave / waves.shape[0]) / length
        for i in range(3):
            vertices[g, i] += push * normals[g, i]
