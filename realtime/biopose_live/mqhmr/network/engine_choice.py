"""Which engine runs the image network, and what happens when it cannot: a sentence, and the next best one.

Best first: TensorRT's encoder with a CUDA graph behind it, one CUDA graph, plain PyTorch on the GPU, plain PyTorch on
the CPU.  `auto` takes TensorRT only where its engines have been built already (`--engine tensorrt`, once), because that
takes minutes.  Nothing is changed silently.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biopose_live.errors import EXIT_FAILURE, UserError
from biopose_live.mqhmr.network.engines import Given
from biopose_live.mqhmr.network.tensorrt_cache import EngineError
from biopose_live.settings import Engine as Wanted

log = logging.getLogger(__name__)

TOLD = {
    "tensorrt": "TensorRT's encoder",
    "cuda-graph": "the CUDA graph",
    "eager": "plain PyTorch on the GPU",
    "cpu": "plain PyTorch on the CPU",
}


FULL = "the memory is full"


class Runs(Protocol):
    """An `engines.Engine`."""

    @property
    def memory_gb(self) -> float: ...
    def begin(self, given: Given) -> None: ...
    def finish(self) -> tuple[NDArray[np.float32], Tensor]: ...
    def warm(self) -> None: ...


@dataclass(frozen=True)
class Choice:
    """ways: names of TOLD to be tried, in order; complaints: sentences on what was wished for and cannot be."""

    ways: tuple[str, ...]
    complaints: tuple[str, ...] = ()


def choose(wanted: Wanted, device: str, no_tensorrt: str, tensorrt_built: bool) -> Choice:
    """device: `device.Place.device`; no_tensorrt: a clause that says why torch-tensorrt cannot be used, else "";
    tensorrt_built: whether all engines that this run needs are kept and fit."""
    if device == "cpu":
        needless = wanted in ("cuda-graph", "tensorrt")
        complaint = f"--engine {wanted} needs an NVIDIA GPU that PyTorch can use: {TOLD['cpu']} runs instead."
        return Choice(("cpu",), (complaint,) if needless else ())
    ways = {
        "eager": ("eager", "cpu"),
        "cuda-graph": ("cuda-graph", "eager", "cpu"),
        "tensorrt": ("tensorrt", "cuda-graph", "eager", "cpu"),
    }
    if wanted == "auto":
        return Choice(ways["tensorrt" if tensorrt_built and not no_tensorrt else "cuda-graph"])
    if wanted == "tensorrt" and no_tensorrt:
        complaint = f"TensorRT cannot be used because {no_tensorrt}: {TOLD['cuda-graph']} runs instead."
        return Choice(ways["cuda-graph"], (complaint,))
    return Choice(ways[wanted])


class Runner:
    """The first of several engines that works; the next one takes over when memory runs out in the middle of a run."""

    def __init__(self, makers: Sequence[tuple[str, Callable[[], Runs]]]) -> None:
        """makers: names of TOLD, and what makes and warms each.  Raises UserError where none works."""
        self._left = list(makers)
        self._given: Given | None = None
        self._engine: Runs | None = None
        self.way = ""
        self._next()

    @property
    def memory_gb(self) -> float:
        """Of the GPU, held by PyTorch for the engine that runs."""
        assert self._engine is not None
        return self._engine.memory_gb

    def begin(self, given: Given) -> None:
        """As `Engine.begin`.  Raises UserError where no engine is left."""
        self._given = given
        while True:
            assert self._engine is not None
            try:
                self._engine.begin(given)
                return
            except torch.OutOfMemoryError:
                pass  # and with the exception what holds on to the memory
            self._give_up()

    def finish(self) -> tuple[NDArray[np.float32], Tensor]:
        """As `Engine.finish`.  Raises UserError where no engine is left."""
        while True:
            assert self._engine is not None
            assert self._given is not None
            try:
                return self._engine.finish()
            except torch.OutOfMemoryError:
                pass
            self._give_up()
            self.begin(self._given)

    def _give_up(self) -> None:
        self._engine = None
        self._complain(FULL)
        self._next()

    def _next(self) -> None:
        while self._left:
            self.way, make = self._left.pop(0)
            try:
                self._engine = make()
                return
            except torch.OutOfMemoryError:
                reason = FULL
            except (EngineError, RuntimeError) as error:  # the latter: whatever CUDA and its libraries complain of
                log.info("%s cannot be used", self.way, exc_info=True)
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            self._complain(reason)
        raise UserError("The image network of --network runs in no way on this machine: leave it out.", EXIT_FAILURE)

    def _complain(self, reason: str) -> None:
        told = TOLD[self.way]
        instead = f"{TOLD[self._left[0][0]]} runs instead" if self._left else "nothing is left to try"
        log.warning("%s cannot be used (%s): %s.", told[0].upper() + told[1:], reason, instead)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
