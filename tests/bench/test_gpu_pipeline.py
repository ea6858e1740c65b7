"""The whole-frame benchmark: its rows and sentences, on a tiny network on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import gpu_pipeline as bench
from biopose_live.mqhmr.network.architecture import Architecture
from biopose_live.mqhmr.network.device import Gpu
from biopose_live.mqhmr.network.tensorrt_cache import EngineError

TINY = Architecture(
    height=32, width=16, depth=1, embed=16, vit_heads=2, scales=(1, 2), queries=4, width_model=16, layers=1, heads=2,
    points=2, feed=16,
)  # fmt: skip


def test_rows_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "SMALL", TINY)
    threads = torch.get_num_threads()
    bench.main(["--device", "cpu", "--people", "1,2", "--iterations", "1", "--runs", "3", "--frames", "12",
                "--json", str(tmp_path / "rows.json")])  # fmt: skip
    torch.set_num_threads(threads)
    data = json.loads((tmp_path / "rows.json").read_text())
    assert (data["bench"], data["device"], data["iterations"]) == ("gpu_pipeline", "cpu", 1)
    assert [(row["part"], row["way"], row["people"], row["frames"]) for row in data["rows"]] == [
        ("neurik", "cpu", 1, 3), ("network", "eager", 1, 3), ("frame", "eager", 1, 3),
        ("neurik", "cpu", 2, 3), ("network", "eager", 2, 3), ("frame", "eager", 2, 3),
        ("budget", "eager", 1, 12),
    ]  # fmt: skip
    for row in data["rows"]:
        assert 0 < row["median_ms"] <= row["p95_ms"] + 1e-9 <= row["worst_ms"] + 1e-3
    assert data["rows"][2]["median_ms"] > data["rows"][1]["median_ms"]
    said = capsys.readouterr().out
    assert "a small encoder, K = 1" in said
    assert "The targets are for a GPU: not compared." in said
    assert "Not run: cuda-graph, tensorrt: they need --device cuda." in said


def test_figures_stand_beside_the_targets() -> None:
    def frame(way: str, people: int, median: float, p95: float) -> dict:
        return {"part": "frame", "way": way, "people": people, "median_ms": median, "p95_ms": p95}

    rows = [frame("eager", 1, 40.0, 50.0), frame("cuda-graph", 1, 5.0, 6.0)]
    rows.append({"part": "budget", "way": "cuda-graph", "frames": 9, "worst_over_median": 1.5, "memory_growth_kb": 0.0})
    assert bench.verdicts(rows, "cuda-graph") == [
        "1 people by cuda-graph: p95 6.00 ms, target 8.",
        "1 people: 8.0 times as fast as eager, target 5.",
        "9 frames by cuda-graph: the slowest took 1.50 times the median, target 2; memory grew by 0 kB.",
    ]


def test_an_engine_that_does_not_start_is_named_with_the_reason() -> None:
    def fails() -> bench.Engine:
        raise EngineError("TensorRT cannot build it (no converter)")

    missing: dict[str, str] = {}
    assert bench.started({"tensorrt": fails}, missing) == {}
    assert missing == {"tensorrt": "TensorRT cannot build it (no converter)"}


def test_a_missing_gpu_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "find_gpu", lambda: Gpu(False, reason="no NVIDIA driver was found"))
    with pytest.raises(SystemExit, match=r"needs a GPU .*\(no NVIDIA driver was found\); run with --device cpu"):
        bench.main(["--device", "cuda"])


@pytest.mark.parametrize("wrong", [["--people", "one"], ["--people", "0"], ["--frames", "-1"], ["--iterations", "-1"]])
def test_wrong_numbers(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        bench.parse(wrong)
    assert end.value.code == 2
