"""Which class stands behind each stage's name, as import strings: a child process imports its own stage only.

`module:attribute` names a factory: `capture(settings, writer)`, `detection|mqhmr|neurik(settings, frames)` and
`sinks(settings, session)`, where `session` is the run's id; sinks that show pictures take `frames`, `view` and
`announced` besides.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from biopose_client.schema import Health, Pose
from biopose_live import messages
from biopose_live.pipeline.metrics import Summary

CAPTURE, DETECTION, MQHMR, NEURIK, SINKS = STAGES = ("capture", "detection", "mqhmr", "neurik", "sinks")

INPUT_TYPES: dict[str, type[msgspec.Struct]] = {
    DETECTION: messages.FrameRef,
    MQHMR: messages.Detections,
    NEURIK: messages.Meshes,
    SINKS: Pose,
}


class Sinks(Protocol):
    """All outputs of a run behind one object."""

    @property
    def problems(self) -> Sequence[str]:
        """One sentence for each output that failed and was given up (disk full, ...); shown at the end."""
        ...

    def write(self, pose: Pose) -> None:
        """Hands one frame's people to every output."""
        ...

    def health(self, health: Health) -> None:
        """Hands on the pipeline's state, once a second."""
        ...

    def idle(self) -> None:
        """Called at least every 0.2 s, also between poses."""
        ...

    def close(self, summary: Summary) -> None:
        """Completes every output; called once."""
        ...


class StageTable(msgspec.Struct, frozen=True):
    """Stage name -> factory, `module:attribute`."""

    capture: str = "biopose_live.stages.capture:CaptureStage"
    detection: str = "biopose_live.stages.detection:DetectionStage"
    mqhmr: str = "biopose_live.stages.mqhmr:MqhmrStage"
    neurik: str = "biopose_live.stages.neurik:NeurikStage"
    sinks: str = "biopose_live.sinks.sink_set:SinkSet"

    def factory(self, stage: str) -> str:
        """-> the import string of one of STAGES."""
        found: str = getattr(self, stage)
        return found


DEFAULT = StageTable()


def load(factory: str) -> Callable[..., Any]:
    """`module:attribute` -> the object; raises ImportError or AttributeError when it is not there."""
    module, _, attribute = factory.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found
