"""Batches for the light network: feature maps, what it is told, and what is true.

The estimate that the network corrects is drawn anew for each use: the chain's own, or moved some way towards the truth
as a live run's is, which has seen more than one picture.  Rendered people are seen worse than real ones: on a third of
them the detector fails, which hardly happens on real video; those can be drawn less often (`weights`).

Letters: B samples, K = 33 keypoints, P dense points, Q of them with a query token, J = 24 joints, S shape coefficients,
L maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biopose_live.body.model import BodyModel
from biopose_live.messages import Intrinsics
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.lite.observation import Estimate, Observation, observe, places_of, view_of
from biopose_live.mqhmr.lite.points import POINTS, dense_points
from biopose_live.mqhmr.person_crop import SIDE, Crop
from biopose_live.mqhmr.refinement import BodyPoints, place
from biopose_live.rotations import to_matrix, to_vector
from biopose_live.training.lite.shards import Shards

NEARER_SHARE = 0.5  # of the estimates are moved towards the truth
NO_WORLD = 0.05  # how often the detector's own 3D is missing
LARGEST_CORRECTION = 1.2  # rad; what lies farther off is taken for a wrong turn and not learnt from in full
WELL_SEEN_PX = 8.0  # of the crop's 256: the keypoints' mean error, without the face's, up to which they are well seen
FACE = 11  # keypoints, the first
OUTSIDE = 0.2  # crops; points farther out than this say nothing about the picture


@dataclass(frozen=True, eq=False)
class Batch:
    """maps: L tensors (B, H_l * W_l, C_l); whole, own and places as `Observation`'s, those of the points with a query
    token; truth: their target (B, Q, 2) places, inside (B, Q) and visible (B, Q), correction (B, J, 3) rad, betas
    (B, S); rotations (B, J, 3, 3): the estimate's, the first in the crop's view, and true_rotations likewise."""

    maps: list[Tensor]
    whole: Tensor
    own: Tensor
    places: Tensor
    target: Tensor
    inside: Tensor
    visible: Tensor
    correction: Tensor
    betas: Tensor
    rotations: Tensor
    true_rotations: Tensor


@dataclass(frozen=True)
class Example:
    """One sample without its maps, in NumPy; see `Batch`."""

    observation: Observation
    estimate: Estimate
    crop: Crop
    camera: Intrinsics
    view: NDArray[np.float64]
    target: NDArray[np.float64]
    correction: NDArray[np.float64]
    true_rotations: NDArray[np.float64]


class Examples:
    """Makes examples and batches out of shards."""

    def __init__(
        self, shards: Shards, body: BodyModel | None = None, queries: Sequence[int] = tuple(range(POINTS))
    ) -> None:
        """queries (Q,): the dense points that batches are about."""
        self.shards = shards
        self._queries = np.array(queries)
        self._body = body or BodyModel.load()
        self.points: BodyPoints = dense_points(self._body)
        self._steps = [torch.from_numpy(step) for step in shards.steps]

    def example(self, i: int, nearer: float = 0.0, with_world: bool = True) -> Example:
        """Sample i; its estimate moved by `nearer` (0..1) towards the truth."""
        f = {key: values[i].astype(np.float64) for key, values in self.shards.fields.items()}
        crop = Crop(f["crop"][:2], float(f["crop"][2]), float(f["crop"][3]))
        camera = Intrinsics(float(f["camera"][0]), (float(f["camera"][1]), float(f["camera"][2])))
        truth, guessed = to_matrix(f["true_rotations"]), to_matrix(f["rotations"])
        off = to_vector(np.swapaxes(guessed, 1, 2) @ truth)
        estimate = Estimate(
            guessed @ to_matrix(nearer * off),
            f["sigma"],
            (1 - nearer) * f["translation"] + nearer * f["true_translation"],
            (1 - nearer) * f["betas"] + nearer * f["true_betas"],
        )
        guessed_points, _, _ = place(self.points, estimate.rotations, estimate.translation, estimate.betas)
        true_points, _, _ = place(self.points, truth, f["true_translation"], f["true_betas"])
        observation = observe(
            crop,
            camera,
            f["keypoints"][:, :2],
            f["keypoints"][:, 2],
            f["world"] if with_world else None,
            estimate,
            f["up"],
            guessed_points,
        )
        target = places_of(true_points, crop, camera)
        return Example(observation, estimate, crop, camera, view_of(crop, camera), target, (1 - nearer) * off, truth)

    def batch(self, chosen: NDArray[np.int64], rng: np.random.Generator | None = None) -> Batch:
        """The samples `chosen` (B,); with an rng their estimates vary, without they are the chain's own."""
        examples = []
        for i in chosen:
            nearer, with_world = 0.0, True
            if rng is not None:
                nearer = rng.uniform(0.0, 0.8) if rng.random() < NEARER_SHARE else 0.0
                with_world = rng.random() >= NO_WORLD
            examples.append(self.example(int(i), nearer, with_world))

        def floats(arrays: list[NDArray[np.floating]]) -> Tensor:
            return torch.from_numpy(np.stack(arrays).astype(np.float32))

        def in_view(e: Example, rotations: NDArray[np.float64]) -> NDArray[np.float64]:
            turned = rotations.copy()
            turned[0] = e.view @ turned[0]
            return turned

        rows = self._queries
        target = floats([e.target[rows] for e in examples])
        maps = [
            (torch.from_numpy(coded).float() * step).flatten(1, 2)
            for coded, step in zip(self.shards.maps(chosen.tolist()), self._steps, strict=True)
        ]
        return Batch(
            maps=maps,
            whole=floats([e.observation.whole for e in examples]),
            own=floats([e.observation.own[rows] for e in examples]),
            places=floats([e.observation.places[rows] for e in examples]),
            target=target,
            inside=((target > -OUTSIDE) & (target < 1 + OUTSIDE)).all(-1),
            visible=torch.from_numpy(self.shards.fields["visible"][chosen][:, rows]),
            correction=floats([e.correction for e in examples]),
            betas=torch.from_numpy(self.shards.fields["true_betas"][chosen]),
            rotations=floats([in_view(e, e.estimate.rotations) for e in examples]),
            true_rotations=floats([in_view(e, e.true_rotations) for e in examples]),
        )

    def weights(self, badly_seen: float) -> NDArray[np.float64]:
        """-> (N,) how often each sample is to be drawn: 1 where the detector's keypoints are where they should be,
        `badly_seen` (0..1) where they are not."""
        if badly_seen >= 1.0:
            return np.ones(len(self.shards))
        landmarks = Landmarks(self._body)
        f = {key: values.astype(np.float64) for key, values in self.shards.fields.items()}
        off = np.empty(len(self.shards))
        for i, rotations in enumerate(to_matrix(f["true_rotations"])):
            points = landmarks.place(rotations, f["true_betas"][i]) + f["true_translation"][i]
            true = points[:, :2] / np.maximum(points[:, 2:], 0.1) * f["camera"][i, 0] + f["camera"][i, 1:]
            error = np.linalg.norm(true - f["keypoints"][i, :, :2], axis=1)[FACE:].mean()
            off[i] = error / f["crop"][i, 2] * SIDE
        return np.where(off < WELL_SEEN_PX, 1.0, badly_seen)

    def shuffled(
        self,
        indices: NDArray[np.int64],
        size: int,
        rng: np.random.Generator,
        weights: NDArray[np.float64] | None = None,
    ) -> Iterator[Batch]:
        """Batches of `size` without end, in a new order each time round; of those with a weight below 1 only that share
        (weights (N,) of all samples), other ones each time."""
        while True:
            order = rng.permutation(indices)
            if weights is not None:
                order = order[rng.random(len(order)) < weights[order]]
            for start in range(0, len(order) - size + 1, size):
                yield self.batch(order[start : start + size], rng)
