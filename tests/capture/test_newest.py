"""The one-frame hand-over."""

from __future__ import annotations

import pytest

from biopose_live.capture.newest import NewestFrame
from biopose_live.stages import EndOfStream


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    newest = NewestFrame()
    for t in (10, 20, 30):
        newest.put(f"picture {t}", t)
    frame = newest.take(0)
    assert frame is not None
    assert (frame.index, frame.t_capture, frame.picture, frame.dropped) == (2, 30, "picture 30", 2)
    assert newest.take(0) is None
    newest.put("picture 40", 40)
    frame = newest.take(0)
    assert frame is not None
    assert (frame.index, frame.dropped) == (3, 2)


def test_the_last_frame_is_handed_on_before_the_end() -> None:
    newest = NewestFrame()
    newest.put("last", 1)
    newest.finish(EndOfStream())
    newest.finish(RuntimeError("a later outcome does not replace the first"))
    assert newest.take(0) is not None
    with pytest.raises(EndOfStream):
        newest.take(0)
