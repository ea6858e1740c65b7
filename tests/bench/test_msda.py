"""The deformable attention benchmark: contestants compute the same; rows, bytes and reasons are what they say."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import pytest
import torch

import msda as bench

SMALL = bench.Case("small", ((4, 3), (2, 2)), 5, people=2, heads=2, points=2, depth=8)


def test_grid_sample_computes_what_ours_does() -> None:
    inputs = bench.inputs_of(SMALL, "cpu", torch.float32)
    ours = bench.msda(inputs[0], SMALL.levels, *inputs[1:])
    torch.testing.assert_close(bench.grid_sample_attention(inputs[0], SMALL.levels, *inputs[1:]), ours)


def test_deformops_computes_what_ours_does() -> None:
    pytest.importorskip("deformops")
    inputs = bench.inputs_of(SMALL, "cpu", torch.float32)
    ours = bench.msda(inputs[0], SMALL.levels, *inputs[1:])
    torch.testing.assert_close(bench.DeformOps()(inputs[0], SMALL.levels, *inputs[1:]), ours, atol=1e-5, rtol=1e-5)


def test_a_contestant_that_computes_something_else_is_not_timed() -> None:
    inputs = bench.inputs_of(SMALL, "cpu", torch.float32)
    contestants = {"ours": bench.msda, "wrong": lambda *given: 1.01 * bench.grid_sample_attention(*given)}
    with pytest.raises(SystemExit, match=r"wrong and ours differ by 1\.0e-02"):
        bench.calls_for(SMALL, "forward", contestants, inputs)


def test_a_missing_peer_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **named: object) -> object:
        if name.startswith("deformops"):
            raise ImportError("No module named 'deformops'")
        return real(name, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(bench.shutil, "which", lambda name: None)
    found, missing = bench.contestants("cpu")
    assert list(found) == ["ours", "grid_sample"]
    assert set(missing) == {"compiled_reference", "deformops"}
    assert "pip install deformops" in missing["deformops"]


def test_bytes_by_hand() -> None:
    inputs = bench.inputs_of(SMALL, "cpu", torch.float32)
    values = 2 * 16 * 2 * 8 * 4
    small = (2 * 5 * 2 * 2 + 2 * 5 * 2 * 4 * 2 + 2 * 5 * 2 * 4) * 4
    output, gradients = 2 * 5 * 16 * 4, (2 * 5 * 2 * 4 * 2 + 2 * 5 * 2 * 4) * 4
    assert bench.bytes_moved(SMALL, "forward", inputs) == values + small + output
    assert bench.bytes_moved(SMALL, "frozen_backward", inputs) == values + small + output + gradients
    assert bench.bytes_moved(SMALL, "backward", inputs) == values + small + output + gradients + 2 * values
    few = bench.Case("few", ((40, 30),), 1, heads=2, points=2, depth=8)
    inputs = bench.inputs_of(few, "cpu", torch.float16)
    assert bench.bytes_moved(few, "forward", inputs) == (4 * 2 * 2 * 8 + 2 + 8 + 4 + 16) * 2  # only what is sampled


def test_the_shapes_of_the_field_are_there() -> None:
    queries = {(case.name, case.queries, case.people) for case in bench.FULL}
    assert {("biopose", 96, 1), ("biopose", 96, 8), ("detector_decoder", 300, 4)} <= queries
    assert any(case.queries == 19947 == case.tokens for case in bench.FULL)
    assert {len(case.levels) for case in bench.FULL} == {4, 5}


def test_rows_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    two = {"ours": bench.msda, "grid_sample": bench.grid_sample_attention}
    monkeypatch.setattr(bench, "contestants", lambda device: (two, {"other": "it is not installed"}))
    monkeypatch.setattr(bench, "QUICK", [SMALL])
    monkeypatch.setattr(bench, "copy_bandwidth", lambda device: 1e10)
    monkeypatch.setattr(bench, "medians_ms", lambda calls, *_: {name: 2.0 * (i + 1) for i, name in enumerate(calls)})
    threads = torch.get_num_threads()
    bench.main(["--device", "cpu", "--quick", "--json", str(tmp_path / "rows.json")])
    torch.set_num_threads(threads)
    written = json.loads((tmp_path / "rows.json").read_text())
    assert [row["pass"] for row in written["rows"]] == ["forward", "backward", "frozen_backward"]
    row = written["rows"][0]
    assert (row["shape"], row["dtype"], row["ours_ms"], row["grid_sample_ms"]) == ("small", "float32", 2.0, 4.0)
    assert row["bandwidth_share"] == pytest.approx(row["bytes_moved"] / 2e-3 / 1e10, abs=1e-4)
    assert written["not_run"] == {"other": "it is not installed"}
    assert {"date", "cpu", "versions"} <= set(written["machine"])
    said = capsys.readouterr().out
    assert "( 2.0x)" in said
    assert "Not run: other: it is not installed." in said


def test_a_missing_gpu_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="none was found; run with --device cpu"):
        bench.main(["--device", "cuda"])
