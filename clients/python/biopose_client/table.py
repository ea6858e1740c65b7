"""The live table: every rotational coordinate of every person, degrees, drawn with plain ANSI control sequences.

When standard output is no terminal, one line per second is printed instead.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import time
from collections import deque
from collections.abc import Sequence

from .frame import Frame, TrackedPerson
from .stream import DEFAULT_ADDRESS, NothingReceived, SchemaError, Stream, connect

_HOME, _CLEAR_BELOW, _CLEAR_LINE_END = "\x1b[H", "\x1b[J", "\x1b[K"
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_ALTERNATE_SCREEN, _NORMAL_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
_REDRAW_S = 0.1
_LINE_S = 1.0
_RATE_FRAMES = 60  # the frame rate shown is over this many frames

EXIT_OK, EXIT_USAGE, EXIT_STREAM = 0, 2, 3


class FrameRate:
    """Frames per second received, over the last `_RATE_FRAMES` frames."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_RATE_FRAMES)

    def count(self, now_s: float) -> float:
        """Counts one frame; -> frames per second."""
        self._times.append(now_s)
        span = now_s - self._times[0]
        return (len(self._times) - 1) / span if span > 0 else 0.0


def angle_cells(person: TrackedPerson) -> list[str]:
    """-> one fixed-width cell for each rotational coordinate: name, degrees, one standard deviation."""
    meta = person.names.meta
    width = max((len(name) for name in meta.coordinate_names), default=0)
    return [
        f"{name:<{width}} {math.degrees(value):8.1f} ±{math.degrees(sigma):5.1f}"
        for name, unit, value, sigma in zip(
            meta.coordinate_names, meta.coordinate_units, person.raw.q, person.raw.q_sigma, strict=False
        )
        if unit == "rad"
    ]


def heading(frame: Frame, rate: float) -> str:
    """-> session, frame number, rate, latency, drops and people in one line."""
    return (
        f"session {frame.meta.session}  frame {frame.seq}  {rate:.1f} fps  latency {frame.latency_ms:.0f} ms  "
        f"dropped {frame.pose.dropped}  people {len(frame.people)}"
    )


def table_lines(frame: Frame, rate: float, columns: int, rows: int) -> list[str]:
    """-> the whole picture for a terminal of that size; what does not fit is left out and counted."""
    lines = [heading(frame, rate)]
    for person in frame.people:
        state = "settled" if person.settled else "settling"
        lines += ["", f"person {person.id}  confidence {person.confidence:.2f}  {state}"]
        cells = angle_cells(person)
        side_by_side = max(1, (columns + 3) // (max(map(len, cells), default=columns) + 3))
        depth = math.ceil(len(cells) / side_by_side)
        lines += ["   ".join(cells[row::depth]) for row in range(depth)]
    if not frame.people:
        lines += ["", "nobody in the picture"]
    if len(lines) > rows:
        lines = [*lines[: rows - 1], f"… {len(lines) - rows + 1} more lines"]
    return [line[:columns] for line in lines]


class _Screen:
    """Redraws in place on a terminal; elsewhere prints the heading once a second."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()
        self._next = 0.0

    def __enter__(self) -> _Screen:
        if self.terminal:
            self._write(_ALTERNATE_SCREEN + _HIDE_CURSOR)
        return self

    def __exit__(self, *_: object) -> None:
        if self.terminal:
            self._write(_SHOW_CURSOR + _NORMAL_SCREEN)

    def show(self, frame: Frame, rate: float) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        if self.terminal:
            self._next = now + _REDRAW_S
            columns, rows = shutil.get_terminal_size()
            self._draw(table_lines(frame, rate, columns, rows - 1))
        else:
            self._next = now + _LINE_S
            print(heading(frame, rate), flush=True)

    def tell(self, sentence: str) -> None:
        if self.terminal:
            self._draw([sentence])
        else:
            print(sentence, file=sys.stderr, flush=True)

    def _draw(self, lines: list[str]) -> None:
        self._write(_HOME + "".join(f"{line}{_CLEAR_LINE_END}\n" for line in lines) + _CLEAR_BELOW)

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def watch(stream: Stream, frames: int | None) -> None:
    """Shows frames until `frames` of them have come, or for ever; a silent stream is said and waited for."""
    rate = FrameRate()
    shown = 0
    with _Screen() as screen:
        while frames is None or shown < frames:
            try:
                frame = next(stream)
            except NothingReceived as silence:
                screen.tell(f"{silence} Still waiting; Ctrl-C ends.")
                continue
            shown += 1
            screen.show(frame, rate.count(time.monotonic()))


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code: 0, 2 for a malformed address, 3 for a stream that is not ours."""
    parser = argparse.ArgumentParser(prog="python -m biopose_client", description=__doc__.split("\n")[0])
    parser.add_argument("address", nargs="?", default=DEFAULT_ADDRESS, help=f"default {DEFAULT_ADDRESS}")
    parser.add_argument("--every-frame", action="store_true", help="take every frame, not only the newest")
    parser.add_argument("--frames", type=int, metavar="N", help="end after N frames")
    parser.add_argument(
        "--timeout", type=float, default=3.0, metavar="S", help="say so when nothing comes for this many seconds"
    )
    options = parser.parse_args(arguments)
    try:
        stream = connect(options.address, newest=not options.every_frame, timeout=options.timeout)
    except ValueError as error:
        print(f"{error}.", file=sys.stderr)
        return EXIT_USAGE
    try:
        with stream:
            watch(stream, options.frames)
    except KeyboardInterrupt:
        return EXIT_OK
    except SchemaError as error:
        print(f"{options.address}: {error}.", file=sys.stderr)
        return EXIT_STREAM
    return EXIT_OK
