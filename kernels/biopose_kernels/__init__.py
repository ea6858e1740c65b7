"""Multi-scale deformable attention: the reference, and the kernels that are held against it.

`msda` is the PyTorch operator, `MSDeformAttn` the layer around it, `use_backend` overrules which code runs; they need
torch, and numba on a CPU or triton on a GPU. `biopose_kernels.numpy_attention` is the forward pass for NumPy arrays; it
needs numba alone. Importing this package imports none of them: each is loaded when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from biopose_kernels.backend import use_backend
    from biopose_kernels.module import MSDeformAttn
    from biopose_kernels.op import msda

__all__ = ["MSDeformAttn", "msda", "use_backend"]

_HOME = {"MSDeformAttn": "module", "msda": "op", "use_backend": "backend"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
