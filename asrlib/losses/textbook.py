"""CTC and the transducer for a single utterance, written like the papers' equations (Lessons 06 and 07).

These functions are for reading, and are references for the tests of `losses.ctc` and `losses.rnnt`, where the
symbols are explained. CTC is Graves et al. 2006, the transducer is Graves 2012. All logarithms are natural.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.losses.recursion import NEG_INF


def ctc_alphas(
    log_probs: Float[Tensor, "T V"], targets: Int[Tensor, "U"], blank: int = 0
) -> Float[Tensor, "T 2*U+1"]:
    """Return α(t, s) of one utterance, Graves 2006 eq. 5-7 (Lesson 06)."""
    label, (T, _) = extended(targets, blank), log_probs.shape
    S = len(label)
    alpha = log_probs.new_full((T, S), NEG_INF)
    alpha[0, 0] = log_probs[0, blank]
    if S > 1:
        alpha[0, 1] = log_probs[0, label[1]]
    for t in range(1, T):
        for s in range(S):
            before = [alpha[t - 1, s]]
            if s >= 1:
                before.append(alpha[t - 1, s - 1])
            # a path may skip a blank, except between two equal labels, which would merge into one
            if s >= 2 and label[s] != blank and label[s] != label[s - 2]:
                before.append(alpha[t - 1, s - 2])
            alpha[t, s] = torch.stack(before).logsumexp(0) + log_probs[t, label[s]]
    return alpha


def ctc_betas(
    log_probs: Float[Tensor, "T V"], targets: Int[Tensor, "U"], blank: int = 0
) -> Float[Tensor, "T 2*U+1"]:
    """Return β(t, s) of one utterance, Graves 2006 eq. 9-11 (Lesson 06).

    It is α of the reversed utterance and the reversed target. As in the paper, both α(t, s) and β(t, s)
    include frame t: the paths through (t, s) have the log probability α + β - y(t, l'(s)).
    """
    return ctc_alphas(log_probs.flip(0), targets.flip(0), blank).flip(0, 1)


def ctc_brute_force(
    log_probs: Float[Tensor, "T V"], targets: Int[Tensor, "U"], blank: int = 0
) -> Float[Tensor, ""]:
    """Return ln p(l | x) by the definition, Graves 2006 eq. 2 and 3 (Lesson 06).

    This sums over those of all V**T paths that collapse to l, so it is for small T and V only. Returns -inf
    if there is no such path.
    """
    T, V = log_probs.shape
    wanted = targets.tolist()
    paths = [p for p in itertools.product(range(V), repeat=T) if collapse(p, blank) == wanted]
    if not paths:
        return log_probs.new_tensor(NEG_INF)
    frames = torch.arange(T, device=log_probs.device)
    scores = [log_probs[frames, torch.tensor(path, dtype=torch.long)].sum() for path in paths]
    return torch.stack(scores).logsumexp(0)


def collapse(path: Sequence[int], blank: int = 0) -> list[int]:
    """Merge runs of equal symbols, then drop blanks: the map B of Graves 2006, section 3.1 (Lesson 06)."""
    return [symbol for symbol, _ in itertools.groupby(path) if symbol != blank]


def rnnt_scores(
    logits: Float[Tensor, "T U1 V"], targets: Int[Tensor, "U"], blank: int = -1
) -> tuple[Float[Tensor, "T U1"], Float[Tensor, "T U"]]:
    """Return ∅(t, u) and y(t, u) of one utterance, Graves 2012 eq. 12-15 (Lesson 07).

    The transducer loss depends on the logits only through these.
    """
    log_p = logits.log_softmax(-1)
    u = torch.arange(len(targets), device=targets.device)
    return log_p[..., blank], log_p[:, u, targets.long()]


def rnnt_alphas(log_blank: Float[Tensor, "T U1"], log_label: Float[Tensor, "T U"]) -> Float[Tensor, "T U1"]:
    """Return α(t, u) of one utterance, Graves 2012 eq. 16 (Lesson 07).

    ln Pr(y | x) is α(T-1, U) + ∅(T-1, U) (eq. 17).
    """
    T, U1 = log_blank.shape
    alpha = log_blank.new_full((T, U1), NEG_INF)
    alpha[0, 0] = 0
    for t, u in itertools.product(range(T), range(U1)):
        ways = [alpha[t, u]]
        if t > 0:
            ways.append(alpha[t - 1, u] + log_blank[t - 1, u])
        if u > 0:
            ways.append(alpha[t, u - 1] + log_label[t, u - 1])
        alpha[t, u] = torch.stack(ways).logsumexp(0)
    return alpha


def rnnt_betas(log_blank: Float[Tensor, "T U1"], log_label: Float[Tensor, "T U"]) -> Float[Tensor, "T U1"]:
    """Return β(t, u) of one utterance, Graves 2012 eq. 18 (Lesson 07).

    ln Pr(y | x) is β(0, 0).
    """
    T, U1 = log_blank.shape
    beta = log_blank.new_full((T, U1), NEG_INF)
    beta[-1, -1] = log_blank[-1, -1]
    for t, u in itertools.product(reversed(range(T)), reversed(range(U1))):
        ways = [beta[t, u]]
        if t < T - 1:
            ways.append(beta[t + 1, u] + log_blank[t, u])
        if u < U1 - 1:
            ways.append(beta[t, u + 1] + log_label[t, u])
        beta[t, u] = torch.stack(ways).logsumexp(0)
    return beta


def rnnt_brute_force(log_blank: Float[Tensor, "T U1"], log_label: Float[Tensor, "T U"]) -> Float[Tensor, ""]:
    """Return ln Pr(y | x) by the definition, a sum over all paths: Graves 2012 eq. 1 (Lesson 07).

    There are (T-1+U choose U) paths, so it is for small lattices only.
    """
    T, U = log_label.shape
    paths = []
    # the last step is a blank; the labels are emitted at any U of the T-1+U steps before it
    for emitting in itertools.combinations(range(T - 1 + U), U):
        t = u = 0
        path = log_blank[T - 1, U]
        for step in range(T - 1 + U):
            if step in emitting:
                path, u = path + log_label[t, u], u + 1
            else:
                path, t = path + log_blank[t, u], t + 1
        paths.append(path)
    return torch.stack(paths).logsumexp(0)


def extended(targets: Int[Tensor, "*batch U"], blank: int) -> Int[Tensor, "*batch 2*U+1"]:
    """Return l', the target with blanks before, between and after its labels."""
    extended = targets.new_full((*targets.shape[:-1], 2 * targets.shape[-1] + 1), blank)
    extended[..., 1::2] = targets
    return extended
