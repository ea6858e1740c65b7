"""Tiny networks and crops, so that every test takes a moment."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.network.architecture import Architecture
from biopose_live.mqhmr.network.crop_camera import CropCamera
from biopose_live.mqhmr.network.model import MQHMR

TINY = Architecture(
    height=64, width=48, depth=2, embed=32, vit_heads=4, scales=(1, 2, 4), queries=10, width_model=32, layers=2,
    heads=4, points=2, feed=48,
)  # fmt: skip


def stirred(network: torch.nn.Module, seed: int = 0, size: float = 0.15) -> torch.nn.Module:
    """Random weights everywhere, also where training begins with zeros."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=random))
    return network.eval()


def some_camera(batch: int = 2, seed: int = 0) -> CropCamera:
    random = torch.Generator().manual_seed(seed)
    centre = torch.tensor([[640.0, 360.0]]).expand(batch, 2)
    return CropCamera(
        focal=900 + 300 * torch.rand(batch, generator=random),
        centre=centre,
        roll=0.4 * (torch.rand(batch, generator=random) - 0.5),
        box_centre=centre + 250 * (torch.rand(batch, 2, generator=random) - 0.5),
        box_size=torch.tensor([[1.0, 4 / 3]]) * (150 + 200 * torch.rand(batch, 1, generator=random)),
    )


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="session")
def tiny() -> Architecture:
    return TINY


@pytest.fixture
def network(body: BodyModel) -> MQHMR:
    torch.manual_seed(0)
    network = stirred(MQHMR(TINY, body))
    assert isinstance(network, MQHMR)
    return network


@pytest.fixture
def camera() -> CropCamera:
    return some_camera()


@pytest.fixture(scope="session")
def make_camera() -> Callable[..., CropCamera]:
    return some_camera
