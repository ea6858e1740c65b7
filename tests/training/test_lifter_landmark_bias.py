"""Offsets of a detector's landmarks, from simulated detections of known offsets."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.landmarks import body_points, measured
from biopose_live.mqhmr.refinement import place
from biopose_live.mqhmr.side_swaps import EXCHANGED
from biopose_live.rotations import to_matrix, to_vector
from biopose_live.training.lifter.landmark_bias import MIRROR, fit, gather, main

COUNT = 160


@pytest.fixture(scope="module")
def offsets() -> np.ndarray:
    rng = np.random.default_rng(0)
    made = rng.normal(0, 0.015, (33, 3))
    for k, partner in enumerate(EXCHANGED):
        if partner > k:
            made[partner] = made[k] * MIRROR
        elif partner == k:
            made[k, 0] = 0.0
    return made


@pytest.fixture(scope="module")
def samples(body: BodyModel, offsets: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    points = body_points(body, offsets)
    theta = rng.normal(0, 0.3, (COUNT, 24, 3))
    out: dict[str, list[np.ndarray]] = {"theta": [], "transl": [], "betas": [], "keypoints": [], "score": []}
    for n in range(COUNT):
        rotations = to_matrix(theta[n])
        heading = to_matrix(np.array([0.0, rng.uniform(-np.pi, np.pi), 0.0]))
        rotations[0] = np.diag([1.0, -1.0, -1.0]) @ heading @ rotations[0]
        theta[n, 0] = to_vector(rotations[0])
        transl, betas = np.array([0.0, 0.0, rng.uniform(2.5, 4.5)]), rng.normal(0, 0.5, 10)
        at, _, _ = place(points, rotations, transl, betas)
        image = 900.0 * at[:, :2] / at[:, 2:] + np.array([640.0, 360.0]) + rng.normal(0, 2.0, (33, 2))
        score = np.full(33, 0.9)
        if n % 10 == 0:  # a limb that was taken for something else
            image[13] += 250.0
        if n % 7 == 0:  # not seen: the place is a guess, and the score says so
            image[28], score[28] = 0.0, 0.1
        for key, value in zip(out, (theta[n], transl, betas, image, score), strict=True):
            out[key].append(value)
    made = {key: np.array(value) for key, value in out.items()}
    return made | {"focal": np.full(COUNT, 900.0), "centre": np.tile([640.0, 360.0], (COUNT, 1))}


def test_known_offsets_come_back(body: BodyModel, samples: dict[str, np.ndarray], offsets: np.ndarray) -> None:
    found, spread = fit(*gather(samples, body)[:3])
    assert np.abs(found - offsets).max() < 0.004
    residuals, _, _, sizes = gather(samples, body)
    assert residuals.shape == (COUNT, 33, 2)
    np.testing.assert_allclose(spread, 2.0 / np.median(sizes), rtol=0.35)


def test_both_sides_share_one_mirrored_offset_and_the_nose_lies_in_the_middle(
    body: BodyModel, samples: dict[str, np.ndarray]
) -> None:
    found, spread = fit(*gather(samples, body)[:3])
    np.testing.assert_array_equal(found[EXCHANGED], found * MIRROR)
    np.testing.assert_array_equal(spread[EXCHANGED], spread)
    assert found[0, 0] == 0.0


def test_slopes_are_the_derivative_of_the_residuals(body: BodyModel, samples: dict[str, np.ndarray]) -> None:
    few = {key: value[:3] for key, value in samples.items()}
    residuals, slopes, _, sizes = gather(few, body)
    for axis in range(3):
        step = np.zeros((33, 3))
        step[:, axis] = 1e-5
        for n in range(3):
            rotations = to_matrix(few["theta"][n])
            images = []
            for offset in (step, -step):
                at, _, _ = place(body_points(body, offset), rotations, few["transl"][n], few["betas"][n])
                images.append(900.0 * at[:, :2] / at[:, 2:])
            numeric = (images[0] - images[1]) / 2e-5 / sizes[n]
            np.testing.assert_allclose(slopes[n, :, :, axis], numeric, rtol=1e-4, atol=1e-6)
    assert np.isfinite(residuals).all()


def test_the_command_writes_a_table_that_loads(
    samples: dict[str, np.ndarray], offsets: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "samples.npz", **samples)
    out = tmp_path / "new" / "mediapipe.npz"
    monkeypatch.setattr(sys, "argv", ["x", "--samples", str(tmp_path / "samples.npz"), "--out", str(out)])
    main()
    found, _ = measured(out)
    assert np.abs(found - offsets).max() < 0.004
