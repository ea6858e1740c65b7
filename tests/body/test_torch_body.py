"""The torch body against the NumPy one, with pose blend shapes too, and its gradients against finite differences."""

import dataclasses

import numpy as np
import pytest
import torch

from biopose_live.body.model import BodyModel, rotation_matrices


@pytest.fixture(scope="module")
def body() -> BodyModel:
    """The embedded body with random pose blend shapes, so that this branch of both paths is compared as well."""
    plain = BodyModel.load()
    posedirs = np.random.default_rng(0).normal(0.0, 1e-3, (len(plain.arrays.v_template), 3, 207))
    arrays = dataclasses.replace(plain.arrays, posedirs=posedirs)
    return BodyModel(arrays, plain.marker_names, plain.marker_vertices, markers="skin")


def drawn(n, seed=1):
    rng = np.random.default_rng(seed)
    return rotation_matrices(rng.normal(0.0, 0.7, (n, 24, 3))), rng.normal(size=(n, 10)), rng.normal(size=(n, 3))


def test_batch_equals_one_person_at_a_time(body):
    rotmats, betas, transl = drawn(3)
    twin = body.torch(torch.float64)
    joints, markers, vertices = twin(*(torch.tensor(x) for x in (rotmats, betas, transl)), vertices=True)
    rng = np.random.default_rng(1)
    theta = rng.normal(0.0, 0.7, (3, 24, 3))
    for i in range(3):
        posed = body.forward(theta[i], betas[i], transl[i])
        np.testing.assert_allclose(joints[i], posed.joints, atol=1e-12)
        np.testing.assert_allclose(markers[i], posed.markers, atol=1e-12)
        np.testing.assert_allclose(vertices[i], posed.vertices, atol=1e-12)
        live = body.pose_markers(rotmats[i], betas[i], transl[i])
        np.testing.assert_allclose(markers[i], live[1], atol=1e-12)


def test_single_precision_is_good_to_a_hundredth_of_a_millimetre():
    body = BodyModel.load()
    rotmats, betas, transl = drawn(4, seed=3)
    exact = body.torch(torch.float64)(*(torch.tensor(x) for x in (rotmats, betas, transl)))
    single = body.torch()(*(torch.tensor(x, dtype=torch.float32) for x in (rotmats, betas, transl)))
    for a, b in zip(exact, single, strict=True):
        assert b.dtype == torch.float32
        assert float((a - b).abs().max()) < 1e-5


def test_gradients_match_finite_differences(body):
    twin = body.torch(torch.float64)
    inputs = [torch.tensor(x, requires_grad=True) for x in drawn(2, seed=5)]
    directions = torch.randn(2, 24 + len(body.marker_names), 3, dtype=torch.float64, generator=torch.manual_seed(0))

    def projected(*x):
        return (torch.cat(twin(*x), dim=1) * directions).sum(dim=(1, 2))

    assert torch.autograd.gradcheck(projected, inputs, eps=1e-6, atol=1e-6)
