"""Whether kernels run here is found out once, and said."""

import types

import pytest
import torch
from lattices import draw

import asrlib.losses.kernels
from asrlib.losses.kernels.choice import kernels_work
from asrlib.losses.rnnt import rnnt_loss

pytestmark = pytest.mark.usefixtures("seed")


@pytest.mark.parametrize("error", [RuntimeError("Failed to find C compiler."), OSError("no gcc")])
def test_without_a_compiler_triton_is_left_out_with_a_warning(monkeypatch, error):
    logits, *rest = draw()
    expected = rnnt_loss(logits, *rest, blank=0)

    def sweep(*_, **__):
        raise error

    kernels = types.ModuleType("asrlib.losses.kernels.rnnt")
    kernels.sweep = sweep
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(asrlib.losses.kernels, "rnnt", kernels, raising=False)
    kernels_work.cache_clear()
    with pytest.warns(UserWarning, match=f"Triton cannot compile .* \\({error}\\): a slower way is taken"):
        torch.testing.assert_close(rnnt_loss(logits, *rest, blank=0), expected)
    assert rnnt_loss(logits, *rest, blank=0) == expected  # said once
