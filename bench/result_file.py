"""The file that `--json` names: everything that a benchmark measured, laid out to be read and compared line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec


def write(path: Path, report: msgspec.Struct | dict[str, Any]) -> None:
    """Writes it, makes the folder where there is none, and says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    print(f"Written to {path}.")
