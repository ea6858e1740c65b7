"""Which backend is chosen, that it is said once, and what is said when Triton is missing."""

from __future__ import annotations

import logging
import sys

import pytest
import torch

from biopose_kernels import backend, use_backend
from biopose_kernels.backend import backend_for

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _fresh_choices():
    backend._decide.cache_clear()
    yield
    backend._decide.cache_clear()


def test_numba_on_a_cpu_is_logged_once(caplog):
    with caplog.at_level(logging.INFO, "biopose_kernels"):
        for _ in range(3):
            assert backend_for(CPU, torch.float32).name == "cpu"
    assert [record.getMessage() for record in caplog.records] == [
        "Deformable attention runs in numba on the CPU (torch.float32)."
    ]


def test_missing_triton_is_one_sentence_and_plain_pytorch(caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "biopose_kernels.triton_kernel", raising=False)
    with caplog.at_level(logging.INFO, "biopose_kernels"):
        choice = backend_for(CUDA, torch.float16)
    assert choice.name == "reference"
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "Triton is missing" in record.getMessage()
    assert "install triton" in record.getMessage()


def test_triton_on_a_gpu_but_not_for_float64():
    pytest.importorskip("triton")
    assert backend_for(CUDA, torch.bfloat16).name == "triton"
    assert backend_for(CUDA, torch.float64).name == "reference"


def test_a_device_without_a_kernel_gets_plain_pytorch(caplog):
    assert backend_for(torch.device("mps"), torch.float32).name == "reference"
    assert "mps" in caplog.records[0].getMessage()


def test_a_demand_holds_within_its_block_only():
    with use_backend("reference"):
        assert backend_for(CPU, torch.float32).name == "reference"
        with use_backend(None):
            assert backend_for(CPU, torch.float32).name == "cpu"
        assert backend_for(CPU, torch.float32).name == "reference"
    assert backend_for(CPU, torch.float32).name == "cpu"


def test_unknown_backends_are_refused():
    with pytest.raises(ValueError, match="one of reference, cpu, triton; found 'cuda'"), use_backend("cuda"):
        pass


def test_demands_that_cannot_be_met(monkeypatch):
    with use_backend("cpu"), pytest.raises(RuntimeError, match="needs tensors on the CPU; found them on cuda"):
        backend_for(CUDA, torch.float32)
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "biopose_kernels.triton_kernel", raising=False)
    with use_backend("triton"), pytest.raises(RuntimeError, match="cannot be loaded"):
        backend_for(CPU, torch.float32)


def test_triton_on_a_cpu_names_the_interpreter():
    kernels = pytest.importorskip("biopose_kernels.triton_kernel", exc_type=ImportError)
    if kernels.INTERPRETED:
        pytest.skip("the interpreter is on")
    with use_backend("triton"), pytest.raises(RuntimeError, match="TRITON_INTERPRET=1"):
        backend_for(CPU, torch.float32)
    with use_backend("triton"), pytest.raises(RuntimeError, match="found float64 values"):
        backend_for(CUDA, torch.float64)
