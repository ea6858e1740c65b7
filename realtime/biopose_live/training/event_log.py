"""What a training reports, as event files for TensorBoard.

The `tensorboard` package writes them (through `torch.utils.tensorboard`) and is imported only by who asks for a folder;
without a folder everything here does nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from biopose_live.errors import EXIT_SINK, EXIT_USAGE, UserError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

HELP = "write the training's figures there, for tensorboard --logdir DIR"


def summary_writer() -> Callable[[str], SummaryWriter]:
    """-> what writes event files; to be asked before hours of work.  Raises UserError where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            f"--tensorboard needs the package tensorboard, which cannot be imported ({error}); install it with "
            'pip install "biopose-live[train]", or leave --tensorboard out.',
            EXIT_USAGE,
        ) from error
    return SummaryWriter


class EventLog:
    """`with EventLog(folder) as log: log.scalars(step, {"loss": 1.0}, part="train")`; a folder of None is no log."""

    def __init__(self, folder: Path | None) -> None:
        """Raises UserError where tensorboard is not installed or the folder cannot be written."""
        self._writer: SummaryWriter | None = None
        if folder is None:
            return
        writer = summary_writer()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = writer(str(folder))
        except OSError as error:
            raise UserError(f"{folder} cannot be written ({error}); name another --tensorboard.", EXIT_SINK) from error

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def scalars(self, step: int, values: Mapping[str, float], part: str) -> None:
        """Figures after this many steps, shown as `part/name`; those that are no numbers are left out."""
        if self._writer is None:
            return
        for name, value in values.items():
            if math.isfinite(value):
                self._writer.add_scalar(f"{part}/{name}", value, step)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
