"""`biopose-live export RECORDING_DIR`: files of other programs from a recording."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from biopose_live.errors import EXIT_OK, EXIT_USAGE, UserError

EPILOG = """\
.mot  joint angles (OpenSim; degrees, m), at the recorded times
.trc  the skeleton's markers (OpenSim; m), y up
.osim the skeleton scaled to the person (OpenSim)
.c3d  markers and joint centres (mm), joint angles (degrees), y up
.bvh  the skeleton and its motion (cm, degrees), y up, x forward; rest pose: upright, arms hanging, palms forward
Times are uniform in .trc, .c3d and .bvh. Gaps of more than 0.2 s (at low rates: 2.5 frames) are not filled.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(
            f"{message[:1].upper()}{message[1:]}; biopose-live export --help lists what there is.", EXIT_USAGE
        )


def build_parser() -> argparse.ArgumentParser:
    """-> the parser of `biopose-live export`."""
    parser = _Parser(
        prog="biopose-live export",
        description="Writes what a recording (--record) holds as files of other programs, one set per person.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("recording", type=Path, metavar="RECORDING_DIR", help="the folder given to --record")
    parser.add_argument("--format", nargs="+", metavar="FORMAT", help="some of mot trc osim c3d bvh (default: all)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: RECORDING_DIR/export)")
    parser.add_argument("--person", type=int, metavar="ID", help="this person alone")
    parser.add_argument("--rate", type=float, metavar="HZ", help="frame rate of .trc, .c3d and .bvh (default: its own)")
    return parser


def main(arguments: Sequence[str]) -> int:
    """-> exit code; files on standard output, what to know about them on standard error.  Raises UserError."""
    given = build_parser().parse_args(arguments)
    if given.rate is not None and not (math.isfinite(given.rate) and 0.1 <= given.rate <= 10_000.0):
        raise UserError(f"--rate is {given.rate:g} Hz: give 0.1 to 10000.", EXIT_USAGE)

    from biopose_live.export.exporting import FORMATS, export_recording

    formats = None if given.format is None else [name.lower().lstrip(".") for name in given.format]
    for name, asked in zip(formats or (), given.format or (), strict=True):
        if name not in FORMATS:
            raise UserError(f"{asked!r} is no format: use some of {', '.join(FORMATS)}.", EXIT_USAGE)
    formats = None if formats is None else list(dict.fromkeys(formats))
    exported = export_recording(given.recording, formats, given.out, given.person, given.rate)
    for path in exported.files:
        print(path)
    for note in exported.notes:
        print(note, file=sys.stderr)
    return EXIT_OK
