"""NeurIK frame by frame in NumPy: the live form of `torch_network`, with a ring buffer of keys and values per person.

A frame costs one pass of one token: its keys and values are written over the oldest ones, and the query looks at what
the buffer holds.  The answers are those of the masked full-sequence network, whatever the frame rate, through gaps, and
through any number of turns of the buffer.

Letters: M markers, D width, H heads, K knots of age, W frames of the buffer, O outputs.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from biopose_live.dense_layers import layer_norm, silu
from biopose_live.neurik.architecture import KNOTS_S, MEMORY_S, VERSION, Architecture
from biopose_live.weight_file import WeightFile

Floats = NDArray[np.float32]

WEIGHTS = Path(__file__).parent.parent / "assets" / "neurik" / "neurik.safetensors"
_KNOTS = np.array(KNOTS_S)


class StreamedNetwork:
    """The weights, and one step of the network. Holds nothing of a person: see `Memory`."""

    def __init__(self, architecture: Architecture, weights: dict[str, Floats]) -> None:
        self.architecture = architecture
        self._w = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}
        self.standing = self._w["standing"]
        a, w = architecture, self._w
        # A convolution is a product with its taps laid side by side.
        self._taps = [
            np.ascontiguousarray(
                w[f"spatial.convolutions.{i}.weight"].transpose(2, 1, 0).reshape(a.kernel * a.channels, a.channels)
            )
            for i in range(a.convolutions)
        ]
        width, heads = a.width, a.heads
        self._blocks = []
        for i in range(a.layers):
            b = f"blocks.{i}"
            scale = (width // heads) ** -0.5
            rows = np.concatenate([scale * w[f"{b}.query.weight"], w[f"{b}.key.weight"], w[f"{b}.value.weight"]])
            bias = np.concatenate([scale * w[f"{b}.query.bias"], np.zeros(width, np.float32), w[f"{b}.value.bias"]])
            ages = np.ascontiguousarray(w[f"{b}.age"].reshape(-1, heads, width // heads).transpose(1, 2, 0))
            self._blocks.append((b, rows, bias, ages))

    @classmethod
    def load(cls, path: Path | None = None) -> StreamedNetwork:
        """The shipped weights or a user's. Raises UserError where they are missing, damaged or of another version."""
        path = path or WEIGHTS
        return cls(*read_weights(path))

    def step(self, memory: Memory, markers: Floats, turns: Floats, motion: Floats, t: float) -> Floats:
        """One frame at `t` s, later than the last: markers (M, 3), turns, motion (`observation`) -> raw answer (O,)."""
        a, w = self.architecture, self._w
        x = self._token(markers, turns, motion)
        shares, slots = memory.advance(t)
        heads, depth = a.heads, a.width // a.heads
        for layer, (b, rows, bias, ages) in enumerate(self._blocks):
            y = rows @ layer_norm(x, w[f"{b}.attention_norm.weight"], w[f"{b}.attention_norm.bias"]) + bias
            query, key, value = y.reshape(3, heads, depth)
            memory.keys[layer, :, memory.slot], memory.values[layer, :, memory.slot] = key, value
            by_age = (query[:, None] @ ages)[:, 0] @ shares  # (H, seen frames)
            logits = (memory.keys[layer][:, slots] @ query[..., None])[..., 0] + by_age
            share = np.exp(logits - logits.max(-1, keepdims=True))
            share /= share.sum(-1, keepdims=True)
            mixed = (share[:, None] @ memory.values[layer][:, slots])[:, 0].reshape(-1)
            x = x + w[f"{b}.out.weight"] @ mixed + w[f"{b}.out.bias"]
            y = layer_norm(x, w[f"{b}.feed_norm.weight"], w[f"{b}.feed_norm.bias"])
            y = silu(w[f"{b}.up.weight"] @ y + w[f"{b}.up.bias"])
            x = x + w[f"{b}.down.weight"] @ y + w[f"{b}.down.bias"]
        x = layer_norm(x, w["norm.weight"], w["norm.bias"])
        result: Floats = w["head.weight"] @ x + w["head.bias"] + w["skip.weight"] @ turns
        return result

    def _token(self, markers: Floats, turns: Floats, motion: Floats) -> Floats:
        a, w = self.architecture, self._w
        x = markers @ w["spatial.embed.weight"].T + w["spatial.embed.bias"]
        half = a.kernel // 2
        for i, taps in enumerate(self._taps):
            padded = np.pad(x, ((half, half), (0, 0)))
            around = np.lib.stride_tricks.sliding_window_view(padded, a.kernel, axis=0).transpose(0, 2, 1)
            x = x + silu(around.reshape(len(x), -1) @ taps + w[f"spatial.convolutions.{i}.bias"])
        x = silu(x @ w["spatial.squeeze.weight"].T + w["spatial.squeeze.bias"]).reshape(-1)
        token = w["spatial.flatten.weight"] @ x + w["spatial.flatten.bias"]
        token = token + w["spatial.turns.weight"] @ np.concatenate([turns, motion]) + w["spatial.turns.bias"]
        return layer_norm(token, w["spatial.norm.weight"], w["spatial.norm.bias"])


class Memory:
    """One person's ring buffer: keys and values (layers, H, W, D / H) of the last W frames, and their times."""

    def __init__(self, architecture: Architecture) -> None:
        a = architecture
        shape = (a.layers, a.heads, a.window, a.width // a.heads)
        self.keys, self.values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._times = np.full(a.window, -np.inf)
        self._written = 0
        self.slot = 0

    def advance(self, t: float) -> tuple[Floats, NDArray[np.int64]]:
        """Makes room for a frame at `t` s -> weights (K, seen frames) of the knots for the ages of the frames that may
        be seen, this one included, and their slots. Raises ValueError when time does not go forward."""
        if self._written and not t > self._times[self.slot]:
            raise ValueError(f"a frame at {t:g} s came after one at {self._times[self.slot]:g} s")
        self.slot = self._written % len(self._times)
        self._written += 1
        self._times[self.slot] = t
        age = t - self._times
        slots = np.flatnonzero(age <= MEMORY_S)
        age = age[slots]
        upper = np.searchsorted(_KNOTS, age).clip(1, len(_KNOTS) - 1)
        share = (age - _KNOTS[upper - 1]) / (_KNOTS[upper] - _KNOTS[upper - 1])
        weights = np.zeros((len(_KNOTS), len(slots)), np.float32)
        columns = np.arange(len(slots))
        weights[upper, columns] = share
        weights[upper - 1, columns] = 1.0 - share
        return weights, slots


def read_weights(path: Path) -> tuple[Architecture, dict[str, Floats]]:
    """-> the network's sizes and its tensors. Raises UserError where the file is missing, damaged or of another
    version."""
    file = WeightFile("NeurIK's", path)
    try:
        architecture = msgspec.json.decode(file.metadata.get("architecture", ""), type=Architecture)
    except msgspec.DecodeError as error:
        raise file.other_version(f"their sizes cannot be read ({error})") from error
    if architecture.version != VERSION:
        raise file.other_version(f"version {architecture.version}, wanted {VERSION}")
    file.check(architecture.weight_shapes())
    return architecture, file.tensors
