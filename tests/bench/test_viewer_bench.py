"""The viewer's benchmark: its arithmetic on made-up notes of a browser, its table and its command line."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from biopose_live.sinks.viewer.encoding import rtp_timestamp
from viewer import WATCHED, Result, latencies, main, spread, table_of

OFFSET_MS = 1.7e12


def test_percentiles_need_enough_samples() -> None:
    found = spread([float(n) for n in range(101)])
    assert (found.p50, found.p95, found.count) == (50.0, 95.0, 101)
    with pytest.raises(ValueError, match="19 samples"):
        spread([1.0] * 19)


@pytest.mark.parametrize("watched", WATCHED)
def test_latencies_are_taken_between_the_right_moments(watched: str) -> None:
    captured = [5_000_000_000_000 + n * 33_333_333 for n in range(30)]
    found: dict[str, list[list[Any]]] = {
        "poses": [[str(t), str(t + 25_000_000), OFFSET_MS + t / 1e6 + 27.0] for t in captured],
        "pictures": [[str(t), str(t + 25_000_000), OFFSET_MS + t / 1e6 + 60.0] for t in captured],
    }
    if watched == "player":  # which knows the stamps of packets
        found["pictures"] = [[rtp_timestamp(int(name)), None, at] for name, _, at in found["pictures"]]
        found["pictures"].append([12345, None, OFFSET_MS])  # its pose never came
    picture, pose, published = latencies(found, OFFSET_MS)
    assert (picture.p50, picture.count) == (pytest.approx(60.0, abs=0.1), 30)
    assert pose.p50 == pytest.approx(27.0, abs=0.1)
    assert published.p95 == pytest.approx(2.0, abs=0.1)


def test_the_table_has_a_row_for_each_run() -> None:
    times = spread([10.0] * 20)
    console = Console(file=io.StringIO(), width=200)
    console.print(table_of([Result("page", 720, 3, 29.9, times, times, times, 30.0, 0.5, 40.0, 30.0)]))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "720p" in shown
    assert "10.0 / 10.0" in shown


@pytest.mark.parametrize("arguments", [["--seconds", "1"], ["--seconds", "x"], ["extra"]])
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
