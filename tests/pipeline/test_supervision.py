"""Killed, frozen and hanging stages: poses come back, and nothing else is touched."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from background_run import LiveRun, leftovers, stage_pids, table, wait_for

from biopose_client.schema import Health
from biopose_live.pipeline import child
from biopose_live.pipeline.live import run_live
from biopose_live.pipeline.stage_table import STAGES
from biopose_live.settings import Settings


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_poses_come_back_after_any_stage_is_killed_or_frozen(runtime: Path, blow: signal.Signals) -> None:
    with LiveRun(table()) as run:
        run.wait_for_poses(10)
        for stage in STAGES:
            before = stage_pids()
            seq = run.poses()[-1]["seq"]
            os.kill(before[stage], blow)
            seconds = wait_for(
                lambda before=before, stage=stage: stage_pids().get(stage, before[stage]) != before[stage]
            )
            seconds += run.wait_for_poses(3, 10)
            print(f"{blow.name} {stage}: poses again after {seconds:.2f} s")
            assert seconds < 10
            after = stage_pids()
            assert {name: pid for name, pid in after.items() if name != stage} == {
                name: pid for name, pid in before.items() if name != stage
            }
            assert not psutil.pid_exists(before[stage])
            assert run.poses()[-1]["seq"] > seq
        summary = run.finish()
        seqs = [pose["seq"] for pose in run.poses()]
    assert seqs == sorted(set(seqs))
    assert {name: stage.restarts for name, stage in summary.stages.items()} == dict.fromkeys(STAGES, 1)
    assert summary.captured == summary.processed + summary.dropped
    assert summary.exit_code == 0
    assert leftovers(runtime, summary.session) == []


def test_a_stage_that_vanishes_without_a_word_is_replaced(runtime: Path) -> None:
    with LiveRun(table(capture="ShortCapture", neurik="HardExitNeurik")) as run:
        summary = run.join()
        seqs = [pose["seq"] for pose in run.poses()]
    assert summary.stages["neurik"].restarts == 1
    assert 10 not in seqs
    assert seqs[:10] == list(range(10))
    assert seqs[-1] == 29


def test_a_stage_that_hangs_over_a_message_is_replaced(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "HUNG_LIMIT_S", 1.0)
    with LiveRun(table(mqhmr="HangingMqhmr")) as run:
        wait_for(lambda: run.poses() and run.poses()[-1]["seq"] > 10)
        summary = run.finish()
    assert summary.stages["mqhmr"].restarts == 1


def test_a_caller_that_fails_leaves_no_process_behind(runtime: Path) -> None:
    sessions = []

    def fail(health: Health) -> None:
        sessions.append(health.session)
        raise RuntimeError("the caller's own fault")

    with pytest.raises(RuntimeError, match="the caller's own fault"):
        run_live(Settings(demo=True, record=runtime / "events"), table(), on_health=fail)
    assert stage_pids() == {}
    assert leftovers(runtime, *sessions) == []


@pytest.mark.skipif(sys.platform != "linux", reason="counts this process's descriptors in /proc")
@pytest.mark.parametrize("cycles", [6, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_starting_and_stopping_leaks_nothing(runtime: Path, cycles: int) -> None:
    sessions = []

    def once() -> None:
        with LiveRun(table(capture="BriefCapture")) as run:
            summary = run.join()
        assert summary.processed >= 1
        sessions.append(summary.session)

    once()  # what is made once and kept: the resource tracker, and the like
    me = psutil.Process()
    fds, threads, children = me.num_fds(), me.num_threads(), len(me.children())
    memory = me.memory_info().rss
    for _ in range(cycles):
        once()
    assert (me.num_fds(), me.num_threads(), len(me.children())) == (fds, threads, children)
    assert me.memory_info().rss - memory < 32e6
    assert leftovers(runtime, *sessions) == []
