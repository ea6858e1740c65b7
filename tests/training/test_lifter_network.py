"""The PyTorch network of the lifter: shapes, gradients, and that it draws on all of its inputs."""

from __future__ import annotations

import torch

from biopose_live.mqhmr.lifter import JOINTS, SHAPE, WEIGHT_SHAPES
from biopose_live.mqhmr.view import FEATURES
from biopose_live.torch_rotations import six_to_matrix
from biopose_live.training.lifter.network import LifterNetwork


def test_the_names_and_shapes_are_those_of_the_weight_file() -> None:
    own = {name: tuple(value.shape) for name, value in LifterNetwork(torch.zeros(JOINTS, 6)).state_dict().items()}
    assert own == WEIGHT_SHAPES


def test_outputs_and_gradients_reach_everything() -> None:
    torch.manual_seed(0)
    network = LifterNetwork(torch.randn(JOINTS, 6))
    inputs = torch.randn(4, FEATURES, requires_grad=True)
    outputs = network(inputs)
    assert [tuple(o.shape) for o in outputs] == [
        (4, JOINTS, 6), (4, JOINTS, 3), (4, SHAPE), (4, SHAPE), (4, 2), (4, 2),
    ]  # fmt: skip
    sum(o.square().sum() for o in outputs).backward()
    assert inputs.grad is not None
    assert (inputs.grad.abs().sum(0) > 0).all()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_six_numbers_become_rotations() -> None:
    torch.manual_seed(1)
    matrices = six_to_matrix(torch.randn(50, JOINTS, 6, dtype=torch.float64))
    torch.testing.assert_close(
        matrices @ matrices.transpose(-1, -2), torch.eye(3, dtype=torch.float64).expand_as(matrices)
    )
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(50, JOINTS, dtype=torch.float64))
