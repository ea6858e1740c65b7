"""Work on a batch of people as one recorded piece of GPU work, for every number of people up to a limit.

A refinement makes thousands of kernels of a few microseconds; launched one by one, the host is slower than the GPU.  A
CUDA graph launches them all at once, but repeats exactly what was recorded: the same K, sizes and addresses.  So each
`bucket`, a number of people, has buffers of its own, which are filled before and read after every run; fewer people are
filled up with copies of the first of them, whose results are dropped.  Nothing inside waits for the host.

`Recorder` is what records: `CudaRecorder` a CUDA graph; `EagerRecorder` nothing, so that all the rest can be tested on
a CPU.  **CudaRecorder has never been run: no GPU was at hand.**

Letters: B people, Q query tokens, C channels, S tokens of the pyramid, K iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from biopose_live.mqhmr.network.body_points import PosedPoints
from biopose_live.mqhmr.network.crop_camera import CropCamera
from biopose_live.mqhmr.network.decoder import Start
from biopose_live.mqhmr.network.heads import DenseMarkers
from biopose_live.mqhmr.network.model import MQHMR, Prediction
from biopose_live.mqhmr.network.pyramid import Pyramid, Shapes
from biopose_live.mqhmr.network.token_refinement import Refined, Refiner

WARM_UP = 3  # runs before recording: caches fill, libraries choose their kernels

Tensors = Sequence[Tensor]


class Recorder(Protocol):
    """Records what `code` does to given buffers."""

    def record(self, code: Callable[[], Tensors]) -> tuple[Tensors, Callable[[], None]]:
        """-> the results, which stay the same tensors, and what computes them anew."""
        ...


class EagerRecorder:
    """Runs the code each time and copies what it gives: for tests, and where there is no GPU."""

    def record(self, code: Callable[[], Tensors]) -> tuple[Tensors, Callable[[], None]]:
        kept = code()

        def again() -> None:
            for old, new in zip(kept, code(), strict=True):
                old.copy_(new)

        return kept, again


class CudaRecorder:
    """Records a CUDA graph.  All graphs of one recorder share a pool of memory: only one of them may run at a time."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def record(self, code: Callable[[], Tensors]) -> tuple[Tensors, Callable[[], None]]:
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                code()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            kept = code()
        return kept, graph.replay


@dataclass(frozen=True, eq=False)
class _Bucket:
    inputs: list[Tensor]
    results: Tensors
    run: Callable[[], None]


class Graphed:
    """`code`, which takes tensors and gives tensors, all with the people first, recorded for every bucket when it is
    first needed."""

    def __init__(
        self,
        code: Callable[..., Tensors],
        buckets: Sequence[int] = (1, 2, 4, 8),
        recorder: Recorder | None = None,
        device: str | None = None,
    ) -> None:
        """buckets: numbers of people for which there is a recording; recorder: a `CudaRecorder` unless given; device:
        where the buffers are, where each given tensor is unless given.  Raises ValueError where a bucket is below 1."""
        if not buckets or min(buckets) < 1:
            raise ValueError(f"Buckets must be numbers of people from 1 on; found {tuple(buckets)}.")
        self.code, self.device = code, device
        self.sizes = sorted(set(buckets))
        self.recorder = recorder or CudaRecorder()
        self.recorded: dict[int, _Bucket] = {}

    def __call__(self, *given: Tensor) -> list[Tensor]:
        """-> what the code gives.  It lies in the bucket's own buffers: the next call with as many people overwrites
        it.  Raises ValueError where there are more people than the largest bucket, or none."""
        people = len(given[0])
        size = next((size for size in self.sizes if size >= people), None)
        if size is None or people < 1:
            raise ValueError(f"There are recordings for 1 to {self.sizes[-1]} people; found {people}.")
        bucket = self.recorded.get(size)
        if bucket is None:
            bucket = self.recorded[size] = self._record(given, size)
        for buffer, tensor in zip(bucket.inputs, given, strict=True):
            _fill(buffer, tensor)
        bucket.run()
        return [result[:people] for result in bucket.results]

    def _record(self, given: Sequence[Tensor], size: int) -> _Bucket:
        inputs = [tensor.new_empty((size, *tensor.shape[1:]), device=self.device or tensor.device) for tensor in given]
        for buffer, tensor in zip(inputs, given, strict=True):
            _fill(buffer, tensor)
        results, run = self.recorder.record(lambda: self.code(*inputs))
        return _Bucket(inputs, results, run)


class GraphedRefiner:
    """`Refiner.refine` with keypoints and a warm start, recorded."""

    def __init__(
        self,
        network: MQHMR,
        refiner: Refiner,
        shapes: Shapes,
        buckets: Sequence[int] = (1, 2, 4, 8),
        recorder: Recorder | None = None,
    ) -> None:
        """shapes: of the pyramid's levels; the others as `Graphed`."""
        self.network, self.refiner, self.shapes = network, refiner, shapes
        self.graphed = Graphed(self._refine, buckets, recorder)

    def __call__(
        self, tokens: Tensor, start: Start, camera: CropCamera, keypoints: Tensor, shift: Tensor | None = None
    ) -> Refined:
        """tokens (B, S, C) of the pyramid; the others as `Refiner.refine`, with its result.  Raises as `Graphed`."""
        if shift is None:
            shift = torch.zeros_like(start.tokens)
        return _refined_of(
            self.graphed(
                tokens, start.tokens, start.anchors, start.position, keypoints, shift,
                camera.focal, camera.centre, camera.roll, camera.box_centre, camera.box_size,
            )
        )  # fmt: skip

    def _refine(
        self, tokens: Tensor, first: Tensor, anchors: Tensor, position: Tensor, keypoints: Tensor, shift: Tensor,
        *camera: Tensor,
    ) -> list[Tensor]:  # fmt: skip
        start, pyramid = Start(first, anchors, position), Pyramid(tokens, self.shapes)
        return tensors_of(self.refiner.refine(self.network, pyramid, start, CropCamera(*camera), keypoints, shift))


def tensors_of(refined: Refined) -> list[Tensor]:
    """All tensors of a result, always in the same order."""
    p = refined.prediction
    return [
        p.rotations, p.betas, p.pelvis, p.points.joints, p.points.markers, p.points.landmarks,
        p.dense.place, p.dense.cholesky, p.dense.visible, refined.shift, refined.cost, refined.first, refined.distance,
    ]  # fmt: skip


def _fill(buffer: Tensor, tensor: Tensor) -> None:
    people = len(tensor)
    buffer[:people].copy_(tensor, non_blocking=True)
    if people < len(buffer):
        buffer[people:].copy_(buffer[:1].expand(len(buffer) - people, *buffer.shape[1:]))


def _refined_of(tensors: Sequence[Tensor]) -> Refined:
    """The inverse of `tensors_of`."""
    rotations, betas, pelvis, joints, markers, landmarks, place, cholesky, visible, *rest = tensors
    points, dense = PosedPoints(joints, markers, landmarks), DenseMarkers(place, cholesky, visible)
    return Refined(Prediction(rotations, betas, pelvis, points, dense), *rest)
