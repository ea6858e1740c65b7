"""The whole network on tiny sizes: outputs, geometry, gradients, and files."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biopose_live.body.keypoints import body_keypoints
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.network.architecture import Architecture, vit_h
from biopose_live.mqhmr.network.body_points import BodyPoints
from biopose_live.mqhmr.network.heads import HIGHEST, cholesky
from biopose_live.mqhmr.network.model import MQHMR, load_network, save_network
from biopose_live.mqhmr.network.token_refinement import Refiner
from biopose_live.torch_rotations import vector_to_matrix


def test_shapes_and_geometry(network, camera):
    with torch.no_grad():
        found = network(torch.randn(2, 3, 64, 48), camera)
    assert found.rotations.shape == (2, 24, 3, 3)
    identity = torch.eye(3).expand(2, 24, 3, 3)
    torch.testing.assert_close(found.rotations @ found.rotations.transpose(-1, -2), identity, atol=1e-5, rtol=0)
    assert found.betas.shape == (2, 10)
    assert found.points.all.shape == (2, 89 + 24 + 33, 3)
    torch.testing.assert_close(found.points.joints[:, 0], found.pelvis, atol=1e-5, rtol=0)
    assert found.dense.place.shape == (2, 113, 2)
    assert found.dense.visible.shape == (2, 113)
    assert (torch.linalg.eigvalsh(found.dense.covariance) > 0).all()
    assert (found.pelvis[:, 2] > 0).all()


def test_untrained_it_shows_a_body_that_faces_the_camera_and_fills_the_crop(tiny, body, make_camera):
    torch.manual_seed(0)
    camera = dataclasses.replace(make_camera(), roll=torch.zeros(2))
    with torch.no_grad():
        found = MQHMR(tiny, body).eval()(torch.randn(2, 3, 64, 48), camera)
        places = camera.into_crop(camera.project(found.points.markers))
    assert ((places > -0.2) & (places < 1.2)).all()
    crown, heel = body.marker_names.index("THD"), body.marker_names.index("RCAL")
    assert (places[:, crown, 1] < places[:, heel, 1] - 0.5).all()
    left, right = body.marker_names.index("LASI"), body.marker_names.index("RASI")
    assert (places[:, left, 0] > places[:, right, 0]).all()  # the person's left is on the picture's right
    assert (found.points.markers[:, left, 2] < found.points.joints[:, 0, 2]).all()  # the front is nearer


def test_points_are_the_bodys(body):
    points = BodyPoints(body)
    rng = np.random.default_rng(0)
    theta, betas = rng.normal(0, 0.5, (24, 3)), rng.normal(size=10)
    pelvis = np.array([0.1, 0.2, 3.0])
    posed = body.forward(theta, betas, pelvis - body.rest_joints(betas)[0])
    tensors = (torch.tensor(x, dtype=torch.float32)[None] for x in (betas, pelvis))
    rotations = vector_to_matrix(torch.tensor(theta, dtype=torch.float32))[None]
    betas_, pelvis_ = tensors
    found = points(rotations, betas_, pelvis_)
    np.testing.assert_allclose(found.joints[0], posed.joints, atol=1e-5)
    np.testing.assert_allclose(found.markers[0], posed.markers, atol=1e-5)
    landmarks = body_keypoints(body).posed(betas, body.rest_joints(betas), posed.joints, posed.rotations)
    np.testing.assert_allclose(found.landmarks[0], landmarks, atol=1e-5)
    np.testing.assert_allclose(points.surface(rotations, betas_, pelvis_)[0], posed.vertices, atol=1e-5)


def test_gradients_reach_every_parameter(network, camera):
    keypoints = torch.rand(2, 33, 3)
    found = network(torch.randn(2, 3, 64, 48), camera, keypoints)
    total = found.points.all.square().sum() + found.dense.place.sum() + found.dense.cholesky.sum()
    (total + found.dense.visible.sum() + found.rotations.sum()).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_ready_made_maps_instead_of_a_picture(body, camera):
    maps = Architecture(
        encoder="maps", map_channels=(6, 9), queries=8, width_model=16, layers=1, heads=2, points=2, feed=16
    )
    network = MQHMR(maps, body)
    found = network([torch.randn(2, 6, 8, 8), torch.randn(2, 9, 4, 4)], camera)
    assert found.points.markers.shape == (2, 89, 3)
    with pytest.raises(ValueError, match="list of maps"):
        network(torch.randn(2, 3, 64, 48), camera)


def test_mixed_precision_keeps_geometry_in_single(network, camera):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = network(torch.randn(2, 3, 64, 48), camera)
    assert found.rotations.dtype == found.pelvis.dtype == found.points.markers.dtype == torch.float32
    identity = torch.eye(3).expand(2, 24, 3, 3)
    torch.testing.assert_close(found.rotations @ found.rotations.transpose(-1, -2), identity, atol=1e-5, rtol=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3))
def test_covariance_is_positive_definite_whatever_comes_in(raw):
    factor = cholesky(torch.tensor(raw, dtype=torch.float64))
    covariance = factor @ factor.T
    assert (torch.linalg.eigvalsh(covariance) > 0).all()
    assert covariance.diagonal().max() <= np.exp(2 * HIGHEST) * 10.1
    assert factor[0, 1] == 0


def test_a_saved_network_is_read_back(network, camera, body, tmp_path):
    path = tmp_path / "network.safetensors"
    save_network(network, path, {"steps": "2"})
    again = load_network(path, body)
    picture = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(again(picture, camera).points.all, network(picture, camera).points.all)
    assert [p.name for p in tmp_path.iterdir()] == ["network.safetensors"]


def test_other_files_are_refused(network, tmp_path, body):
    path = tmp_path / "network.safetensors"
    with pytest.raises(UserError, match="There is no network"):
        load_network(path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="no file of the image network"):
        load_network(path)
    save_network(network, path)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'\\"layers\\":2', b'\\"layers\\":3'))
    with pytest.raises(UserError, match="does not hold the weights that it says") as caught:
        load_network(path, body)
    assert caught.value.exit_code == EXIT_MODEL
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"encoder": "cnn"}, "'cnn'"),
        ({"heads": 5}, "shared out"),
        ({"height": 100}, "patches of 16 px"),
        ({"scales": (4, 1)}, "scales are"),
        ({"scales": (3,)}, "scales are"),
        ({"encoder": "maps"}, "no feature map"),
        ({"version": 9}, "version is 9"),
        ({"queries": 0}, "below 1"),
        ({"markers": 12}, "12 markers"),
    ],
)
def test_impossible_sizes_are_refused(tiny, body, change, told):
    with pytest.raises(UserError, match=told):
        MQHMR(msgspec.structs.replace(tiny, **change), body)


def test_vit_h_is_the_papers():
    a = vit_h()
    assert (a.height, a.width, a.depth, a.embed, a.queries, a.scales) == (256, 192, 32, 1280, 96, (1, 4, 8, 16))
    with torch.device("meta"):
        from biopose_live.mqhmr.network.vit import ViT

        count = sum(p.numel() for p in ViT(a.height, a.width, a.embed, a.depth, a.vit_heads).parameters())
    assert 620e6 < count < 640e6  # ViT-H


@pytest.mark.slow
def test_the_papers_network_at_its_full_size(body, make_camera):
    """ViT-H on random weights: forward, backward and refinement."""
    network, camera = MQHMR(vit_h(), body), make_camera(1)
    picture = torch.randn(1, 3, 256, 192)
    found = network(picture, camera)
    (found.points.all.square().sum() + found.dense.place.sum()).backward()
    assert all(p.grad.isfinite().all() for p in network.vit.parameters())
    assert network.vit.patch_embed.proj.weight.grad.any()
    network.zero_grad(set_to_none=True)
    with torch.no_grad():
        pyramid = network.encode(picture)
    assert pyramid.tokens.shape == (1, 64704, 256)
    keypoints = torch.rand(1, 33, 3)
    refined = Refiner(2).refine(network, pyramid, network.start(camera), camera, keypoints)
    assert (refined.cost < refined.first).all()
