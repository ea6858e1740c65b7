"""The engines' benchmark: every engine that is installed computes the same maps, and the report can be read back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

import encoders as bench
from machine import describe

PIXELS = np.random.default_rng(5).random((1, 256, 256, 3), np.float32)


@pytest.fixture(scope="module")
def names() -> list[str]:
    packages, _ = bench.installed()
    return bench.engines_of(packages)


def test_the_engine_in_use_is_there_and_weighed() -> None:
    packages, missing = bench.installed()
    (litert,) = [package for package in packages if package.package == "ai-edge-litert"]
    assert litert.licence == "Apache-2.0"
    assert 10 < litert.installed_mb < 500
    assert {"openvino", "onnxruntime"} <= {*missing, "onnx", *(package.package for package in packages)}


def test_a_missing_package_is_named_and_its_engines_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "is_installed", lambda package: package == "ai-edge-litert")
    packages, missing = bench.installed()
    assert missing == ["openvino", "onnxruntime", "onnx"]
    assert bench.engines_of(packages) == ["LiteRT", "LiteRT without XNNPACK"]


def test_every_engine_computes_the_same_maps(names: list[str]) -> None:
    rows = bench.rows_of("lite", bench.MAPS, 1, names, PIXELS, 0.0)
    assert [row.engine for row in rows] == names
    for row in rows:
        assert row.wall_ms > 0
        assert row.cpu_ms > 0
        assert row.error is not None
        if "bfloat16" not in row.engine:
            assert row.error < 2e-3


def test_the_whole_network_is_not_cut() -> None:
    whole, maps = (bench.network_of("lite", outputs) for outputs in (bench.WHOLE, bench.MAPS))
    assert len(bench.litert(whole, 1)(PIXELS)) == 5
    assert [m.shape[1] for m in bench.litert(maps, 1)(PIXELS)] == [64, 32, 16, 8]


def test_the_table_and_the_report(tmp_path: Path) -> None:
    rows = [
        bench.Row("LiteRT", "full", bench.MAPS, 1, 8.71, 8.52, 7.0, 0.0),
        bench.Row("ONNX Runtime", "full", bench.WHOLE, 2, 9.94, 17.33, 180.0, None),
    ]
    with (tmp_path / "table").open("w") as file:
        console = Console(width=140, record=True, file=file)
        console.print(bench.table(rows))
        text = console.export_text()
    for cell in ("LiteRT", "8.7", "8.5", "ONNX Runtime", "17.3", "180", "0.0e+00"):
        assert cell in text
    report = bench.Report(describe(), {"full": 8.9}, bench.installed()[0], ["openvino"], rows)
    assert msgspec.json.decode(msgspec.json.encode(report), type=bench.Report) == report
