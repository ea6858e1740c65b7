"""biopose-live with each frame refined from its own guess alone, for the ablation of `bench/accuracy.py`.

    python bench/without_warm_start.py --video FILE --every-frame --record DIR ...

Takes biopose-live's options.  What a warm start is worth is no question of a user's, so no option turns it off; with
`--every-frame` all stages run in this process, whose tracks can be told.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from unittest.mock import patch

from biopose_live.cli.main import main as biopose_live
from biopose_live.mqhmr.person import PersonTrack

TRACK = "biopose_live.stages.mqhmr.PersonTrack"


def main(arguments: Sequence[str]) -> int:
    """-> exit code."""
    if "--every-frame" not in arguments:
        print("--every-frame is needed: otherwise the stages are processes of their own.", file=sys.stderr)
        return 2
    with patch(TRACK, partial(PersonTrack, warm_start=False)):
        return biopose_live(list(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
