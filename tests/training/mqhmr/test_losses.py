"""The losses: zero at the truth, right in their units, blind to what is not labelled."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from biopose_live.mqhmr.network.body_points import BodyPoints
from biopose_live.mqhmr.network.heads import DenseMarkers
from biopose_live.mqhmr.network.model import Prediction
from biopose_live.torch_rotations import vector_to_matrix
from biopose_live.training.mqhmr.batches import collate
from biopose_live.training.mqhmr.crops import cut
from biopose_live.training.mqhmr.keypoints44 import Keypoints44
from biopose_live.training.mqhmr.losses import Losses, dense_terms
from biopose_live.training.mqhmr.records import Record, labels_of


@pytest.fixture
def batch(make_person, make_picture, body):
    crops = []
    for seed in range(2):
        labels = make_person(seed)
        record = Record("a person", make_picture(labels), labels_of(labels, "a person"))
        record = dataclasses.replace(record, labels=dataclasses.replace(record.labels, rest="embedded"))
        crops.append(cut(record, 64, 48, body.marker_names))
    return collate(crops, "embedded", 113)


@pytest.fixture
def truth(batch, body):
    to_44, points = Keypoints44(body.marker_names), BodyPoints(body)
    at_zero = to_44(points(batch.rotations, batch.betas, torch.zeros(2, 3)).all)
    pelvis = (batch.keypoints_3d[..., :3] - at_zero)[:, 0]
    dense = DenseMarkers(batch.dense[..., :2], torch.eye(2).expand(2, 113, 2, 2), torch.zeros(2, 113))
    posed = points(batch.rotations, batch.betas, pelvis)
    return Prediction(batch.rotations, batch.betas, pelvis, posed, dense)


def test_the_truth_costs_nothing(batch, truth, body):
    terms = Losses(body.marker_names).terms(truth, batch)
    for name in ("root", "pose", "shape", "points_3d", "points_2d"):
        assert terms[name] < 1e-3, name


def test_units(batch, truth, body):
    losses = Losses(body.marker_names)
    turn = vector_to_matrix(torch.tensor([0.0, 0.1, 0.0]))
    rotations = truth.rotations.clone()
    rotations[:, 0] = turn @ rotations[:, 0]
    terms = losses.terms(dataclasses.replace(truth, rotations=rotations), batch)
    assert math.isclose(terms["root"], 0.01, rel_tol=0.01)
    assert terms["pose"] < 1e-9
    _, report = losses(dataclasses.replace(truth, rotations=rotations), batch)
    assert math.isclose(report["root_degrees"], 5.73, rel_tol=0.01)
    terms = losses.terms(dataclasses.replace(truth, betas=truth.betas + 0.5), batch)
    assert math.isclose(terms["shape"], 0.25, rel_tol=1e-4)
    # A body farther off: 3D keypoints are compared about their mean, 2D ones are not.
    away = dataclasses.replace(truth.points, **{
        name: getattr(truth.points, name) + torch.tensor([0.0, 0.1, 0.0]) for name in ("joints", "markers", "landmarks")
    })  # fmt: skip
    terms = losses.terms(dataclasses.replace(truth, points=away), batch)
    assert terms["points_3d"] < 1e-3
    depth = truth.pelvis[:, 2]
    height = batch.camera.box_size[:, 1]
    assert math.isclose(terms["points_2d"], (0.1 * batch.camera.focal / depth / height).mean(), rel_tol=0.1)


def test_what_is_not_labelled_costs_nothing_and_pulls_nothing(batch, truth, body):
    nothing = dataclasses.replace(
        batch,
        keypoints_2d=batch.keypoints_2d * torch.tensor([1.0, 1.0, 0.0]),
        keypoints_3d=batch.keypoints_3d * torch.tensor([1.0, 1.0, 1.0, 0.0]),
        has_root=torch.zeros(2), has_pose=torch.zeros(2), has_betas=torch.zeros(2),
    )  # fmt: skip
    betas = (truth.betas + 1).requires_grad_()
    rotations = truth.rotations.flip(1).clone().requires_grad_()
    points = BodyPoints(body)(rotations, betas, truth.pelvis)
    found = dataclasses.replace(truth, betas=betas, rotations=rotations, points=points)
    dense = dataclasses.replace(nothing, dense=torch.tensor([0.0, 0.0, 0.0, -1.0]).expand(2, 113, 4))
    total, _ = Losses(body.marker_names)(found, dense)
    total.backward()
    assert total == 0
    assert not betas.grad.any()
    assert not rotations.grad.any()


def test_marker_likelihood_is_the_normal_distributions(batch):
    random = torch.Generator().manual_seed(0)
    factor = torch.tril(torch.randn(2, 113, 2, 2, generator=random)) * 0.1
    factor = factor + torch.diag_embed(0.05 + 0.1 * torch.rand(2, 113, 2, generator=random))
    factor = torch.where(torch.eye(2).bool(), factor.abs() + 0.02, factor)
    place = torch.rand(2, 113, 2, generator=random)
    known = (torch.rand(2, 113, generator=random) < 0.7).float()
    visible = torch.randint(0, 2, (2, 113), generator=random).float()
    logits = torch.randn(2, 113, generator=random)
    true = torch.cat([torch.rand(2, 113, 2, generator=random), known[..., None], visible[..., None]], -1)
    found, entropy = dense_terms(DenseMarkers(place, factor, logits), dataclasses.replace(batch, dense=true))
    in_heights = torch.tensor([0.75, 1.0])
    normal = torch.distributions.MultivariateNormal(place * in_heights, scale_tril=factor)
    expected = -normal.log_prob(true[..., :2] * in_heights) - math.log(2 * math.pi)
    torch.testing.assert_close(found, (expected * known).sum() / known.sum(), rtol=1e-4, atol=1e-4)
    chance = torch.where(visible > 0, logits.sigmoid(), 1 - logits.sigmoid())
    torch.testing.assert_close(entropy, -chance.log().mean())
