"""Files of the image network are known by their header, and others refused in one sentence."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file
from safetensors.torch import load_file
from safetensors.torch import save_file as save_tensors

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.network.model import load_network, save_network
from biopose_live.mqhmr.network.network_file import check_live, read_header


@pytest.fixture
def path(network, tmp_path):
    save_network(network, tmp_path / "network.safetensors")
    return tmp_path / "network.safetensors"


def refused(code, path) -> str:
    with pytest.raises(UserError) as caught:
        code(path)
    assert caught.value.exit_code == EXIT_MODEL
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(path, tiny, tensors=None, **sizes):
    """The same file with other tensors, or of other sizes as it says."""
    tensors = load_file(path) if tensors is None else tensors
    save_tensors(tensors, path, {"architecture": json.dumps({**json.loads(msgspec_json(tiny)), **sizes})})


def msgspec_json(tiny) -> bytes:
    import msgspec

    return msgspec.json.encode(tiny)


def test_a_header_says_what_the_network_is(path, tiny, network):
    header = check_live(path)
    assert header.architecture == tiny
    assert set(header.shapes) == set(network.state_dict())
    assert "ViT of 2 layers at 48 x 64 px, 10 query tokens" in header.described


def test_it_needs_no_pytorch(path):
    import subprocess

    code = "import sys; from biopose_live.mqhmr.network.network_file import check_live; from pathlib import Path; "
    code += f"check_live(Path({str(path)!r})); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_damaged_and_foreign_files(path, tmp_path):
    assert "There is no network" in refused(read_header, tmp_path / "none.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "no file of the image network" in refused(check_live, path)
    path.write_bytes(b"")
    assert "no file of the image network" in refused(check_live, path)
    save_file({"weight": np.zeros(3)}, path)
    assert "does not say its sizes" in refused(check_live, path)
    save_file({"weight": np.zeros(3)}, path, {"architecture": "{"})
    assert "no file of the image network" in refused(check_live, path)


def test_maps_and_missing_heads_do_for_no_live_run(path, tiny):
    tensors = load_file(path)
    changed(path, tiny, encoder="maps", map_channels=[4])
    assert "feature maps" in refused(check_live, path)
    changed(path, tiny, {k: v for k, v in tensors.items() if not k.startswith("heads.dense")})
    assert "has no heads for dense markers" in refused(check_live, path)
    assert "heads.dense.bias is missing, not (6,)" in refused(load_network, path)


def test_wrong_sizes_and_tensors(path, tiny):
    tensors = load_file(path)
    changed(path, tiny, version=9)
    assert "version is 9" in refused(read_header, path)
    changed(path, tiny, depth=10**9)  # a network of so many layers would never be made
    assert "does not hold the weights that it says" in refused(read_header, path)
    changed(path, tiny, queries=11)
    assert "query_start.anchor_logits is (10, 2), not (11, 2)" in refused(load_network, path)
    changed(path, tiny, {**tensors, "more": tensors["heads.slots"].clone()})
    assert "more is " in refused(load_network, path)
