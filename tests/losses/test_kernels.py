"""The Triton kernels against the PyTorch path: on a GPU, or through the interpreter; and compiled."""

import os
import subprocess
import sys

import lattices
import pytest
import torch

pytest.importorskip("triton")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
runs_kernels = pytest.mark.skipif(
    not INTERPRETED and DEVICE == "cpu", reason="needs a GPU, or TRITON_INTERPRET=1 from the start"
)
# numpy, under the interpreter, warns of the infinities that the recursion is made of
quiet = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def draw(B=3, T=5, U=4, V=7, **kwargs):
    torch.manual_seed(1)
    return lattices.draw(B, T, U, V, device=DEVICE, **kwargs)


def without_kernels(monkeypatch):
    from asrlib.losses import rnnt_lattice, rnnt_logits

    for module in rnnt_lattice, rnnt_logits:
        monkeypatch.setattr(module, "transducer_kernels", lambda x: None)


def both_ways(monkeypatch, logits, *rest, **kwargs):
    from asrlib.losses.rnnt import rnnt_loss

    results = []
    for switch_off in (lambda m: None, without_kernels):
        switch_off(monkeypatch)
        x = logits.detach().clone().requires_grad_()
        losses = rnnt_loss(x, *rest, reduction="none", **kwargs)
        weights = torch.arange(1, len(losses) + 1, device=losses.device)
        results.append((losses.detach(), torch.autograd.grad((losses * weights).sum(), x)[0]))
    return results


@runs_kernels
@quiet
@pytest.mark.parametrize("blank", [0, 3, 6])
def test_the_kernels_are_the_pytorch_path(monkeypatch, blank):
    kernels, plain = both_ways(monkeypatch, *draw(blank=blank), blank=blank)
    torch.testing.assert_close(kernels, plain, rtol=0, atol=1e-10)


@runs_kernels
@quiet
@pytest.mark.parametrize("shape", [(1, 1, 0, 2), (2, 1, 3, 3), (1, 4, 0, 5), (2, 3, 2, 1030)])
def test_odd_shapes(monkeypatch, shape):
    kernels, plain = both_ways(monkeypatch, *draw(*shape), blank=0)
    torch.testing.assert_close(kernels, plain, rtol=0, atol=1e-10)


@runs_kernels
@quiet
def test_clamp(monkeypatch):
    kernels, plain = both_ways(monkeypatch, *draw(), blank=0, clamp=0.05)
    # the bound itself reaches the kernel as a float32
    torch.testing.assert_close(kernels, plain, rtol=0, atol=1e-7)


@runs_kernels
@quiet
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_dtype(monkeypatch, dtype):
    if INTERPRETED and dtype == torch.bfloat16:
        pytest.skip("numpy has no bfloat16")
    (loss, grad), (plain_loss, plain_grad) = both_ways(monkeypatch, *draw(dtype=dtype), blank=0)
    assert grad.dtype == dtype and loss.dtype == torch.float32
    torch.testing.assert_close(loss, plain_loss, rtol=1e-6, atol=0)
    torch.testing.assert_close(grad, plain_grad, rtol=1e-2 if dtype.itemsize == 2 else 1e-5, atol=1e-6)


@runs_kernels
@quiet
def test_nan_in_the_padding_stays_there_and_in_a_logit_is_named(monkeypatch):
    from asrlib.losses.rnnt import rnnt_loss

    logits, targets, T_b, U_b = draw()
    T_b[1], U_b[1] = 3, 2
    expected = rnnt_loss(logits, targets, T_b, U_b, blank=0)
    logits[1, 3:] = torch.nan
    logits[1, :, 3:] = torch.nan
    x = logits.clone().requires_grad_()
    loss = rnnt_loss(x, targets, T_b, U_b, blank=0)
    torch.testing.assert_close(loss.detach(), expected)
    assert torch.autograd.grad(loss, x)[0].isfinite().all()
    for value in float("nan"), float("inf"), -float("inf"):
        logits[0, 2, 1, 5] = value
        with pytest.raises(ValueError, match=r"logits\[0, 2, 1, 5\] is"):
            rnnt_loss(logits, targets, T_b, U_b, blank=0)


@runs_kernels
@quiet
def test_the_recursion_under_the_joint(monkeypatch):
    from asrlib.losses.joint import joint_rnnt_loss

    logits, targets, T_b, U_b = draw()
    encoder, prediction = torch.randn_like(logits[:, :, 0]), torch.randn_like(logits[:, 0])
    weight = torch.randn(7, 7, dtype=logits.dtype, device=DEVICE, requires_grad=True)
    results = []
    for switch_off in (lambda m: None, without_kernels):
        switch_off(monkeypatch)
        loss = joint_rnnt_loss(encoder, prediction, weight, None, targets, T_b, U_b)
        results.append((loss.detach(), torch.autograd.grad(loss, weight)[0]))
    torch.testing.assert_close(*results, rtol=0, atol=1e-10)


@pytest.mark.skipif(INTERPRETED or DEVICE == "cuda", reason="the tests above run as they are")
def test_through_the_interpreter():
    # the interpreter must be chosen before Triton is imported, hence a Python of its own
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.skipif(INTERPRETED, reason="the interpreter replaces the compiler")
@pytest.mark.skipif(sys.platform != "linux", reason="the compiler comes with Triton on Linux")
def test_the_kernels_compile_for_a_gpu():
    """What the interpreter cannot see: that the code compiles, for an old GPU and a newer one."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from asrlib.losses.kernels import rnnt

    pointers = {"log_blank", "log_label", "lse", "blank_flow", "label_flow", "scale"}
    types = {"logits": "*bf16", "grad": "*bf16", "nodes": "*fp64", "clamp": "fp32"}
    types |= {"labels": "*i64", "T_b": "*i64", "U_b": "*i64"} | dict.fromkeys(pointers, "*fp32")
    kernels = {
        rnnt._read_kernel: {"V": 1000, "BLOCK": 1024},
        rnnt._recursion_kernel: {"BLOCK": 256},
        rnnt._gradient_kernel: {"V": 1000, "CLAMPED": True, "BLOCK": 1024},
    }
    for kernel, constants in kernels.items():
        signature = {
            name: "constexpr" if name in constants else types.get(name, "i32") for name in kernel.arg_names
        }
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
        for capability in 75, 90:
            compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32))
            assert compiled.asm["cubin"]
