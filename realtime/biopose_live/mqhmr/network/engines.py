"""What runs a frame: plain PyTorch, a CUDA graph, or TensorRT's encoder with a CUDA graph behind it.

All have one shape: `begin` hands a frame's people over and returns while a GPU computes; `finish` waits and gives the
answer.  On a GPU everything is on one stream of the engine's own, host memory that is copied is pinned, and the host
sleeps while it waits instead of spinning.  After `warm` nothing is recorded or compiled any more.  mqhmr is the only
stage that uses the GPU, so nothing has to be shared out.

**Only plain PyTorch on a CPU has been run; on a GPU nothing has.**

Letters: B people, h and w the crop, K = 33 keypoints, Q query tokens, C channels, N numbers of a packed answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biopose_live.mqhmr.network.cuda_graph import Graphed, Recorder
from biopose_live.mqhmr.network.frame import CAMERA, Frame

KEYPOINTS = 33

Code = Callable[[Tensor, Tensor, Tensor, Tensor], Sequence[Tensor]]


@dataclass(frozen=True, eq=False)
class Given:
    """A frame's people: pictures (B, h, w, 3) uint8 RGB; keypoints (B, K, 3) float32, px and scores; camera (B, CAMERA)
    float32; shift: of each the tokens' shift (Q, C) of the frame before, None where there is none."""

    pictures: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    camera: NDArray[np.float32]
    shift: Sequence[Tensor | None]


class Engine:
    """Runs `code`, which takes the tensors of a frame (the first three on the host) and gives packed answer and shift.

    `name`: one of settings.Engine but auto.  A frame that was begun must be finished before the next is begun.
    """

    def __init__(self, name: str, frame: Frame, code: Code, device: str, most: int) -> None:
        """most: people at a time."""
        self.name, self.frame, self.device, self.most = name, frame, device, most
        self._code = code
        a = frame.network.architecture
        self._zero = torch.zeros(a.queries, a.width_model, device=device)
        self._found: Sequence[Tensor] = ()
        self._people = 0
        self._pinned: list[Tensor] = []
        self._stream: torch.cuda.Stream | None = None
        if device == "cuda":
            self._stream = torch.cuda.Stream()
            self._done = torch.cuda.Event(blocking=True)
            forms: list[tuple[tuple[int, ...], torch.dtype]] = [
                ((most, a.height, a.width, 3), torch.uint8),
                ((most, KEYPOINTS, 3), torch.float32),
                ((most, CAMERA), torch.float32),
                ((most, frame.numbers), torch.float32),
            ]
            self._pinned = [torch.empty(form, dtype=kind, pin_memory=True) for form, kind in forms]

    @property
    def memory_gb(self) -> float:
        """Of the GPU, that PyTorch holds in this process (TensorRT's own comes on top)."""
        return torch.cuda.memory_reserved() / 1e9 if self.device == "cuda" else 0.0

    def begin(self, given: Given) -> None:
        """Raises torch.OutOfMemoryError."""
        people = self._people = len(given.pictures)
        host = [torch.from_numpy(array) for array in (given.pictures, given.keypoints, given.camera)]
        with self._on_stream():
            if self._stream is not None:
                for buffer, tensor in zip(self._pinned, host, strict=False):
                    buffer[:people].copy_(tensor)
                host = [buffer[:people] for buffer in self._pinned[:3]]
            rows = [self._zero if row is None else row.to(self.device) for row in given.shift]
            packed, shift = self._code(host[0], host[1], host[2], torch.stack(rows))
            # Clones: the code may give the same buffers for every frame.
            self._found = [packed, shift.clone()]
            if self._stream is not None:
                self._pinned[3][:people].copy_(packed, non_blocking=True)
                self._done.record(self._stream)

    def finish(self) -> tuple[NDArray[np.float32], Tensor]:
        """-> of the frame that was begun: the packed answer (B, N) and the shift (B, Q, C) on the device.  Raises
        torch.OutOfMemoryError."""
        packed, shift = self._found
        self._found = ()
        if self._stream is not None:
            self._done.synchronize()
            packed = self._pinned[3][: self._people]
        return packed.numpy().copy(), shift

    def warm(self) -> None:
        """Runs made-up frames of every number of people that there is a recording for."""
        a = self.frame.network.architecture
        for people in buckets(self.most) if self.device == "cuda" else (1,):
            camera = np.tile(np.array([1000, 640, 360, 0, 640, 360, 300, 400], np.float32), (people, 1))
            keypoints = np.tile(np.array([640, 360, 0.5], np.float32), (people, KEYPOINTS, 1))
            pictures = np.zeros((people, a.height, a.width, 3), np.uint8)
            self.begin(Given(pictures, keypoints, camera, [None] * people))
            self.finish()

    def _on_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)


def buckets(most: int) -> tuple[int, ...]:
    """Numbers of people that a CUDA graph is recorded for: powers of two, and `most`."""
    return (*(2**i for i in range(most.bit_length()) if 2**i < most), most)


def eager(frame: Frame, device: str, most: int) -> Engine:
    """Plain PyTorch."""

    def code(pictures: Tensor, keypoints: Tensor, camera: Tensor, shift: Tensor) -> Sequence[Tensor]:
        there = [tensor.to(device, non_blocking=True) for tensor in (pictures, keypoints, camera)]
        found: Sequence[Tensor] = frame(*there, shift)
        return found

    return Engine("eager", frame, code, device, most)


def cuda_graph(frame: Frame, most: int, recorder: Recorder | None = None, device: str = "cuda") -> Engine:
    """The whole frame as one CUDA graph: encoder, tokens, decoder, refinement."""
    return Engine("cuda-graph", frame, Graphed(frame, buckets(most), recorder, device), device, most)


def tensorrt(
    frame: Frame,
    encoders: Mapping[int, Callable[[Tensor], Tensor]],
    most: int,
    recorder: Recorder | None = None,
    device: str = "cuda",
) -> Engine:
    """The encoder by TensorRT (`encoders`: what runs a number of normalised pictures), the rest as a CUDA graph."""
    answer = Graphed(frame.answer, buckets(most), recorder, device)

    def code(pictures: Tensor, keypoints: Tensor, camera: Tensor, shift: Tensor) -> Sequence[Tensor]:
        people = len(pictures)
        size = min(size for size in encoders if size >= people)
        there = frame.normalised(pictures.to(device, non_blocking=True))
        if people < size:
            there = torch.cat([there, there[:1].expand(size - people, -1, -1, -1)])
        return answer(encoders[size](there)[:people], keypoints, camera, shift)

    return Engine("tensorrt", frame, code, device, most)
