"""Shared by the tests of Triton kernels: where kernels run, and what the compiler makes of them."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CAPABILITIES = (75, 80, 90)
# of tests that compare kernels with PyTorch: on a GPU, or on a CPU through Triton's interpreter
RUN = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not INTERPRETED and DEVICE.type == "cpu", reason="needs a GPU, or TRITON_INTERPRET=1 from the start"
    ),
    # numpy, under the interpreter, warns where a masked number overflows
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
on_gpu = [pytest.mark.gpu, pytest.mark.skipif(DEVICE.type == "cpu", reason="needs a GPU")]
on_cpu_alone = pytest.mark.skipif(INTERPRETED or DEVICE.type == "cuda", reason="the tests run as they are")
compiles = [
    pytest.mark.skipif(INTERPRETED, reason="the interpreter replaces the compiler"),
    pytest.mark.skipif(sys.platform != "linux", reason="the compiler comes with Triton on Linux"),
]


def run_interpreted(*paths: Path) -> None:
    """Run tests in a new Python process: the interpreter must be chosen before Triton is imported."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, paths)]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def compile_kernel(kernel, constants: dict, warps: int, types: dict[str, str], capability: int):
    """Compile a kernel for a GPU that need not be present. Pointers and widths are divisible by 16, as usual.

    types  of its arguments, such as "*bf16"; the others are integers
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature, attributes = {}, {}
    for place, name in enumerate(kernel.arg_names):
        signature[name] = "constexpr" if name in constants else types.get(name, "i32")
        if signature[name].startswith("*") or name in ("C", "D", "step"):
            attributes[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})


def spilled_bytes(compiled, capability: int) -> int:
    """Return the bytes that the assembler spills to memory for lack of registers."""
    import triton

    assembler = Path(triton.__file__).parent / "backends/nvidia/bin/ptxas"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(compiled.asm["ptx"])
        target = f"sm_{capability}" + ("a" if capability >= 90 else "")
        command = [assembler, "-v", f"-arch={target}", source, "-o", Path(folder) / "out"]
        log = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return int(re.search(r"(\d+) bytes spill stores", log)[1])
