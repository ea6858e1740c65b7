"""Where a benchmark's tables and figures go: the terminal, a pipe, a JSON file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from biopose_live.errors import EXIT_SINK, UserError

PIPE_WIDTH = 150


def table_console() -> Console:
    """-> where tables go: as wide as the terminal, or wide enough for them in a file or pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


def titled(title: str) -> Table:
    """-> an empty table under a title."""
    return Table(title=title, title_justify="left", title_style="bold")


def write(report: msgspec.Struct, path: Path) -> None:
    """Writes a report as JSON; a figure that is no number becomes null.  Raises UserError when the file cannot be
    written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error}); name another place with --json.", EXIT_SINK) from error
