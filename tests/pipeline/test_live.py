"""Whole live runs with small fake stages: same numbers as inline, drops, ends, and sentences for what goes wrong."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from background_run import LiveRun, events, leftovers, table

from biopose_live.errors import EXIT_FAILURE, EXIT_MODEL, EXIT_OK, UserError
from biopose_live.pipeline import child
from biopose_live.pipeline.inline import run_inline
from biopose_live.pipeline.live import FEWEST_SLOTS, slots_that_fit
from biopose_live.pipeline.ring import SLOT_BYTES, SLOTS
from biopose_live.pipeline.stage_table import STAGES
from biopose_live.settings import Settings


def what_is_computed(pose: dict[str, Any]) -> dict[str, Any]:
    """-> a pose without session and times."""
    return {key: pose[key] for key in ("seq", "image", "dropped", "people", "v")}


def test_live_and_inline_give_the_same_poses(runtime: Path) -> None:
    with LiveRun(table(capture="ShortCapture")) as run:
        live = run.join()
        live_poses = run.poses()
        (live_end,) = events(run.path, "summary")
    assert live.end_reason == "end of stream"
    assert live.exit_code == EXIT_OK
    assert (live.captured, live.processed, live.dropped) == (30, 30, 0)
    assert live_end["processed"] == 30

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "events.jsonl")
        inline = run_inline(Settings(demo=True, record=path), table(capture="ShortCapture"))
        inline_poses = events(path, "pose")
        assert len(events(path, "summary")) == 1
    assert (inline.captured, inline.processed, inline.dropped) == (30, 30, 0)

    assert list(map(what_is_computed, live_poses)) == list(map(what_is_computed, inline_poses))
    assert len({pose["people"][0]["q"][0] for pose in live_poses}) == 30
    for pose in live_poses + inline_poses:
        assert set(pose["stages"]) == {"detection", "mqhmr", "neurik"}
        assert pose["t_publish"] > pose["t_capture"]
    assert {pose["session"] for pose in live_poses} == {live.session}
    assert leftovers(runtime, live.session) == []


def test_a_slow_stage_costs_frames_but_not_latency(runtime: Path) -> None:
    with LiveRun(table(mqhmr="SlowMqhmr")) as run:
        run.wait_for_poses(25)
        summary = run.finish()
        poses = run.poses()
    seqs = [pose["seq"] for pose in poses]
    assert seqs == sorted(set(seqs))
    assert summary.dropped > summary.processed
    assert summary.captured == summary.processed + summary.dropped
    assert summary.stages["mqhmr"].lost > 0.9 * summary.dropped
    assert poses[-1]["dropped"] == seqs[-1] + 1 - len(poses)
    # The newest wins: a pose is at most one waiting message and one pass of the slow stage old, whatever the drops.
    # Queued frames would make this grow with every pose instead.
    latency = np.array([(pose["t_publish"] - pose["t_capture"]) / 1e9 for pose in poses])
    assert np.median(latency[-8:]) < 3 * 0.1
    assert np.median(latency[-8:]) < 2 * np.median(latency[2:10])


def test_the_last_frames_of_a_file_are_not_lost(runtime: Path) -> None:
    with LiveRun(table(capture="BriefCapture", mqhmr="SleepyMqhmr")) as run:
        summary = run.join()
        seqs = [pose["seq"] for pose in run.poses()]
    # Frame 0 is passed over where all three were waiting before the stage asked for its first: the newest wins.
    assert seqs == sorted(set(seqs))
    assert seqs[-1] == 2  # captured half a second before the stage was ready for it, and the source long gone
    assert summary.captured == 3
    assert summary.processed == len(seqs)


def test_duration_ends_a_run(runtime: Path) -> None:
    with LiveRun(table(), duration=0.5) as run:
        summary = run.join()
    assert summary.end_reason == "duration reached"
    assert summary.exit_code == EXIT_OK
    assert 20 <= summary.captured <= 26  # 50 Hz for half a second, on a machine with other things to do

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(demo=True, record=Path(folder, "events"), duration=0.5)
        inline = run_inline(settings, table())
    assert inline.end_reason == "duration reached"
    assert inline.processed == inline.captured <= 26


def test_health_goes_to_the_caller_and_the_sinks(runtime: Path) -> None:
    with LiveRun(table()) as run:
        run.wait_for_poses(100)
        run.finish()
        told = events(run.path, "health")
    last = run.health[-1]
    assert [stage.name for stage in last.stages] == list(STAGES)
    assert all(stage.alive and stage.rss_mb > 5 for stage in last.stages)
    assert last.processed > 20
    assert last.fps > 10
    assert told
    assert told[-1]["session"] == last.session


@pytest.mark.parametrize("inline", [False, True])
def test_a_user_error_at_the_start_ends_the_run_with_its_sentence(runtime: Path, inline: bool) -> None:
    stages = table(mqhmr="NoModelMqhmr")
    if inline:
        summary = run_inline(Settings(demo=True, record=runtime / "events"), stages)
    else:
        with LiveRun(stages) as run:
            summary = run.join()
    assert summary.end_reason == "The weights are missing: install them."
    assert summary.exit_code == EXIT_MODEL
    assert summary.captured == 0
    assert summary.stages["mqhmr"].restarts == 0
    assert leftovers(runtime, summary.session) == []


@pytest.mark.parametrize("inline", [False, True])
def test_a_user_error_on_the_way_completes_the_files(runtime: Path, inline: bool) -> None:
    stages = table(neurik="LateUserErrorNeurik")
    path = runtime / "events"
    if inline:
        summary = run_inline(Settings(demo=True, record=path), stages)
    else:
        with LiveRun(stages) as run:
            summary = run.join()
            path.write_bytes(run.path.read_bytes())
    assert summary.end_reason == "The skeleton broke: mend it."
    assert summary.exit_code == EXIT_MODEL
    assert 5 <= summary.processed <= 10
    (end,) = events(path, "summary")
    assert end["end_reason"] == summary.end_reason


@pytest.mark.parametrize("inline", [False, True])
def test_an_output_that_fails_is_reported_and_stops_nothing(runtime: Path, inline: bool) -> None:
    stages = table(capture="ShortCapture", sinks="FullDiskSinks")
    if inline:
        summary = run_inline(Settings(demo=True, record=runtime / "events"), stages)
    else:
        with LiveRun(stages) as run:
            summary = run.join()
    assert summary.problems == ["The disk is full: recording has ended."]
    assert summary.processed == 30
    assert summary.exit_code == EXIT_OK


@pytest.mark.parametrize(
    ("fake", "last_words"),
    [("CrashingMqhmr", "RuntimeError: this always happens"), ("CrashingStartMqhmr", "RuntimeError: cannot even start")],
)
def test_a_stage_that_always_crashes_is_given_up_with_a_sentence(runtime: Path, fake: str, last_words: str) -> None:
    with LiveRun(table(mqhmr=fake)) as run:
        summary = run.join()
    assert summary.exit_code == EXIT_FAILURE
    assert summary.end_reason.startswith("The mqhmr stage ended with code 1 again and again and is given up")
    assert summary.end_reason.endswith(last_words)
    assert 3 <= summary.stages["mqhmr"].restarts <= child.RESTARTS
    assert all(summary.stages[name].restarts == 0 for name in STAGES if name != "mqhmr")
    log = (runtime / "state" / "biopose-live" / "last-failure" / "mqhmr.log").read_text()
    assert "Traceback" in log
    assert leftovers(runtime, summary.session) == []


@pytest.mark.parametrize("inline", [False, True])
def test_a_source_with_nothing_to_give_makes_no_busy_loop(runtime: Path, inline: bool) -> None:
    stages = table(capture="EmptyCapture")
    if inline:
        summary = run_inline(Settings(demo=True, record=runtime / "events"), stages)
    else:
        with LiveRun(stages) as run:
            summary = run.join()
    calls = int(summary.end_reason)
    assert 1 < calls < 600  # a busy loop makes several 100,000 in that time
    assert summary.captured == 0


def test_too_little_shared_memory_is_said_before_anything_starts() -> None:
    assert slots_that_fit(10**9) == SLOTS
    assert slots_that_fit(60_000_000) == 5
    with pytest.raises(UserError, match="--shm-size"):
        slots_that_fit(FEWEST_SLOTS * SLOT_BYTES)
