"""`biopose-train`: makes the networks' weights anew, or on motion capture of your own.

    biopose-train neurik    motion capture in, NeurIK's weights out
    biopose-train lite      dressed people are rendered, the light image network's weights come out
    biopose-train mqhmr     pictures of people with labels in, the image network's weights out

Exit codes are those of `biopose_live.errors`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from biopose_live.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE

USAGE = """usage: biopose-train neurik --motion PATH ... --out FOLDER [options]
       biopose-train lite --assets FOLDER --poses FILE --work FOLDER --out FILE [options]
       biopose-train mqhmr --data FILE.toml --out FILE [options]

  neurik    motion capture in, NeurIK's weights out
  lite      dressed people are rendered, the light image network's weights come out
  mqhmr     pictures of people with labels in, the image network's weights out

--help after a network's name describes its options."""


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] in (["neurik"], ["lite"]):
        from biopose_live.pipeline.child import limit_threads

        limit_threads(os.environ)  # sequences and pictures are made by one process a core already
        try:
            if given[0] == "neurik":
                from biopose_live.training.neurik.command import main as neurik

                return neurik(given[1:])
            from biopose_live.training.lite.command import main as lite

            return lite(given[1:])
        except KeyboardInterrupt:
            print("Stopped; the same command with --resume goes on.", file=sys.stderr)
            return EXIT_INTERRUPTED
    if given[:1] == ["mqhmr"]:
        from biopose_live.training.mqhmr.train import main as mqhmr

        return mqhmr(given[1:])
    if given[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return EXIT_OK
    found = f"{given[0]} is not a network" if given else "no network was named"
    print(f"biopose-train: {found}; give neurik, lite or mqhmr.", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
