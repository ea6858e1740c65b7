"""Before a run with a network of one's own: wrong files are refused, engines built, and what was built is told."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from biopose_live.cli import network as cli
from biopose_live.cli.main import main
from biopose_live.cli.status import destination
from biopose_live.errors import EXIT_MODEL
from biopose_live.mqhmr.network.architecture import Architecture
from biopose_live.mqhmr.network.model import MQHMR, save_network
from biopose_live.settings import Settings

TINY = Architecture(
    height=32, width=32, depth=1, embed=16, vit_heads=2, scales=(1,), queries=4, width_model=16, layers=1, heads=2,
    points=1, feed=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "mine.safetensors"
    save_network(MQHMR(TINY), path)
    return path


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_wrong_file_is_refused_before_anything_starts(tmp_path, capsys):
    assert main(["--demo", "--every-frame", "--publish", "off", "--network", str(tmp_path / "none")]) == EXIT_MODEL
    assert (
        capsys.readouterr().err == f"There is no network {tmp_path / 'none'}; give the path of its .safetensors file.\n"
    )


@pytest.mark.parametrize(("engine", "device", "builds"), [("auto", "auto", 0), ("tensorrt", "auto", 1)])
def test_engines_are_built_where_they_are_wished_for(path, console, monkeypatch, engine, device, builds):
    commands = []
    monkeypatch.setattr(cli, "watch", lambda _, command: commands.append(command))
    settings = Settings(demo=True, network=path, engine=engine, device=device, max_people=3).validate()
    cli.prepare(console, settings)
    assert "mine.safetensors: ViT of 1 layers" in console.file.getvalue()
    assert len(commands) == builds
    if builds:
        assert commands[0][-4:] == ["--network", str(path), "--max-people", "3"]
    assert "looks with mine.safetensors" in destination(settings)
    cli.prepare(console, Settings(demo=True))
    assert len(commands) == builds


def test_a_builder_that_fails_says_why(console):
    assert not cli.watch(console, python("import sys; print('noise', file=sys.stderr); sys.exit('no GPU was found')"))
    assert console.file.getvalue() == "TensorRT's engine was not built: no GPU was found.\n"
    assert not cli.watch(console, python("import sys; sys.exit(7)"))
    assert "it ended with code 7" in console.file.getvalue()


def test_while_it_builds_it_says_so(console, monkeypatch):
    monkeypatch.setattr(cli, "POLL_S", 0.01)
    monkeypatch.setattr(cli, "REPORT_S", 0.0)
    assert cli.watch(console, python("import time; time.sleep(0.2)"))
    assert "Still building TensorRT's engine" in console.file.getvalue()


def test_the_real_builder_ends_with_a_reason_here(path, console):
    """Without a GPU, or without torch-tensorrt: in one line."""
    pytest.importorskip("torch")
    if not cli.watch(console, [sys.executable, "-m", cli.BUILDER, "--network", str(path)]):
        (line,) = console.file.getvalue().splitlines()
        assert line.startswith("TensorRT's engine was not built: ")
