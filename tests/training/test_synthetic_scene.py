"""Camera, rooms, shadows and the camera's imperfections: against OpenCV, geometry and each other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from biopose_live.training.synthetic.camera import place_camera
from biopose_live.training.synthetic.raster import Mesh, project
from biopose_live.training.synthetic.room import furnish, look
from biopose_live.training.synthetic.scene import (
    Lighting,
    Sensor,
    compose,
    contact_share,
    depth_map,
    develop,
    lit_share,
)

CAMERA = place_camera(np.array([0.2, 1.4, 4.0]), yaw=0.1, pitch=0.15, roll=-0.05, fov=1.0, size=(160, 120))


def plate(height: float, half: float = 0.5, colour: float = 0.5) -> Mesh:
    """A level square facing up and down, its middle above the origin."""
    corners = np.array([[-half, height, half], [half, height, half], [half, height, -half], [-half, height, -half]])
    return Mesh(
        corners,
        np.tile([0.0, 1.0, 0.0], (4, 1)),
        np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        np.zeros((2, 3, 2), np.float32),
        np.zeros(2, np.int32),
        np.ones(2, bool),
        np.concatenate([np.full((1, 2, 2, 3), colour), np.ones((1, 2, 2, 1))], axis=3).astype(np.float32),
    )


def test_projection_is_opencvs():
    points = np.random.default_rng(0).uniform(-1, 1, (30, 3))
    rotation = cv2.Rodrigues(CAMERA.rotation)[0]
    matrix = np.array([[CAMERA.focal, 0, CAMERA.centre[0]], [0, CAMERA.focal, CAMERA.centre[1]], [0, 0, 1]])
    expected, _ = cv2.projectPoints(points, rotation, -CAMERA.rotation @ CAMERA.position, matrix, None)
    seen = project(CAMERA.to_camera(points), CAMERA.focal, CAMERA.centre)
    np.testing.assert_allclose(seen[:, :2], expected[:, 0], atol=1e-9)


def test_the_angles_of_a_camera_mean_what_they_say():
    level = place_camera(np.zeros(3), 0.0, 0.0, 0.0, 1.0, (100, 80))
    np.testing.assert_allclose(level.up, [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(level.to_camera(np.array([0.3, 0.2, -2.0])), [0.3, -0.2, 2.0])
    down = place_camera(np.zeros(3), 0.0, 0.4, 0.0, 1.0, (100, 80))
    assert down.rotation[2, 1] == pytest.approx(-np.sin(0.4))  # the optical axis points below the horizon
    edge = project(np.array([np.tan(0.5), 0.0, 1.0]), level.focal, level.centre)
    assert edge[0] == pytest.approx(100)
    assert np.linalg.det(CAMERA.rotation) == pytest.approx(1.0)


def test_points_of_a_room_project_to_their_pixels():
    room = furnish(np.random.default_rng(7))
    view = look(room, CAMERA)
    columns, rows = np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5)
    seen = project(CAMERA.to_camera(view.points.astype(float)), CAMERA.focal, CAMERA.centre)
    np.testing.assert_allclose(seen[..., 0], columns, atol=0.01)
    np.testing.assert_allclose(seen[..., 1], rows, atol=0.01)
    np.testing.assert_allclose(seen[..., 2], view.depth, atol=1e-4)
    assert view.floor.any()
    np.testing.assert_allclose(view.points[view.floor][:, 1], 0.0, atol=1e-5)
    inside = (view.points > room.low - 1e-4) & (view.points < room.high + 1e-4)
    assert inside.all()
    assert np.isfinite(view.colour).all()
    assert view.colour.min() >= 0.0


def test_a_seed_gives_one_room():
    first, second, other = (look(furnish(np.random.default_rng(s)), CAMERA) for s in (3, 3, 4))
    assert np.array_equal(first.colour, second.colour)
    assert not np.array_equal(first.colour, other.colour)


def floor_points() -> np.ndarray:
    x, z = np.meshgrid(np.linspace(-1.5, 1.5, 61), np.linspace(-1.5, 1.5, 61))
    return np.stack([x, np.zeros_like(x), z], axis=-1)


@pytest.mark.parametrize("slope", [0.0, 0.6])
def test_a_plate_throws_its_own_shape(slope):
    towards = np.array([slope, 1.0, 0.0]) / np.hypot(slope, 1.0)
    points = floor_points()
    lit = lit_share(points, np.ones((61, 61), bool), depth_map(plate(1.0), towards), bias=0.01, spread=1)
    off = np.maximum(np.abs(points[..., 0] + slope), np.abs(points[..., 2])) - 0.5  # m outside the shadow's edge
    assert (lit[off < -0.04] == 0.0).all()
    assert (lit[off > 0.04] == 1.0).all()


def test_contact_darkens_below_what_is_near_the_floor():
    points, everywhere = floor_points(), np.ones((61, 61), bool)
    near, far = (contact_share(points, everywhere, plate(h))[30, 30] for h in (0.02, 1.0))
    assert near < 0.6
    assert far > 0.95
    assert contact_share(points, everywhere, plate(0.02))[0, 0] == pytest.approx(1.0)


def test_furniture_in_front_hides_people():
    view = look(furnish(np.random.default_rng(1)), CAMERA)
    light = Lighting(np.array([0.0, 1.0, 0.0]), np.full(3, 0.5), np.full(3, 0.4), np.full(3, 0.2))
    before = compose(view, CAMERA, [], light)
    assert np.array_equal(before, view.colour)
    wall = plate(0.0)
    upright = Mesh(
        wall.vertices[:, [0, 2, 1]] + [0.0, 1.2, 0.0], np.tile([0.0, 0.0, 1.0], (4, 1)), wall.faces, wall.uv,
        wall.texture, wall.two_sided, wall.textures,
    )  # fmt: skip
    with_person = compose(view, CAMERA, [upright], light)
    assert (with_person != before).any(axis=2).sum() > 500
    hidden = type(view)(view.colour, np.full_like(view.depth, 0.5), np.zeros_like(view.floor), view.points)
    assert np.array_equal(compose(hidden, CAMERA, [upright], light), view.colour)


def test_noise_and_tone():
    grey = np.full((40, 40, 3), 0.25, np.float32)
    clean = develop(grey, Sensor(0.0, 0.0, 1.0), np.random.default_rng(0))
    assert clean.shape == (20, 20, 3)
    assert (clean == round(255 * 0.25 ** (1 / 2.2))).all()
    noisy = [develop(grey, Sensor(0.0, 0.02, 1.0), np.random.default_rng(s)) for s in (1, 1, 2)]
    assert np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])
    assert noisy[0].std() == pytest.approx(255 * 0.02, rel=0.1)
    assert develop(grey * 40, Sensor(0.0, 0.0, 1.0), np.random.default_rng(0)).max() == 255
