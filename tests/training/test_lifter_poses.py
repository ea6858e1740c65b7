"""Windows of poses: shapes, proper rotations, mirrored clips, and squats whose feet stay flat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from biopose_live.body.joints import JOINT_NAMES, PARENTS
from biopose_live.mqhmr.lifter import JOINTS
from biopose_live.mqhmr.view import LAGS_S
from biopose_live.training.lifter.poses import PoseBank, balanced_trunk, draw, exp, procedural_legs
from biopose_live.training.lifter.train import MIRROR

F = len(LAGS_S)


@pytest.fixture(scope="module")
def bank_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("poses") / "poses.npz"
    theta = np.cumsum(rng.normal(0, 0.02, (240, 24, 3)), 0).astype(np.float16)
    trans = np.cumsum(rng.normal(0, 0.01, (240, 3)), 0).astype(np.float32)
    np.savez(
        path,
        theta=theta,
        trans=trans,
        clip_index=np.repeat([0, 1, 2], 80),
        clip_names=np.array(["a", "b", "c"]),
        subject=np.array(["s1", "s2", "s1"]),
        fps=np.float32(30.0),
    )
    return path


@given(st.lists(st.floats(-7, 7), min_size=3, max_size=3))
def test_exponential_is_scipys(vector: list[float]) -> None:
    found = exp(torch.tensor(vector, dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), Rotation.from_rotvec(vector).as_matrix(), atol=1e-7)


def test_the_mirror_exchanges_left_and_right() -> None:
    for j, name in enumerate(JOINT_NAMES[:JOINTS]):
        other = name.replace("left", "#").replace("right", "left").replace("#", "right")
        assert JOINT_NAMES[MIRROR[j]] == other


def test_windows_stay_inside_their_clip_and_move_relative_to_now(bank_file: Path) -> None:
    bank = PoseBank(bank_file)
    theta, trans = bank.windows(500, np.random.default_rng(1))
    assert theta.shape == (500, F, JOINTS, 3)
    assert trans.shape == (500, F, 3)
    np.testing.assert_array_equal(trans[:, 0], 0.0)
    flat = {row.tobytes(): n for n, row in enumerate(bank.theta)}
    for window in theta[:100]:
        frames = [flat[row.tobytes()] for row in window]
        assert len({n // 80 for n in frames}) == 1
        assert sorted(frames, reverse=True) == frames


def test_subjects_can_be_held_out(bank_file: Path) -> None:
    assert len(PoseBank(bank_file, hold_out=frozenset({"s1"})).theta) == 80
    assert len(PoseBank(bank_file, only=frozenset({"s1"})).theta) == 160


def test_draws_are_proper_rotations(bank_file: Path) -> None:
    rotations, trans, planted = draw(PoseBank(bank_file), 300, np.random.default_rng(2), MIRROR)
    assert rotations.shape == (300, F, JOINTS, 3, 3)
    assert trans.shape == (300, F, 3)
    assert planted.shape == (300,)
    assert planted.dtype == torch.bool
    assert 0 < planted.sum() < 300
    square = rotations @ rotations.transpose(-1, -2)
    np.testing.assert_allclose(square.numpy(), np.broadcast_to(np.eye(3), square.shape), atol=1e-5)
    np.testing.assert_allclose(torch.linalg.det(rotations).numpy(), 1.0, atol=1e-4)
    assert (trans[planted] == 0).all()


def test_the_same_seed_draws_the_same(bank_file: Path) -> None:
    a, b = (draw(PoseBank(bank_file), 50, np.random.default_rng(3), MIRROR) for _ in range(2))
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())


def test_the_feet_of_those_who_squat_stay_flat() -> None:
    """Pelvis, hip, knee and ankle add up: at least one foot of every window is near level."""
    root, legs, spine = procedural_legs(600, np.random.default_rng(4))
    assert root.shape == (600, F, 3, 3)
    assert legs.shape == (600, F, 8, 3, 3)
    assert spine.shape == (600, F)
    pitch = []
    for side in (0, 1):
        foot = root @ legs[:, :, side] @ legs[:, :, 2 + side] @ legs[:, :, 4 + side]
        forward = foot @ torch.tensor([0.0, 0.0, 1.0])
        pitch.append(torch.rad2deg(torch.asin(forward[..., 1].clamp(-1, 1))).abs())
    flatter = torch.minimum(*pitch)
    assert flatter.median() < 5.0
    assert flatter.quantile(0.95) < 12.0
    assert torch.maximum(*pitch).median() < 10.0


def test_knees_bend_backwards_only() -> None:
    _, legs, _ = procedural_legs(300, np.random.default_rng(5))
    knees = Rotation.from_matrix(legs[:, :, 2:4].reshape(-1, 3, 3).numpy()).as_rotvec()
    assert np.degrees(knees[:, 0]).min() > -10.0
    assert np.degrees(knees[:, 0]).max() <= 151.0
    np.testing.assert_allclose(knees[:, 1:], 0.0, atol=1e-5)


@given(st.floats(0, 40), st.floats(0.0, 0.1))
@settings(max_examples=50)
def test_the_trunk_puts_the_centre_of_mass_over_the_support(knee: float, support: float) -> None:
    """Winter's masses, added up segment by segment once more."""
    shank = 0.3 * knee
    lean = float(np.radians(balanced_trunk(np.array(shank), np.array(knee), np.array(support))))
    ankle = np.zeros(2)
    knee_at = ankle + 0.42 * np.array([np.sin(np.radians(shank)), np.cos(np.radians(shank))])
    thigh = np.radians(shank - knee)
    hip_at = knee_at + 0.41 * np.array([np.sin(thigh), np.cos(thigh)])
    trunk = hip_at + 0.36 * np.array([np.sin(lean), np.cos(lean)])
    # Both shanks and both thighs, each with its centre 0.567 of its length above its lower end.
    mass_x = 0.093 * 0.567 * knee_at[0] + 0.2 * (knee_at[0] + 0.567 * (hip_at[0] - knee_at[0])) + 0.678 * trunk[0]
    if -0.29 < np.sin(lean) < 0.96:
        assert mass_x / 0.971 == pytest.approx(support, abs=1e-6)


def test_parents_of_the_legs() -> None:
    assert [PARENTS[j] for j in (4, 5, 7, 8)] == [1, 2, 4, 5]
