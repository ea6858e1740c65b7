"""Why a GPU cannot be used is said in one sentence that ends in what to do."""

from __future__ import annotations

import types

import pytest
import torch

from biopose_live.mqhmr.network import device
from biopose_live.mqhmr.network.device import Gpu, explained, find_gpu, half_kind, place

OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading "
    "and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx"
)
NONE = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver"


def with_cuda(monkeypatch, error=None, adds=True):
    """torch as it is where it is built for CUDA."""

    def raising(*_):
        if error is not None:
            raise RuntimeError(error)

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", raising)
    properties = types.SimpleNamespace(name="NVIDIA RTX A4000", total_memory=16.8e9, major=8, minor=6)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    ones = torch.ones

    def made(*size, device=None):
        if not adds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")
        return ones(*size)

    monkeypatch.setattr(torch, "ones", made)


@pytest.mark.parametrize(
    ("error", "reason", "cure"),
    [
        (OLD, "too old (it knows CUDA 11.4, PyTorch wants 13.0)", "update the driver"),
        (NONE, "no NVIDIA driver was found", ""),
        ("CUDA error: no kernel image is available for execution on the device", "no code for the GPU", "install"),
        ("CUDA out of memory. Tried to allocate 2 MiB", "memory is full", "end what else"),
        (
            "CUDA error: unspecified launch failure\nSearch for",
            "(CUDA error: unspecified launch failure)",
            "nvidia-smi",
        ),
        ("", "does not say why", "nvidia-smi"),
    ],
)
def test_messages_become_clauses(monkeypatch, error, reason, cure):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    said, todo = explained(error)
    assert reason in said
    assert cure in todo
    assert "\n" not in said


def test_a_gpu_that_works(monkeypatch):
    with_cuda(monkeypatch)
    found = find_gpu()
    assert found == Gpu(True, "NVIDIA RTX A4000", 16.8, (8, 6), present=True)
    assert half_kind(found) == torch.bfloat16
    assert half_kind(Gpu(True, capability=(7, 5))) == torch.float16
    assert place("auto", found) == place("cuda", found)
    assert place("auto", found).device == "cuda"
    assert place("auto", found).told == "NVIDIA RTX A4000 (17 GB)"
    assert place("cpu", found).device == "cpu"
    assert place("cpu", found).complaint == ""


def test_a_gpu_that_does_not(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "NVIDIA_DRIVER", tmp_path)
    with_cuda(monkeypatch, error=OLD)
    assert "too old" in find_gpu().reason
    assert find_gpu().present
    with_cuda(monkeypatch, adds=False)
    assert "memory is full" in find_gpu().reason
    monkeypatch.setattr(torch.version, "cuda", None)
    found = find_gpu()
    assert "built for CPUs" in found.reason
    for wanted in ("auto", "cuda"):  # there is a card, so nobody should wonder why it is not used
        where = place(wanted, found)
        assert where.device == "cpu"
        assert "built for CPUs, so the network runs on the CPU: install" in where.complaint


def test_no_gpu_at_all_is_nothing_to_complain_of_unless_one_was_wished_for(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "NVIDIA_DRIVER", tmp_path / "none")
    monkeypatch.setattr(device.shutil, "which", lambda _: None)
    with_cuda(monkeypatch, error=NONE)
    assert place("auto", find_gpu()).complaint == ""
    assert place("cuda", find_gpu()).complaint == (
        "The GPU cannot be used because no NVIDIA driver was found, so the network runs on the CPU."
    )
