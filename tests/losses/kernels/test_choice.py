"""Where the losses take kernels: found out once, and said."""

import subprocess

import pytest
import torch
from lattices import draw

from asrlib import backend
from asrlib.losses.kernels import choice
from asrlib.losses.rnnt import rnnt_loss

pytestmark = pytest.mark.usefixtures("seed")


@pytest.mark.parametrize(
    "error", [RuntimeError("Failed to find C compiler."), OSError("no gcc"), subprocess.SubprocessError("1")]
)
def test_without_a_compiler_triton_is_left_out_with_a_warning(monkeypatch, error):
    logits, *rest = draw()

    def trial(device):
        raise error

    monkeypatch.setattr(choice, "runs_kernels", lambda x, U1: False)
    expected = rnnt_loss(logits, *rest, blank=0)
    monkeypatch.undo()
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(choice, "_trial", trial)
    with pytest.warns(
        UserWarning, match=f"Triton cannot compile .* \\({error}\\): using a slower implementation"
    ):
        torch.testing.assert_close(rnnt_loss(logits, *rest, blank=0), expected)
    assert rnnt_loss(logits, *rest, blank=0) == expected  # said once


def test_a_row_longer_than_a_program_holds_is_not_for_kernels(monkeypatch):
    monkeypatch.setattr(backend, "runs_triton", lambda device, trial: True)
    x = torch.zeros(())
    assert choice.runs_kernels(x, choice.LONGEST_ROW) and not choice.runs_kernels(x, choice.LONGEST_ROW + 1)
