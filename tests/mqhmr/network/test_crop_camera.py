"""The crop's camera against OpenCV's pinhole projection and pictures that OpenCV warps."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from biopose_live.mqhmr.network.crop_camera import CropCamera, upright_roll
from biopose_live.torch_rotations import about_z, six_to_matrix, squared_chord, vector_to_matrix, z_onto


def double(camera: CropCamera) -> CropCamera:
    return CropCamera(*(getattr(camera, name).double() for name in CropCamera.__dataclass_fields__))


def test_projection_is_opencvs(make_camera):
    camera = double(make_camera(3))
    points = torch.randn(3, 40, 3, dtype=torch.float64) + torch.tensor([0.0, 0.0, 4.0])
    found = camera.project(points)
    for i in range(3):
        f, (x, y) = float(camera.focal[i]), camera.centre[i].tolist()
        matrix = np.array([[f, 0, x], [0, f, y], [0, 0, 1]])
        expected, _ = cv2.projectPoints(points[i].numpy(), np.zeros(3), np.zeros(3), matrix, None)
        np.testing.assert_allclose(found[i], expected[:, 0], atol=1e-9)


def test_a_rolled_camera_with_the_crops_principal_point_sees_the_crop(make_camera):
    """The crop is a picture of a pinhole camera of its own: OpenCV's, turned, with the crop's intrinsics."""
    camera = double(make_camera(3, seed=4))
    points = torch.randn(3, 40, 3, dtype=torch.float64) + torch.tensor([0.0, 0.0, 4.0])
    found = camera.into_crop(camera.project(points))
    for i in range(3):
        size, f = camera.box_size[i].numpy(), float(camera.focal[i])
        corner = camera.box_centre[i].numpy() - size / 2
        at = (camera.centre[i].numpy() - corner) / size
        matrix = np.array([[f / size[0], 0, at[0]], [0, f / size[1], at[1]], [0, 0, 1]])
        turn = np.array([0.0, 0.0, float(camera.roll[i])])
        expected, _ = cv2.projectPoints(points[i].numpy(), turn, np.zeros(3), matrix, None)
        np.testing.assert_allclose(found[i], expected[:, 0], atol=1e-9)


def test_crop_and_frame_are_each_others_inverse(make_camera):
    camera = double(make_camera(3, seed=1))
    pixels = 500 * torch.rand(3, 20, 2, dtype=torch.float64)
    torch.testing.assert_close(camera.out_of_crop(camera.into_crop(pixels)), pixels)


def test_position_lies_where_it_says_and_looks_so_large(make_camera):
    camera = double(make_camera(3, seed=2))
    place, log_size = torch.rand(3, 2, dtype=torch.float64), torch.randn(3, dtype=torch.float64) - 0.5
    pelvis = camera.position(place, log_size)
    torch.testing.assert_close(camera.into_crop(camera.project(pelvis[:, None]))[:, 0], place)
    metre = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    turned = (about_z(-camera.roll) @ metre[..., None])[..., 0]
    ends = camera.into_crop(camera.project(torch.stack([pelvis, pelvis + turned], 1)))
    torch.testing.assert_close((ends[:, 1] - ends[:, 0]).norm(dim=1), log_size.exp())


def test_orientation_is_that_of_a_view_along_the_crops_ray(make_camera):
    """What stands upright and faces the view looks the same wherever the crop is: its axes project alike."""
    camera = double(make_camera(4, seed=3))
    axes = camera.orientation(torch.eye(3, dtype=torch.float64).expand(4, 3, 3))
    forward = axes[:, :, 2] / axes[:, 2:, 2]
    middle = camera.into_crop(camera.project(forward[:, None]))[:, 0]
    torch.testing.assert_close(middle, torch.full_like(middle, 0.5))
    torch.testing.assert_close(torch.linalg.det(axes), torch.ones(4, dtype=torch.float64))


def test_upright_roll_makes_gravity_point_down():
    up = torch.randn(50, 3, dtype=torch.float64)
    turned = (about_z(upright_roll(up)) @ up[..., None])[..., 0]
    torch.testing.assert_close(turned[:, 0], torch.zeros(50, dtype=torch.float64))
    assert (turned[:, 1] < 0).all()


def test_rotations_are_scipys():
    vectors = torch.randn(30, 3, dtype=torch.float64)
    vectors[0] = 0
    expected = torch.tensor(Rotation.from_rotvec(vectors.numpy()).as_matrix())
    found = vector_to_matrix(vectors)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(six_to_matrix(expected[:, :, :2].transpose(1, 2).flatten(1) * 2), expected)
    angle = vectors.norm(dim=1)
    chord = squared_chord(found, torch.eye(3, dtype=torch.float64).expand_as(found))
    torch.testing.assert_close(chord, 4 * (angle / 2).sin().square())
    assert torch.autograd.gradcheck(vector_to_matrix, torch.zeros(2, 3, dtype=torch.float64, requires_grad=True))


def test_z_onto_is_the_smallest_turn():
    direction = torch.randn(30, 3, dtype=torch.float64)
    direction[:, 2] = direction[:, 2].abs()
    unit = direction / direction.norm(dim=1, keepdim=True)
    found = z_onto(direction)
    torch.testing.assert_close(found[:, :, 2], unit)
    angles = Rotation.from_matrix(found.numpy()).magnitude()
    np.testing.assert_allclose(angles, np.arccos(unit[:, 2].numpy()), atol=1e-7)
