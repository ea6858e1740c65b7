"""Writes `src/coordinate_ranges.ts`: the range of each coordinate of the embedded skeleton, from its model file.

    python clients/web/coordinate_ranges.py            # writes the file
    python clients/web/coordinate_ranges.py --check    # exit code 1 when the file is not what the model says

The wire format does not carry ranges.  The page uses them to show where a value lies; another skeleton's coordinates
that have other names are shown without.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from biopose_live.skeleton.choice import load_skeleton

OUT = Path(__file__).parent / "src" / "coordinate_ranges.ts"


def generated() -> str:
    """-> the text of `src/coordinate_ranges.ts`; rotations only, degrees, and none that spans a whole turn."""
    lines = [
        "// Ranges of the embedded skeleton's coordinates, degrees. Made by coordinate_ranges.py from bsk24.osim.",
        "export const RANGES_DEG: Readonly<Record<string, readonly [number, number]>> = {",
    ]
    for coordinate in load_skeleton(None).coordinates:
        low, high = (round(math.degrees(limit), 1) for limit in coordinate.range)
        if coordinate.rotational and high - low < 359:
            lines.append(f"  {coordinate.name}: [{low:g}, {high:g}],")
    return "\n".join([*lines, "};"]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes src/coordinate_ranges.ts from the embedded skeleton.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file is out of date")
    if not parser.parse_args().check:
        OUT.write_text(generated())
        return 0
    if OUT.read_text() == generated():
        return 0
    print(f"{OUT} is not what the model says: run python clients/web/coordinate_ranges.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
