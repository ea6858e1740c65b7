"""Random samples on a made-up assets folder: repeatable, in view, and their truth is the live body's."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.training.synthetic import detector_bias
from biopose_live.training.synthetic.base_mesh import read_body
from biopose_live.training.synthetic.choreography import PoseSet
from biopose_live.training.synthetic.demo_clip import EMBEDDED_BODY
from biopose_live.training.synthetic.samples import Sampler, aim


@pytest.fixture(scope="module")
def sampler(made_up_assets: Path) -> Sampler:
    t = np.arange(20)[:, None, None] / 10.0
    theta = (0.3 * np.sin(t + np.arange(72).reshape(24, 3))).astype(np.float32)
    theta[:, 0] = 0.0
    trans = np.tile(np.array([0.0, 0.9, 0.0], np.float32), (20, 1))
    (made_up_assets / "backgrounds").mkdir(exist_ok=True)
    ramp = np.tile(np.linspace(0, 255, 800).astype(np.uint8), (600, 1))
    cv2.imwrite(str(made_up_assets / "backgrounds" / "ramp.jpg"), ramp)
    poses = PoseSet(theta, trans, np.array([0] * 14 + [1] * 6), ("long", "short"))
    return Sampler(made_up_assets, poses, read_body(EMBEDDED_BODY))


def test_a_seed_gives_one_sample(sampler):
    first, again, other = sampler.one(1), sampler.one(1), sampler.one(2)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.joints, again.joints)
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_the_truth_is_the_live_bodys_and_in_the_picture(sampler, seed):
    sample = sampler.one(seed)
    posed = BodyModel.load().forward(sample.theta, sample.betas, sample.transl, vertices=False)
    np.testing.assert_allclose(sample.joints, posed.joints, atol=1e-5)
    np.testing.assert_allclose(sample.rotations, posed.rotations, atol=1e-9)
    seen = sample.joints[:, :2] / sample.joints[:, 2:] * sample.focal + sample.centre
    height, width = sample.image.shape[:2]
    assert 480 <= height <= 720
    assert ((seen > 0) & (seen < [width, height])).all()
    assert np.linalg.norm(sample.up) == pytest.approx(1.0)


def test_a_sequence_moves_only_the_person(sampler):
    frames = sampler.sequence(6, 8)
    assert len(frames) == 8
    for frame in frames[1:]:
        assert np.array_equal(frame.betas, frames[0].betas)
        assert frame.focal == frames[0].focal
        assert not np.array_equal(frame.theta, frames[0].theta)
    with pytest.raises(UserError, match="has 15 frames"):
        sampler.sequence(6, 15)


def test_cameras_keep_the_person_in_view():
    joints = np.random.default_rng(0).uniform([-0.5, 0.0, -0.3], [0.5, 1.8, 0.3], (24, 3))
    rng = np.random.default_rng(1)
    cameras = [aim(rng, joints, 2.6) for _ in range(200)]
    for camera in cameras:
        local = camera.to_camera(joints)
        seen = local[:, :2] / local[:, 2:] * camera.focal + camera.centre
        assert ((seen > 0) & (seen < np.array(camera.size))).all()
    pitch = np.degrees([np.arcsin(-c.rotation[2, 1]) for c in cameras])
    fov = np.degrees([2 * np.arctan(max(c.size) / 2 / c.focal) for c in cameras])
    assert pitch.min() > -30.1
    assert pitch.max() < 45.1
    assert fov.min() > 39.9
    assert fov.max() < 80.1
    assert np.ptp(pitch) > 25
    assert np.ptp(fov) > 30


def test_an_empty_assets_folder_gets_a_sentence(made_up_assets, tmp_path):
    (tmp_path / "base.obj").write_text((made_up_assets / "base.obj").read_text())
    poses = PoseSet(np.zeros((1, 24, 3)), np.zeros((1, 3)), np.zeros(1, int), ("a",))
    with pytest.raises(UserError, match="needs skins, clothes"):
        Sampler(tmp_path, poses, read_body(EMBEDDED_BODY))


def test_measurements_survive_an_interruption(sampler, tmp_path):
    path = tmp_path / "samples.npz"
    assert detector_bias.resume(path, "a") == ([], [])
    rng = np.random.default_rng(0)
    rows = [
        detector_bias.row(sampler.one(s), s, rng.uniform(size=(33, 2)), rng.uniform(size=33), rng.uniform(size=(33, 3)))
        for s in (1, 2)
    ]
    detector_bias.save(path, rows, [7], "a")
    back, missed = detector_bias.resume(path, "a")
    assert missed == [7]
    assert [int(r["seed"]) for r in back] == [1, 2]
    for before, after in zip(rows, back, strict=True):
        assert all(np.array_equal(before[key], after[key]) for key in before)
    with pytest.raises(UserError, match="measured on body a, this is b"):
        detector_bias.resume(path, "b")
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match="not a file of this program"):
        detector_bias.resume(path, "a")
    with pytest.raises(UserError, match="missing"):
        detector_bias.open_detector(tmp_path / "none.task")
