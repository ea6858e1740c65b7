"""Makes `walk.msgpack.xz`, the recorded messages that the page's tests play, from a recording of the demo.

    biopose-live --demo --every-frame --duration 3 --publish off --headless --record DIR
    python tests/web/make_walk.py DIR

Meta first, then every second pose of one second: the person moves several pixels between two of them, so a skeleton on
a neighbouring picture would be seen.
"""

from __future__ import annotations

import lzma
import sys
from pathlib import Path

import msgspec

from biopose_live.sinks.recording import Recording

OUT = Path(__file__).parent / "walk.msgpack.xz"
FIRST, COUNT, EVERY = 40, 20, 2


def main() -> None:
    recording = Recording(sys.argv[1])
    poses = list(recording)[FIRST : FIRST + COUNT * EVERY : EVERY]
    OUT.write_bytes(lzma.compress(msgspec.msgpack.encode([recording.meta, poses]), preset=9))


if __name__ == "__main__":
    main()
