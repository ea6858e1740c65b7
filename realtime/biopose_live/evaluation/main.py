"""`biopose-eval`: benchmarks that score the product's own answers against known truth.

    biopose-eval neurik    NeurIK beside inverse kinematics on held-out motion
    biopose-eval mqhmr     bodies from pictures: the live path on rendered people, the network on datasets

Exit codes are those of `biopose_live.errors`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from biopose_live.errors import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE

USAGE = """usage: biopose-eval neurik [options]
       biopose-eval mqhmr --samples FOLDER [options]
       biopose-eval mqhmr --data FILE.toml --network FILE [options]

Scores the product's own answers against known truth.

  neurik    NeurIK beside inverse kinematics on held-out motion
  mqhmr     bodies from pictures: the live path on rendered people, the network on datasets

biopose-eval neurik --help  and  biopose-eval mqhmr --help  describe the options."""


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    benchmark = {"neurik": _neurik, "mqhmr": _mqhmr}.get(given[0]) if given else None
    if benchmark is not None:
        try:
            return benchmark(given[1:])
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        except BrokenPipeError:
            # Whoever read the tables has left (`biopose-eval neurik | head`); Python would complain once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_FAILURE
    if given[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return EXIT_OK
    found = f"{given[0]} is not a benchmark" if given else "no benchmark was named"
    print(f"biopose-eval: {found}; give one of: neurik, mqhmr.", file=sys.stderr)
    return EXIT_USAGE


def _neurik(arguments: Sequence[str]) -> int:
    from biopose_live.pipeline.child import limit_threads

    limit_threads(os.environ)  # before NumPy is imported, or it has made its threads already
    from biopose_live.evaluation.neurik_benchmark import main as neurik

    return neurik(arguments)


def _mqhmr(arguments: Sequence[str]) -> int:
    from biopose_live.evaluation.mqhmr_benchmark import main as mqhmr

    return mqhmr(arguments)


if __name__ == "__main__":
    sys.exit(main())
