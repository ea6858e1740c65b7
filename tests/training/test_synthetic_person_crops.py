"""Crops of people: repeatable, their truth is the live body's, and their pixels are those of the frame, cut."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.person_crop import SIDE, Crop, person_crop
from biopose_live.rotations import to_matrix
from biopose_live.training.synthetic import contact_sheet
from biopose_live.training.synthetic.base_mesh import joint_motions, read_body
from biopose_live.training.synthetic.choreography import PoseSet
from biopose_live.training.synthetic.crop_scene import Canvas, Group, Lamp, Pinhole, join, lamp_on, paint
from biopose_live.training.synthetic.demo_clip import EMBEDDED_BODY
from biopose_live.training.synthetic.person_crops import CropSampler

DAYLIGHT = np.array([[0.0, -0.6, -0.8], [0.0, -1.0, 0.0], [0.6] * 3, [0.5] * 3, [0.3] * 3])


@pytest.fixture(scope="module")
def poses() -> PoseSet:
    t = np.arange(20)[:, None, None] / 10.0
    theta = (0.3 * np.sin(t + np.arange(72).reshape(24, 3))).astype(np.float32)
    theta[:, 0] = 0.0
    return PoseSet(theta, np.zeros((20, 3), np.float32), np.array([0] * 14 + [1] * 6), ("long", "short"))


@pytest.fixture(scope="module")
def sampler(made_up_assets: Path, poses: PoseSet) -> CropSampler:
    (made_up_assets / "backgrounds").mkdir(exist_ok=True)
    ramp = np.tile(np.linspace(0, 255, 800).astype(np.uint8), (600, 1))
    cv2.imwrite(str(made_up_assets / "backgrounds" / "ramp.jpg"), ramp)
    return CropSampler(made_up_assets, poses, read_body(EMBEDDED_BODY))


def test_a_seed_gives_one_crop_whatever_came_before(sampler):
    first, other, again = sampler.one(1), sampler.one(2), sampler.one(1)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.theta, again.theta)
    assert np.array_equal(first.visible, again.visible)
    assert first.crop.size == again.crop.size
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("seed", range(10, 22))
def test_the_truth_is_in_the_crop(sampler, seed):
    sample = sampler.one(seed)
    body = BodyModel.load()
    assert sample.image.shape == (SIDE, SIDE, 3)
    assert sample.image.dtype == np.uint8
    assert sample.visible.shape == (len(body.marker_names) + 24,)
    assert sample.visible.mean() >= 0.1
    assert np.linalg.norm(sample.up) == pytest.approx(1.0)
    rotations = to_matrix(sample.theta)
    landmarks = Landmarks(body).place(rotations, sample.betas) + sample.transl
    pixels = landmarks[:, :2] / landmarks[:, 2:] * sample.focal + sample.centre
    np.testing.assert_allclose(sample.keypoints, pixels, atol=1e-6)
    exact = person_crop(sample.keypoints)
    assert np.linalg.norm(sample.crop.centre - exact.centre) < 0.25 * exact.size
    assert 0.7 < sample.crop.size / exact.size < 1.4
    # What is seen is inside of the frame.
    joints, markers, _ = body.pose_markers(rotations, sample.betas, sample.transl)
    points = np.concatenate([markers, joints])[sample.visible]
    seen = points[:, :2] / points[:, 2:] * sample.focal + sample.centre
    assert ((seen >= 0) & (seen < np.array(sample.size))).all()


def test_the_drawn_skin_is_the_live_bodys(sampler):
    rng = np.random.default_rng(3)
    betas, theta = rng.normal(size=sampler.model.n_shape), rng.normal(0.0, 0.3, (24, 3))
    shift = np.array([0.1, -0.2, 3.0])
    motions, _ = joint_motions(sampler.model.rest_joints(betas), theta, shift)
    solid, _ = sampler.parts.person(sampler.parts.look(rng), betas, motions)
    posed = sampler.model.forward(theta, betas, shift)
    drawn = solid.vertices[sampler.parts.body_vertices]
    assert np.abs(drawn - posed.vertices).max() < 2e-3  # the six largest weights of a vertex are kept


def _figure(sampler: CropSampler) -> tuple[Group, Lamp]:
    """A person 3 m in front of a camera, and daylight."""
    rng = np.random.default_rng(8)
    betas = np.zeros(sampler.model.n_shape)
    theta = np.zeros((24, 3))
    theta[0] = [np.pi, 0.0, 0.0]
    motions, _ = joint_motions(sampler.model.rest_joints(betas), theta, np.array([0.1, 0.1, 3.0]))
    solid, _ = sampler.parts.person(sampler.parts.look(rng), betas, motions)
    group = join([solid])
    return group, lamp_on(group, solid.vertices, DAYLIGHT, True)


def _coded(colour: np.ndarray) -> np.ndarray:
    return (255.0 * np.clip(colour[:, :, :3], 0.0, 1.0) ** (1 / 2.2)).astype(np.uint8)


def test_pixels_are_those_of_the_whole_frame_cut(sampler):
    group, lamp = _figure(sampler)
    side, focal, centre = 512, 600.0, (256.0, 250.0)
    crop = Crop(np.array([270.0, 240.0]), 300.0, 0.3)
    whole, small = Canvas.of(2 * side), Canvas.of(2 * SIDE)
    eye = np.eye(3)[:2]
    paint(group, Pinhole(focal, centre, eye, side).enlarged(2), lamp, sampler.atlas, whole)
    paint(group, Pinhole(focal, centre, crop.affine, SIDE).enlarged(2), lamp, sampler.atlas, small)
    frame = _coded(cv2.resize(whole.colour, (side, side), interpolation=cv2.INTER_AREA))
    wanted = crop.cut(frame).astype(float)
    got = _coded(cv2.resize(small.colour, (SIDE, SIDE), interpolation=cv2.INTER_AREA)).astype(float)
    assert (wanted.max(axis=2) > 0).mean() > 0.08
    assert np.abs(wanted - got).mean() < 1.0
    # A shift by half a pixel would show.
    for shift in ((0.5, 0.0), (0.0, 0.5), (-0.5, 0.0), (0.0, -0.5)):
        m = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
        assert np.abs(cv2.warpAffine(got, m, (SIDE, SIDE)) - wanted).mean() > np.abs(got - wanted).mean()


def test_an_empty_pose_set_is_refused(made_up_assets):
    empty = PoseSet(np.zeros((0, 24, 3)), np.zeros((0, 3)), np.zeros(0, int), ())
    with pytest.raises(UserError, match="holds no frames"):
        CropSampler(made_up_assets, empty, read_body(EMBEDDED_BODY))


def test_the_contact_sheet_marks_places(sampler):
    sample = sampler.one(30)
    marked = contact_sheet.marked(sample, sampler.model)
    points = contact_sheet.places(sample, sampler.model)
    inside = np.flatnonzero(((points > 2) & (points < SIDE - 2)).all(axis=1) & sample.visible)
    column, row = points[inside[-1]].astype(int)
    assert tuple(marked[row, column]) == contact_sheet.JOINT
    assert contact_sheet.sheet(sampler, 0, 2, 1).shape == (3 * SIDE, 2 * SIDE, 3)


def test_the_command_names_what_is_missing(tmp_path, capsys):
    code = contact_sheet.main(["--assets", str(tmp_path), "--motion", str(tmp_path / "no.npz"), "--out", "x.jpg"])
    assert code != 0
    assert "no.npz" in capsys.readouterr().err
