"""DeepMimic reader: hand-made JSON, with SciPy's quaternions as the oracle."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from biopose_live.errors import UserError
from biopose_live.training.motion import deepmimic

TO_OURS = np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]])  # x forward, z right -> z forward, x left


def frames(count: int = 3) -> np.ndarray:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(count, 44))
    values[:, 0] = 1 / 30
    return values


def text(values: np.ndarray) -> str:
    return json.dumps({"Loop": "wrap", "Frames": values.tolist()})


def test_rotations_and_positions_match_scipys_chain() -> None:
    values = frames()
    motion = deepmimic.read(text(values), "walk.txt")
    assert motion.fps == pytest.approx(30)
    local = {name: Rotation.identity(len(values)) for name in deepmimic.NAMES}
    column = 4
    for name, width in deepmimic.LAYOUT:
        part = values[:, column : column + width]
        local[name] = Rotation.from_quat(np.roll(part, -1, axis=-1)) if width == 4 else Rotation.from_euler("z", part)
        column += width
    world: dict[str, Rotation] = {}
    places: dict[str, np.ndarray] = {}
    for j, (name, parent, offset) in enumerate(deepmimic.SKELETON):
        above = None if parent < 0 else deepmimic.NAMES[parent]
        world[name] = local[name] if above is None else world[above] * local[name]
        places[name] = values[:, 1:4] if above is None else places[above] + world[above].apply(offset)
        np.testing.assert_allclose(motion.positions[:, j], places[name], atol=1e-9)
        np.testing.assert_allclose(motion.rotations[:, j], world[name].as_matrix() @ TO_OURS.T, atol=1e-9)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "[1, 2]",
        '{"Frames": 3}',
        '{"Frames": []}',
        '{"Frames": [[1, 2], [3]]}',
        text(frames()[:, :40]),
        text(frames() * np.nan),
        text(frames() * np.r_[1.0, np.ones(3), np.zeros(40)]),
        text(frames() * np.r_[0.0, np.ones(43)]),
    ],
)
def test_another_file_is_refused_in_one_sentence(broken: str) -> None:
    with pytest.raises(UserError, match=r"walk\.txt"):
        deepmimic.read(broken, "walk.txt")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_refused(whole: str) -> None:
    with pytest.raises(UserError):
        deepmimic.read(whole, "fuzz")
