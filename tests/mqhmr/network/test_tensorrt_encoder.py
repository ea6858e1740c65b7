"""What goes to TensorRT, and what is said where it cannot: with a stand-in for torch-tensorrt, and no GPU."""

from __future__ import annotations

import sys
import types
from importlib.metadata import PackageNotFoundError

import pytest
import torch

from biopose_live.mqhmr.network import tensorrt_cache, tensorrt_encoder
from biopose_live.mqhmr.network.device import Gpu
from biopose_live.mqhmr.network.frame import Frame
from biopose_live.mqhmr.network.half import halve
from biopose_live.mqhmr.network.model import save_network
from biopose_live.mqhmr.network.network_file import read_header
from biopose_live.mqhmr.network.tensorrt_cache import EngineError
from biopose_live.mqhmr.network.tensorrt_encoder import Encoder, build, build_missing, installed, key_for, load, sizes
from biopose_live.mqhmr.network.token_refinement import Refiner

GPU = Gpu(True, "NVIDIA RTX A4000", 16.8, (8, 6), present=True)
VERSIONS = {"torch-tensorrt": "2.13.0", "tensorrt": "11.0.0.114"}


@pytest.fixture
def path(network, tmp_path):
    save_network(network, tmp_path / "mine.safetensors")
    return tmp_path / "mine.safetensors"


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """torch_tensorrt as far as it is used; -> what it was asked for."""
    asked = []

    def convert(exported, *, arg_inputs):
        asked.append((exported, [tuple(x.shape) for x in arg_inputs]))
        return b"engine for %d" % len(arg_inputs[0])

    class Module:
        def __init__(self, **named):
            asked.append(named)
            if named["serialized_engine"] == b"bad":
                raise RuntimeError("Serialization assertion failed\nmore")

        def __call__(self, pictures):
            return (pictures + 1,)

    modules = {
        "torch_tensorrt": types.ModuleType("torch_tensorrt"),
        "torch_tensorrt.dynamo": types.SimpleNamespace(convert_exported_program_to_serialized_trt_engine=convert),
        "torch_tensorrt.dynamo.runtime": types.SimpleNamespace(TorchTensorRTModule=Module),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(tensorrt_encoder, "version", VERSIONS.__getitem__)
    monkeypatch.setattr(tensorrt_encoder, "find_gpu", lambda: GPU)
    monkeypatch.setattr(Frame, "cuda", lambda self: self)
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *size, device=None, **kind: zeros(*size, **kind))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return asked


def test_the_encoder_exports_whole_and_samples_no_grid(network):
    kind = torch.bfloat16
    halve(network, kind)
    frame = Frame(network, Refiner(1))
    picture = torch.randn(2, 3, 64, 48).to(kind)
    with torch.no_grad():
        exported = torch.export.export(Encoder(frame).eval(), (picture,))
        tokens = exported.module()(picture)
    torch.testing.assert_close(tokens, network.encode(picture).tokens.detach(), atol=1e-2, rtol=1e-2)
    names = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert names
    assert all(name.startswith("aten.") for name in names if "getitem" not in name)
    assert not any("grid_sampler" in name for name in names)
    (entry,) = (node for node in exported.graph.nodes if node.op == "placeholder" and node.name == "pictures")
    assert entry.name == "pictures"


def test_engines_are_built_once_kept_and_built_anew_when_stale(path, stand_in, monkeypatch):
    said = []
    build_missing(path, None, 3, said.append)
    assert [shapes for _, shapes in stand_in] == [[(1, 3, 64, 48)], [(3, 3, 64, 48)]]
    assert [line for line in said if line.startswith("Building")] == [
        "Building the TensorRT engine for 1 at a time (none has been built yet): some minutes, once.",
        "Building the TensorRT engine for 3 at a time (none has been built yet): some minutes, once.",
    ]
    key = key_for(tensorrt_cache.fingerprint(path), read_header(path), 3, GPU)
    assert tensorrt_cache.read(key) == b"engine for 3"
    build_missing(path, None, 3, said.append)
    assert len(stand_in) == 2
    monkeypatch.setattr(tensorrt_encoder, "find_gpu", lambda: Gpu(True, "NVIDIA H200", 141.0, (9, 0), present=True))
    build_missing(path, None, 1, said.append)
    assert len(stand_in) == 3
    assert "was built for gpu NVIDIA RTX A4000, here it is NVIDIA H200" in said[-2]


def test_an_engine_runs_under_the_names_it_was_built_with(stand_in):
    run = load(b"engine")
    torch.testing.assert_close(run(torch.tensor([1.0])), torch.tensor([2.0]))
    assert stand_in[-1]["input_binding_names"] == ["pictures"]
    assert stand_in[-1]["output_binding_names"] == ["output0"]
    with pytest.raises(EngineError, match=r"does not take it \(Serialization assertion failed\)"):
        load(b"bad")


def test_a_build_that_fails_is_a_clause(network, stand_in, monkeypatch):
    def fails(*_, **__):
        raise ValueError("no converter for aten.gelu\nmore")

    monkeypatch.setattr(
        sys.modules["torch_tensorrt.dynamo"], "convert_exported_program_to_serialized_trt_engine", fails
    )
    with pytest.raises(EngineError, match=r"cannot build it \(no converter for aten.gelu\)"):
        build(Frame(network, Refiner(1)), 1)


def test_why_torch_tensorrt_cannot_be_used(monkeypatch, path):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(tensorrt_encoder, "version", missing)
    assert installed() == "torch-tensorrt is not installed (pip install 'biopose-live[tensorrt]')"
    with pytest.raises(EngineError, match="is not installed"):
        key_for("0", read_header(path), 1, GPU)

    def broken(name):
        raise OSError("libnvinfer.so.11: cannot open shared object file\nmore")

    monkeypatch.setattr(tensorrt_encoder, "version", VERSIONS.__getitem__)
    monkeypatch.setattr(tensorrt_encoder, "import_module", broken)
    assert installed() == "torch-tensorrt does not load (libnvinfer.so.11: cannot open shared object file)"
    monkeypatch.setattr(tensorrt_encoder, "find_gpu", lambda: Gpu(False, reason="no NVIDIA driver was found"))
    with pytest.raises(EngineError, match="no NVIDIA driver was found"):
        build_missing(path, None, 1, print)


def test_few_sizes():
    assert sizes(1) == (1,)
    assert sizes(4) == (1, 4)
