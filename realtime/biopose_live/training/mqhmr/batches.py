"""Batches of crops from a mixture of datasets, shared out among processes.

Every process (of every GPU's loader) reads its own share of each dataset and draws each crop's dataset by weight.

Letters: B people, K = 44 keypoints, D dense points, S shape coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.mqhmr.network.crop_camera import CropCamera
from biopose_live.mqhmr.network.vit import normalised
from biopose_live.torch_rotations import vector_to_matrix, z_onto
from biopose_live.training.mqhmr.crops import Augmentation, Crop, cut
from biopose_live.training.mqhmr.records import Record, RestPose, Source


@dataclass(frozen=True, eq=False)
class Batch:
    """pictures (B, 3, h, w), normalised; camera.  Truth: keypoints_2d (B, K, 3) places in the crop and weight;
    keypoints_3d (B, K, 4) m, camera axes, and weight; rotations (B, 24, 3, 3), the first in the camera frame; betas
    (B, S); has_root, has_pose, has_betas (B,) 0 or 1; dense (B, D, 4): place, known 0 or 1, visible 0, 1 or -1."""

    pictures: Tensor
    camera: CropCamera
    keypoints_2d: Tensor
    keypoints_3d: Tensor
    rotations: Tensor
    betas: Tensor
    has_root: Tensor
    has_pose: Tensor
    has_betas: Tensor
    dense: Tensor

    def to(self, device: torch.device) -> Batch:
        """-> the same on another device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


def collate(crops: Sequence[Crop], rest: RestPose, dense_points: int) -> Batch:
    """rest: the rest pose of the body that is trained on.  Where labels count from another, only the body's orientation
    is compared (its rest pose is upright in both); shape coefficients are compared between equal bodies alone."""

    def stack(values: Sequence[object]) -> Tensor:
        return torch.tensor(np.array(values), dtype=torch.float32)

    labels = [crop.labels for crop in crops]
    camera = CropCamera(
        stack([crop.focal for crop in crops]),
        stack([crop.centre for crop in crops]),
        stack([crop.roll for crop in crops]),
        stack([crop.box_centre for crop in crops]),
        stack([crop.box_size for crop in crops]),
    )
    keypoints = stack([x.keypoints_2d for x in labels])
    places = camera.into_crop(keypoints[..., :2])
    # Labels in the axes of the box's ray are turned into the camera's (`records.Labels.in_view`).
    rays = [
        [*(x.box_centre - crop.centre) / crop.focal * x.in_view, 1.0] for x, crop in zip(labels, crops, strict=True)
    ]
    turn = z_onto(stack(rays))
    rotations, keypoints_3d = (
        vector_to_matrix(stack([x.theta for x in labels])),
        stack([x.keypoints_3d for x in labels]),
    )
    root = turn @ rotations[:, 0]
    turned = keypoints_3d[..., :3] @ turn.transpose(1, 2)
    nothing = np.zeros((dense_points, 4))
    dense = stack([nothing if x.dense is None else x.dense for x in labels])
    same = [x.rest == rest for x in labels]
    return Batch(
        pictures=normalised(torch.from_numpy(np.stack([crop.image for crop in crops]))),
        camera=camera,
        keypoints_2d=torch.cat([places, keypoints[..., 2:]], -1),
        keypoints_3d=torch.cat([turned, keypoints_3d[..., 3:]], -1),
        rotations=torch.cat([root[:, None], rotations[:, 1:]], 1),
        betas=stack([x.betas for x in labels]),
        has_root=stack([x.has_pose for x in labels]),
        has_pose=stack([x.has_pose and ok for x, ok in zip(labels, same, strict=True)]),
        has_betas=stack([x.has_betas and ok for x, ok in zip(labels, same, strict=True)]),
        dense=torch.cat([camera.into_crop(dense[..., :2]), dense[..., 2:]], -1),
    )


@dataclass(frozen=True)
class Layout:
    """What a crop must be: its height and width in px, the body's markers, and its rest pose."""

    height: int
    width: int
    marker_names: tuple[str, ...]
    rest: RestPose

    @property
    def dense_points(self) -> int:
        return len(self.marker_names) + 24


class Mixture(IterableDataset[Batch | UserError]):
    """Batches without end; or one UserError, and then the end.

    As a value, because torch's loader would put a stack trace of its own into an error that another process raises.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Source, float]],
        layout: Layout,
        batch: int,
        augmentation: Augmentation,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """sources: datasets and how often each is drawn.  Raises UserError where there are none."""
        super().__init__()
        if not sources or not all(weight > 0 for _, weight in sources):
            raise UserError("No dataset to train on, or one with weight 0 or less; name some.", EXIT_SOURCE)
        self.sources, self.layout, self.batch, self.augmentation = sources, layout, batch, augmentation
        self.seed, self.rank, self.world = seed, rank, world

    def __iter__(self) -> Iterator[Batch | UserError]:
        try:
            yield from self.batches()
        except UserError as error:
            yield error

    def batches(self) -> Iterator[Batch]:
        """Batches without end.  Raises UserError where a dataset is malformed."""
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        shard, shards = self.rank * workers + number, self.world * workers
        rng = np.random.default_rng((self.seed, shard))
        streams = [_endless(source, shard, shards, rng) for source, _ in self.sources]
        weights = np.array([weight for _, weight in self.sources])
        size = (self.layout.height, self.layout.width, self.layout.marker_names)
        while True:
            chosen = rng.choice(len(streams), self.batch, p=weights / weights.sum())
            crops = [cut(next(streams[i]), *size, self.augmentation, rng) for i in chosen]
            yield collate(crops, self.layout.rest, self.layout.dense_points)


def _endless(source: Source, shard: int, shards: int, rng: np.random.Generator) -> Iterator[Record]:
    while True:
        count = 0
        for record in source.records(shard, shards, rng):
            count += 1
            yield record
        if not count:
            raise UserError(
                f"The dataset {source.name} has nothing for process {shard + 1} of {shards}; train with fewer "
                "processes, or give more of it.",
                EXIT_SOURCE,
            )
