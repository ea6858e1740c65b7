"""The real stages, killed and frozen one after the other while a subscriber listens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from outage import BLOWS, STAGES, StruckRun, write_loop

GENEROUS_S = 15.0  # bench/recovery.py measures; this holds on any machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StruckRun]:
    video = tmp_path_factory.mktemp("struck") / "loop.mp4"
    write_loop(video, 600.0)
    with StruckRun(video) as run:
        yield run


@pytest.mark.parametrize("blow", BLOWS)
@pytest.mark.parametrize("stage", STAGES)
def test_poses_come_again_after_a_blow_and_nothing_else_changes(run: StruckRun, stage: str, blow: str) -> None:
    run.rest()
    before = run.pids()
    outage = run.strike(stage, blow)
    print(f"{blow} of {stage}: new process after {outage.replaced_s:.2f} s, poses after {outage.recovered_s:.2f} s")
    assert outage.only_it
    after = run.pids()
    assert {name for name in STAGES if before[name] != after[name]} == {stage}
    assert outage.recovered_s < GENEROUS_S
