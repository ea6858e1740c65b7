"""The body on the base mesh, garments hung on it, and whole people, on small made-up assets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.training.synthetic.base_mesh import (
    BaseMesh,
    BodyArrays,
    extend,
    joint_motions,
    read_body,
    rotation_matrices,
    segment_motions,
    skin,
)
from biopose_live.training.synthetic.demo_clip import EMBEDDED_BODY
from biopose_live.training.synthetic.makehuman_files import Fitting, ObjMesh
from biopose_live.training.synthetic.wardrobe import Outfit, Wardrobe, hang


def test_skinning_is_the_live_bodys():
    body, model = read_body(EMBEDDED_BODY), BodyModel.load()
    rng = np.random.default_rng(5)
    theta, betas, transl = rng.normal(0, 0.5, (24, 3)), rng.normal(size=10), rng.normal(size=3)
    expected = model.forward(theta, betas, transl)
    rest = body.template + body.directions @ betas
    motions, joints = joint_motions(body.regressor @ rest, theta, transl)
    np.testing.assert_allclose(joints, expected.joints, atol=1e-5)
    # Skin weights are stored in half precision; the live body normalises them.
    assert expected.vertices is not None
    np.testing.assert_allclose(skin(rest, body.weights, motions), expected.vertices, atol=3e-3)


def test_rodrigues_against_scipy():
    vectors = np.random.default_rng(0).normal(size=(50, 3)) * 3
    vectors[0] = 0.0
    np.testing.assert_allclose(rotation_matrices(vectors), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)


def test_segment_motions_find_a_similarity_per_segment():
    rng = np.random.default_rng(1)
    source = rng.normal(size=(60, 3))
    weights = np.zeros((60, 3))
    weights[np.arange(60), np.arange(60) // 20] = 1.0
    turns = Rotation.random(3, random_state=2).as_matrix()
    scales, shifts = np.array([1.1, 0.9, 1.3]), rng.normal(size=(3, 3))
    target = np.einsum("vj,j,jcd,vd->vc", weights, scales, turns, source) + weights @ shifts
    linear, shift = segment_motions(source, target, weights)
    np.testing.assert_allclose(linear, scales[:, None, None] * turns, atol=1e-9)
    np.testing.assert_allclose(shift, shifts, atol=1e-9)


def lattice(n: int) -> tuple[np.ndarray, list[str]]:
    """A bumpy sheet of n x n points (dm) and its squares as face records that start at 1."""
    x, y = np.meshgrid(np.linspace(-5, 5, n), np.linspace(-8, 8, n))
    points = np.stack([x.ravel(), y.ravel(), np.sin(x).ravel()], axis=1)
    cells = [i * n + j for i in range(n - 1) for j in range(n - 1)]
    corners = [(c, c + 1, c + n + 1, c + n) for c in cells]
    return points, ["f " + " ".join(str(c + 1) for c in square) for square in corners]


def test_helpers_follow_a_body_that_moves_as_one_piece(tmp_path):
    points, squares = lattice(50)  # 2500 vertices; the ids that the source mesh leaves out start at 1778
    helpers = points[::7] + np.array([0.0, 0.0, 0.4])
    n = len(points)
    lines = [f"v {p[0]} {p[1]} {p[2]}" for p in np.concatenate([points, helpers])]
    lines += ["g body", *squares]
    lines += [line for g in ("helper-l-eye", "helper-r-eye", "helper-tongue") for line in (f"g {g}", "f 1 2 3")]
    lines += ["g helper-tights", f"f {n + 1} {n + 2} {n + 3}"]
    path = tmp_path / "base.obj"
    path.write_text("\n".join(lines))
    turn, shift = Rotation.from_rotvec([0.2, -0.4, 0.3]).as_matrix(), np.array([0.1, 0.2, 0.3])
    kept = np.setdiff1d(np.arange(n), np.arange(1778, 1794))
    weights = np.zeros((len(kept), 24))
    weights[:, 0] = 1.0
    source = np.arange(len(kept))
    body = BodyArrays(
        (0.1 * points[kept]) @ turn.T + shift, np.zeros((len(kept), 3, 10)), weights, np.zeros((24, len(kept))), source
    )
    base = extend(body, path)
    np.testing.assert_allclose(base.template[n:], (0.1 * helpers) @ turn.T + shift, atol=1e-9)
    np.testing.assert_allclose(base.to_rest, np.broadcast_to(turn, base.to_rest.shape), atol=1e-9)
    np.testing.assert_allclose(base.weights.sum(axis=1), 1.0)
    with pytest.raises(UserError, match="fewer than the body file"):
        extend(read_body(EMBEDDED_BODY), path)


def small_base(turn: np.ndarray) -> BaseMesh:
    rng = np.random.default_rng(4)
    original = rng.normal(size=(12, 3))
    template = original @ turn.T
    weights = np.zeros((12, 24))
    weights[:6, 0] = 1.0
    weights[6:, 1] = 1.0
    mesh = ObjMesh(original / 0.1, np.array([[0, 1, 2]], np.int32), np.zeros((1, 3, 2), np.float32), {})
    return BaseMesh(
        original, template, rng.normal(size=(12, 3, 10)), weights, np.tile(turn, (12, 1, 1)), np.zeros((24, 12)),
        np.arange(12), mesh,
    )  # fmt: skip


def write_garment(folder: Path, vertices: int) -> None:
    faces = "\n".join(f"f {i} {i + 1} {i + 2}" for i in range(1, vertices - 1))
    (folder / "coat.obj").write_text("\n".join("v 0 0 0" for _ in range(vertices)) + "\n" + faces)
    (folder / "coat.mhmat").write_text("diffuseTexture coat.png\n")


def coat(folder: Path, **changes) -> Fitting:
    content = {
        "name": "coat",
        "obj_file": folder / "coat.obj",
        "material_file": folder / "coat.mhmat",
        "references": np.array([[0, 1, 2], [3, 4, 5], [5, 6, 7]], np.int32),
        "barycentric": np.array([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [0.5, 0.25, 0.25]]),
        "offsets": np.array([[0.0, 0.0, 0.0], [0.1, 0.2, 0.3], [0.5, 0.0, 0.0]]),
        "scales": {},
    }
    return Fitting(**{**content, **changes})  # type: ignore[arg-type]


def test_a_garment_turns_with_the_body(tmp_path):
    write_garment(tmp_path, 3)
    turn = Rotation.from_rotvec([0.3, 0.5, -0.2]).as_matrix()
    base, straight = small_base(turn), small_base(np.eye(3))
    fitting = coat(tmp_path)
    garment = hang(fitting, base)
    np.testing.assert_allclose(garment.template, hang(fitting, straight).template @ turn.T, atol=1e-12)
    corners = base.original[fitting.references]
    expected = np.einsum("gr,grc->gc", fitting.barycentric, corners) + 0.1 * fitting.offsets  # offsets in decimetres
    np.testing.assert_allclose(hang(fitting, straight).template, expected, atol=1e-12)
    np.testing.assert_allclose(garment.weights[:, :2], [[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]])


def test_offsets_grow_with_the_distance_they_are_scaled_by(tmp_path):
    write_garment(tmp_path, 3)
    base = small_base(np.eye(3))
    length = abs(base.original[0, 0] - base.original[1, 0]) / 0.2  # the wearer is twice the garment's base, in metres
    grown = hang(coat(tmp_path, scales={0: (0, 1, length)}), base).template
    plain = hang(coat(tmp_path), base).template
    np.testing.assert_allclose(grown - plain, [[0.0] * 3, [0.01, 0.0, 0.0], [0.05, 0.0, 0.0]], atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"references": np.full((3, 3), 12, np.int32)}, "refers to vertex 12"),
        ({"hidden": np.array([99], np.int32)}, "refers to vertex 99"),
        ({"references": np.zeros((2, 3), np.int32)}, "fits 2 vertices but its mesh has 3"),
        ({"material_file": None}, "names no material"),
    ],
)
def test_a_garment_that_does_not_fit_gets_a_sentence(tmp_path, changes, words):
    write_garment(tmp_path, 3)
    with pytest.raises(UserError, match=words):
        hang(coat(tmp_path, **changes), small_base(np.eye(3)))


def test_an_assets_folder_without_a_base_mesh_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"no base\.obj"):
        Wardrobe(tmp_path, read_body(EMBEDDED_BODY))


def test_a_dressed_person_hides_the_skin_below(made_up_assets):
    wardrobe = Wardrobe(made_up_assets, read_body(EMBEDDED_BODY))
    assert wardrobe.names("skins") == ["plain_male_diffuse"]
    assert (wardrobe.names("clothes"), wardrobe.names("shoes")) == (["male_vest"], ["shoes01"])
    betas = np.linspace(-1, 1, 10)
    bare = wardrobe.dress(Outfit("plain_male_diffuse", ()), betas)
    dressed = wardrobe.dress(Outfit("plain_male_diffuse", ("male_vest",)), betas)
    vest = wardrobe.garment("male_vest")
    skin_left = int((dressed.texture == 0).sum())
    assert skin_left < int((bare.texture == 0).sum())
    assert len(dressed.faces) - skin_left - int((bare.texture == 1).sum()) == len(vest.faces)
    model = BodyModel.load()
    theta, transl = np.random.default_rng(2).normal(0, 0.3, (24, 3)), np.array([0.1, 0.2, 3.0])
    mesh, joints = dressed.posed(theta, transl)
    expected = model.forward(theta, betas, transl)
    np.testing.assert_allclose(joints, expected.joints, atol=1e-5)
    assert expected.vertices is not None
    # The vest hangs on body vertices without offsets, so each of its vertices is one of theirs.
    worn = mesh.vertices[-len(vest.template) :]
    gap = np.linalg.norm(worn[:20, None] - expected.vertices[None], axis=2).min(axis=1)
    assert gap.max() < 3e-3
    with pytest.raises(UserError, match="no garment cape"):
        wardrobe.dress(Outfit("plain_male_diffuse", ("cape",)), betas)
