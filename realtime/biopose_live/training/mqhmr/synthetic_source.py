"""Rendered people (`training.synthetic`) as a dataset with exact labels, dense markers among them.

Whether a marker is seen is not known (the renderer gives no depth), only whether it lies in the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from biopose_live.body.keypoints import body_keypoints
from biopose_live.body.model import BodyModel
from biopose_live.training.mqhmr.keypoints44 import Keypoints44
from biopose_live.training.mqhmr.records import Floats, Labels, Record

PADDING = 1.2  # of the box around the markers


class Rendered(Protocol):
    """`training.synthetic.samples.Sample`."""

    @property
    def image(self) -> np.ndarray: ...
    @property
    def theta(self) -> np.ndarray: ...
    @property
    def betas(self) -> np.ndarray: ...
    @property
    def transl(self) -> np.ndarray: ...
    @property
    def centre(self) -> np.ndarray: ...
    @property
    def up(self) -> np.ndarray: ...
    @property
    def focal(self) -> float: ...


class Renderer(Protocol):
    """`training.synthetic.samples.Sampler`."""

    def one(self, seed: int) -> Rendered: ...


@dataclass(frozen=True)
class SyntheticSource:
    """`count` people, seeds `first_seed` and following."""

    name: str
    renderer: Renderer
    body: BodyModel
    count: int
    first_seed: int = 0

    def records(self, shard: int, shards: int, rng: np.random.Generator) -> Iterator[Record]:
        for i in rng.permutation(np.arange(shard, self.count, shards)):
            seed = self.first_seed + int(i)
            sample = self.renderer.one(seed)
            yield Record(f"{self.name}, seed {seed}", sample.image, labels_of_rendered(sample, self.body))


def labels_of_rendered(sample: Rendered, body: BodyModel) -> Labels:
    """All labels of a rendered picture."""
    posed = body.forward(sample.theta, sample.betas, sample.transl, vertices=False)
    rest = body.rest_joints(sample.betas)
    landmarks = body_keypoints(body).posed(sample.betas, rest, posed.joints, posed.rotations)
    points = np.concatenate([posed.markers, posed.joints, landmarks])
    to_44 = Keypoints44(body.marker_names)
    keypoints = to_44(torch.from_numpy(points).float()[None])[0].double().numpy()
    known = to_44.supervised.double().numpy()[:, None]
    dense = np.concatenate([posed.markers, posed.joints])
    pixels, inside = _project(dense, sample)
    seen, _ = _project(keypoints, sample)
    low, high = pixels[: len(posed.markers)].min(0), pixels[: len(posed.markers)].max(0)
    return Labels(
        box_centre=0.5 * (low + high),
        box_size=PADDING * (high - low),
        keypoints_2d=np.concatenate([seen, known], 1),
        keypoints_3d=np.concatenate([keypoints, known], 1),
        theta=np.asarray(sample.theta, float),
        betas=np.asarray(sample.betas, float),
        has_pose=True,
        has_betas=True,
        rest="embedded",
        focal=float(sample.focal),
        centre=np.asarray(sample.centre, float),
        up=np.asarray(sample.up, float),
        dense=np.concatenate([pixels, inside, np.full_like(inside, -1.0)], 1),
    )


def _project(points: Floats, sample: Rendered) -> tuple[Floats, Floats]:
    """(P, 3) m -> (P, 2) px, and (P, 1) 1 where that lies in the picture."""
    depth = np.maximum(points[:, 2:], 0.05)
    pixels = points[:, :2] / depth * sample.focal + sample.centre
    inside = (points[:, 2] > 0.05) & (pixels >= 0).all(1) & (pixels < sample.image.shape[1::-1]).all(1)
    return pixels, inside[:, None].astype(float)
