"""A short training: the loss falls, the command writes weights that load, and goes on where it ended."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from scipy.spatial.transform import Rotation

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.landmarks import body_points, measured
from biopose_live.mqhmr.lifter import JOINTS, Lifter
from biopose_live.mqhmr.view import FEATURES, LAGS_S
from biopose_live.training.lifter import train
from biopose_live.training.lifter.network import LifterNetwork
from biopose_live.training.lifter.observe import TorchPoints, observe
from biopose_live.training.lifter.poses import exp
from biopose_live.training.lifter.train import gaussian, losses, rotation_error


@pytest.fixture(scope="module")
def poses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("poses") / "poses.npz"
    np.savez(
        path,
        theta=np.cumsum(rng.normal(0, 0.02, (120, 24, 3)), 0),
        trans=np.zeros((120, 3)),
        clip_index=np.repeat([0, 1], 60),
        subject=np.array(["s1", "s2"]),
        fps=np.float32(30.0),
    )
    return path


def test_the_error_of_a_small_turn_is_its_rotation_vector() -> None:
    rng = np.random.default_rng(1)
    true = Rotation.random(20, rng=rng)
    off = rng.normal(0, 0.01, (20, 3))
    turned = true * Rotation.from_rotvec(off)
    found = rotation_error(torch.from_numpy(true.as_matrix()), torch.from_numpy(turned.as_matrix()))
    np.testing.assert_allclose(found.numpy(), off, atol=1e-5)


def test_the_likelihood_is_torchs_weighted_by_the_root_of_sigma() -> None:
    torch.manual_seed(2)
    error, log_sigma = torch.randn(50), torch.randn(50)
    variance = torch.exp(2 * log_sigma)
    expected = torch.nn.functional.gaussian_nll_loss(error, torch.zeros(50), variance, reduction="none", eps=1e-12)
    torch.testing.assert_close(gaussian(error, log_sigma), expected * torch.exp(log_sigma).sqrt())


def test_steps_on_one_batch_lower_its_loss(body: BodyModel) -> None:
    offsets, spread = measured()
    points = TorchPoints(body_points(body, offsets), spread, JOINTS)
    torch.manual_seed(3)
    pose = exp(0.3 * torch.randn(16, 1, JOINTS, 3)).expand(-1, len(LAGS_S), -1, -1, -1)
    batch = observe(
        points, pose, torch.zeros(16, len(LAGS_S), 3), torch.zeros(16, dtype=torch.bool), np.random.default_rng(3)
    )
    network = LifterNetwork(torch.tensor([1.0, 0, 0, 0, 1.0, 0]).repeat(JOINTS, 1))
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    history = []
    for _ in range(8):
        loss, report = losses(network, points, batch)
        assert all(math.isfinite(value) for value in report.values())
        history.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert history[1] < history[0]
    assert history[-1] < 0.9 * history[0]


def test_the_command_writes_weights_and_goes_on(
    poses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lifter.safetensors"

    def run(*more: str) -> dict[str, float]:
        arguments = ["train", "--poses", str(poses), "--out", str(out), "--batch", "8", *more]
        monkeypatch.setattr(sys, "argv", arguments)
        threads = torch.get_num_threads()
        train.main()
        torch.set_num_threads(threads)
        printed = capsys.readouterr().out
        report: dict[str, float] = json.loads(printed[printed.index("{") :])
        return report

    report = run("--steps", "3")
    assert math.isfinite(report["loss"])
    first = Lifter.load(out)(np.zeros((1, FEATURES), np.float32)).rotations
    with safe_open(out, "np") as file:
        assert json.loads(file.metadata()["held_out"])["loss"] == pytest.approx(report["loss"])
    state_file = out.with_suffix(".state.pt")
    assert torch.load(state_file, weights_only=True)["step"] == 3
    kept = torch.load(state_file, weights_only=True)["network"]["input.weight"]

    run("--steps", "3", "--resume", str(state_file))  # nothing left to do
    np.testing.assert_array_equal(Lifter.load(out)(np.zeros((1, FEATURES), np.float32)).rotations, first)

    run("--steps", "5", "--resume", str(state_file), "--hold-out", "s2")
    state = torch.load(state_file, weights_only=True)
    assert state["step"] == 5
    moved = (state["network"]["input.weight"] - kept).abs().max()
    assert 0 < moved < 0.05  # two small steps away from where the first run ended
    Lifter.load(out)
