"""The rasteriser against OpenCV's polygon test, ray-plane geometry and SciPy's interpolation."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from scipy.spatial import ConvexHull

from biopose_live.training.synthetic.raster import Light, Mesh, project, shade, shrink, vertex_normals, visible

SIZE = (64, 48)
FOCAL, CENTRE = 60.0, (32.0, 24.0)


def mesh_of(vertices, faces, two_sided=True, uv=None, textures=None) -> Mesh:
    vertices, faces = np.asarray(vertices, float), np.asarray(faces, np.int32)
    return Mesh(
        vertices,
        np.tile([0.0, 0.0, -1.0], (len(vertices), 1)),
        faces,
        np.zeros((len(faces), 3, 2), np.float32) if uv is None else np.asarray(uv, np.float32),
        np.zeros(len(faces), np.int32),
        np.full(len(faces), two_sided),
        np.zeros((0, 1, 1, 4), np.float32) if textures is None else textures,
    )


def pixel_grid() -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    return columns, rows


corner = st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0), st.floats(1.0, 4.0))


@settings(max_examples=60, deadline=None)
@given(st.lists(corner, min_size=3, max_size=3))
def test_covers_the_pixels_whose_centres_lie_inside(corners):
    points = np.array(corners)
    seen = visible(mesh_of(points, [[0, 1, 2]]), FOCAL, CENTRE, SIZE)
    outline = project(points, FOCAL, CENTRE)[:, :2].astype(np.float32).reshape(-1, 1, 2)
    columns, rows = pixel_grid()
    distance = np.array(
        [
            cv2.pointPolygonTest(outline, (float(x), float(y)), True)
            for x, y in zip(columns.flat, rows.flat, strict=True)
        ]
    ).reshape(columns.shape)
    clear = np.abs(distance) > 1e-3  # single-precision outline: leave out centres that lie on it
    assert ((seen.face == 0) == (distance > 0))[clear].all()


def test_depth_and_weights_agree_with_the_ray_through_each_pixel():
    points = np.array([[-0.6, -0.5, 1.2], [0.9, -0.4, 3.0], [-0.1, 0.7, 2.0]])
    seen = visible(mesh_of(points, [[0, 1, 2]]), FOCAL, CENTRE, SIZE)
    inside = seen.face == 0
    assert inside.sum() > 300
    columns, rows = pixel_grid()
    rays = np.stack([(columns - CENTRE[0]) / FOCAL, (rows - CENTRE[1]) / FOCAL, np.ones_like(rows)], axis=-1)
    normal = np.cross(points[1] - points[0], points[2] - points[0])
    expected = (normal @ points[0]) / (rays @ normal)
    np.testing.assert_allclose(seen.depth[inside], expected[inside], rtol=1e-12)
    np.testing.assert_allclose(seen.weights[inside] @ points, (rays * expected[..., None])[inside], atol=1e-12)
    assert np.isinf(seen.depth[~inside]).all()


@pytest.mark.parametrize("faces", [[[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]])
def test_the_nearer_surface_wins_whatever_the_order(faces):
    triangle = np.array([[-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [0.0, 1.0, 1.0]])
    points = np.concatenate([triangle * 2.0, triangle * [1.0, 1.0, 1.5]])
    seen = visible(mesh_of(points, faces), FOCAL, CENTRE, SIZE)
    assert seen.depth[24, 32] == pytest.approx(1.5)
    assert faces[seen.face[24, 32]] == [3, 4, 5]


def test_what_is_in_front_already_stays():
    points = np.array([[-1.0, -1.0, 2.0], [1.0, -1.0, 2.0], [0.0, 1.0, 2.0]])
    before = np.full(SIZE[::-1], np.inf)
    before[:, :32] = 1.9
    seen = visible(mesh_of(points, [[0, 1, 2]]), FOCAL, CENTRE, SIZE, behind=before)
    assert (seen.face[:, :32] == -1).all()
    assert (seen.face[:, 32:] == 0).any()


def test_two_triangles_of_a_square_leave_no_gap_and_share_no_pixel():
    points = np.array([[-0.5, -0.4, 2.0], [0.5, -0.4, 2.0], [0.5, 0.4, 2.0], [-0.5, 0.4, 2.0]])
    seen = visible(mesh_of(points, [[0, 1, 2], [0, 2, 3]]), FOCAL, CENTRE, SIZE)
    assert (seen.face >= 0).sum() == 30 * 24  # 1 m x 0.8 m at 2 m with 60 px


def test_the_back_of_a_one_sided_triangle_is_not_drawn():
    points = np.array([[-1.0, -1.0, 2.0], [1.0, -1.0, 2.0], [0.0, 1.0, 2.0]])
    # (b - a) x (c - a) points along +z, away from the camera, for this order.
    assert (visible(mesh_of(points, [[0, 1, 2]], two_sided=False), FOCAL, CENTRE, SIZE).face == -1).all()
    assert (visible(mesh_of(points, [[0, 2, 1]], two_sided=False), FOCAL, CENTRE, SIZE).face == 0).any()


SQUARE = np.array([[-0.8, 0.8, 2.0], [0.8, 0.8, 2.0], [0.8, -0.8, 2.0], [-0.8, -0.8, 2.0]])
SQUARE_FACES = [[0, 1, 2], [0, 2, 3]]
SQUARE_UV = [[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]]  # bottom left, right; top right, left


def test_alpha_cuts_holes():
    texture = np.ones((1, 8, 8, 4), np.float32)
    texture[0, :4, :, 3] = 0.0  # the top half is air
    seen = visible(mesh_of(SQUARE, SQUARE_FACES, uv=SQUARE_UV, textures=texture), FOCAL, CENTRE, SIZE)
    assert (seen.face[2:22, 32] == -1).all()
    assert (seen.face[26:46, 32] >= 0).all()


def test_texture_and_light_of_a_flat_square():
    rng = np.random.default_rng(3)
    texture = np.ones((1, 16, 16, 4), np.float32)
    texture[0, :, :, :3] = rng.uniform(0.1, 0.9, (16, 16, 3))
    mesh = mesh_of(SQUARE, SQUARE_FACES, uv=SQUARE_UV, textures=texture)
    seen = visible(mesh, FOCAL, CENTRE, SIZE)
    towards = np.array([0.0, -0.6, -0.8])
    light = Light(
        towards, np.array([0.0, -1.0, 0.0]), np.array([0.5, 0.6, 0.7]), np.full(3, 0.3), np.full(3, 0.1), shine=0.0
    )
    image = np.full((*SIZE[::-1], 3), -1.0, np.float32)
    shade(mesh, seen, light, image)
    drawn = seen.face >= 0
    assert (image[~drawn] == -1.0).all()
    columns, rows = pixel_grid()
    x = ((columns - CENTRE[0]) / FOCAL * 2.0 + 0.8) / 1.6 * 16 - 0.5
    y = ((rows - CENTRE[1]) / FOCAL * 2.0 + 0.8) / 1.6 * 16 - 0.5
    for channel, lamp in enumerate((0.5, 0.6, 0.7)):
        colour = map_coordinates(texture[0, :, :, channel].astype(float), [y, x], order=1, mode="grid-wrap")
        expected = colour * (0.2 + lamp * 0.8)  # half sky, half ground; the square faces the camera, cosine 0.8
        np.testing.assert_allclose(image[drawn][:, channel], expected[drawn], atol=1e-5)


def test_normals_of_a_sphere_point_outward():
    points = np.random.default_rng(0).normal(size=(400, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    hull = ConvexHull(points)
    faces = hull.simplices.copy()
    a, b, c = (points[faces[:, k]] for k in range(3))
    inward = np.einsum("fc,fc->f", np.cross(b - a, c - a), hull.equations[:, :3]) < 0
    faces[inward] = faces[inward][:, ::-1]
    normals = vertex_normals(points, faces.astype(np.int32))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert np.einsum("vc,vc->v", normals, points).min() > 0.97


def test_shrink_is_opencv_area_averaging():
    image = np.random.default_rng(1).uniform(size=(12, 20, 3)).astype(np.float32)
    expected = cv2.resize(image, (10, 6), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(shrink(image, 2), expected, atol=1e-6)
