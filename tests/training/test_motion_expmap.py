"""Exponential-map reader: hand-made clips, with SciPy's rotation vectors as the oracle."""

from __future__ import annotations

import io

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.errors import UserError
from biopose_live.training.motion import expmap


def clip(frames: int = 3) -> np.ndarray:
    values = np.random.default_rng(3).normal(scale=0.4, size=(frames, 117)).astype(np.float32)
    values[0] = 0.0
    # legs straight down, as the benchmark's first rows have them
    values[0, 3 + 3 * 2 + 2], values[0, 3 + 3 * 8 + 2] = np.radians(20), -np.radians(20)
    return values


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def test_rotations_are_the_transposed_maps_chained_from_the_root() -> None:
    values = clip()
    (motion,) = expmap.read(npz(walk=values), "cmu")
    assert (motion.name, motion.frames, motion.fps) == ("cmu/walk", 2, 30.0)
    local = [Rotation.from_rotvec(-values[:, 3 + 3 * j : 6 + 3 * j].astype(float)) for j in range(38)]
    world: list[Rotation] = []
    places: list[np.ndarray] = []
    for j, (_, parent, offset) in enumerate(expmap.SKELETON):
        world.append(local[j] if parent < 0 else world[parent] * local[j])
        root = values[:, :3].astype(float)
        places.append(root if parent < 0 else places[parent] + world[parent].apply(offset))
        since = world[j][1:] * world[j][0].inv()
        np.testing.assert_allclose(motion.rotations[:, j], since.as_matrix(), atol=1e-5)
        np.testing.assert_allclose(motion.positions[:, j], places[j][1:] * 0.0254 / 0.45, atol=1e-5)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"not a zip", "npz"),
        (npz(walk=clip()[:, :99]), "117"),
        (npz(walk=clip()[:1]), "2 rows"),
        (npz(walk=np.where(clip() > 1, np.nan, clip())[[0, 1, 1]] * np.array([[1], [np.inf], [1]])), "finite"),
        (npz(walk=np.array(["a"])), "117"),
        (npz(walk=clip())[:-200], "npz"),
    ],
)
def test_another_file_is_refused_in_one_sentence(content: bytes, word: str) -> None:
    with pytest.raises(UserError, match=word):
        expmap.read(content, "cmu")
