"""Reading body files: what is accepted, and one clear sentence for everything that is not."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from biopose_live.body.body_file import read_body_file
from biopose_live.body.joints import PARENTS
from biopose_live.body.model import EMBEDDED_BODY, BodyModel
from biopose_live.errors import EXIT_MODEL, UserError


@pytest.fixture
def content():
    """A small valid body: 60 vertices around nothing in particular."""
    rng = np.random.default_rng(0)
    weights = rng.random((60, 24))
    regressor = rng.random((24, 60))
    return {
        "v_template": rng.normal(size=(60, 3)),
        "shapedirs": rng.normal(size=(60, 3, 12)),
        "posedirs": rng.normal(size=(60, 3, 207)),
        "weights": weights / weights.sum(1, keepdims=True),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(24)], dtype=np.uint32),
        "f": rng.integers(0, 60, (100, 3)).astype(np.uint32),
        "marker_names": np.array(["LASI", "somewhere"]),
        "marker_vertices": np.array([3, 4]),
    }


def saved(path, content):
    np.savez(path, **content)
    return path


def test_smpl_keys_are_read_and_the_first_ten_shapes_kept(tmp_path, content):
    arrays = read_body_file(saved(tmp_path / "body.npz", content))
    np.testing.assert_array_equal(arrays.shapedirs, content["shapedirs"][:, :, :10])
    np.testing.assert_array_equal(arrays.posedirs, content["posedirs"])
    assert arrays.parents[0] == -1
    assert arrays.marker_names == ("LASI", "somewhere")


def test_missing_or_zero_posedirs_mean_none(tmp_path, content):
    content["posedirs"] = np.zeros((60, 3, 207))
    assert read_body_file(saved(tmp_path / "zero.npz", content)).posedirs is None
    del content["posedirs"]
    assert read_body_file(saved(tmp_path / "without.npz", content)).posedirs is None


def test_a_marker_outside_the_table_rides_on_its_skin(tmp_path, content):
    body = BodyModel.load(saved(tmp_path / "body.npz", content))
    np.testing.assert_allclose(body.marker_weights[0], np.eye(24)[0])
    np.testing.assert_allclose(body.marker_weights[1], content["weights"][4])


def test_the_pickle_and_the_npz_of_one_body_are_read_alike(tmp_path, content):
    arrays = read_body_file(saved(tmp_path / "body.npz", content))
    content["J_regressor"] = csc_matrix(content["J_regressor"])
    del content["marker_names"]  # SMPL's own files have none
    with (tmp_path / "body.pkl").open("wb") as file:
        pickle.dump(content, file, protocol=2)
    pickled = read_body_file(tmp_path / "body.pkl")
    for name in ("v_template", "shapedirs", "posedirs", "weights", "joint_regressor", "faces", "parents"):
        np.testing.assert_array_equal(getattr(pickled, name), getattr(arrays, name))
    assert pickled.marker_names is None


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("v_template", np.zeros((60, 2)), "v_template has shape 60x2"),
        ("v_template", np.full((60, 3), np.nan), "not finite"),
        ("v_template", np.array(["a"] * 60), "not an array of numbers"),
        ("shapedirs", np.zeros((59, 3, 10)), "shapedirs has shape 59x3x10"),
        ("shapedirs", np.zeros((60, 3, 0)), "shapedirs has shape"),
        ("weights", np.zeros((60, 52)), "weights has shape 60x52"),
        ("weights", np.zeros((60, 24)), "sum to 1"),
        ("J_regressor", np.zeros((24, 6)), "J_regressor has shape"),
        ("kintree_table", np.zeros((2, 24)), "tree of 24 joints"),
        ("f", np.full((4, 3), 60), "f names vertices"),
        ("posedirs", np.zeros((60, 3, 9)), "posedirs has shape"),
        ("marker_vertices", np.array([3, 60]), "marker_vertices"),
        ("marker_vertices", np.array([3]), "marker_vertices has shape"),
    ],
)
def test_wrong_content_is_named(tmp_path, content, key, value, words):
    content[key] = value
    with pytest.raises(UserError, match=words) as caught:
        read_body_file(saved(tmp_path / "body.npz", content))
    assert caught.value.exit_code == EXIT_MODEL
    assert "body.npz" in str(caught.value)


def test_missing_keys_are_listed(tmp_path, content):
    del content["weights"], content["f"]
    with pytest.raises(UserError, match="lacks weights, f"):
        read_body_file(saved(tmp_path / "body.npz", content))


def test_missing_file_and_foreign_suffix(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_body_file(tmp_path / "nowhere.npz")
    (tmp_path / "body.obj").write_text("v 0 0 0")
    with pytest.raises(UserError, match=r"ends in '\.obj'"):
        read_body_file(tmp_path / "body.obj")


@pytest.mark.parametrize("cut", [0, 1, 100, 5000, -30])
def test_truncated_file(tmp_path, cut):
    path = tmp_path / "cut.npz"
    path.write_bytes(EMBEDDED_BODY.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"cut\.npz"):
        read_body_file(path)


def test_bytes_flipped_anywhere_never_escape_as_another_error(tmp_path):
    good = EMBEDDED_BODY.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(30):
        broken = bytearray(good)
        for position in rng.integers(0, len(good), 5):
            broken[position] ^= int(rng.integers(1, 256))
        path = tmp_path / "flipped.npz"
        path.write_bytes(bytes(broken))
        try:
            read_body_file(path)
        except UserError:
            refused += 1
    assert refused > 20


def test_objects_hidden_in_an_npz_are_refused(tmp_path, content):
    content["f"] = np.array([{"a": 1}], dtype=object)
    with pytest.raises(UserError, match="not a readable"):
        read_body_file(saved(tmp_path / "body.npz", content))
