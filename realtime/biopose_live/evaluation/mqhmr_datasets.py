"""The network of `biopose-train mqhmr` on datasets in the field's layout (Human3.6M, COCO, MPI-INF-3DHP, MPII).

Crops are cut as for training, without augmentation, with the boxes and the cameras that the datasets give.

MPJPE and PA-MPJPE are over the labelled 3D keypoints that the body has a point for, each once (the 44 name some
twice); MPJPE with the middle of the hips as origin.  MVE needs labels of pose and shape on the very body that the
network poses.  The 2D error is in heights of the crop, of labelled keypoints.  What a person's labels do not allow is
not-a-number there and does not count.

Letters: B people, K = 44 keypoints, G distinct points among them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biopose_live.body.model import BodyModel
from biopose_live.errors import EXIT_MODEL, EXIT_SOURCE, UserError
from biopose_live.evaluation.joint_errors import similarity_aligned
from biopose_live.evaluation.mqhmr_reports import DatasetScores
from biopose_live.evaluation.mqhmr_scores import MM, mean_distance, summary
from biopose_live.mqhmr.network.model import MQHMR, Prediction, load_network
from biopose_live.mqhmr.network.token_refinement import Refiner
from biopose_live.training.mqhmr.batches import Batch, Layout, collate
from biopose_live.training.mqhmr.crops import cut
from biopose_live.training.mqhmr.keypoints44 import KEYPOINTS, Keypoints44, as_landmarks
from biopose_live.training.mqhmr.records import Record, Source
from biopose_live.training.mqhmr.train import begin_process

Floats = NDArray[np.float64]

FEWEST = 4  # points in space: fewer fit anything after a similarity transform


def _distinct() -> tuple[tuple[int, ...], ...]:
    """For each distinct point of the body, the keypoints that name it."""
    rows: dict[tuple[str, ...], list[int]] = {}
    for row, (_, points) in enumerate(KEYPOINTS):
        if points:
            rows.setdefault(points, []).append(row)
    return tuple(map(tuple, rows.values()))


DISTINCT = _distinct()
HIPS = tuple(
    next(i for i, rows in enumerate(DISTINCT) if KEYPOINTS[rows[0]][1] == (f"{side}_hip",))
    for side in ("left", "right")
)


@dataclass(frozen=True, slots=True)
class PersonErrors:
    """mm and % of the crop's height; not-a-number where the labels do not tell."""

    mpjpe: float
    pa_mpjpe: float
    mve: float
    points_2d: float


def once(weights: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """weights (K,) of labelled keypoints -> which of the G points are labelled, and for each the keypoint to take."""
    found = [
        (g, next(row for row in rows if weights[row] > 0))
        for g, rows in enumerate(DISTINCT)
        if weights[list(rows)].any()
    ]
    return np.array([g for g, _ in found], np.int64), np.array([row for _, row in found], np.int64)


def points_3d_errors(found: Floats, labels: Floats) -> tuple[float, float]:
    """found (K, 3) m, labels (K, 4) m and weight, camera axes -> MPJPE and PA-MPJPE, mm."""
    groups, rows = once(labels[:, 3])
    if len(rows) < FEWEST:
        return np.nan, np.nan
    points, true = found[rows], labels[rows, :3]
    aligned = similarity_aligned(points, true)
    nothing = np.zeros(3)
    pa = mean_distance(aligned, true, nothing, nothing)
    hips = np.flatnonzero(np.isin(groups, HIPS))
    if len(hips) < len(HIPS):
        return np.nan, pa
    return mean_distance(points, true, points[hips].mean(0), true[hips].mean(0)), pa


@torch.no_grad()
def person_errors(found: Prediction, batch: Batch, network: MQHMR, keypoints: Keypoints44) -> list[PersonErrors]:
    """-> the errors of each person of a batch."""
    points = keypoints(found.points.all)
    places = batch.camera.into_crop(batch.camera.project(points))
    off = batch.camera.in_heights(places - batch.keypoints_2d[..., :2]).norm(dim=-1).double().cpu().numpy()
    surfaces = _surface_errors(found, batch, network).double().cpu().numpy()
    three, two = (x.double().cpu().numpy() for x in (batch.keypoints_3d, batch.keypoints_2d))
    has = (batch.has_pose * batch.has_betas).cpu().numpy() > 0
    errors = []
    for i, spots in enumerate(points.double().cpu().numpy()):
        rows = once(two[i, :, 2])[1]
        errors.append(
            PersonErrors(
                *points_3d_errors(spots, three[i]),
                MM * float(surfaces[i]) if has[i] else np.nan,
                100.0 * float(off[i, rows].mean()) if len(rows) else np.nan,
            )
        )
    return errors


def _surface_errors(found: Prediction, batch: Batch, network: MQHMR) -> Tensor:
    """(B,) m: the vertices' mean distance, pelvis on pelvis."""
    origin = torch.zeros_like(found.pelvis)
    surface = network.body.surface(found.rotations, found.betas, origin)
    true = network.body.surface(batch.rotations, batch.betas, origin)
    return (surface - true).norm(dim=-1).mean(1)


def load(path: Path, body: Path | None, device: str) -> tuple[MQHMR, Layout, torch.device]:
    """-> the network, what its crops must be, and where it runs.  Raises UserError for files or devices that cannot be
    used."""
    chosen = begin_process(device).device
    model = BodyModel.load(body)
    network = load_network(path, model).to(chosen)
    a = network.architecture
    if network.vit is None:
        raise UserError(
            f"{path} reads ready-made feature maps, not pictures; give a network with the vit encoder.", EXIT_MODEL
        )
    layout = Layout(a.height, a.width, model.marker_names, "embedded" if body is None else "smpl")
    return network, layout, chosen


class Judge:
    """The network with its settings."""

    def __init__(
        self, network: MQHMR, layout: Layout, refine: int, label_keypoints: bool, device: torch.device
    ) -> None:
        self.network, self.layout, self.device = network, layout, device
        self._refiner = Refiner(iterations=refine)
        self._label_keypoints = label_keypoints
        self._keypoints = Keypoints44(layout.marker_names).to(device)

    def __call__(self, batch: Batch) -> tuple[list[PersonErrors], float]:
        """-> the errors of each person, and the time that one took, ms."""
        batch = batch.to(self.device)
        begun = time.perf_counter()
        found = self.predict(batch)
        found.pelvis.sum().item()  # waits for a GPU to be done
        ms = 1e3 * (time.perf_counter() - begun) / len(batch.betas)
        return person_errors(found, batch, self.network, self._keypoints), ms

    def predict(self, batch: Batch) -> Prediction:
        """The network's answer, refined."""
        network, camera = self.network, batch.camera
        keypoints = as_landmarks(batch.keypoints_2d) if self._label_keypoints else None
        with torch.no_grad():
            if not self._refiner.iterations:
                answer: Prediction = network(batch.pictures, camera, keypoints)
                return answer
            pyramid, start = network.encode(batch.pictures), network.start(camera, keypoints)
        return self._refiner.refine(network, pyramid, start, camera, keypoints).prediction


def score(judge: Judge, source: Source, batch: int, count: int | None) -> DatasetScores:
    """-> over at most `count` people of a dataset.  Raises UserError where it is malformed or holds nobody."""
    errors: list[PersonErrors] = []
    ms: list[tuple[int, float]] = []
    people = islice(source.records(0, 1, np.random.default_rng(0)), count)
    for records in _batched(people, batch):
        layout = judge.layout
        crops = [cut(record, layout.height, layout.width, layout.marker_names) for record in records]
        data = collate(crops, layout.rest, layout.dense_points)
        if not ms:
            judge(data)  # whatever is compiled at the first use
        found, time_taken = judge(data)
        errors += found
        ms.append((len(records), time_taken))
    if not errors:
        raise UserError(f"The dataset {source.name} holds nobody; check its files.", EXIT_SOURCE)
    full = [taken for size, taken in ms if size == batch] or [taken for _, taken in ms]
    return DatasetScores(
        people=len(errors),
        with_3d=sum(not np.isnan(e.pa_mpjpe) for e in errors),
        with_surface=sum(not np.isnan(e.mve) for e in errors),
        mpjpe_mm=summary([e.mpjpe for e in errors]),
        pa_mpjpe_mm=summary([e.pa_mpjpe for e in errors]),
        mve_mm=summary([e.mve for e in errors]),
        points_2d_percent=summary([e.points_2d for e in errors]),
        aiti_ms=float(np.median(full)),
    )


def _batched(people: Iterator[Record], size: int) -> Iterator[list[Record]]:
    while some := list(islice(people, size)):
        yield some
