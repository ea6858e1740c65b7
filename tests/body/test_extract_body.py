"""The extraction's algebra on made-up bodies with a known answer, and its skinning against Anny's own posed mesh."""

import dataclasses
import importlib.util
import sys

import numpy as np
import pytest

from biopose_live.body.model import BodyModel, rotation_matrices
from biopose_live.errors import UserError
from biopose_live.training import extract_body
from biopose_live.training.extract_body import ANNY_TO_SMPL, JOINT_BONES, N_SHAPE, Samples


@pytest.fixture(scope="module")
def made_up():
    """Bodies that are exactly linear in ten numbers: a symmetric cloud of vertices and joints inside it."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(400, 3))  # a shell, because joints lie under a surface and not among vertices
    half = half / np.linalg.norm(half, axis=1, keepdims=True) * [0.3, 0.8, 0.2] + [0.6, 0.0, 0.0]
    vertices = np.r_[half, half * [-1, 1, 1]]
    truth = np.zeros((24, 800))
    for j, bone in enumerate(JOINT_BONES):
        if not bone.endswith(".R"):
            near = rng.choice(400, 6, replace=False)
            truth[j, near] += 1 / 6
            if bone.endswith(".L"):
                truth[JOINT_BONES.index(bone[:-1] + "R"), near + 400] = 1 / 6
            else:
                truth[j, near + 400] += 1 / 6
                truth[j] /= 2
    left = rng.normal(size=(400, 3, N_SHAPE)) * 0.02 * np.linspace(2, 0.5, N_SHAPE)
    directions = np.r_[left, left * np.array([-1, 1, 1])[:, None]]
    numbers = rng.normal(size=(80, N_SHAPE))
    bodies = vertices + np.einsum("vck,nk->nvc", directions, numbers)
    joints = np.einsum("jv,nvc->njc", truth, bodies)
    return Samples(bodies.astype(np.float32), joints.astype(np.float32))


def test_ten_directions_reproduce_bodies_that_have_ten_degrees_of_freedom(made_up):
    mean, directions, joint_mean, joint_directions = extract_body.shape_space(made_up, joint_emphasis=2.0)
    flat = np.concatenate([directions.reshape(-1, N_SHAPE), joint_directions.reshape(-1, N_SHAPE)])
    centred = np.concatenate(
        [(made_up.vertices - mean).reshape(80, -1), (made_up.joints - joint_mean).reshape(80, -1)], axis=1
    )
    betas = np.linalg.lstsq(flat, centred.T, rcond=None)[0].T
    np.testing.assert_allclose(betas @ flat.T, centred, atol=1e-5)
    np.testing.assert_allclose(betas.std(axis=0), 1.0, atol=1e-3)
    np.testing.assert_allclose(np.corrcoef(betas.T), np.eye(N_SHAPE), atol=1e-3)


def test_the_regressor_follows_mean_and_directions(made_up):
    mean, directions, joint_mean, joint_directions = extract_body.shape_space(made_up, joint_emphasis=2.0)
    regressor = extract_body.joint_regressor(mean, directions, joint_mean, joint_directions, damping=1e-12)
    np.testing.assert_allclose(regressor.sum(axis=1), 1.0, atol=1e-9)
    np.testing.assert_allclose(regressor @ mean, joint_mean, atol=1e-3)
    np.testing.assert_allclose(np.einsum("jv,vck->jck", regressor, directions), joint_directions, atol=1e-3)
    assert (regressor != 0).sum(axis=1).max() <= 480


def test_without_anny_the_user_is_told_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "anny", None)
    with pytest.raises(UserError, match="anny"):
        extract_body.load_anny()
    assert extract_body.main(["--out", str(tmp_path / "b.npz")]) != 0
    assert "[train]" in capsys.readouterr().err
    assert not (tmp_path / "b.npz").exists()


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("anny") is None, reason="the package anny (extra [train]) is not installed"
)
def test_posed_body_is_anny_s_posed_mesh():
    """Same phenotype, same joint rotations: joints agree to 0.1 mm, the surface to 0.5 mm on average.

    The surface differs because Anny blends from its own rest pose and we from its identity pose, and because weights
    are summed over bones and cut to four per vertex. Feet and fingers are left unturned: Anny turns each toe and
    finger about its own joint, SMPL's layout all of them about one.
    """
    import torch

    model = extract_body.load_anny()
    rng = np.random.default_rng(5)
    kept = extract_body.kept_vertices(model.faces.numpy(), len(model.template_vertices))
    phenotypes, local = extract_body.draw_adults(model, 2, rng)
    samples = extract_body.pose_identity(model, phenotypes, local, kept)
    embedded = BodyModel.load()
    weights = extract_body.skin_weights(model, kept)
    np.testing.assert_allclose(weights, embedded.arrays.weights, atol=2e-3)
    turned = [i for i, b in enumerate(JOINT_BONES) if not b.startswith(("toe", "finger"))]
    for i in range(2):
        theta = np.zeros((24, 3))
        theta[turned] = rng.normal(0.0, 0.3, (len(turned), 3))
        local_rotations = rotation_matrices(theta)
        deltas = torch.eye(4).repeat(1, len(model.bone_labels), 1, 1)
        for j in turned:
            in_anny = ANNY_TO_SMPL.T @ local_rotations[j] @ ANNY_TO_SMPL
            deltas[0, model.bone_labels.index(JOINT_BONES[j]), :3, :3] = torch.tensor(in_anny, dtype=torch.float32)
        with torch.no_grad():
            out = model(
                pose_parameters=deltas,
                phenotype_kwargs=torch.tensor(phenotypes[i : i + 1], dtype=torch.float32),
                local_changes_kwargs=torch.tensor(local[i : i + 1], dtype=torch.float32),
            )
        bones = [model.bone_labels.index(b) for b in JOINT_BONES]
        wanted_joints = out["bone_poses"][0, bones, :3, 3].numpy() @ ANNY_TO_SMPL.T
        wanted = out["vertices"][0].numpy()[kept] @ ANNY_TO_SMPL.T

        surface, joints = samples.vertices[i].astype(float), samples.joints[i].astype(float)
        regressor = np.linalg.lstsq(np.c_[surface, np.ones(len(surface))].T, np.c_[joints, np.ones(24)].T, rcond=None)
        arrays = dataclasses.replace(
            embedded.arrays,
            v_template=surface,
            shapedirs=np.zeros((len(surface), 3, N_SHAPE)),
            joint_regressor=regressor[0].T,
        )
        body = BodyModel(arrays, embedded.marker_names, embedded.marker_vertices)
        posed = body.forward(theta, np.zeros(N_SHAPE), np.zeros(3))
        assert posed.vertices is not None
        shift = wanted_joints[0] - posed.joints[0]
        joint_error = np.linalg.norm(posed.joints + shift - wanted_joints, axis=1)
        error = np.linalg.norm(posed.vertices + shift - wanted, axis=1)
        print(f"joints {1e3 * joint_error.max():.3f} mm, surface {1e3 * error.mean():.2f} / {1e3 * error.max():.1f} mm")
        assert joint_error.max() < 1e-4
        assert error.mean() < 0.0005
        assert error.max() < 0.02
