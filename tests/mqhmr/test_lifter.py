"""The lifter in NumPy against its PyTorch twin, and that a weight file that is not one is a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.lifter import JOINTS, SHAPE, WEIGHTS, Lifter
from biopose_live.mqhmr.view import FEATURES
from biopose_live.torch_rotations import six_to_matrix
from biopose_live.training.lifter.network import LifterNetwork


def network(seed: int) -> LifterNetwork:
    """Random weights, large enough that every layer and every clamp matters."""
    torch.manual_seed(seed)
    made = LifterNetwork(torch.randn(JOINTS, 6))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "norm" in name or name.startswith("heads") or name.endswith("bias"):
                parameter.add_(0.3 * torch.randn_like(parameter))
            if name.startswith("whole"):
                parameter.mul_(3.0)
    return made.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "lifter.safetensors"
    save_file({k: v.half().contiguous() for k, v in network(0).state_dict().items()}, path)
    return path


def test_numpy_is_torch(tmp_path: Path) -> None:
    for seed, dtype in ((1, torch.float32), (2, torch.float16)):
        made = network(seed)
        path = tmp_path / f"{seed}.safetensors"
        save_file({k: v.to(dtype).contiguous() for k, v in made.state_dict().items()}, path)
        made.load_state_dict({k: v.to(dtype).float() for k, v in made.state_dict().items()})
        inputs = torch.randn(7, FEATURES)
        with torch.no_grad():
            six, log_sigma, betas, log_betas, tilt, log_tilt = made(inputs)
        guess = Lifter.load(path)(inputs.numpy())
        pairs = [
            (guess.rotations, six_to_matrix(six)),
            (guess.sigma, log_sigma.exp()),
            (guess.betas, betas),
            (guess.betas_sigma, log_betas.exp()),
            (guess.tilt, tilt),
            (guess.tilt_sigma, log_tilt.exp()),
        ]
        for found, expected in pairs:
            assert found.shape == tuple(expected.shape)
            np.testing.assert_allclose(found, expected.numpy(), atol=1e-4, rtol=1e-4)


def test_rotations_are_proper_for_any_input(weights: Path) -> None:
    lifter = Lifter.load(weights)
    inputs = np.random.default_rng(0).normal(size=(20, FEATURES)) * np.logspace(-3, 3, 20)[:, None]
    guess = lifter(inputs.astype(np.float32))
    assert guess.rotations.shape == (20, JOINTS, 3, 3)
    assert guess.betas.shape == (20, SHAPE)
    np.testing.assert_allclose(
        guess.rotations @ np.swapaxes(guess.rotations, -1, -2),
        np.broadcast_to(np.eye(3), (20, JOINTS, 3, 3)),
        atol=1e-5,
    )
    np.testing.assert_allclose(np.linalg.det(guess.rotations), 1.0, atol=1e-5)
    for sigma in (guess.sigma, guess.betas_sigma, guess.tilt_sigma):
        assert (sigma > 0).all()
        assert np.isfinite(sigma).all()


def test_people_do_not_influence_each_other(weights: Path) -> None:
    lifter = Lifter.load(weights)
    inputs = np.random.default_rng(1).normal(size=(5, FEATURES)).astype(np.float32)
    together = lifter(inputs)
    for n in range(5):
        np.testing.assert_allclose(lifter(inputs[n : n + 1]).rotations[0], together.rotations[n], atol=1e-4)


def test_the_shipped_weights_load() -> None:
    assert Lifter.load()(np.zeros((1, FEATURES), np.float32)).rotations.shape == (1, JOINTS, 3, 3)


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        Lifter.load(path)
    assert caught.value.exit_code == EXIT_MODEL
    sentence = str(caught.value)
    assert str(path) in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    assert "missing" in refusal(tmp_path / "nothing.safetensors")
    refusal(tmp_path)


def test_a_truncated_file_is_one_sentence(tmp_path: Path, weights: Path) -> None:
    path = tmp_path / "short.safetensors"
    content = weights.read_bytes()
    for length in (0, 4, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        refusal(path)


@pytest.mark.parametrize("change", ["drop", "transpose", "widen", "nan", "inf", "integers", "bfloat16", "more"])
def test_every_tensor_is_checked(tmp_path: Path, change: str) -> None:
    good = {k: v.contiguous() for k, v in network(3).state_dict().items()}
    path = tmp_path / "other.safetensors"
    for name in list(good) if change in ("drop", "transpose", "nan") else ["whole.weight", "blocks.2.up.bias"]:
        tensors, own = dict(good), good[name]
        if change == "drop":
            del tensors[name]
        elif change == "transpose":
            tensors[name] = own[:-1].contiguous()
        elif change == "widen":
            tensors[name] = torch.cat([own, own])
        elif change in ("nan", "inf"):
            tensors[name] = own.clone()
            tensors[name].view(-1)[3] = float(change)
        elif change == "integers":
            tensors[name] = own.long()
        elif change == "bfloat16":
            tensors[name] = own.bfloat16()
        else:  # a deeper network than this one
            tensors["blocks.3.up.bias"] = own.clone()
        save_file(tensors, path)
        refusal(path)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_give_finite_weights_or_one_sentence(tmp_path: Path, weights: Path, data: st.DataObject) -> None:
    content = bytearray(weights.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 5))):
        end = data.draw(st.sampled_from([8, header, len(content)]))
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(bytes(content))
    try:
        lifter = Lifter.load(path)
    except UserError as error:
        assert error.exit_code == EXIT_MODEL  # noqa: PT017
    else:
        assert all(np.isfinite(value).all() for value in lifter._w.values())


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_one_sentence(tmp_path: Path, content: bytes, framed: bool) -> None:
    path = tmp_path / "any.safetensors"
    path.write_bytes((len(content).to_bytes(8, "little") if framed else b"") + content)
    refusal(path)


@pytest.mark.parametrize("dtype", ["F64", "BF16", "F8_E4M3", "I8", "BOOL", "F4", "X"])
def test_any_kind_of_number_is_read_or_refused(tmp_path: Path, dtype: str) -> None:
    header = json.dumps({"input.weight": {"dtype": dtype, "shape": [4], "data_offsets": [0, 8]}}).encode()
    path = tmp_path / "kind.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    refusal(path)


def test_the_shipped_file_names_what_it_was_trained_with() -> None:
    content = WEIGHTS.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["held_out"])["joints_deg"] < 45
