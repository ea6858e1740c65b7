"""The pieces that crops are made of, each against an independent way to the same answer."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from biopose_live.mqhmr.person_crop import SIDE, Crop
from biopose_live.rotations import to_matrix
from biopose_live.training.synthetic import raster
from biopose_live.training.synthetic.choreography import PoseSet
from biopose_live.training.synthetic.cloth_folds import loosen
from biopose_live.training.synthetic.crop_backgrounds import Photos, compose, coverage, inverted
from biopose_live.training.synthetic.crop_poses import MIRROR, CropPoses
from biopose_live.training.synthetic.crop_raster import draw, nearest
from biopose_live.training.synthetic.crop_scene import Pinhole, join, lamp_on, on_screen, shadow_on_floor
from biopose_live.training.synthetic.crop_views import CENTRE_SIGMA, draw_camera, draw_crop
from biopose_live.training.synthetic.crop_visibility import Drawn, depth_at, drawn_depth, seen
from biopose_live.training.synthetic.dressed_parts import Solid
from biopose_live.training.synthetic.photometric import Film, Look
from biopose_live.training.synthetic.solid_shapes import KINDS, room, solid

WHITE = (0, np.ones(3), -1, 1.0, 0.0, True, -1)
CROPS = [Crop(np.array([300.0, 200.0]), 260.0, 0.4), Crop(np.array([20.0, 470.0]), 700.0, -1.2)]


def _soup(rng: np.random.Generator, count: int = 60) -> Solid:
    """Random triangles in front of a camera."""
    middle = rng.uniform([-1.0, -1.0, 2.0], [1.0, 1.0, 4.0], (count, 1, 3))
    corners = (middle + rng.normal(0.0, 0.3, (count, 3, 3))).reshape(-1, 3).astype(np.float32)
    faces = np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    uv = np.zeros((count, 3, 2), np.float32)
    return Solid(corners, np.ones_like(corners), faces, uv, np.zeros(count, np.int32), [WHITE])


def _first_hit(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[Q] depth (m) of the nearest triangle [F, 3, 3] along the ray from the origin through each point [Q, 3]
    (Moeller and Trumbore 1997), inf where there is none."""
    a, e1, e2 = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    out = np.full(len(points), np.inf)
    for q, ray in enumerate(points):
        p = np.cross(ray, e2)
        det = (e1 * p).sum(1)
        u = (-a * p).sum(1) / det
        cross = np.cross(-a, e1)
        v = (ray * cross).sum(1) / det
        t = (e2 * cross).sum(1) / det
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
        if hit.any():
            out[q] = t[hit].min() * ray[2]
    return out


def test_depth_agrees_with_the_full_rasteriser():
    made = _soup(np.random.default_rng(0))
    view = Pinhole(150.0, (100.0, 100.0), np.eye(3)[:2], 200)
    inverse, face = np.zeros((200, 200), np.float32), np.full((200, 200), -1, np.int32)
    screen = on_screen(made.vertices, view)
    draw(
        screen, made.faces, made.uv, made.material, np.array([True]), np.array([-1]), np.zeros((1, 2, 2, 4), np.uint8),
        inverse, face, np.zeros((200, 200, 2), np.float32),
    )  # fmt: skip
    mesh = raster.Mesh(
        made.vertices.astype(float), made.normals.astype(float), made.faces, made.uv, made.material,
        np.ones(len(made.faces), bool), np.zeros((0, 1, 1, 4), np.float32),
    )  # fmt: skip
    truth = raster.visible(mesh, 150.0, (100.0, 100.0), (200, 200))
    same = face == truth.face
    assert same.mean() > 0.999  # single precision may give an edge's pixel to the neighbour
    hit = same & (face >= 0)
    assert hit.mean() > 0.3
    np.testing.assert_allclose(1.0 / inverse[hit], truth.depth[hit], rtol=1e-4)
    np.testing.assert_array_equal(drawn_depth(Drawn(screen, made.faces, False), 200), inverse)


def test_visibility_agrees_with_rays():
    rng = np.random.default_rng(1)
    own, other = _soup(rng), _soup(rng, 20)
    view = Pinhole(400.0, (512.0, 512.0), np.array([[0.8, 0.3, 100.0], [-0.3, 0.8, 300.0]]), 700)
    points = rng.uniform([-1.4, -1.4, 2.0], [1.4, 1.4, 5.0], (400, 3))
    frame = points[:, :2] / points[:, 2:] * view.focal + np.array(view.centre)
    pixels = frame @ view.affine[:, :2].T + view.affine[:, 2]
    outside = ((pixels < 0) | (pixels >= view.side)).any(axis=1)
    assert 10 < outside.sum() < 390
    slack = rng.uniform(0.0, 0.2, len(points))
    drawn = [Drawn(on_screen(s.vertices, view), s.faces, False) for s in (own, other)]
    pairs = [(d, drawn_depth(d, view.side)) for d in drawn]
    got = seen(points, pixels, frame, (1024, 1024), pairs[0], pairs[1], slack)
    hits = [_first_hit(points, s.vertices[s.faces].astype(float)) for s in (own, other)]
    inside = ((frame >= 0) & (frame < 1024)).all(axis=1)
    wanted = inside & (hits[0] > points[:, 2] - slack) & (hits[1] > points[:, 2] - 0.01)
    # A pixel's depth is that of its centre: places within a pixel of an edge may differ.
    assert (got == wanted).mean() > 0.97
    assert 0.2 < wanted.mean() < 0.9
    exact = depth_at(pixels[outside], *pairs[0])
    np.testing.assert_allclose(exact, hits[0][outside], rtol=1e-3)


def test_nearest_looks_at_the_side_that_is_asked_for():
    corners = np.array([[0.0, 0.0, 0.5], [10.0, 0.0, 0.5], [0.0, 10.0, 0.5]], np.float32)
    for face, sided in (([0, 1, 2], 0.0), ([0, 2, 1], 0.5)):
        for culled in (False, True):
            out = np.zeros(1)
            nearest(corners, np.array([face], np.int32), culled, np.array([[2.0, 2.0]]), out)
            assert out[0] == pytest.approx(sided if culled else 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_are_closed_and_face_outwards(kind):
    half, centre = np.array([0.3, 0.5, 0.2]), np.array([1.0, 2.0, 3.0])
    made = solid(kind, half, np.array([0.4, -0.2, 0.9]), centre, WHITE)
    corners = made.vertices[made.faces].astype(float) - centre
    volume = np.linalg.det(corners).sum() / 6.0  # the divergence theorem: positive when faces point outwards
    full = 8.0 * half.prod()
    wanted = {"box": 1.0, "plank": 1.0, "cylinder": np.pi / 4, "ball": np.pi / 6}[kind] * full
    assert volume == pytest.approx(wanted, rel=0.06)


def test_a_room_faces_inwards():
    low, high = np.array([-2.0, 0.0, -3.0]), np.array([2.0, 2.5, 4.0])
    made = room(low, high, [WHITE, WHITE, WHITE], (1.0, 1.0, 1.0))
    middle = 0.5 * (low + high)
    corners = made.vertices[made.faces].astype(float) - middle
    assert np.linalg.det(corners).sum() / 6.0 == pytest.approx(-(high - low).prod(), rel=1e-5)
    assert (np.einsum("vc,vc->v", made.normals, middle - made.vertices) > 0).all()
    floor = made.vertices[made.faces[made.material == 0]]
    np.testing.assert_allclose(floor[:, :, 1], 0.0)


def test_a_lamp_throws_the_shadow_of_a_box():
    box = solid("box", np.array([0.3, 0.3, 0.3]), np.zeros(3), np.array([0.0, 0.0, 3.0]), WHITE)
    light = np.zeros((5, 3))
    light[0] = [0.0, -1.0, 0.0]  # the lamp hangs above: y runs down
    lamp = lamp_on(join([box]), box.vertices, light, True)
    points = np.array([[0.0, 0.6, 3.0], [0.25, 0.5, 2.8], [0.4, 0.6, 3.0], [0.0, -0.6, 3.0]])
    at = points @ lamp.shadow_from[:, :3].T + lamp.shadow_from[:, 3]
    shaded = lamp.shadow[at[:, 1].astype(int), at[:, 0].astype(int)] > at[:, 2] + 0.03
    assert shaded.tolist() == [True, True, False, False]


@pytest.mark.parametrize("crop", CROPS)
def test_coverage_is_what_a_cut_leaves_of_white(crop):
    share = coverage(crop.affine, (640, 480), SIDE)
    cut = crop.cut(np.full((480, 640, 3), 255, np.uint8))[:, :, 0] / 255.0
    got = np.ones_like(cut) if share is None else share[:, :, 0]
    np.testing.assert_allclose(got, cut, atol=0.04)  # OpenCV looks up at 32 steps per pixel


@pytest.mark.parametrize("seed", range(8))
def test_a_background_belongs_to_the_frame(tmp_path, seed):
    soft = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (900, 1200, 3)).astype(np.uint8), (0, 0), 12)
    cv2.imwrite(str(tmp_path / "a.png"), soft)
    photos = Photos([tmp_path / "a.png"], np.ascontiguousarray(np.dstack([soft, soft[:, :, :1]])[None, :512, :512]))
    crop = Crop(np.array([256.0, 240.0]), 250.0, 0.5)
    whole = photos._cut(np.random.default_rng(seed), (512, 512), np.eye(3)[:2], 512)
    got = photos._cut(np.random.default_rng(seed), (512, 512), crop.affine, SIDE)
    assert np.abs(crop.cut(whole).astype(float) - got).mean() < 1.5
    shown = photos.draw(np.random.default_rng(seed), (512, 512), crop.affine, SIDE)
    assert shown.shape == (SIDE, SIDE, 3)
    assert shown.dtype == np.uint8


def test_affines_invert():
    m = CROPS[0].affine
    np.testing.assert_allclose(compose(inverted(m), m), np.eye(3)[:2], atol=1e-9)


def test_a_plain_camera_changes_nothing_but_the_tone():
    film, rng = Film(), np.random.default_rng(0)
    plain = Look(0.0, (0.0, 0.0), np.ones(3), (0.0, 0.0), 1.0, 0.0, 0.0, 1.0, None)
    level = rng.uniform(0.02, 0.6, (SIDE, SIDE, 3)).astype(np.float32)
    fore = np.zeros((2 * SIDE, 2 * SIDE, 4), np.float32)
    fore[:SIDE, :, :] = [0.3, 0.3, 0.3, 1.0]
    image = film.develop(fore, level, SIDE, 1.5, plain, rng)
    np.testing.assert_allclose(image[SIDE // 2 :], 255.0 * level[SIDE // 2 :] ** (1 / 2.2), atol=1.0)
    np.testing.assert_allclose(image[: SIDE // 2], 255.0 * 0.3 ** (1 / 2.2), atol=1.0)
    few = film.develop(fore, level, SIDE, 0.25, plain, rng)  # a frame of few pixels has no fine detail
    assert np.abs(np.diff(few[SIDE // 2 + 8 :].astype(float), axis=1)).mean() < 8.0
    noisy = film.develop(fore, level, SIDE, 1.5, Look(**{**vars(plain), "noise": (6.0, 0.0)}), rng)
    assert np.std(noisy[:120].astype(float)) == pytest.approx(6.0, rel=0.1)


def test_poses_are_rotations_and_half_of_them_face_the_camera():
    t = np.random.default_rng(2).normal(0.0, 0.3, (50, 24, 3)).astype(np.float32)
    bank = CropPoses(PoseSet(t, np.zeros((50, 3)), np.zeros(50, int), ("a",)))
    rng = np.random.default_rng(3)
    heading = []
    for _ in range(300):
        pose = bank.draw(rng)
        assert pose.shape == (24, 3)
        assert np.linalg.norm(pose, axis=1).max() <= np.pi + 1e-9
        forward = to_matrix(pose[0])[:, 2]
        heading.append(np.degrees(np.arctan2(forward[0], forward[2])))
    near = (np.abs(heading) < 70).mean()
    assert 0.6 < near < 0.8  # half within 2 sigma of the camera, and 140 of 360 degrees of the rest
    assert (MIRROR[MIRROR] == np.arange(24)).all()


def test_cameras_and_crops_hold_the_person():
    joints = np.random.default_rng(0).uniform([-0.3, 0.0, -0.3], [0.3, 1.8, 0.3], (24, 3))
    rng = np.random.default_rng(4)
    shares, heights = [], []
    for _ in range(150):
        camera = draw_camera(rng, joints)
        local = camera.to_camera(joints)
        pixels = local[:, :2] / local[:, 2:] * camera.focal + camera.centre
        assert local[:, 2].min() > 0.4
        shares.append(((pixels > 0) & (pixels < np.array(camera.size))).all(axis=1).mean())
        heights.append(camera.position[1])
    assert min(shares) > 0.54
    assert 0.02 < (np.array(shares) < 0.97).mean() < 0.4
    assert min(heights) < 0.6
    assert max(heights) > 2.4
    keypoints = rng.uniform(100, 300, (33, 2))
    offsets = np.array([draw_crop(rng, keypoints).centre for _ in range(400)])
    sizes = np.array([draw_crop(rng, keypoints).size for _ in range(400)])
    assert offsets.std(axis=0) / np.median(sizes) == pytest.approx([CENTRE_SIGMA] * 2, rel=0.15)


def test_a_meter_makes_a_dark_picture_as_bright_as_another():
    film, rng = Film(), np.random.default_rng(0)
    metered = Look(0.0, (0.0, 0.0), np.ones(3), (0.0, 0.0), 1.0, 0.0, 1.0, 1.0, None)
    fore = np.zeros((2 * SIDE, 2 * SIDE, 4), np.float32)
    levels = [np.full((SIDE, SIDE, 3), v, np.float32) for v in (0.03, 0.4)]
    dark, bright = (film.develop(fore, v, SIDE, 1.5, metered, rng).mean() for v in levels)
    assert dark == pytest.approx(bright, abs=1.0)


def test_the_floor_of_a_photograph_takes_the_shadow():
    # The camera looks level from 1.5 m at a box in the air above the floor; the lamp hangs right above.
    box = solid("box", np.array([0.3, 0.2, 0.3]), np.zeros(3), np.array([0.0, 0.3, 4.0]), WHITE)
    light = np.array([[0.0, -1.0, 0.0], [0.0, -1.0, 0.0], [1.0] * 3, [1.0] * 3, [0.5] * 3])
    lamp = lamp_on(join([box]), box.vertices, light, True)
    crop = Crop(np.array([320.0, 300.0]), 400.0, 0.3)
    view = Pinhole(500.0, (320.0, 240.0), crop.affine, SIDE)
    picture = np.ones((SIDE, SIDE, 3), np.float32)
    shadow_on_floor(picture, view, lamp, np.array([0.0, -1.0, 0.0]), 1.5)
    places = np.array([[0.0, 1.5, 4.0], [0.2, 1.5, 3.8], [0.5, 1.5, 4.0], [0.0, 1.5, 4.6], [0.0, -0.1, 4.0]])
    pixels = crop.into(places[:, :2] / places[:, 2:] * 500.0 + [320.0, 240.0]).astype(int)
    np.testing.assert_allclose(picture[pixels[:, 1], pixels[:, 0], 0], [0.5, 0.5, 1.0, 1.0, 1.0], atol=1e-5)


def test_loose_cloth_hangs_as_far_from_the_skin_as_told():
    made = solid("ball", np.full(3, 0.2), np.zeros(3), np.zeros(3), WHITE)
    still, waves = made.vertices.copy(), np.zeros((2, 4), np.float32)
    loosen(still, made.normals, 0.02, 0.005, waves, made.vertices)  # sin(0): no wave anywhere
    inner = np.abs(still[:, 1]) < 0.15  # the poles' and the seam's normals lean
    assert np.linalg.norm(made.vertices[inner], axis=1) == pytest.approx(0.22, abs=1e-3)
    waves[:, 3] = np.pi / 2
    folded = still.copy()
    loosen(still, made.normals, 0.02, 0.005, waves, folded)
    assert np.linalg.norm(folded[inner], axis=1) == pytest.approx(0.225, abs=1e-3)
