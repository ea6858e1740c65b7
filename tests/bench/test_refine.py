"""The refinement benchmark: its rows, on a tiny network."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import torch

import refine as bench
from biopose_live.mqhmr.network.architecture import Architecture

TINY = Architecture(
    height=32, width=16, depth=1, embed=16, vit_heads=2, scales=(1, 2), queries=4, width_model=16, layers=1, heads=2,
    points=2, feed=16,
)  # fmt: skip
SHAPES = ((2, 1), (4, 2))


def test_rows_of_a_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"projection": 1.0, "first": 2.0, "projected 1": 5.0, "all 1": 6.0, "projected 5": 17.0, "all 5": 18.0}
    ran = []

    def made_up_times(codes: dict, device: str, runs: int) -> dict[str, float]:
        for name, code in codes.items():
            code()
            ran.append(name)
        return times

    monkeypatch.setattr(bench, "medians_ms", made_up_times)
    rows = bench.decoder_rows("tiny", TINY, SHAPES, 2, (1, 5), "cpu", 1)
    assert ran == list(times)
    assert [(row["part"], row["iterations"], row["ms"]) for row in rows] == [
        ("projection", 0, 1.0), ("decoder", 0, 2.0), ("refinement", 1, 3.0), ("all", 1, 6.0), ("refinement", 5, 15.0),
        ("all", 5, 18.0),
    ]  # fmt: skip
    assert {(row["decoder"], row["people"], row["queries"], row["tokens"], row["way"]) for row in rows} == {
        ("tiny", 2, 4, 10, "eager")
    }


def test_a_row_of_an_encoder() -> None:
    row = bench.encoder_row("tiny", TINY, 1, "cpu", 1)
    assert (row["part"], row["dtype"]) == ("encoder", "bfloat16")
    assert row["ms"] > 0


def test_the_large_decoder_samples_the_papers_pyramid() -> None:
    a = bench.vit_h()
    grid = (a.height // 16, a.width // 16)
    assert tuple((scale * grid[0], scale * grid[1]) for scale in a.scales) == bench.VIT_H_SHAPES
    assert msgspec.structs.replace(bench.decoder_alone(a), encoder="vit", map_channels=()) == a


def test_rows_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "LITE", TINY)
    monkeypatch.setattr(bench, "LITE_SHAPES", SHAPES)
    monkeypatch.setattr(bench, "vit_h", lambda: TINY)
    monkeypatch.setattr(bench, "VIT_H_SHAPES", SHAPES)
    threads = torch.get_num_threads()
    bench.main(["--device", "cpu", "--quick", "--json", str(tmp_path / "rows.json")])
    torch.set_num_threads(threads)
    data = json.loads((tmp_path / "rows.json").read_text())
    assert (data["bench"], data["device"], data["runs"]) == ("refine", "cpu", 3)
    assert [row["decoder"] for row in data["rows"]] == ["lite"] * 6 + ["vit_h"] * 6
    assert data["not_run"]
    assert "Not run: encoder, graph" in capsys.readouterr().out


def test_a_missing_gpu_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="none was found; run with --device cpu"):
        bench.main(["--device", "cuda"])


def test_wrong_runs() -> None:
    with pytest.raises(SystemExit) as end:
        bench.parse(["--runs", "0"])
    assert end.value.code == 2
