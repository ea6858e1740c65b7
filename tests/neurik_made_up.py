"""What NeurIK's tests share: small networks with random weights, and people whose labels are exact by making."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch
from safetensors.torch import save_file

from biopose_live.body.model import BodyModel
from biopose_live.neurik.architecture import Architecture
from biopose_live.neurik.calibration import Calibrator
from biopose_live.neurik.observation import MOTION, Observer
from biopose_live.neurik.outputs import OutputLayout
from biopose_live.neurik.torch_network import NeurIKNetwork
from biopose_live.neurik.trends import trend_features
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import SkeletonModel


def small(markers: int = 7, turns: int = 9, motion: int = MOTION, outputs: int = 11, window: int = 8) -> Architecture:
    """A network of two layers."""
    return Architecture(
        markers, turns, motion, outputs, channels=4, squeezed=2, width=16, heads=4, layers=2, feed=24, window=window
    )


def for_skeleton(body: BodyModel, model: SkeletonModel) -> Architecture:
    """A network of two layers that fits the real markers and the real skeleton."""
    turns = Observer.features + trend_features(Observer.features)
    return small(len(body.marker_names), turns, MOTION, OutputLayout(model).size, window=16)


def random_network(architecture: Architecture, seed: int = 0, strength: float = 0.3) -> NeurIKNetwork:
    """No weight is zero, so that every part of the network has its say; halved precision changes none of them."""
    torch.manual_seed(seed)
    network = NeurIKNetwork(architecture)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            around = 1.0 if name.endswith("norm.weight") else 0.0
            weight.copy_((around + strength * torch.randn(weight.shape)).half().float())
    return network.eval()


def weights_of(network: NeurIKNetwork, standing: np.ndarray) -> dict[str, np.ndarray]:
    """-> as `read_weights` gives them."""
    return {name: value.numpy() for name, value in network.state_dict().items()} | {"standing": np.float32(standing)}


def write_weights(path: Path, network: NeurIKNetwork, standing: np.ndarray, **metadata: str) -> Path:
    """A weight file as training writes it."""
    tensors = {**network.state_dict(), "standing": torch.from_numpy(np.asarray(standing))}
    told = {"architecture": msgspec.json.encode(network.architecture).decode(), **metadata}
    save_file({name: value.half().contiguous() for name, value in tensors.items()}, path, told)
    return path


def waves(model: SkeletonModel, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """-> (T, Q) coordinates that swing within their ranges; the person turns and walks about."""
    q = np.zeros((len(times), len(model.coordinates)))
    for number, coordinate in enumerate(model.coordinates):
        low, high = np.clip(coordinate.range, -1.0, 1.0)
        phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 3.0)
        share = 0.5 + 0.35 * np.sin(2 * np.pi * times / period + phase)
        q[:, number] = low + (high - low) * share
    return q


def write_samples(
    folder: Path, body: BodyModel, model: SkeletonModel, count: int = 6, frames: int = 24, noise: float = 0.01
) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """A file as `training.neurik.samples` writes it, whose markers sit on the bones exactly where the labels say.

    -> of a sequence's number: bodies (M,) and places (M, 3) m of the markers on the scaled bones."""
    calibrator, kinematics = Calibrator(body, model), Kinematics(model)
    rng = np.random.default_rng(5)
    rows: dict[str, list[np.ndarray]] = {}
    places = []
    for _ in range(count):
        betas = rng.normal(size=(body.n_shape,))
        person = calibrator(betas)
        steps = np.concatenate([[0.0], rng.choice([0.02, 0.033, 0.05], frames - 1)])
        times = np.cumsum(steps)
        q = waves(model, times, rng)
        true = np.array(
            [kinematics.markers(row, person.scales, person.marker_bodies, person.marker_locations) for row in q]
        )
        seen = true + noise * rng.normal(size=true.shape)
        origin = seen.mean(1)
        made = {
            "times": times,
            "seen": (seen - origin[:, None]).astype(np.float16),
            "true": (true - origin[:, None]).astype(np.float16),
            "origin": origin.astype(np.float32),
            "q": q.astype(np.float32),
            "scales": person.scales.astype(np.float32),
            "betas": betas.astype(np.float32),
            "betas_seen": np.tile(betas, (frames, 1)).astype(np.float32),
            "good": np.ones(frames, bool),
        }
        for name, value in made.items():
            rows.setdefault(name, []).append(value)
        places.append((person.marker_bodies, person.marker_locations))
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "00000.npz", **{name: np.stack(values) for name, values in rows.items()})
    return lambda number: places[number]
