"""The landmark table: where points lie, what a keypoint weighs, and that a damaged file is one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biopose_live.body.keypoints import body_keypoints
from biopose_live.body.model import BodyModel
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.landmarks import FAINT, FITTED, MEASURED, Landmarks, body_points, measured
from biopose_live.mqhmr.side_swaps import EXCHANGED
from biopose_live.mqhmr.view import KEYPOINTS
from biopose_live.rotations import to_matrix


def write(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_without_offsets_the_landmarks_are_the_bodys_own(body: BodyModel, tmp_path: Path) -> None:
    path = write(tmp_path / "none.npz", offsets=np.zeros((33, 3)), spread=np.full(33, 0.03))
    rng = np.random.default_rng(0)
    rotations, betas = to_matrix(rng.normal(0, 0.5, (24, 3))), rng.normal(size=10)
    joints, _, turns = body.pose_markers(rotations, betas, np.zeros(3))
    expected = body_keypoints(body).posed(betas, body.rest_joints(betas), joints, turns)
    np.testing.assert_allclose(Landmarks(body, path).place(rotations, betas), expected, atol=1e-10)


def test_an_offset_moves_its_landmark_in_the_joints_rest_frame(body: BodyModel, tmp_path: Path) -> None:
    offsets = np.zeros((33, 3))
    offsets[13] = [0.01, -0.02, 0.03]
    path = write(tmp_path / "one.npz", offsets=offsets, spread=np.full(33, 0.03))
    rng = np.random.default_rng(1)
    rotations, betas = to_matrix(rng.normal(0, 0.5, (24, 3))), rng.normal(size=10)
    _, _, turns = body.pose_markers(rotations, betas, np.zeros(3))
    plain = write(tmp_path / "none.npz", offsets=np.zeros((33, 3)), spread=np.full(33, 0.03))
    moved = Landmarks(body, path).place(rotations, betas) - Landmarks(body, plain).place(rotations, betas)
    expected = np.zeros((33, 3))
    expected[13] = turns[body_points(body).keypoint_joint[13]] @ offsets[13]
    np.testing.assert_allclose(moved, expected, atol=1e-12)


def test_the_shipped_table_is_symmetric_and_sensible() -> None:
    offsets, spread = measured()
    paired = np.arange(33) != EXCHANGED
    np.testing.assert_allclose(offsets[paired], offsets[EXCHANGED][paired] * [-1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(spread, spread[EXCHANGED], atol=1e-6)
    assert np.abs(offsets).max() < 0.1
    assert (spread > 0.002).all()
    assert (spread < 0.3).all()


def test_what_a_keypoint_weighs(landmarks: Landmarks) -> None:
    rng = np.random.default_rng(2)
    keypoints = rng.normal(0, 150, (33, 2))
    full = landmarks.precision(keypoints, np.ones(33))
    used = np.zeros(33, bool)
    used[list(FITTED)] = True
    assert set(KEYPOINTS) <= set(FITTED)
    assert (full[used] > 0).all()
    assert (full[~used] == 0).all()
    np.testing.assert_allclose(landmarks.precision(keypoints, np.full(33, 0.5)), full / 4)
    np.testing.assert_allclose(landmarks.precision(keypoints, np.zeros(33)), full * FAINT**2)
    np.testing.assert_allclose(landmarks.precision(keypoints + 700.0, np.ones(33)), full)
    np.testing.assert_allclose(landmarks.precision(2 * keypoints, np.ones(33))[used], full[used] / 4)


def test_a_person_of_no_size_has_a_finite_weight(landmarks: Landmarks) -> None:
    assert np.isfinite(landmarks.precision(np.full((33, 2), 3.0), np.ones(33))).all()


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        measured(path)
    assert caught.value.exit_code == EXIT_MODEL
    sentence = str(caught.value)
    assert str(path) in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_a_missing_table_is_one_sentence(tmp_path: Path) -> None:
    refusal(tmp_path / "nothing.npz")


def test_a_folder_or_an_empty_file_is_one_sentence(tmp_path: Path) -> None:
    refusal(tmp_path)
    (tmp_path / "empty.npz").touch()
    refusal(tmp_path / "empty.npz")


@pytest.mark.parametrize(
    "arrays",
    [
        {"offsets": np.zeros((33, 3))},
        {"offsets": np.zeros((32, 3)), "spread": np.ones(33)},
        {"offsets": np.zeros((33, 3)), "spread": np.ones((33, 1))},
        {"offsets": np.full((33, 3), "x"), "spread": np.ones(33)},
        {"offsets": np.full((33, 3), np.nan), "spread": np.ones(33)},
        {"offsets": np.zeros((33, 3)), "spread": np.zeros(33)},
        {"offsets": np.array([None] * 99).reshape(33, 3), "spread": np.ones(33)},
    ],
)
def test_a_table_of_something_else_is_one_sentence(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    refusal(write(tmp_path / "other.npz", **arrays))


def test_a_plain_array_is_one_sentence(tmp_path: Path) -> None:
    np.save(tmp_path / "plain.npy", np.zeros((33, 3)))
    refusal(tmp_path / "plain.npy")


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_give_a_table_or_one_sentence(tmp_path: Path, data: st.DataObject) -> None:
    good = bytearray(MEASURED.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del good[data.draw(st.integers(0, len(good))) :]
    path = tmp_path / "damaged.npz"
    path.write_bytes(bytes(good))
    try:
        offsets, spread = measured(path)
    except UserError as error:
        assert error.exit_code == EXIT_MODEL  # noqa: PT017
    else:
        assert np.isfinite(offsets).all()
        assert (spread > 0).all()


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.npz"
    path.write_bytes(content)
    refusal(path)
