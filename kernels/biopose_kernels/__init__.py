"""Multi-scale deformable attention as one PyTorch operator: the reference, and the kernels that are held against it.

`msda` is the operator, `MSDeformAttn` the layer around it, `use_backend` overrules which code runs. Usable alone: needs
torch, and numba on a CPU or triton on a GPU.
"""

from biopose_kernels.backend import use_backend
from biopose_kernels.module import MSDeformAttn
from biopose_kernels.op import msda

__all__ = ["MSDeformAttn", "msda", "use_backend"]
