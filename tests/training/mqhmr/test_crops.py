"""Crops: what lies where in the picture lies there in the crop, labels and camera tell the same of it, mirrored too."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from biopose_live.mqhmr.network.body_points import BodyPoints
from biopose_live.torch_rotations import vector_to_matrix, z_onto
from biopose_live.training.mqhmr.batches import Layout, Mixture, collate
from biopose_live.training.mqhmr.crops import Augmentation, cut, mirrored
from biopose_live.training.mqhmr.keypoints44 import KEYPOINTS, Keypoints44, as_landmarks
from biopose_live.training.mqhmr.records import Record, labels_of
from biopose_live.training.mqhmr.synthetic_source import SyntheticSource, labels_of_rendered

COLOURS = {0: (255, 0, 0), 11: (0, 255, 0), 14: (0, 0, 255), 4: (255, 255, 0)}
MOVED = Augmentation(scale=0.2, shift=0.06, turn=0.3, mirrored=0.0, erased=0.0, blurred=0.0, colour=0.0)


@pytest.fixture
def make_record(make_person, make_picture):
    def make(seed, **changes):
        labels = make_person(seed)
        record = Record(f"person {seed}", make_picture(labels), labels_of(labels, f"person {seed}"))
        return dataclasses.replace(record, labels=dataclasses.replace(record.labels, rest="embedded", **changes))

    return make


def dot(image, colour):
    """Where the dot of that colour is in a crop: its centroid, (x, y) px from the crop's left upper edge."""
    ours = image.astype(float) @ (2 * np.array(colour) / 255 - 1)
    weight = np.where(ours > 0.55 * ours.max(), ours, 0)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_pixels_and_labels_go_to_the_same_place(make_record, body, mirror, seed):
    up = np.array([0.25, -0.95, 0.1])
    record = make_record(seed, up=up, centre=np.array([150.0, 125.0]))
    augmentation = dataclasses.replace(MOVED, mirrored=float(mirror))
    crop = cut(record, 256, 192, body.marker_names, augmentation, np.random.default_rng(seed))
    batch = collate([crop], "embedded", 113)
    places = batch.keypoints_2d[0, :, :2].numpy() * [192, 256]
    swap = {11: 14, 14: 11, 4: 7} if mirror else {}
    for keypoint, colour in COLOURS.items():
        expected = places[swap.get(keypoint, keypoint)]
        if ((expected > 8) & (expected < [184, 248])).all():
            np.testing.assert_allclose(dot(crop.image, colour), expected, atol=0.6)


def test_an_upright_crop(make_record, body):
    """A camera rolled by 20 degrees: gravity points down the crop."""
    angle = np.radians(20.0)
    record = make_record(0, up=np.array([np.sin(angle), -np.cos(angle), 0.0]))
    crop = cut(record, 256, 192, body.marker_names)
    assert np.isclose(crop.roll, -angle)
    camera = collate([crop], "embedded", 113).camera
    ends = torch.tensor([[[0.0, 0.0, 4.0], [-np.sin(angle), np.cos(angle), 4.0]]], dtype=torch.float32)
    down = np.diff(camera.into_crop(camera.project(ends))[0].numpy(), axis=0)[0]
    assert abs(down[0]) < 1e-4
    assert down[1] > 0.1


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("in_view", [False, True])
def test_pose_3d_and_2d_labels_agree_after_augmentation(make_record, make_person, body, mirror, in_view):
    """The labelled pose puts the body's keypoints where the 3D labels are, and they project to the 2D labels."""
    record = make_record(5)
    if in_view:  # labels as if the camera looked straight at the box
        centre = np.array([160.0, 120.0])
        ray = torch.tensor([*(record.labels.box_centre - centre) / np.hypot(320, 240), 1.0])
        turn = z_onto(ray).double()
        root = turn.T @ vector_to_matrix(torch.tensor(record.labels.theta[0]))
        theta = record.labels.theta.copy()
        from scipy.spatial.transform import Rotation

        theta[0] = Rotation.from_matrix(root.numpy()).as_rotvec()
        points = record.labels.keypoints_3d.copy()
        points[:, :3] = points[:, :3] @ turn.numpy()
        labels = dataclasses.replace(record.labels, theta=theta, keypoints_3d=points, in_view=True)
        record = dataclasses.replace(record, labels=labels)
    augmentation = dataclasses.replace(MOVED, mirrored=float(mirror))
    crop = cut(record, 256, 192, body.marker_names, augmentation, np.random.default_rng(1))
    batch = collate([crop], "embedded", 113)
    if mirror:
        # Shapes are not symmetric to the last millimetre: compare the pose by the mirrored person's bones.
        batch = dataclasses.replace(batch, betas=torch.zeros_like(batch.betas))
    to_44 = Keypoints44(body.marker_names)
    keypoints = to_44(BodyPoints(body)(batch.rotations, batch.betas, torch.zeros(1, 3)).all)[0]
    known = to_44.supervised > 0
    found, expected = keypoints[known], batch.keypoints_3d[0, known, :3]
    found, expected = found - found.mean(0), expected - expected.mean(0)
    assert (found - expected).norm(dim=1).max() < (0.06 if mirror else 1e-3)
    projected = batch.camera.into_crop(batch.camera.project(batch.keypoints_3d[..., :3]))
    torch.testing.assert_close(projected[0, known], batch.keypoints_2d[0, known, :2], atol=2e-3, rtol=0)


def test_mirroring_twice_changes_nothing(make_record, body):
    dense = np.random.default_rng(0).uniform(0, 300, (113, 4))
    labels = make_record(2, dense=dense, up=np.array([0.1, -0.9, 0.2])).labels
    centre = np.array([160.0, 120.0])
    twice = mirrored(mirrored(labels, centre, body.marker_names), centre, body.marker_names)
    for field in dataclasses.fields(labels):
        before, after = getattr(labels, field.name), getattr(twice, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_allclose(after, before, atol=1e-9)
    once = mirrored(labels, centre, body.marker_names)
    left, right = body.marker_names.index("LASI"), body.marker_names.index("RASI")
    np.testing.assert_allclose(once.dense[left, 0], 320 - dense[right, 0])


def test_rest_poses_that_differ_are_not_compared(make_record, body):
    crop = cut(make_record(0), 64, 48, body.marker_names)
    other = dataclasses.replace(crop, labels=dataclasses.replace(crop.labels, rest="smpl"))
    batch = collate([crop, other], "embedded", 113)
    assert batch.has_root.tolist() == [1, 1]
    assert batch.has_pose.tolist() == batch.has_betas.tolist() == [1, 0]


def test_batches_are_the_same_by_seed_and_differ_by_process(make_person, make_npz, body, tmp_path):
    from biopose_live.training.mqhmr.npz_source import NpzSource

    source = NpzSource("h36m", *make_npz(tmp_path, [make_person(i) for i in range(4)]))
    layout = Layout(64, 48, body.marker_names, "embedded")

    def first(seed, rank):
        return next(Mixture([(source, 1.0)], layout, 3, Augmentation(), seed, rank, 2).batches())

    a, b, c = first(1, 0), first(1, 0), first(1, 1)
    assert a.pictures.shape == (3, 3, 64, 48)
    assert torch.equal(a.pictures, b.pictures)
    assert torch.equal(a.keypoints_2d, b.keypoints_2d)
    assert not torch.equal(a.pictures, c.pictures)


class Rendered:
    """A picture as the renderer gives it, without its pixels."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.image = np.zeros((240, 320, 3), np.uint8)
        self.theta = rng.normal(0, 0.2, (24, 3))
        self.theta[0] = [np.pi, 0, 0]
        self.betas, self.transl = rng.normal(size=10), np.array([0.2, 0.1, 5.0])
        self.focal, self.centre, self.up = 350.0, np.array([160.0, 120.0]), np.array([0.0, -1.0, 0.0])


def test_rendered_people_have_all_labels(body):
    sample = Rendered(3)
    labels = labels_of_rendered(sample, body)
    posed = body.forward(sample.theta, sample.betas, sample.transl)
    at = body.marker_names.index("LLFC")
    x, y, z = posed.markers[at]
    np.testing.assert_allclose(labels.dense[at], [350 * x / z + 160, 350 * y / z + 120, 1.0, -1.0])
    np.testing.assert_allclose(labels.dense[89 + 4, :2], 350 * posed.joints[4, :2] / posed.joints[4, 2] + [160, 120])
    low, high = labels.box_centre - labels.box_size / 2, labels.box_centre + labels.box_size / 2
    assert ((labels.dense[:, :2] > low) & (labels.dense[:, :2] < high)).all()

    class Renderer:
        def one(self, seed):
            return Rendered(seed)

    records = list(SyntheticSource("made up", Renderer(), body, 5).records(1, 2, np.random.default_rng(0)))
    assert len(records) == 2
    batch = collate([cut(r, 64, 48, body.marker_names) for r in records], "embedded", 113)
    assert batch.has_pose.all()
    assert batch.dense[..., 2].mean() > 0.9


def test_keypoints_as_mediapipes_landmarks():
    keypoints = torch.rand(2, 44, 3)
    landmarks = as_landmarks(keypoints)
    names = [name for name, _ in KEYPOINTS[:25]]
    for landmark, name in ((0, "Nose"), (11, "LShoulder"), (14, "RElbow"), (23, "LHip"), (28, "RAnkle"), (29, "LHeel")):
        torch.testing.assert_close(landmarks[:, landmark], keypoints[:, names.index(name)])
    assert not landmarks[:, 1].any()  # the inner corner of the left eye is not among the 44
