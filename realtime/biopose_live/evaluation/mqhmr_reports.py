"""What `biopose-eval mqhmr --json` writes."""

from __future__ import annotations

import msgspec

from biopose_live.evaluation.mqhmr_samples import Scores
from biopose_live.evaluation.mqhmr_scores import Summary


class SamplesReport(msgspec.Struct):
    """scores: by what of the picture counted, and by number of iterations."""

    bench: str
    samples: str
    people: int
    weights: str
    architecture: dict[str, object]
    iterations: list[int]
    scores: dict[str, dict[str, Scores]]


class DatasetScores(msgspec.Struct):
    """people: all; with_3d and with_surface: those whose labels allow MPJPE and PA-MPJPE, and MVE.  A figure that no
    label allows is null."""

    people: int
    with_3d: int
    with_surface: int
    mpjpe_mm: Summary
    pa_mpjpe_mm: Summary
    mve_mm: Summary
    points_2d_percent: Summary
    aiti_ms: float


class DatasetsReport(msgspec.Struct):
    """datasets: by name."""

    bench: str
    network: str
    refine: int
    label_keypoints: bool
    batch: int
    device: str
    datasets: dict[str, DatasetScores]
