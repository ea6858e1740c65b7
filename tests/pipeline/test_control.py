"""Control messages: settings survive the way to a child, and commands reach only the process they are meant for."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import msgspec
import zmq
from hypothesis import given
from hypothesis import strategies as st

from biopose_live.pipeline.control import (
    Assignment,
    Beat,
    Command,
    ControlHub,
    ControlLink,
    settings_from_map,
    settings_to_map,
)
from biopose_live.settings import Settings

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(
    st.builds(
        Settings,
        camera=st.none() | texts,
        video=st.none() | texts.map(Path),
        record=st.none() | texts.map(Path),
        duration=st.none() | st.floats(0, 1e6),
        max_people=st.integers(1, 16),
        detector=st.sampled_from(["lite", "full", "heavy"]),
        headless=st.booleans(),
    )
)
def test_settings_survive_the_way_to_a_child(settings: Settings) -> None:
    assignment = Assignment("capture", "m:f", settings_to_map(settings), "s", "/tmp/d", "r", os.getpid())
    arrived = msgspec.json.decode(msgspec.json.encode(assignment), type=Assignment)
    assert settings_from_map(arrived.settings) == settings


def test_commands_reach_the_process_they_are_meant_for() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        context = zmq.Context()
        hub = ControlHub(context, Path(path))
        old, new = (ControlLink(context, Path(path), "mqhmr", pid) for pid in (1, 2))
        for link, pid in ((old, 1), (new, 2)):
            assert link.report(Beat("mqhmr", pid, "ready", ms=[1.5]))
        heard = []
        until = time.monotonic() + 5
        while len(heard) < 2 and time.monotonic() < until:
            heard += hub.beats(100)
        assert sorted(beat.pid for beat in heard) == [1, 2]
        assert heard[0].ms == [1.5]
        hub.command("mqhmr", 2, Command("exit"))
        hub.command("mqhmr", 3, Command("exit"))  # nobody: dropped
        assert [command.kind for command in new.commands(1000)] == ["exit"]
        assert list(old.commands(50)) == []
        for socket in (hub, old, new):
            socket.close()
        context.destroy(linger=0)
