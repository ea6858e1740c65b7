"""Samples on disk: shards of feature maps in eight bits a number and of fields in single precision.

A shard is a group of files, `NAME.maps{l}.npy` (N, H, W, C) int8 and `NAME.fields.npz`; it counts as there once the
fields are, which are written last.  `scales.npz` holds what one step of each channel is.

Letters: N samples of a shard, L maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.mqhmr.person_crop import SIDE
from biopose_live.training.lite.sample import FIELDS, Sample

SCALES = "scales.npz"
STEPS = 127
ALMOST_ALL = 99.9  # percentile that the steps reach


def measure_scales(samples: Sequence[Sample]) -> list[NDArray[np.float32]]:
    """-> for each map the step (C,) of each channel."""
    steps = []
    for level in range(len(samples[0].maps)):
        values = np.abs(np.concatenate([s.maps[level].reshape(-1, s.maps[level].shape[2]) for s in samples]))
        steps.append((np.maximum(np.percentile(values, ALMOST_ALL, axis=0), 1e-3) / STEPS).astype(np.float32))
    return steps


def write_scales(folder: Path, steps: Sequence[NDArray[np.float32]]) -> None:
    named: dict[str, Any] = {f"map{i}": step for i, step in enumerate(steps)}
    np.savez(folder / SCALES, **named)


def read_scales(folder: Path) -> list[NDArray[np.float32]]:
    """Raises UserError where the folder holds no samples."""
    path = folder / SCALES
    if not path.is_file():
        raise UserError(f"{folder} holds no rendered samples: render some with `biopose-train lite`.", EXIT_SOURCE)
    with np.load(path) as data:
        return [data[f"map{i}"] for i in range(len(data.files))]


def write_shard(folder: Path, name: str, samples: Sequence[Sample], steps: Sequence[NDArray[np.float32]]) -> None:
    for i, step in enumerate(steps):
        coded = np.stack([np.rint(s.maps[i] / step).clip(-STEPS, STEPS).astype(np.int8) for s in samples])
        np.save(folder / f"{name}.maps{i}.npy", coded)
    partial = folder / f"{name}.partial.npz"
    columns: dict[str, Any] = {key: np.stack([s.fields[key] for s in samples]).astype(np.float32) for key in FIELDS}
    np.savez(partial, **columns)
    partial.replace(folder / f"{name}.fields.npz")


class Shards:
    """All samples of a folder, maps read from disk when asked for."""

    def __init__(self, folder: Path, strides: Sequence[int] | None = None) -> None:
        """strides: px of the crop to a map's cell, of the maps that are wanted; None for all.  Raises UserError where
        there are no samples, or none of such a map."""
        steps = read_scales(folder)
        names = sorted(p.name.removesuffix(".fields.npz") for p in folder.glob("*.fields.npz"))
        if not names:
            raise UserError(f"{folder} holds no rendered samples: render some with `biopose-train lite`.", EXIT_SOURCE)
        there = [SIDE // np.load(folder / f"{names[0]}.maps{i}.npy", mmap_mode="r").shape[1] for i in range(len(steps))]
        for stride in strides or ():
            if stride not in there:
                raise UserError(
                    f"{folder} holds no feature maps of stride {stride}, but of {', '.join(map(str, there))}; name "
                    "some of these.",
                    EXIT_SOURCE,
                )
        wanted = [i for i, stride in enumerate(there) if strides is None or stride in strides]
        self.steps = [steps[i] for i in wanted]
        self._maps = [[np.load(folder / f"{name}.maps{i}.npy", mmap_mode="r") for i in wanted] for name in names]
        parts = [np.load(folder / f"{name}.fields.npz") for name in names]
        self.fields = {key: np.concatenate([part[key] for part in parts]) for key in FIELDS}
        self._where = [(k, i) for k, part in enumerate(parts) for i in range(len(part["seed"]))]

    def __len__(self) -> int:
        return len(self._where)

    @property
    def levels(self) -> tuple[tuple[int, int, int], ...]:
        """(H, W, C) of each map."""
        return tuple((m.shape[1], m.shape[2], m.shape[3]) for m in self._maps[0])

    def maps(self, wanted: Sequence[int]) -> list[NDArray[np.int8]]:
        """-> L arrays (len(wanted), H, W, C), still in steps."""
        chosen = [self._where[i] for i in wanted]
        return [np.stack([self._maps[k][level][i] for k, i in chosen]) for level in range(len(self.steps))]
