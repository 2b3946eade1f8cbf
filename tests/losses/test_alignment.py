"""The best path against all paths, torchaudio, and a path that was planted."""

import math
import warnings

import pytest
import torch
from lattices import draw, draw_ctc, feasible

from asrlib.losses.alignment import ctc_align, rnnt_align
from asrlib.losses.textbook import collapse, ctc_brute_force, rnnt_brute_force, rnnt_scores

pytestmark = pytest.mark.usefixtures("seed")


def test_ctc_align_finds_the_best_of_all_paths():
    logits, targets, T_b, U_b = draw_ctc(B=8)
    T_b = feasible(targets, T_b, U_b)
    log_probs = logits.log_softmax(-1)
    for b, best in enumerate(ctc_align(log_probs, targets, T_b, U_b)):
        T, U = int(T_b[b]), int(U_b[b])
        target = targets[b, :U]
        # at a low temperature the sum over all paths is its largest term
        cold = ctc_brute_force(log_probs[:T, b] * 1e4, target) / 1e4
        assert best.score == pytest.approx(float(cold), abs=1e-3)
        shown = torch.zeros(2 * U + 1, dtype=torch.long)
        shown[1::2] = target
        symbols = shown[best.path]
        assert collapse(symbols.tolist()) == target.tolist()
        assert float(log_probs[torch.arange(T), b, symbols].sum()) == pytest.approx(best.score)
        for u, (start, end) in enumerate(zip(best.starts.tolist(), best.ends.tolist(), strict=True)):
            assert (best.path[start:end] == 2 * u + 1).all()
            assert float(best.scores[u]) == pytest.approx(float(log_probs[start:end, b, target[u]].mean()))


def test_ctc_align_is_torchaudios():
    log_probs = torch.randn(50, 12).log_softmax(-1)
    target = torch.randint(1, 12, (15,))
    with warnings.catch_warnings():
        # torchaudio announces the end of its aligner; as a witness it still serves
        warnings.filterwarnings("ignore", module="torchaudio")
        from torchaudio.functional import forced_align

        symbols, scores = forced_align(log_probs[None], target[None], blank=0)
    best = ctc_align(log_probs, target)
    assert best.score == pytest.approx(float(scores.sum()), rel=1e-5)
    shown = torch.zeros(31, dtype=torch.long)
    shown[1::2] = target
    assert shown[best.path].tolist() == symbols[0].tolist()


def test_ctc_align_without_a_path_and_without_labels():
    log_probs = torch.randn(2, 4).log_softmax(-1)
    none = ctc_align(log_probs, torch.tensor([1, 1]))
    assert none.score == -math.inf and len(none.path) == 0 and none.starts.tolist() == [-1, -1]
    empty = ctc_align(log_probs, torch.empty(0, dtype=torch.long))
    assert empty.path.tolist() == [0, 0] and len(empty.starts) == 0
    assert empty.score == pytest.approx(float(log_probs[:, 0].sum()))


def test_rnnt_align_finds_the_best_of_all_paths():
    logits, targets, T_b, U_b = draw(B=6)
    for b, best in enumerate(rnnt_align(logits, targets, T_b, U_b, blank=0)):
        T, U = int(T_b[b]), int(U_b[b])
        log_blank, log_label = rnnt_scores(logits[b, :T, : U + 1], targets[b, :U], 0)
        # at a low temperature the sum over all paths is its largest term
        cold = rnnt_brute_force(log_blank * 1e4, log_label * 1e4) / 1e4
        assert best.score == pytest.approx(float(cold), abs=1e-3)
        u = torch.arange(U)
        torch.testing.assert_close(best.scores, log_label[best.starts, u])
        assert best.tokens.tolist() == targets[b, :U].tolist()
        assert best.path[0].tolist() == [0, 0] and best.path[-1].tolist() == [T, U]
        steps = best.path[:-1][best.path[1:, 0] > best.path[:-1, 0]]
        on_blank = log_blank[steps[:, 0], steps[:, 1]].sum()
        assert float(best.scores.sum() + on_blank) == pytest.approx(best.score)
        assert (best.starts.diff() >= 0).all() and (best.ends == best.starts + 1).all()


def test_rnnt_align_follows_a_planted_path():
    V, frames, targets = 5, [1, 1, 4], torch.tensor([[2, 3, 2]])
    logits = torch.zeros(1, 6, 4, V)
    logits[..., 0] = 5
    for u, t in enumerate(frames):
        logits[0, t, u, targets[0, u]] = 10
    (found,) = rnnt_align(logits, targets, blank=0)
    assert found.starts.tolist() == frames


def test_rnnt_align_without_a_path():
    logits, targets, T_b, U_b = draw(B=1)
    (found,) = rnnt_align(logits, targets, T_b * 0, U_b, blank=0)
    assert found.score == -math.inf and len(found.path) == 0 and found.starts.tolist() == [-1] * 4
