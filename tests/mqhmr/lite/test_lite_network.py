"""The light network: NumPy's form against PyTorch's, and its weight file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.mqhmr.lite.network import LiteNetwork
from biopose_live.mqhmr.lite.observation import observe
from biopose_live.training.lite.network import LiteNetwork as TorchNetwork
from lite_made_up import CAMERA, LEVELS, SMALL, Person, maps, torch_inputs, weights

UP = np.array([0.0, -1.0, 0.0])


def observation(body: BodyModel, seed: int = 0):
    person = Person(body, seed)
    points = person.points(person.estimate)
    return observe(person.crop, CAMERA, person.keypoints, person.scores, person.world, person.estimate, UP, points)


def torch_twin(seed: int = 0) -> TorchNetwork:
    twin = TorchNetwork(SMALL)
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in weights(seed).items()})
    return twin.eval()


@pytest.mark.parametrize("seed", range(3))
def test_numpy_and_torch_agree(body: BodyModel, seed: int) -> None:
    seen, features = observation(body, seed), maps(seed)
    answer = LiteNetwork(SMALL, weights(seed))(features, seen)
    flat = [level.reshape(-1, level.shape[2]) for level in features]
    with torch.no_grad():
        outputs, _ = torch_twin(seed)(torch_inputs(flat), *torch_inputs([seen.whole, seen.own, seen.places]))
    last = outputs[-1]
    np.testing.assert_allclose(answer.places, last.places[0], atol=2e-5)
    np.testing.assert_allclose(answer.visible, last.visible[0].sigmoid(), atol=2e-5)
    np.testing.assert_allclose(answer.corrections, last.corrections[0], atol=2e-5)
    np.testing.assert_allclose(answer.sigma, last.log_turns[0].exp(), rtol=1e-4)
    first, second = last.log_sigmas[0].exp().double().unbind(-1)
    lower = torch.stack([first, torch.zeros_like(first), last.lean[0] * second, second], -1).unflatten(-1, (2, 2))
    np.testing.assert_allclose(answer.covariance, lower @ lower.mT, rtol=1e-3, atol=1e-9)
    assert (np.linalg.eigvalsh(answer.covariance) > 0).all()


def test_every_tensor_is_named_alike() -> None:
    named = {name: tuple(value.shape) for name, value in TorchNetwork(SMALL).state_dict().items()}
    assert named == SMALL.tensors()


def test_other_maps_are_refused(body: BodyModel) -> None:
    with pytest.raises(ValueError, match="feature maps"):
        LiteNetwork(SMALL, weights())(maps()[:2], observation(body))


def written(path: Path, tensors: dict[str, np.ndarray], **changed: object) -> Path:
    architecture = {**msgspec.to_builtins(SMALL), **changed}
    save_file(tensors, path, {"architecture": msgspec.json.encode(architecture).decode()})
    return path


def test_a_weight_file_is_read_back(tmp_path: Path, body: BodyModel) -> None:
    loaded = LiteNetwork.load(written(tmp_path / "w.safetensors", weights(4)))
    assert tuple(loaded.architecture.levels) == LEVELS
    direct = LiteNetwork(SMALL, weights(4))
    seen = observation(body)
    np.testing.assert_array_equal(loaded(maps(), seen).places, direct(maps(), seen).places)


def test_faulty_weight_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    broken = weights()
    broken["own.weight"] = broken["own.weight"] * np.nan
    short = weights()
    short.pop("own.bias")
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"not a weight file")
    bare = tmp_path / "bare.safetensors"
    save_file(weights(), bare)
    for path in (
        tmp_path / "nowhere.safetensors",
        garbage,
        bare,
        written(tmp_path / "nan.safetensors", broken),
        written(tmp_path / "short.safetensors", short),
        written(tmp_path / "old.safetensors", weights(), version=0),
        written(tmp_path / "wide.safetensors", weights(), width=64),
    ):
        with pytest.raises(UserError) as refused:
            LiteNetwork.load(path)
        assert str(refused.value).count("\n") == 0
        assert "image network" in str(refused.value)
