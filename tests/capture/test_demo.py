"""The embedded clip's place inside the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from biopose_live.capture import demo
from biopose_live.errors import UserError


def test_the_clip_is_found_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "assets" / "demo" / "demo.mp4"
    clip.parent.mkdir(parents=True)
    clip.touch()
    monkeypatch.setattr(demo, "files", lambda package: tmp_path)
    assert demo.demo_clip() == clip


def test_an_installation_without_the_clip_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "files", lambda package: tmp_path)
    with pytest.raises(UserError, match="missing from this installation"):
        demo.demo_clip()
