"""The embedded demo clip."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from biopose_live.errors import EXIT_SOURCE, UserError


def demo_clip() -> Path:
    """-> path of the clip inside the installed package; raises UserError when the installation lacks it."""
    path = Path(str(files("biopose_live"))) / "assets" / "demo" / "demo.mp4"
    if not path.is_file():
        raise UserError(
            f"The demo clip is missing from this installation ({path}): install the package again.", EXIT_SOURCE
        )
    return path
