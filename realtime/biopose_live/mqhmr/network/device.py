"""Whether this machine's GPU can be used, and if not, why: in words of one sentence that end in what to do.

PyTorch is asked and nothing is believed: a card that is listed may still be too old for PyTorch's kernels, or full, so
a first addition is made on it.
"""

from __future__ import annotations

import re
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from biopose_live.settings import Device

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Gpu:
    """name, memory_gb, capability (8, 6): of a GPU that works.  Else usable is False, reason says why in a clause, cure
    what to do ("" where nothing helps), and present whether there seems to be an NVIDIA card at all."""

    usable: bool
    name: str = ""
    memory_gb: float = 0.0
    capability: tuple[int, int] = (0, 0)
    present: bool = False
    reason: str = ""
    cure: str = ""


@dataclass(frozen=True)
class Place:
    """device: where the network runs; told: that, for people; complaint: a sentence where it is not what was wished
    for, else ""."""

    device: str
    told: str
    complaint: str = ""


def find_gpu() -> Gpu:
    """Asks PyTorch; takes a second or two where there is a GPU."""
    present = NVIDIA_DRIVER.exists() or shutil.which("nvidia-smi") is not None
    if torch.version.cuda is None:
        return Gpu(
            False,
            present=present,
            reason=f"PyTorch {torch.__version__} is built for CPUs",
            cure="install a PyTorch that is built for CUDA",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it would warn of is raised by `init`
            torch.cuda.init()
        properties = torch.cuda.get_device_properties(0)
        (torch.ones(1, device="cuda") + 1).item()
    except (RuntimeError, AssertionError) as error:
        reason, cure = explained(str(error))
        return Gpu(False, present=present, reason=reason, cure=cure)
    capability = (properties.major, properties.minor)
    return Gpu(True, properties.name, properties.total_memory / 1e9, capability, present=True)


def explained(error: str) -> tuple[str, str]:
    """PyTorch's or CUDA's message -> a clause that says why, and what to do."""
    if found := re.search(r"driver on your system is too old \(found version (\d+)\)", error):
        number = int(found[1])
        knows = f"it knows CUDA {number // 1000}.{number % 1000 // 10}, PyTorch wants {torch.version.cuda}"
        return f"the NVIDIA driver is too old ({knows})", "update the driver, or install an older PyTorch"
    if "no NVIDIA driver" in error:
        return "no NVIDIA driver was found", ""
    if "no kernel image" in error:
        return "this PyTorch has no code for the GPU", "install a PyTorch that knows this GPU"
    if "out of memory" in error:
        return "the GPU's memory is full", "end what else uses it"
    first = (error.strip().splitlines() or ["it does not say why"])[0]
    return f"CUDA does not start ({first})", "look at what nvidia-smi says"


def place(wanted: Device, gpu: Gpu) -> Place:
    """Where to run."""
    if wanted != "cpu" and gpu.usable:
        return Place("cuda", f"{gpu.name} ({gpu.memory_gb:.0f} GB)")
    if wanted == "cpu" or (wanted == "auto" and not gpu.present):
        return Place("cpu", "the CPU")
    cure = f": {gpu.cure}" if gpu.cure else ""
    return Place(
        "cpu", "the CPU", f"The GPU cannot be used because {gpu.reason}, so the network runs on the CPU{cure}."
    )


def half_kind(gpu: Gpu) -> torch.dtype:
    """The 16-bit type that the GPU is fast in: bfloat16, whose range is float32's, from Ampere on."""
    return torch.bfloat16 if gpu.capability >= (8, 0) else torch.float16
