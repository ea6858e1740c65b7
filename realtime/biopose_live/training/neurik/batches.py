"""NeurIK's training set in memory, and batches of it with augmentation.

Augmentation: half of the sequences are mirrored in the sagittal plane; in some, the markers' error is scaled down, so
that the network also learns what to do with better markers than it will mostly get.

Letters: N sequences, T frames, M markers, Q coordinates, B bodies.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.neurik.observation import Observer, about_y, motion
from biopose_live.neurik.outputs import OutputLayout
from biopose_live.neurik.trends import trends_of
from biopose_live.skeleton.model import SkeletonModel

Floats = NDArray[np.floating]

BETTER = 0.4  # share of sequences whose markers are made better than the camera saw them
# Coordinates that change sign in the mirror; those of paired joints change sides instead.
ODD = (
    "pelvis_rotation", "pelvis_list", "pelvis_tz", "lumbar_bending", "lumbar_rotation", "thorax_bending",
    "thorax_rotation", "head_bending", "head_rotation",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Batch:
    """The network's inputs, and the truth in each frame's person frame (`observation`).

    markers (N, T, M, 3), turns with their trends, motion, times (N, T) s; q (N, T, Q): coordinates with the pelvis'
    rotation told from the heading and its place zero; place (N, T, 3) m: the pelvis' true origin from the frame's; true
    (N, T, M, 3) m: true markers from the true pelvis; scales (N, B, 3); to_world (N, T, 3, 3), origin (N, T, 3) m: the
    frame in the world; good (N, T) bool.
    """

    markers: Tensor
    turns: Tensor
    motion: Tensor
    times: Tensor
    q: Tensor
    place: Tensor
    true: Tensor
    scales: Tensor
    to_world: Tensor
    origin: Tensor
    good: Tensor

    def to(self, device: torch.device) -> Batch:
        """-> the same on another device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


class SampleSet:
    """All files of `training.neurik.samples` in a folder."""

    def __init__(self, folder: Path, model: SkeletonModel, observer: Observer) -> None:
        """Raises UserError when the folder holds no samples or a file is damaged."""
        files = sorted(folder.glob("*.npz"))
        if not files:
            raise UserError(
                f"{folder} holds no samples; make some with python -m biopose_live.training.neurik.samples.",
                EXIT_SOURCE,
            )
        parts: dict[str, list[NDArray[np.generic]]] = {}
        for file in files:
            try:
                with np.load(file, allow_pickle=False) as data:
                    for key in data.files:
                        parts.setdefault(key, []).append(data[key])
            except (OSError, ValueError, EOFError) as error:
                raise UserError(f"{file} is damaged ({error}); delete it and make it again.", EXIT_SOURCE) from error
        self._data = {key: np.concatenate(values) for key, values in parts.items()}
        self._observer, self._layout = observer, OutputLayout(model)
        names = model.coordinate_names
        self._odd = np.array([-1.0 if name in ODD else 1.0 for name in names], np.float32)
        self._coordinate_mirror = _partners(names, lambda name: name[-2:] in ("_r", "_l"), _other_end)
        self._body_mirror = _partners(model.body_names, lambda name: name[-2:] in ("_r", "_l"), _other_end)
        self._marker_mirror = _partners(list(observer.names), lambda name: name[0] in "RL", _other_start)
        self._root = int(model.coordinate_index("pelvis_rotation"))

    def __len__(self) -> int:
        return len(self._data["times"])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """-> the raw arrays (`samples`)."""
        return self._data

    def draw(self, count: int, rng: np.random.Generator) -> Batch:
        """-> `count` sequences, augmented."""
        chosen = rng.integers(len(self), size=count)
        share = np.where(rng.random(count) < BETTER, rng.uniform(0.1, 1.0, count), 1.0)
        return self._batch(chosen, share, rng.random(count) < 0.5)

    def whole(self, start: int, stop: int) -> Batch:
        """-> sequences as they are."""
        chosen = np.arange(start, min(stop, len(self)))
        return self._batch(chosen, np.ones(len(chosen)), np.zeros(len(chosen), bool))

    def _batch(self, chosen: NDArray[np.int64], share: Floats, mirrored: NDArray[np.bool_]) -> Batch:
        data = self._data
        true = data["true"][chosen].astype(np.float32)
        seen = data["seen"][chosen].astype(np.float32)
        seen = true + share[:, None, None, None].astype(np.float32) * (seen - true)
        origin, q, scales = data["origin"][chosen].astype(np.float32), data["q"][chosen].copy(), data["scales"][chosen]
        if mirrored.any():
            flip = np.array([1.0, 1.0, -1.0], np.float32)
            seen[mirrored] = seen[mirrored][:, :, self._marker_mirror] * flip
            true[mirrored] = true[mirrored][:, :, self._marker_mirror] * flip
            origin[mirrored] *= flip
            q[mirrored] = q[mirrored][:, :, self._coordinate_mirror] * self._odd
            scales[mirrored] = scales[mirrored][:, self._body_mirror]
        times = data["times"][chosen]
        look = self._observer(seen + origin[:, :, None])
        step = np.diff(times, axis=1, prepend=times[:, :1])
        before = np.maximum(np.arange(times.shape[1]) - 1, 0)
        moved = motion(look.heading, look.origin, look.heading[:, before], look.origin[:, before], step)
        turns = np.concatenate([look.turns, trends_of(times, look)], -1)
        to_world = about_y(look.heading)
        pelvis = q[:, :, self._layout.place]  # m, in the world
        place = ((pelvis - look.origin)[:, :, None] @ to_world)[:, :, 0]
        local = ((true + (origin - pelvis)[:, :, None]) @ to_world).astype(np.float32)
        q[:, :, self._root] -= look.heading
        q[:, :, self._layout.place] = 0.0

        def tensor(array: Floats) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array, np.float32))

        return Batch(
            tensor(look.markers), tensor(turns), tensor(moved), tensor(times), tensor(q), tensor(place),
            tensor(local), tensor(scales), tensor(to_world), tensor(look.origin),
            torch.from_numpy(data["good"][chosen]),
        )  # fmt: skip


def _other_end(name: str) -> str:
    return name[:-1] + ("l" if name.endswith("r") else "r")


def _other_start(name: str) -> str:
    return ("L" if name.startswith("R") else "R") + name[1:]


def _partners(names: list[str], paired, other) -> NDArray[np.int64]:  # type: ignore[no-untyped-def]
    index = {name: number for number, name in enumerate(names)}
    return np.array([index.get(other(name), number) if paired(name) else number for number, name in enumerate(names)])
