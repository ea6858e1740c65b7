"""Marker table: symmetry and anatomy on the embedded body. Registration: known correspondences on changed copies."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.body.joints import JOINT_INDEX
from biopose_live.body.marker_table import MARKER_INDEX, MARKERS, SEGMENT_JOINT
from biopose_live.body.markers import markers_by_registration, similarity, vertex_normals
from biopose_live.body.model import BodyModel


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


def rest(body, name):
    return body.marker_template[body.marker_names.index(name)]


def test_the_file_has_the_table_s_markers_at_the_table_s_vertices(body):
    assert body.marker_names == tuple(m.name for m in MARKERS)
    np.testing.assert_array_equal(body.arrays.anny_vertex_ids[body.marker_vertices], [m.anny_vertex for m in MARKERS])
    assert len({m.name for m in MARKERS}) == len({m.anny_vertex for m in MARKERS}) == len(MARKERS)
    assert all(m.segment in SEGMENT_JOINT for m in MARKERS)


def test_left_and_right_mirror_each_other_within_five_millimetres(body):
    rng = np.random.default_rng(0)
    for betas in (np.zeros(10), *rng.normal(size=(3, 10))):
        markers = body.rest_markers(betas)
        for marker in MARKERS:
            if marker.name[0] == "L" and "R" + marker.name[1:] in MARKER_INDEX:
                left, right = markers[MARKER_INDEX[marker.name]], markers[MARKER_INDEX["R" + marker.name[1:]]]
                assert np.linalg.norm(left * [-1, 1, 1] - right) < 0.005, marker.name
                assert MARKERS[MARKER_INDEX["R" + marker.name[1:]]].segment == marker.segment.replace("_l", "_r")


def test_midline_markers_lie_in_the_sagittal_plane(body):
    for name in ("C7", "T10", "L3", "SACR", "CLAV", "STRN", "THD"):
        assert abs(rest(body, name)[0]) < 0.003, name


@pytest.mark.parametrize("side", ["L", "R"])
def test_landmark_pairs_straddle_their_joint(body, side):
    joints = {"L": "left", "R": "right"}[side]
    for pair, joint, apart in (
        (("LFC", "MFC"), "knee", (0.07, 0.13)),
        (("LMAL", "MMAL"), "ankle", (0.05, 0.09)),
        (("LEL", "MEL"), "elbow", (0.05, 0.09)),
        (("RAD", "ULN"), "wrist", (0.04, 0.07)),
    ):
        a, b = rest(body, side + pair[0]), rest(body, side + pair[1])
        assert np.linalg.norm((a + b) / 2 - body.joint_template[JOINT_INDEX[f"{joints}_{joint}"]]) < 0.012, pair
        assert apart[0] < np.linalg.norm(a - b) < apart[1], pair


def test_pelvis_landmarks_have_human_distances(body):
    width = np.linalg.norm(rest(body, "LASI") - rest(body, "RASI"))
    assert 0.20 < width < 0.28
    assert 0.06 < np.linalg.norm(rest(body, "LPSI") - rest(body, "RPSI")) < 0.12
    # Bell et al. 1989: the hip centre lies 30 % of the pelvis width below and about 20 % behind the front iliac spine.
    hip, asis = body.joint_template[JOINT_INDEX["left_hip"]], rest(body, "LASI")
    assert (asis[1] - hip[1]) / width == pytest.approx(0.30, abs=0.06)
    assert asis[2] > hip[2]


def test_directions_of_some_landmarks(body):
    assert rest(body, "LCAL")[2] < rest(body, "LLMAL")[2] < rest(body, "LMT5")[2] < rest(body, "LTOE")[2]
    assert rest(body, "LMT5")[0] > rest(body, "LMT2")[0] > rest(body, "LMT1")[0]
    assert rest(body, "LLMAL")[1] < rest(body, "LMMAL")[1]  # the lateral malleolus reaches lower
    assert rest(body, "C7")[2] < 0 < rest(body, "CLAV")[2]
    assert rest(body, "C7")[1] > rest(body, "T10")[1] > rest(body, "L3")[1] > rest(body, "SACR")[1]


def test_similarity_recovers_a_known_transform():
    rng = np.random.default_rng(0)
    points, rotation = rng.normal(size=(30, 3)), Rotation.random(rng=1).as_matrix()
    scale, found, shift = similarity(points, 1.7 * points @ rotation.T + [1, 2, 3])
    assert scale == pytest.approx(1.7)
    np.testing.assert_allclose(found, rotation, atol=1e-12)
    np.testing.assert_allclose(shift, [1, 2, 3], atol=1e-12)
    _, mirrored, _ = similarity(points, points * [-1, 1, 1])
    assert np.linalg.det(mirrored) == pytest.approx(1.0)


def test_vertex_normals_of_a_sphere_point_outwards():
    from scipy.spatial import ConvexHull

    points = np.random.default_rng(0).normal(size=(400, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    hull = ConvexHull(points)
    faces = hull.simplices.copy()
    inward = (
        np.einsum(
            "fc,fc->f",
            np.cross(points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]]),
            hull.equations[:, :3],
        )
        < 0
    )
    faces[inward] = faces[inward][:, ::-1]
    assert np.einsum("vc,vc->v", vertex_normals(points, faces), points).min() > 0.9


def changed_copy(body, betas, theta, cell_m, seed):
    """A body whose mean shape is ours reshaped and re-posed, with vertices shuffled and, for a cell size, merged.

    Returns the copy and, for each of our vertices, its vertex in the copy.
    """
    arrays, rng = body.arrays, np.random.default_rng(seed)
    posed = body.forward(theta, betas, np.zeros(3), markers=False)
    group = rng.permutation(len(posed.vertices))
    if cell_m:
        keys = np.floor(posed.vertices / cell_m).astype(int)
        _, group = np.unique(np.c_[keys, arrays.weights.argmax(1)], axis=0, return_inverse=True)
        group = rng.permutation(group.max() + 1)[group.ravel()]
    n = group.max() + 1
    count = np.bincount(group, minlength=n)[:, None]

    def merged(values):
        out = np.zeros((n, values.shape[1]))
        np.add.at(out, group, values)
        return out / count

    faces = group[arrays.faces]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])]
    vertices = merged(posed.vertices)
    # A regressor that is exact for the copy's one shape: least-norm rows over its vertices.
    regressor = np.linalg.lstsq(np.c_[vertices, np.ones(n)].T, np.c_[posed.joints, np.ones(24)].T, rcond=None)[0].T
    copy = dataclasses.replace(
        arrays,
        v_template=vertices,
        shapedirs=np.zeros((n, 3, 10)),
        weights=merged(arrays.weights),
        joint_regressor=regressor,
        faces=faces,
        marker_names=None,
        marker_vertices=None,
        anny_vertex_ids=None,
    )
    return BodyModel(copy, (), np.zeros(0, dtype=int)), group


T_POSE = np.zeros((24, 3))
T_POSE[JOINT_INDEX["left_shoulder"], 2], T_POSE[JOINT_INDEX["right_shoulder"], 2] = 0.8, -0.8
T_POSE[JOINT_INDEX["left_elbow"], 1], T_POSE[JOINT_INDEX["right_elbow"], 1] = -0.5, 0.5


@pytest.mark.parametrize(
    ("shape", "theta", "cell_m", "median_mm", "worst_mm"),
    [
        (0.0, 0 * T_POSE, 0.0, 1e-6, 1e-6),
        (1.0, 0 * T_POSE, 0.0, 8.0, 45.0),
        (0.0, T_POSE, 0.0, 8.0, 30.0),
        (1.0, T_POSE, 0.015, 12.0, 50.0),
    ],
    ids=["shuffled", "reshaped", "t-pose", "reshaped, t-pose, decimated"],
)
def test_registration_finds_the_markers_again(body, shape, theta, cell_m, median_mm, worst_mm):
    betas = shape * np.random.default_rng(2).normal(size=10)
    copy, place = changed_copy(body, betas, theta, cell_m, seed=1)
    found = markers_by_registration(body, copy)
    wanted = copy.arrays.v_template[place[body.marker_vertices]]
    error = 1e3 * np.linalg.norm(copy.arrays.v_template[found] - wanted, axis=1)
    assert np.median(error) <= median_mm
    assert error.max() <= worst_mm
