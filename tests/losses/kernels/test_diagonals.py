"""α, β and flows by diagonals against the recursions of the textbook."""

import kernels
import lattices
import pytest
import torch
from kernels import DEVICE

pytest.importorskip("triton")

from asrlib.losses import rnnt_lattice  # noqa: E402
from asrlib.losses.kernels import choice, diagonals  # noqa: E402
from asrlib.losses.pruned import simple_rnnt_loss  # noqa: E402
from asrlib.losses.textbook import rnnt_alphas, rnnt_betas  # noqa: E402

pytestmark = [*kernels.RUN, pytest.mark.usefixtures("seed")]


def scores(B=3, T=5, U=4):
    _, targets, T_b, U_b = lattices.draw(B, T, U, 3)
    log_blank, log_label = torch.randn(2, B, T, U + 1, dtype=torch.float64)
    return log_blank.to(DEVICE), log_label.to(DEVICE), T_b.to(DEVICE), U_b.to(DEVICE)


def test_skewed():
    x = diagonals.skewed(torch.empty(0), 2, 3, 4, torch.float32)
    x.copy_(torch.arange(24).view(2, 3, 4))
    assert x.flatten().tolist() == list(range(24)) and x.stride() == (24, 4, 5)


@pytest.mark.parametrize("by_diagonals", [True, False])
def test_nodes_are_the_textbooks(by_diagonals):
    *lattice, T_b, U_b = scores()
    if by_diagonals:
        lattice = [diagonals.skewed(x, *x.shape, x.dtype).copy_(x) for x in lattice]
    nodes, log_p = diagonals.sweep(*lattice, T_b, U_b, turned=True)
    for b, (T, U) in enumerate(zip(T_b.tolist(), U_b.tolist(), strict=True)):
        own = lattice[0][b, :T, : U + 1].cpu(), lattice[1][b, :T, :U].cpu()
        for found, book in ((nodes[b], rnnt_alphas), (nodes[3 + b], rnnt_betas)):
            torch.testing.assert_close(found[:T, : U + 1].cpu(), book(*own), rtol=0, atol=1e-10)
        torch.testing.assert_close(log_p[b].cpu(), rnnt_betas(*own)[0, 0], rtol=0, atol=1e-10)


def test_flows(monkeypatch):
    log_blank, log_label, T_b, U_b = scores()
    padding = torch.arange(5, device=DEVICE)[:, None] >= T_b[:, None, None]
    found = diagonals.forward_backward(
        log_blank.masked_fill(padding, torch.nan), log_label.masked_fill(padding, torch.nan), T_b, U_b
    )
    targets = rnnt_lattice.RNNTTargets(torch.zeros(3, 5), T_b.cpu(), U_b.cpu(), None, 0)
    monkeypatch.setattr(choice, "runs_kernels", lambda x, U1: False)
    filled = targets.fill(log_blank.cpu(), log_label.cpu())
    expected = rnnt_lattice.forward_backward(*filled, T_b.cpu(), U_b.cpu())
    torch.testing.assert_close([x.cpu() for x in found], list(expected), rtol=0, atol=1e-10)


def test_the_recursion_of_the_pruned_loss(agree):
    (encoder, prediction, *_), *rest = lattices.joint_parts(D=4, B=2, T=3, U=2, V=4)
    agree(lambda *x: simple_rnnt_loss(*x, reduction="none")[0], [encoder, prediction], rest)
