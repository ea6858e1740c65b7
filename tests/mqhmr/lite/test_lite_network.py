"""The light network: NumPy's form against PyTorch's, and its weight file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.mqhmr.lite.architecture import Architecture
from biopose_live.mqhmr.lite.evidence import in_frame
from biopose_live.mqhmr.lite.network import LiteNetwork
from biopose_live.mqhmr.lite.observation import observe
from biopose_live.mqhmr.lite.points import MARKERS, POINTS, spread_markers
from biopose_live.training.lite.network import LiteNetwork as TorchNetwork
from lite_made_up import CAMERA, LEVELS, SMALL, Person, maps, torch_inputs, weights

UP = np.array([0.0, -1.0, 0.0])


def observation(body: BodyModel, seed: int = 0):
    person = Person(body, seed)
    points = person.points(person.estimate)
    return observe(person.crop, CAMERA, person.keypoints, person.scores, person.world, person.estimate, UP, points)


FEWER = msgspec.structs.replace(SMALL, markers=(0, 3, 50, 88))
NO_MARKERS = msgspec.structs.replace(SMALL, markers=())
COARSE = msgspec.structs.replace(SMALL, levels=(LEVELS[2], LEVELS[0]))
BLIND = msgspec.structs.replace(SMALL, levels=())


def torch_twin(seed: int = 0, architecture: Architecture = SMALL) -> TorchNetwork:
    twin = TorchNetwork(architecture)
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in weights(seed, architecture).items()})
    return twin.eval()


@pytest.mark.parametrize(
    ("seed", "architecture"), [(0, SMALL), (1, SMALL), (2, FEWER), (3, NO_MARKERS), (4, COARSE), (5, BLIND)]
)
def test_numpy_and_torch_agree(body: BodyModel, seed: int, architecture: Architecture) -> None:
    seen, features = observation(body, seed), maps(seed)
    whole = LiteNetwork(architecture, weights(seed, architecture))(features, seen)
    rows = np.array(architecture.queries)
    answer = replace(whole, places=whole.places[rows], covariance=whole.covariance[rows], visible=whole.visible[rows])
    flat = [features[i].reshape(-1, features[i].shape[2]) for i in architecture.read_of(LEVELS)]
    with torch.no_grad():
        outputs, _ = torch_twin(seed, architecture)(
            torch_inputs(flat), *torch_inputs([seen.whole, seen.own[rows], seen.places[rows]])
        )
    last = outputs[-1]
    np.testing.assert_allclose(answer.places, last.places[0], atol=2e-5)
    np.testing.assert_allclose(answer.visible, last.visible[0].sigmoid(), atol=2e-5)
    np.testing.assert_allclose(answer.corrections, last.corrections[0], atol=2e-5)
    np.testing.assert_allclose(answer.sigma, last.log_turns[0].exp(), rtol=1e-4)
    first, second = last.log_sigmas[0].exp().double().unbind(-1)
    lower = torch.stack([first, torch.zeros_like(first), last.lean[0] * second, second], -1).unflatten(-1, (2, 2))
    np.testing.assert_allclose(answer.covariance, lower @ lower.mT, rtol=1e-3, atol=1e-9)
    assert (np.linalg.eigvalsh(answer.covariance) > 0).all()


@pytest.mark.parametrize("architecture", [SMALL, FEWER, NO_MARKERS, COARSE, BLIND])
def test_every_tensor_is_named_alike(architecture: Architecture) -> None:
    named = {name: tuple(value.shape) for name, value in TorchNetwork(architecture).state_dict().items()}
    assert named == architecture.tensors()


def test_a_point_without_a_query_token_weighs_nothing(body: BodyModel) -> None:
    """It stays where the estimate put it, and the others are believed as they would be without it."""
    person = Person(body)
    seen = observation(body)
    answer = LiteNetwork(FEWER, weights(0, FEWER))(maps(), seen)
    without = np.setdiff1d(np.arange(POINTS), FEWER.queries)
    assert len(without) == 85
    np.testing.assert_array_equal(answer.places[without], seen.places[without])
    precision = in_frame(answer, person.crop, person.estimate).precision
    believed = precision[list(FEWER.queries)].max()
    assert believed > 0
    assert precision[without].max() < 1e-6 * believed


def test_markers_are_spread_over_the_body(body: BodyModel) -> None:
    """Each further marker lies farther from the joints and from the ones before it than any that is left out."""
    from scipy.spatial.distance import cdist

    assert spread_markers(body, 0) == ()
    assert spread_markers(body, MARKERS) == tuple(range(MARKERS))
    few, more = spread_markers(body, 20), spread_markers(body, 21)
    assert set(few) < set(more)
    (added,) = set(more) - set(few)
    held = np.concatenate([body.joint_template, body.marker_template[list(few)]])
    distance = cdist(body.marker_template, held).min(1)
    assert distance[added] == distance.max()
    with pytest.raises(ValueError, match="89 markers"):
        spread_markers(body, 90)


@pytest.mark.parametrize("markers", [(3, 3), (4, 1), (-1,), (89,)])
def test_markers_that_make_no_sense_are_refused(markers: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rising numbers"):
        msgspec.structs.replace(SMALL, markers=markers)
    with pytest.raises(UserError, match="image network"):
        LiteNetwork.load(written(tmp_path / "w.safetensors", weights(), markers=markers))


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
