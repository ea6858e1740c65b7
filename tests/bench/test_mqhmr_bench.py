"""The tables of query tokens, feature maps and iterations, on made-up people with made-up weights: nothing is timed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import msgspec
import pytest
from safetensors.numpy import load_file, save_file

import mqhmr
from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.encoder_graph import STRIDES
from biopose_live.mqhmr.lite.architecture import Architecture
from biopose_live.mqhmr.lite.network import LiteNetwork
from biopose_live.mqhmr.lite.points import spread_markers
from biopose_live.training.lite.command import parse
from biopose_live.training.lite.shards import measure_scales, write_scales, write_shard
from lite_made_up import SMALL, Person, sample_of, weights
from mqhmr import Design


def write_weights(path: Path, architecture: Architecture, samples_seen: int = 80) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = json.dumps({"steps": 10, "batch": 8, "seed": 1, "samples_seen": samples_seen})
    metadata = {"architecture": msgspec.json.encode(architecture).decode(), "settings": settings}
    save_file(weights(0, architecture), path, metadata)


@pytest.fixture
def work(tmp_path: Path, body: BodyModel, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two people whose maps have strides 16, 32 and 64, and two trained designs: 30 tokens; stride 32 alone."""
    test = tmp_path / "test"
    test.mkdir()
    samples = [sample_of(Person(body, seed), seed) for seed in range(2)]
    steps = measure_scales(samples)
    write_scales(test, steps)
    write_shard(test, "000", samples, steps)
    shipped = tmp_path / "shipped.safetensors"
    write_weights(shipped, SMALL)
    load = LiteNetwork.load
    monkeypatch.setattr(mqhmr.LiteNetwork, "load", lambda path=None: load(path or shipped))
    monkeypatch.setattr(mqhmr, "QUERY_COUNTS", [Design(30), Design(40)])
    monkeypatch.setattr(mqhmr, "SCALES", [Design(scales=(32,)), Design(scales=())])
    variants = tmp_path / "variants"
    write_weights(variants / Design(30).file, msgspec.structs.replace(SMALL, markers=spread_markers(body, 6)))
    write_weights(variants / Design(scales=(32,)).file, msgspec.structs.replace(SMALL, levels=(SMALL.levels[1],)))
    write_weights(variants / Design(40).file, SMALL, samples_seen=24)  # stopped halfway: it does not count
    return tmp_path


def test_the_tables_and_their_figures(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = work / "deep" / "tables.json"
    assert mqhmr.main(["--work", str(work), "--quick", "--json", str(out)]) == 0
    said = capsys.readouterr().out
    for part in ("3: refinement steps", "4: query tokens", "5: feature maps", "AITI", "2 of 2 people"):
        assert part in said
    assert f"Not there: {Design(40).file}, {Design(scales=()).file}; --train makes them." in said
    assert "by 10 steps from seed 1" in said
    report = msgspec.json.decode(out.read_bytes(), type=mqhmr.Report)
    assert set(report.iterations) == {"off", "on"}
    assert set(report.iterations["on"]) == {"0", str(report.live_iterations)}
    (fewer,) = report.query_counts
    assert (fewer.queries, fewer.scales, fewer.training["samples_seen"]) == (30, [16, 32, 64], 80)
    (coarse,) = report.feature_scales
    assert (coarse.queries, coarse.scales) == (113, [32])
    stored = load_file(work / "variants" / Design(30).file)
    assert fewer.parameters == sum(tensor.size for tensor in stored.values())
    assert fewer.scores.network is not None
    assert report.keypoints_only.network is None


def test_without_people_it_says_how_to_make_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mqhmr.main(["--work", str(tmp_path)]) == 3
    told = capsys.readouterr().err
    assert "holds no rendered people to test on; make them with `biopose-train lite" in told
    assert told.count("\n") == 1


def test_networks_that_are_missing_are_trained_by_the_public_command(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 3 * (len(commands) > 1), "", "It holds no rendered samples.\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert mqhmr.main(["--work", str(work), "--train", "--steps", "9"]) == 3
    assert f"{Design(scales=()).file}: It holds no rendered samples." in capsys.readouterr().err
    given = [parse(command[command.index("lite") + 1 :]) for command in commands]
    assert [(g.queries, g.scales, g.out.name) for g in given] == [
        (40, STRIDES, Design(40).file), (113, (), Design(scales=()).file)
    ]  # fmt: skip
    assert all((g.steps, g.seed, g.resume, g.work) == (9, mqhmr.SEED, True, work) for g in given)


@pytest.mark.parametrize("wrong", [["--count", "0"], ["--steps", "0"]])
def test_numbers_that_make_no_sense_are_told(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        mqhmr.parse(["--work", "x", *wrong])
    assert " ".join(wrong) in capsys.readouterr().err
