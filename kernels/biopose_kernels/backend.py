"""Which code computes deformable attention: numba on a CPU, Triton on a CUDA GPU, plain PyTorch anywhere else.

A choice is logged once, in one line; whatever is slower than it could be is a warning that says what to do.
`use_backend` overrules the choice for the whole process, for tests and benches.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType

import torch

log = logging.getLogger(__name__)

NAMES = ("reference", "cpu", "triton")
_forced: str | None = None


@dataclass(frozen=True)
class Choice:
    """A backend's name, its module (which has `forward` and `backward`), and the sentence that explains the choice."""

    name: str
    module: ModuleType
    sentence: str
    slower: bool = False


@contextmanager
def use_backend(name: str | None) -> Iterator[None]:
    """Within the block, in every thread of the process, `name` (one of NAMES) computes; None: the usual choice.

    Raises ValueError for an unknown name, and, at the first call, RuntimeError where that backend cannot run.
    """
    global _forced
    if name is not None and name not in NAMES:
        raise ValueError(f"The backend must be one of {', '.join(NAMES)}; found {name!r}.")
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


def backend_for(device: torch.device, dtype: torch.dtype) -> Choice:
    """The backend for values of this device and type; logs a choice when it is made for the first time."""
    return _decide(device.type, dtype, _forced)


@lru_cache(maxsize=64)
def _decide(device: str, dtype: torch.dtype, forced: str | None) -> Choice:
    choice = _demanded(device, dtype, forced) if forced else _usual(device, dtype)
    log.log(logging.WARNING if choice.slower else logging.INFO, "%s", choice.sentence)
    return choice


def _usual(device: str, dtype: torch.dtype) -> Choice:
    if device == "cpu":
        return _load("cpu", f"Deformable attention runs in numba on the CPU ({dtype}).")
    if device == "cuda" and dtype != torch.float64:
        try:
            return _load("triton", f"Deformable attention runs in Triton on the GPU ({dtype}).")
        except ImportError as missing:
            return _plain(f"on the GPU, slower than it could be, because Triton is missing ({missing}): install triton")
    return _plain(f"on {device} ({dtype}), for which there is no kernel")


def _demanded(device: str, dtype: torch.dtype, name: str) -> Choice:
    if name == "reference":
        return _load("reference", f"Deformable attention runs in plain PyTorch on {device} ({dtype}), as demanded.")
    if name == "cpu" and device != "cpu":
        raise RuntimeError(f"The cpu backend needs tensors on the CPU; found them on {device}: choose another backend.")
    try:
        choice = _load(name, f"Deformable attention runs in {name} on {device} ({dtype}), as demanded.")
    except ImportError as missing:
        raise RuntimeError(f"The {name} backend cannot be loaded ({missing}): install it or choose another.") from None
    if name == "triton" and dtype == torch.float64:
        raise RuntimeError("The triton backend computes in float32; found float64 values: use reference for those.")
    if name == "triton" and device == "cpu" and not choice.module.INTERPRETED:
        raise RuntimeError("The triton backend needs a GPU; to try it on the CPU set TRITON_INTERPRET=1.")
    return choice


def _plain(where: str) -> Choice:
    return _load("reference", f"Deformable attention runs in plain PyTorch {where}.", slower=True)


def _load(name: str, sentence: str, slower: bool = False) -> Choice:
    module = importlib.import_module(f"biopose_kernels.{'triton_kernel' if name == 'triton' else name}")
    return Choice(name, module, sentence, slower)
