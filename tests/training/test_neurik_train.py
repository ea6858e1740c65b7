"""A short training of a small network: the error falls, the weights run live, a stopped run goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from biopose_live.body.model import BodyModel
from biopose_live.neurik.calibration import Calibrator
from biopose_live.neurik.mean_person import standing_observer
from biopose_live.neurik.neural_track import NeuralSolver, NeuralTrack
from biopose_live.neurik.stream import StreamedNetwork
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.training.neurik import train
from biopose_live.training.neurik.batches import SampleSet
from biopose_live.training.neurik.losses import Losses
from biopose_live.training.neurik.train import main
from event_files import scalars
from neurik_made_up import for_skeleton, random_network, write_samples

SMALL = ["--batch", "3", "--layers", "1", "--width", "16"]


@pytest.fixture(scope="module")
def samples(body: BodyModel, skeleton: SkeletonModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, body, skeleton, 4, 12)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few shapes tell well enough where markers sit."""
    places = train.marker_places
    monkeypatch.setattr(train, "marker_places", lambda body, model: places(body, model, people=2))


def options(samples: Path, out: Path, steps: int, *more: str) -> list[str]:
    return ["--samples", str(samples), "--held", str(samples), "--out", str(out), "--steps", str(steps), *SMALL, *more]


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata())


def test_a_short_training_writes_weights_that_run(
    samples: Path, tmp_path: Path, body: BodyModel, skeleton: SkeletonModel
) -> None:
    out = tmp_path / "new" / "neurik.safetensors"
    assert main(options(samples, out, 3)) == 0
    told = metadata(out)
    assert json.loads(told["settings"])["steps_made"] == 3
    assert np.isfinite(json.loads(told["held_out"])["angles_deg"])
    solver = NeuralSolver(skeleton, body.marker_names, StreamedNetwork.load(out))
    track = NeuralTrack(solver, Calibrator(body, skeleton))
    markers = solver.observer.standing + np.array([0.0, 1.0, 0.0])
    for t in (0.0, 0.03):
        solved = track.update(t, markers, np.zeros(10), False)
    assert np.isfinite(solved.q).all()
    assert not list(out.parent.glob("*.partial"))


def test_its_figures_are_there_for_tensorboard(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(train, "REPORT_EVERY", 2)
    out = tmp_path / "w.safetensors"
    assert main(options(samples, out, 3, "--tensorboard", str(tmp_path / "log"))) == 0
    logged = scalars(tmp_path / "log")
    assert [step for step, _ in logged["train/loss"]] == [2]
    held = json.loads(metadata(out)["held_out"])
    for name, value in held.items():
        assert logged[f"held_out/{name}"][-1] == (3, pytest.approx(value))


def test_it_starts_at_the_best_linear_answer(samples: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    assert main(options(samples, out, 1)) == 0
    assert json.loads(metadata(out)["held_out"])["angles_deg"] < 12.0  # random weights are off by some forty degrees


def test_steps_on_one_batch_lower_its_loss(samples: Path, body: BodyModel, skeleton: SkeletonModel) -> None:
    batch = SampleSet(samples, skeleton, standing_observer(body, skeleton)).whole(0, 4)
    losses = Losses(skeleton, *train.marker_places(body, skeleton))
    network = random_network(for_skeleton(body, skeleton), 1, 0.05)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    history = []
    for _ in range(15):
        loss, _ = losses(train.run(network, batch), batch)
        history.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert history[-1] < 0.8 * history[0]


def test_a_stopped_run_goes_on_where_it_was(samples: Path, tmp_path: Path) -> None:
    out, state = tmp_path / "w.safetensors", tmp_path / "w.state.pt"
    assert main(options(samples, out, 2)) == 0
    first = torch.load(state, weights_only=True)
    assert first["step"] == 2
    assert main(options(samples, out, 5, "--resume", str(state))) == 0
    second = torch.load(state, weights_only=True)
    assert second["step"] == 5
    assert second["seconds"] > first["seconds"]
    assert second["optimiser"]["state"][0]["step"] == 5
    assert json.loads(metadata(out)["settings"])["steps_made"] == 5
    assert main(options(samples, out, 5, "--resume", str(state))) == 0  # done: nothing is added
    third = torch.load(state, weights_only=True)
    assert third["step"] == 5
    for name, value in second["network"].items():
        torch.testing.assert_close(third["network"][name], value, rtol=0, atol=0)


def test_time_that_was_spent_counts_on(samples: Path, tmp_path: Path) -> None:
    out, state = tmp_path / "w.safetensors", tmp_path / "w.state.pt"
    assert main(options(samples, out, 1)) == 0
    held = torch.load(state, weights_only=True)
    torch.save({**held, "seconds": 120.0}, state)
    assert main(options(samples, out, 50, "--minutes", "2", "--resume", str(state))) == 0
    assert torch.load(state, weights_only=True)["step"] == 1


def test_mistakes_are_told_in_one_sentence(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "w.safetensors"

    def said(*arguments: str, folder: Path = samples, code: int = 3) -> str:
        capsys.readouterr()
        assert main(options(folder, out, 1, *arguments)) == code
        return capsys.readouterr().out.strip().splitlines()[-1]

    (tmp_path / "empty").mkdir()
    assert "holds no samples" in said(folder=tmp_path / "empty")
    assert "--device quantum cannot be used here" in said("--device", "quantum", code=2)
    if not torch.cuda.is_available():
        assert "--device cuda cannot be used here" in said("--device", "cuda", code=2)
    state = tmp_path / "other.state.pt"
    state.write_bytes(b"not a state")
    assert "cannot be gone on from" in said("--resume", str(state))
    torch.save({"step": 3}, state)
    assert "it lacks averaged" in said("--resume", str(state))
    assert main(options(samples, out, 1)) == 0
    assert "is of a network of other sizes" in said("--width", "32", "--resume", str(out.with_suffix(".state.pt")))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_training_on_a_gpu_writes_the_same_kind_of_file(samples: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    assert main(options(samples, out, 2, "--device", "cuda")) == 0
    assert main(options(samples, out, 3, "--device", "cuda", "--resume", str(out.with_suffix(".state.pt")))) == 0
    StreamedNetwork.load(out)
