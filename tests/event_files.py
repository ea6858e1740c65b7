"""What TensorBoard itself reads out of a training's event files."""

from __future__ import annotations

from pathlib import Path

import pytest


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """-> by tag, (step, value) in order; skips the test where tensorboard is not installed."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
