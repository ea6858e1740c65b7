"""The A4000's prediction: its formula by hand, its parts, its calibration from made-up files, and that it says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import a4000_model as bench
from network_cost import Cost, Kernel


@pytest.fixture(scope="module")
def costs() -> dict[str, Cost]:
    return bench.network_costs(1, 5)


def test_a_kernel_by_hand() -> None:
    large = Kernel("product", "mm", 10**12, 10**6, 480)
    assert bench.kernel_us(large, bench.A4000) == pytest.approx(1e12 / (76.7e12 * 0.55) * 1e6)
    half_empty = Kernel("product", "mm", 10**12, 10**6, 72)  # one and a half rounds
    assert bench.kernel_us(half_empty, bench.A4000) == pytest.approx(1e12 / (76.7e12 * 0.55 * 0.75) * 1e6)
    copied = Kernel("small", "add", 0, 448 * 10**6, 1)
    assert bench.kernel_us(copied, bench.A4000) == pytest.approx(1e3 / 0.75)
    assert bench.kernel_us(Kernel("small", "add", 0, 100, 1), bench.A4000) == bench.ASSUMED.floor_us
    assert bench.kernel_us(Kernel("msda", "msda", 0, 100, 1), bench.A4000, msda_factor=2) == 2 * bench.ASSUMED.floor_us


def test_the_host_counts_without_a_graph() -> None:
    small = Kernel("small", "add", 0, 100, 1)
    cost = Cost([small] * 10, [small] * 4)
    assert bench.part_ms(cost, bench.A4000, "graph") == pytest.approx(4 * 2.5e-3)
    assert bench.part_ms(cost, bench.A4000, "compiled") == pytest.approx(4 * 6e-3)
    assert bench.part_ms(cost, bench.A4000, "eager") == pytest.approx(10 * 6e-3)


def test_the_parts_are_the_networks(costs: dict[str, Cost]) -> None:
    # ViT-H/16 at 256 x 192: 192 tokens through 32 blocks of 12 C^2 weights, and the attention itself.
    blocks = 32 * (2 * 192 * 12 * 1280**2 + 4 * 192**2 * 1280)
    assert blocks < costs["encoder"].operations < 1.15 * blocks
    # The projection of 64,704 tokens for six layers.
    assert costs["decoder"].operations > 6 * 2 * 64704 * 256**2
    layers = [kernel for kernel in costs["refinement"].fused if kernel.kind == "msda"]
    assert len(layers) == 5 * 6 * 2  # forward and frozen backward
    assert not any(kernel.name == "msda_backward" for kernel in layers)
    assert len(costs["refinement"].fused) == 5 * len(bench.network_costs(1, 1)["refinement"].fused)


def test_rows_are_marked_as_predicted(costs: dict[str, Cost]) -> None:
    rows = bench.predict(1, 5, {})
    assert [row["way"] for row in rows] == ["graph", "compiled", "eager"]
    for row in rows:
        assert row["predicted"] is True
        parts = sum(row[f"predicted_{part}_ms"] for part in bench.PARTS)
        assert row["predicted_network_ms"] == pytest.approx(parts + 0.05, abs=0.02)
        assert row["predicted_frame_ms"] == pytest.approx(row["predicted_network_ms"] + row["neurik_cpu_ms"], abs=0.02)
    graph, compiled, eager = (row["predicted_frame_ms"] for row in rows)
    assert graph < compiled < eager


def written(path: Path, bench_name: str, device: str, rows: list[dict[str, object]]) -> Path:
    path.write_text(json.dumps({"bench": bench_name, "device": device, "rows": rows}))
    return path


def test_calibration_multiplies_what_was_measured(tmp_path: Path, costs: dict[str, Cost]) -> None:
    row = {"shape": "biopose", "pass": "forward", "dtype": "float16", "people": 1, "queries": 96, "levels": [[64, 48]]}
    attention = written(tmp_path / "msda.json", "msda", "NVIDIA H100 80GB HBM3", [
        row | {"pass": which, "ours_ms": 3e-3 * bench.msda_us(row | {"pass": which}, bench.GPUS["H100"])}
        for which in ("forward", "frozen_backward", "backward")
    ])  # fmt: skip
    predicted = bench.part_ms(costs["refinement"], bench.GPUS["H200"], "eager")
    steps = written(tmp_path / "refine.json", "refine", "NVIDIA H200", [
        {"decoder": "vit_h", "people": 1, "iterations": 5, "part": "refinement", "way": "eager", "ms": 1.5 * predicted},
        {"decoder": "lite", "people": 1, "iterations": 5, "part": "refinement", "way": "eager", "ms": 7.0},
        {"decoder": "vit_h", "people": 1, "iterations": 5, "part": "all", "way": "eager", "ms": 9.0},
    ])  # fmt: skip
    factors = bench.calibration([attention, steps])
    assert factors == pytest.approx({"msda": 3.0, "refinement": 1.5})
    plain, calibrated = bench.predict(1, 5, {})[0], bench.predict(1, 5, factors)[0]
    assert calibrated["predicted_encoder_ms"] == plain["predicted_encoder_ms"]
    assert calibrated["predicted_refinement_ms"] == pytest.approx(1.5 * plain["predicted_refinement_ms"], abs=0.02)
    assert calibrated["predicted_decoder_ms"] > plain["predicted_decoder_ms"]  # by its attention


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"bench": "msda", "device": "cpu", "rows": []}',
                                     '{"bench": "pipeline", "device": "NVIDIA H100", "rows": []}'])  # fmt: skip
def test_files_that_do_not_calibrate(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    assert bench.main(["--quick", "--measured", str(path)]) != 0
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(path) in said


def test_the_file_says_that_nothing_was_measured(
    tmp_path: Path, costs: dict[str, Cost], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["--quick", "--json", str(tmp_path / "a.json")]) == 0
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["predicted"] is True
    assert data["state"].startswith("uncalibrated")
    assert [row["part"] for row in data["counted"]] == list(bench.PARTS)
    assert len(data["rows"]) == 3
    said = capsys.readouterr().out
    assert "Predicted, not measured" in said
    assert "uncalibrated" in said


@pytest.mark.parametrize("arguments", [["--people", "x"], ["--people", "0"], ["--iterations", "0"], ["--nonsense"]])
def test_wrong_arguments(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        bench.parse(arguments)
    assert end.value.code == 2
