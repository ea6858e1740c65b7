"""NeurIK frame by frame gives the answers of the full-sequence network in torch, whatever the clock does."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.neurik.architecture import MEMORY_S, Architecture
from biopose_live.neurik.stream import Memory, StreamedNetwork, read_weights
from biopose_live.neurik.torch_network import NeurIKNetwork
from neurik_made_up import random_network, small, weights_of, write_weights

NETWORK = random_network(small())
STANDING = np.random.default_rng(0).normal(size=(7, 3))
STREAMED = StreamedNetwork(NETWORK.architecture, weights_of(NETWORK, STANDING))


def both_ways(
    network: NeurIKNetwork, streamed: StreamedNetwork, times: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, Memory]:
    """-> answers (T, O) of torch on the whole sequence and of the stream frame by frame."""
    a = network.architecture
    rng = np.random.default_rng(seed)
    shapes = ((a.markers, 3), (a.turns,), (a.motion,))
    frames = [rng.normal(size=(len(times), *shape)).astype(np.float32) for shape in shapes]
    with torch.no_grad():
        whole = network(*(torch.from_numpy(x)[None] for x in frames), torch.from_numpy(times)[None])[0].numpy()
    memory = Memory(a)
    stepped = [streamed.step(memory, *(x[n] for x in frames), float(t)) for n, t in enumerate(times)]
    return whole, np.array(stepped), memory


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.one_of(st.floats(0.004, 0.12), st.floats(0.3, 2.0), st.floats(3.0, 60.0)), min_size=1, max_size=40),
    st.floats(0.0, 1e4),
)
def test_steps_are_the_whole_sequence_at_any_times(steps: list[float], start: float) -> None:
    """The window holds 8 frames: the ring buffer turns up to five times; gaps reach beyond the memory."""
    whole, stepped, _ = both_ways(NETWORK, STREAMED, start + np.cumsum(steps))
    np.testing.assert_allclose(stepped, whole, atol=1e-5)


@pytest.mark.parametrize("rate", [15.0, 30.0, 60.0, 240.0])
def test_steps_are_the_whole_sequence_at_any_rate(rate: float) -> None:
    whole, stepped, _ = both_ways(NETWORK, STREAMED, np.arange(50) / rate)
    np.testing.assert_allclose(stepped, whole, atol=1e-5)


def test_the_network_of_full_size_steps_likewise() -> None:
    network = random_network(Architecture(89, 192, 7, 179), strength=0.05)
    streamed = StreamedNetwork(network.architecture, weights_of(network, np.zeros((89, 3))))
    times = np.cumsum(np.where(np.arange(150) == 70, 4.0, 0.04))  # 79 frames follow the gap: more than the window
    whole, stepped, _ = both_ways(network, streamed, times)
    np.testing.assert_allclose(stepped, whole, atol=1e-5 * max(1.0, float(np.abs(whole).max())))


@pytest.mark.parametrize("away", [MEMORY_S + 0.01, 600.0])
def test_who_comes_back_after_the_memory_is_as_new(away: float) -> None:
    rng = np.random.default_rng(1)
    frames = [rng.normal(size=(12, *shape)).astype(np.float32) for shape in ((7, 3), (9,), (7,))]
    times = np.arange(12) * 0.03
    times[6:] += away
    returned, new = Memory(NETWORK.architecture), Memory(NETWORK.architecture)
    for n, t in enumerate(times):
        answer = STREAMED.step(returned, *(x[n] for x in frames), float(t))
        if n >= 6:
            fresh = STREAMED.step(new, *(x[n] for x in frames), float(t))
            np.testing.assert_allclose(answer, fresh, atol=1e-6)


def test_people_have_memories_of_their_own() -> None:
    _, alone, _ = both_ways(NETWORK, STREAMED, np.arange(10) * 0.03, seed=3)
    rng = np.random.default_rng(3)
    frames = [rng.normal(size=(10, *shape)).astype(np.float32) for shape in ((7, 3), (9,), (7,))]
    one, other = Memory(NETWORK.architecture), Memory(NETWORK.architecture)
    for n in range(10):
        STREAMED.step(other, *(x[n] + 1.0 for x in frames), 0.05 * n)
        answer = STREAMED.step(one, *(x[n] for x in frames), 0.03 * n)
        np.testing.assert_allclose(answer, alone[n], atol=1e-6)


@pytest.mark.parametrize("t", [0.5, 0.4, np.nan])
def test_time_must_go_forward(t: float) -> None:
    _, _, memory = both_ways(NETWORK, STREAMED, np.array([0.2, 0.5]))
    with pytest.raises(ValueError, match=r"came after one at 0\.5 s"):
        memory.advance(t)


def test_a_written_file_is_read_back(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "w.safetensors", NETWORK, STANDING)
    streamed = StreamedNetwork.load(path)
    np.testing.assert_allclose(streamed.standing, STANDING, atol=1e-3)
    whole, stepped, _ = both_ways(NETWORK, streamed, np.arange(12) * 0.03)
    np.testing.assert_allclose(stepped, whole, atol=1e-5)


def told(path: Path) -> str:
    """-> the sentence that the file is refused with."""
    with pytest.raises(UserError) as caught:
        read_weights(path)
    assert caught.value.exit_code == EXIT_MODEL
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


def test_weights_that_are_missing_are_told(tmp_path: Path) -> None:
    assert "missing" in told(tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"\x10", b"\xff" * 200, b"\x08\x00\x00\x00\x00\x00\x00\x00{}{}{}{}"])
def test_weights_that_are_damaged_are_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    sentence = told(path)
    assert "cannot be read" in sentence or "another version" in sentence


def test_weights_that_were_cut_short_are_told(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "w.safetensors", NETWORK, STANDING)
    path.write_bytes(path.read_bytes()[:-100])
    assert "cannot be read" in told(path)


def changed(path: Path, **metadata: str) -> None:
    """Writes the tensors anew with other metadata."""
    save_file(load_file(path), path, metadata)


def test_weights_of_another_version_are_told(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "w.safetensors", NETWORK, STANDING)
    sizes = msgspec.to_builtins(NETWORK.architecture)
    changed(path, architecture=msgspec.json.encode({**sizes, "version": 99}).decode())
    assert "version 99, wanted 1" in told(path)
    changed(path, architecture=msgspec.json.encode({**sizes, "gates": 3}).decode())
    assert "another version" in told(path)
    changed(path, other="nothing")
    assert "sizes cannot be read" in told(path)


def test_tensors_that_are_not_the_networks_are_told(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "w.safetensors", NETWORK, STANDING)
    whole = load_file(path)
    metadata = {"architecture": msgspec.json.encode(NETWORK.architecture).decode()}
    save_file({name: value for name, value in whole.items() if name != "norm.bias"}, path, metadata)
    assert "norm.bias should be (16,), found nothing" in told(path)
    save_file({**whole, "norm.bias": torch.zeros(17)}, path, metadata)
    assert "norm.bias should be (16,), found (17,)" in told(path)
    save_file({**whole, "extra": torch.zeros(1)}, path, metadata)
    assert "extra is not known" in told(path)
    save_file({**whole, "norm.bias": torch.full((16,), torch.nan)}, path, metadata)
    assert "damaged" in told(path)
    save_file({**whole, "norm.bias": torch.zeros(16, dtype=torch.int64)}, path, metadata)
    assert "damaged" in told(path)
