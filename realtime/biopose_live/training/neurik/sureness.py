"""`python -m biopose_live.training.neurik.sureness --weights IN --held FOLDER --out OUT`

Sets the one-sigma of every coordinate right after training: people who were trained on are easier than new ones, so
that a network is too sure of itself.  On the even-numbered half of the held-out samples each coordinate's sigma is
multiplied so that 68.27 % of its errors are smaller: that quantile of |error| / sigma becomes one (a few lost limbs do
not move it, as they would a root mean square).  Left and right share a factor.  Its logarithm goes into the last
layer's bias; nothing else changes.

Letters: N sequences, T frames, Q coordinates.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.neurik.mean_person import marker_places
from biopose_live.neurik.neural_track import NeuralSolver
from biopose_live.neurik.observation import Observer
from biopose_live.neurik.outputs import OutputLayout
from biopose_live.neurik.stream import StreamedNetwork, read_weights
from biopose_live.neurik.torch_network import NeurIKNetwork
from biopose_live.skeleton.bsk24 import load_bsk24
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.training.neurik.batches import Batch, SampleSet
from biopose_live.training.neurik.losses import Losses

WITHIN = 0.6827  # of a normal distribution lies within one sigma
AT_ONCE = 20
METADATA = "sureness"


def load_network(path: Path) -> tuple[NeurIKNetwork, NDArray[np.float64]]:
    """-> the network in torch, and the standing markers (M, 3) m for `Observer`.  Raises UserError where the file is
    missing, damaged or of another version."""
    architecture, weights = read_weights(path)
    network = NeurIKNetwork(architecture)
    tensors = {name: torch.from_numpy(np.float32(value)) for name, value in weights.items() if name != "standing"}
    network.load_state_dict(tensors)
    return network.eval(), weights["standing"].astype(np.float64)


@torch.no_grad()
def relative_errors(network: NeurIKNetwork, losses: Losses, samples: SampleSet) -> NDArray[np.float64]:
    """-> (frames, Q): |error| / sigma over the good frames of every second sequence, beginning with the first."""
    found = []
    for start in range(0, len(samples), AT_ONCE):
        batch = every_second(samples.whole(start, start + AT_ONCE))
        answer = losses.answer(network(batch.markers, batch.turns, batch.motion, batch.times))
        relative = losses.error(answer, batch).abs() / answer.log_sigma.exp()
        found.append(relative[batch.good].double().numpy())
    return np.concatenate(found)


def every_second(batch: Batch) -> Batch:
    """-> sequences 0, 2, 4 … of a batch."""
    return Batch(*(getattr(batch, field.name)[::2] for field in fields(Batch)))


def factors(relative: NDArray[np.float64], names: list[str]) -> NDArray[np.float64]:
    """(frames, Q) |error| / sigma of the coordinates `names` -> (Q,) what sigma must be multiplied by.  Raises
    ValueError without frames."""
    if not len(relative):
        raise ValueError("no frame of the samples can be used")
    pairs: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        pairs.setdefault(name[:-2] if name.endswith(("_r", "_l")) else name, []).append(column)
    result = np.empty(len(names))
    for columns in pairs.values():
        result[columns] = max(float(np.quantile(relative[:, columns], WITHIN)), 1e-3)
    return result


def corrected(
    source: Path, out: Path, factor: NDArray[np.float64], model: SkeletonModel, note: dict[str, object]
) -> None:
    """Writes `source` to `out` with each coordinate's sigma times `factor` (Q,); the metadata is kept, and says so."""
    with safe_open(source, framework="pt") as file:
        metadata = dict(file.metadata() or {})
    tensors = load_file(source)
    bias = tensors["head.bias"].float()
    bias[OutputLayout(model).sigma_part] += torch.from_numpy(np.log(factor)).float()
    tensors["head.bias"] = bias.to(tensors["head.bias"].dtype)
    told = {name: round(float(value), 4) for name, value in zip(model.coordinate_names, factor, strict=True)}
    metadata[METADATA] = json.dumps({**note, "factors": told})
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    save_file(tensors, partial, metadata)
    partial.replace(out)


def set_right(weights: Path, held: Path, out: Path) -> dict[str, float]:
    """Does all of it; -> each coordinate's factor.  Raises UserError when weights or samples cannot be used."""
    body, model = BodyModel.load(), load_bsk24()
    NeuralSolver(model, body.marker_names, StreamedNetwork.load(weights))  # says so where they do not go together
    network, standing = load_network(weights)
    samples = SampleSet(held, model, Observer(body.marker_names, standing))
    relative = relative_errors(network, Losses(model, *marker_places(body, model)), samples)
    factor = factors(relative, model.coordinate_names)
    note: dict[str, object] = {
        "rule": f"quantile {WITHIN} of |error| / sigma is one",
        "sequences": (len(samples) + 1) // 2,
        "half": "even-numbered held-out sequences",
        "frames": len(relative),
        "root_mean_square_after": round(float(np.sqrt((np.minimum(relative / factor, 5.0) ** 2).mean())), 4),
    }
    corrected(weights, out, factor, model, note)
    return {name: float(value) for name, value in zip(model.coordinate_names, factor, strict=True)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--held", type=Path, required=True, help="samples of the held-out subjects")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    try:
        factor = set_right(args.weights, args.held, args.out)
    except UserError as error:
        print(error)
        return error.exit_code
    for name, value in factor.items():
        print(f"{name:24s} sigma times {value:.2f}")
    print(f"mean {np.mean(list(factor.values())):.3f}: {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
