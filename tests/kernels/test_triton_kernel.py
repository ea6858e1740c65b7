"""The Triton kernels without a GPU: interpreted against grid_sample, and compiled for the GPUs that are aimed at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

triton = pytest.importorskip("triton", reason="triton is not installed")
SIZES = {"H": 8, "D": 32, "P": 4}
INTEGERS = {"Q", "S", "image_step", "token_step", "head_step"}


@pytest.mark.skipif(INTERPRETED, reason="this is the interpreted run")
def test_interpreted_kernels_agree_with_grid_sample():
    # A process of its own, because Triton decides at import whether it interprets.
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(HERE / "test_agreement.py")],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
    assert re.search(r"\b[3-9][0-9] passed", run.stdout), run.stdout


def _compiled(kernel, capability, kind, **constants):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    constants = SIZES | constants
    pointers = {"levels": "*i32", "to_value": "*fp32"}
    signature = {
        name: "constexpr" if name in constants else "i32" if name in INTEGERS else pointers.get(name, f"*{kind}")
        for name in kernel.arg_names
    }
    values = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=values)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 1})


@pytest.mark.skipif(INTERPRETED, reason="interpreted kernels cannot be compiled")
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.parametrize("capability", [86, 90])
@pytest.mark.parametrize(("kind", "levels"), [("fp32", 4), ("fp16", 4), ("bf16", 4), ("fp16", 5)])
def test_compiles_for_the_gpus_aimed_at(capability, kind, levels):
    from biopose_kernels import triton_kernel

    tile_points, tile_channels, _ = triton_kernel._tile(levels * SIZES["P"], SIZES["D"])
    size = {"L": levels, "TILE_N": tile_points, "TILE_D": tile_channels}
    forward = _compiled(triton_kernel.forward_kernel, capability, kind, **size)
    frozen = _compiled(triton_kernel.backward_kernel, capability, kind, VALUE_GRADIENT=False, **size)
    full = _compiled(triton_kernel.backward_kernel, capability, kind, VALUE_GRADIENT=True, **size)
    for compiled in (forward, frozen, full):
        assert re.search(rf"^\.target sm_{capability}", compiled.asm["ptx"], re.MULTILINE)
        assert len(compiled.asm["cubin"]) > 1000

    def atomics(compiled):
        return re.findall(r"\b(?:atom|red)\.[\w.]*global", compiled.asm["ptx"])

    assert atomics(full)
    assert not atomics(frozen)
    assert not atomics(forward)
