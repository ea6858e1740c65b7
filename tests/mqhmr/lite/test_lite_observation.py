"""What the light network is told: geometry against SciPy's rotations and a plain pinhole camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.lite.observation import OWN, WHOLE, corrected, observe, places_of, view_of
from biopose_live.mqhmr.lite.points import JOINTS, MARKERS, POINTS
from biopose_live.mqhmr.person_crop import person_crop
from lite_made_up import CAMERA, Person

UP = np.array([0.0, -1.0, 0.0])


def test_dense_points_are_the_bodys_markers_and_joints(body: BodyModel) -> None:
    person = Person(body, 1)
    joints, markers, _ = body.pose_markers(person.rotations, person.betas, person.translation)
    np.testing.assert_allclose(person.points()[:MARKERS], markers, atol=1e-9)
    np.testing.assert_allclose(person.points()[MARKERS:], joints, atol=1e-9)
    assert person.points().shape == (POINTS, 3)
    assert len(joints) == JOINTS


def test_the_view_looks_at_the_crops_centre_along_its_rows(body: BodyModel) -> None:
    person = Person(body)
    crop = replace(person.crop, angle=0.4)
    view = view_of(crop, CAMERA)
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view) == pytest.approx(1.0)
    centre = view.T @ [0.0, 0.0, 2.0]
    np.testing.assert_allclose(places_of(centre, crop, CAMERA), [0.5, 0.5], atol=1e-12)
    right = places_of(centre + 0.01 * view[0], crop, CAMERA) - 0.5
    assert right[0] > 0
    assert abs(right[1]) < 1e-3 * right[0]


def test_places_are_the_pinhole_cameras(body: BodyModel) -> None:
    person = Person(body, 3)
    points = person.points()
    pixels = CAMERA.focal * points[:, :2] / points[:, 2:] + np.array(CAMERA.centre)
    back = person.crop.out_of(256 * places_of(points, person.crop, CAMERA))
    np.testing.assert_allclose(back, pixels, atol=1e-8)


@pytest.mark.parametrize("roll", [0.5, -2.0])
def test_a_rolled_camera_changes_nothing(body: BodyModel, roll: float) -> None:
    """Camera, keypoints and estimate turned about the optical axis together: the network is told the same."""
    person = Person(body, 5)
    turn = Rotation.from_euler("z", roll).as_matrix()
    centre = np.array(CAMERA.centre)
    keypoints = (person.keypoints - centre) @ turn[:2, :2].T + centre
    e = person.estimate
    rotations = e.rotations.copy()
    rotations[0] = turn @ rotations[0]
    pelvis = person.dense.joint_template[0] + person.dense.joint_dirs[0] @ e.betas
    translation = turn @ (e.translation + pelvis) - pelvis
    rolled = replace(e, rotations=rotations, translation=translation)
    points, turned = person.points(e), person.points(rolled)
    np.testing.assert_allclose(turned, points @ turn.T, atol=1e-9)
    plain = observe(person.crop, CAMERA, person.keypoints, person.scores, None, e, UP, points)
    other = observe(person_crop(keypoints), CAMERA, keypoints, person.scores, None, rolled, turn @ UP, turned)
    np.testing.assert_allclose(other.places, plain.places, atol=1e-6)
    np.testing.assert_allclose(other.own, plain.own, atol=5e-3)  # the depth counts from the translation
    told = slice(WHOLE - 6, WHOLE - 3)  # where the crop lies in the frame does turn
    assert not np.allclose(other.whole[told], plain.whole[told])
    kept = np.delete(np.arange(WHOLE), np.arange(WHOLE)[told])
    np.testing.assert_allclose(other.whole[kept], plain.whole[kept], atol=1e-5)


def test_sizes_and_bounds(body: BodyModel) -> None:
    person = Person(body)
    points = person.points(person.estimate)
    far = person.keypoints + 1e6
    seen = observe(person.crop, CAMERA, far, person.scores, 1e6 * person.world, person.estimate, UP, points)
    assert seen.whole.shape == (WHOLE,)
    assert seen.own.shape == (POINTS, OWN)
    assert np.abs(seen.whole).max() < 10
    assert np.isfinite(seen.whole).all()


def test_a_correction_turns_each_joint_in_its_own_frame(body: BodyModel) -> None:
    person = Person(body)
    vectors = np.random.default_rng(0).normal(0, 0.3, (24, 3))
    expected = person.estimate.rotations @ Rotation.from_rotvec(vectors).as_matrix()
    np.testing.assert_allclose(corrected(person.estimate, vectors), expected, atol=1e-12)
