"""The recursions as the papers write them, against the sum over all paths."""

import pytest
import torch
from lattices import draw

from asrlib.losses.ctc import ctc_posteriors
from asrlib.losses.rnnt import rnnt_posteriors
from asrlib.losses.textbook import (
    collapse,
    ctc_alphas,
    ctc_betas,
    ctc_brute_force,
    rnnt_alphas,
    rnnt_betas,
    rnnt_brute_force,
    rnnt_scores,
)

pytestmark = pytest.mark.usefixtures("seed")


@pytest.mark.parametrize("target", [[], [1], [1, 1], [1, 2, 1], [2, 2, 2]])
def test_alphas_and_betas_are_the_papers(target):
    log_probs = torch.randn(5, 3, dtype=torch.float64).log_softmax(-1)
    target = torch.tensor(target, dtype=torch.long)
    total = ctc_brute_force(log_probs, target)
    alpha, beta = ctc_alphas(log_probs, target), ctc_betas(log_probs, target)
    # eq. 8
    torch.testing.assert_close(alpha[-1, -2:].logsumexp(0), total)
    shown = torch.zeros(2 * len(target) + 1, dtype=torch.long)
    shown[1::2] = target
    gamma = (alpha + beta - log_probs[:, shown] - total).exp()
    # eq. 14: at every frame the states share one probability
    torch.testing.assert_close(gamma.sum(1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(ctc_posteriors(log_probs, target), gamma)


def test_collapse():
    assert collapse([0, 1, 1, 0, 1, 2, 2, 0]) == [1, 1, 2]
    assert collapse([3, 3, 3], blank=3) == []


def test_alphas_and_betas_meet_on_every_diagonal():
    logits, targets, _, _ = draw(B=1)
    log_blank, log_label = rnnt_scores(logits[0], targets[0], blank=0)
    alpha, beta = rnnt_alphas(log_blank, log_label), rnnt_betas(log_blank, log_label)
    total = rnnt_brute_force(log_blank, log_label)
    torch.testing.assert_close(alpha[-1, -1] + log_blank[-1, -1], total)
    torch.testing.assert_close(beta[0, 0], total)
    T, U1 = alpha.shape
    for n in range(T):
        diagonal = [alpha[n - u, u] + beta[n - u, u] for u in range(min(n + 1, U1))]
        torch.testing.assert_close(torch.stack(diagonal).logsumexp(0), total)
    gamma = rnnt_posteriors(logits, targets, blank=0)[0]
    torch.testing.assert_close(gamma, (alpha + beta - total).exp())
