"""Greedy decoding against one-symbol-at-a-time searches, written out here from the definitions."""

import pytest
import torch
from searches import D, assert_same_path, naive_rnnt, random_transducer

from asrlib.decoding.greedy import greedy_ctc, greedy_rnnt
from asrlib.decoding.hypothesis import SearchResult
from asrlib.losses.rnnt import rnnt_loss

# ---- transducer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blank", [0, 4])
@pytest.mark.parametrize("max_symbols", [1, 2, 5])
@pytest.mark.parametrize("window", [1, 3, 8, 50])
@torch.no_grad()
def test_greedy_search_is_the_naive_search(blank, max_symbols, window):
    emitted = []
    for seed in range(3):
        model = random_transducer(seed, blank)
        frames, lengths = 2 * torch.randn(5, 20, D), torch.tensor([20, 13, 1, 0, 17])
        found = greedy_rnnt(model, frames, lengths, max_symbols, window)
        for path, row, length in zip(found, frames, lengths, strict=True):
            assert_same_path(path, naive_rnnt(model, row[:length], max_symbols))
            emitted += [sum(t == frame for t in path.frames) for frame in range(int(length))]
    assert max(emitted) == max_symbols and emitted.count(0) > 10  # the cases were not all alike


@torch.no_grad()
def test_an_utterance_alone_or_among_others_is_decoded_the_same():
    model = random_transducer(3)
    frames, lengths = 2 * torch.randn(6, 25, D), torch.tensor([25, 3, 12, 24, 9, 1])
    together = greedy_rnnt(model, frames, lengths)
    padded = greedy_rnnt(model, torch.cat([frames, 100 * torch.randn(6, 9, D)], dim=1), lengths)
    for path, in_padding, row, length in zip(together, padded, frames, lengths, strict=True):
        (alone,) = greedy_rnnt(model, row[None, :length], length[None])
        assert_same_path(path, alone)
        assert_same_path(in_padding, alone)


@torch.no_grad()
def test_the_score_is_the_log_probability_of_the_alignment():
    """Read off the lattice of the whole transcript: its labels, and a blank at every frame."""
    model = random_transducer(1)
    frames, T = 2 * torch.randn(1, 12, D), 12
    (path,) = greedy_rnnt(model, frames, torch.tensor([T]), max_symbols=2)
    targets, U = torch.tensor([path.labels]), len(path.labels)
    lattice = model.joint(frames[:, :, None], model.prediction(targets)[:, None])
    log_probs = lattice[0].log_softmax(-1)
    labels = log_probs[path.frames, range(U), path.labels].sum()
    blanks = sum(log_probs[t, sum(frame <= t for frame in path.frames), 0] for t in range(T))
    assert U > 3 and path.score == pytest.approx(float(labels + blanks), abs=1e-3)
    loss = rnnt_loss(lattice, targets, torch.tensor([T]), torch.tensor([U]), blank=0)
    assert float(-loss) > path.score  # one path of many


@torch.no_grad()
def test_a_network_that_never_emits_blank_is_bounded():
    model = random_transducer(0, blank_bias=-1000.0)
    (path,) = greedy_rnnt(model, torch.randn(1, 7, D), torch.tensor([7]), max_symbols=3)
    assert path.frames == [t for t in range(7) for _ in range(3)]
    assert path.score < -7 * 500  # a blank at each frame, however improbable, is part of the path


@torch.no_grad()
def test_a_network_that_emits_blank_alone_finds_nothing():
    model = random_transducer(0, blank_bias=1000.0)
    found = greedy_rnnt(model, torch.randn(2, 7, D), torch.tensor([7, 4]))
    assert [(p.labels, p.frames, p.log_probs) for p in found] == 2 * [([], [], [])]
    assert [p.score for p in found] == pytest.approx([0.0, 0.0], abs=1e-4)


# ---- CTC ---------------------------------------------------------------------------------------------------


def naive_ctc(log_probs, blank):
    path, previous = SearchResult(), blank
    for t, row in enumerate(log_probs):
        label = int(row.argmax())
        path.score += float(row[label])
        if label != previous and label != blank:
            path.labels.append(label)
            path.frames.append(t)
            path.log_probs.append(float(row[label]))
        previous = label
    return path


@pytest.mark.parametrize("blank", [0, 2])
def test_greedy_ctc_is_the_naive_search_alone_and_among_others(blank):
    torch.manual_seed(1)
    log_probs, lengths = (2 * torch.randn(6, 40, 4)).log_softmax(-1), torch.tensor([40, 17, 0, 1, 39, 8])
    found = greedy_ctc(log_probs, lengths, blank)
    for path, rows, length in zip(found, log_probs, lengths, strict=True):
        assert_same_path(path, naive_ctc(rows[:length], blank))
        assert_same_path(
            greedy_ctc(rows[None, :length], length[None], blank)[0] if length else SearchResult(), path
        )
    assert len(found[0].labels) > 10


def test_ctc_merges_repeats_but_not_across_blank():
    best = torch.tensor([[1, 1, 0, 1, 2, 2, 0, 0, 3]])
    log_probs = torch.nn.functional.one_hot(best, 4).float().log_softmax(-1)
    (path,) = greedy_ctc(log_probs, torch.tensor([9]))
    assert path.labels == [1, 1, 2, 3]
    assert path.frames == [0, 3, 4, 8]
    assert path.score == pytest.approx(9 * float(log_probs[0, 0, 1]), abs=1e-4)
    (shorter,) = greedy_ctc(log_probs, torch.tensor([8]))
    assert shorter.labels == [1, 1, 2]
