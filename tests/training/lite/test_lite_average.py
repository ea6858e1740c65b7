"""The mean of two trainings: every number halfway, and networks that do not belong together are refused."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from biopose_live.mqhmr.lite.network import LiteNetwork
from biopose_live.training.lite.average import main
from lite_made_up import SMALL, weights


def saved(path: Path, seed: int, layers: int = 2) -> Path:
    architecture = msgspec.structs.replace(SMALL, layers=layers)
    metadata = {"architecture": msgspec.json.encode(architecture).decode(), "settings": json.dumps({"seed": seed})}
    save_file(weights(seed, architecture), path, metadata)
    return path


def test_every_weight_is_halfway(tmp_path: Path) -> None:
    one, other, out = saved(tmp_path / "1.safetensors", 1), saved(tmp_path / "2.safetensors", 2), tmp_path / "mean"
    assert main([str(one), str(other), "--out", str(out)]) == 0
    first, second, mean = load_file(one), load_file(other), load_file(out)
    assert mean.keys() == first.keys()
    for name, tensor in mean.items():
        np.testing.assert_allclose(tensor, np.mean([first[name], second[name]], 0), rtol=1e-3, atol=1e-4)
    assert LiteNetwork.load(out).architecture == SMALL


@pytest.mark.parametrize(("second", "said"), [("small", "of different sizes"), ("missing", "missing was not found")])
def test_networks_that_do_not_belong_together_are_refused(
    tmp_path: Path, second: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "small", 1, layers=1)
    code = main([str(saved(tmp_path / "first", 1)), str(tmp_path / second), "--out", str(tmp_path / "mean")])
    assert code != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "mean").exists()
