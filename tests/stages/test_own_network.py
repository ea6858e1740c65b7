"""The whole line with a paper-size network of the user's own, made tiny: poses are numbers, with and without steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from biopose_live.errors import EXIT_OK
from biopose_live.mqhmr.network.architecture import Architecture
from biopose_live.mqhmr.network.model import MQHMR, save_network
from biopose_live.pipeline.inline import run_inline
from biopose_live.settings import Settings
from biopose_live.sinks.recording import Recording

TINY = Architecture(
    height=64, width=48, depth=1, embed=16, vit_heads=2, scales=(1, 2), queries=8, width_model=16, layers=2, heads=2,
    points=2, feed=32,
)  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = MQHMR(TINY)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    path = tmp_path_factory.mktemp("network") / "mine.safetensors"
    save_network(network, path)
    return path


@pytest.mark.parametrize("iterations", [0, 2])
def test_a_run_with_ones_own_network(path: Path, tmp_path: Path, iterations: int) -> None:
    settings = Settings(
        demo=True, every_frame=True, duration=0.12, network=path, refine_iterations=iterations, publish="off",
        record=tmp_path / "out",
    )  # fmt: skip
    summary = run_inline(settings.validate())
    assert summary.exit_code == EXIT_OK
    recording = Recording(tmp_path / "out")
    poses = list(recording)
    assert len(poses) >= 3
    assert "mine.safetensors sha256" in recording.meta.versions.models["network"]
    for pose in poses:
        (person,) = pose.people
        for numbers in (person.q, person.q_sigma, person.joints, person.theta, person.betas):
            assert np.isfinite(numbers).all()
