"""`biopose-live calibrate`: measures one person's bones once, guided in plain sentences on the terminal.

Writes a small file for `--calibration` and, beside it, the skeleton scaled to the person.  A camera's session leads
through a few movements and waits while nobody is seen well; a clip is taken as it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from biopose_live.cli.options import CALIBRATE, PROGRAM, build_parser
from biopose_live.errors import EXIT_OK
from biopose_live.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from biopose_live.pipeline.moves import Move

OPTIONS = (
    "camera", "video", "url", "demo", "duration", "height", "mass", "fov", "intrinsics", "camera_pitch", "detector",
    "refine_iterations", "body", "skeleton",
)  # fmt: skip
DESCRIPTION = "Measures one person's bones once: stand, walk on the spot, turn, raise the arms, squat."
EPILOG = f"""\
A later run starts with the result and holds it: {PROGRAM} --camera 0 --calibration person.json
--height makes every length right; without it the person is taken for an adult of average build.
"""
DEFAULT_OUT = Path("person.json")
UNSEEN_FRAMES = 30  # in a row, before it is said that nobody is seen well


class TerminalGuide:
    """Instructions as lines; progress as a line each tenth of the session."""

    def __init__(self, console: Console, moves: int) -> None:
        self._console, self._moves = console, moves
        self._said = 0
        self._unseen = 0

    def move(self, number: int, move: Move) -> None:
        self._console.print(f"{number + 1}/{self._moves}  {move.instruction} ({move.seconds:g} s).", markup=False)

    def progress(self, share: float, seen: bool) -> None:
        self._unseen = 0 if seen else self._unseen + 1
        if self._unseen == UNSEEN_FRAMES:
            self._console.print("     Waiting: nobody is seen well; step back until head and feet are in the picture.")
        tenth = int(10.0 * share + 1e-9)
        if tenth > self._said:
            self._said = tenth
            self._console.print(f"     {10 * tenth} %")


def main(arguments: Sequence[str]) -> int:
    """-> exit code.  Raises UserError with the sentence to show, SystemExit(0) after --help."""
    parser = build_parser(CALIBRATE, DESCRIPTION, EPILOG, OPTIONS)
    parser.add_argument(
        "--out", type=Path, metavar="PATH", default=DEFAULT_OUT, help=f"file to write (default {DEFAULT_OUT})"
    )
    given = parser.parse(arguments)
    out: Path = given.pop("out")
    settings = Settings(**given)
    settings.every_frame = settings.demo or settings.video is not None
    settings.validate()

    from biopose_live.pipeline.child import limit_threads

    limit_threads(os.environ)  # before NumPy is imported

    from rich.console import Console

    from biopose_live.cli.main import frames_of
    from biopose_live.pipeline.calibration_run import run_calibration
    from biopose_live.pipeline.measurement import report, skeleton_file
    from biopose_live.pipeline.moves import MOVES

    console = Console(highlight=False)
    frames = frames_of(settings) if settings.every_frame else None
    console.print("Models are being loaded …")
    person = run_calibration(settings, out, TerminalGuide(console, len(MOVES)), frames)
    for line in report(person):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"Written: {out} and {skeleton_file(out)}.", markup=False, soft_wrap=True)
    console.print(f"Use it:  {PROGRAM} … --calibration {out}", markup=False, soft_wrap=True)
    return EXIT_OK
