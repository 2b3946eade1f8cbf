"""Beam search against sums over all alignments, greedy search, torchaudio's search, and definitions."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from searches import D, V, assert_same_path, naive_rnnt, random_transducer

from asrlib.decoding.beam import BeamOptions, beam_ctc, beam_rnnt
from asrlib.decoding.greedy import greedy_ctc, greedy_rnnt
from asrlib.errors import InputError
from asrlib.losses.ctc import ctc_loss
from asrlib.losses.rnnt import rnnt_loss
from asrlib.models.joint import JointNetwork
from asrlib.models.prediction import PredictionNetwork
from asrlib.models.transducer import Transducer
from asrlib.text.ngram import train_ngram

LM = train_ngram([[1, 2], [1, 3, 2, 4], [4, 1], [2, 2, 1, 3]], ["a", "b", "c", "d"], order=3)


def all_texts(longest, labels=range(1, V)):
    return [text for n in range(longest + 1) for text in itertools.product(labels, repeat=n)]


def rnnt_log_prob(model, frames, text):
    """Summed over all alignments, by the loss."""
    targets, T, U = torch.tensor([text], dtype=torch.long), len(frames), len(text)
    lattice = model.joint(frames[None, :, None], model.prediction(targets)[:, None])
    return -float(rnnt_loss(lattice, targets, torch.tensor([T]), torch.tensor([U]), blank=model.blank))


def ctc_log_prob(log_probs, text):
    T, U, targets = len(log_probs), len(text), torch.tensor([text], dtype=torch.long)
    loss = ctc_loss(log_probs[:, None], targets, torch.tensor([T]), torch.tensor([U]), reduction="sum")
    return -float(loss)


def by_text(paths):
    return {tuple(path.labels): path.score for path in paths}


# ---- transducer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@torch.no_grad()
def test_an_exhaustive_beam_knows_every_labelling_of_a_small_lattice(seed):
    """Two labels, 3 frames, 3 symbols a frame: the scores are the sums over all alignments."""
    model, frames = random_transducer(seed, vocabulary=3), 2 * torch.randn(1, 3, D)
    (found,) = beam_rnnt(model, frames, torch.tensor([3]), BeamOptions(4000, norm_score=False), 3)
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    scores = by_text(found)
    assert len(scores) == len(found) == len(all_texts(9, (1, 2)))  # every text, none twice
    for text in all_texts(3, (1, 2)):
        assert scores[text] == pytest.approx(rnnt_log_prob(model, frames[0], text), abs=1e-4), text
    assert sum(math.exp(score) for score in scores.values()) <= 1 + 1e-5


@pytest.mark.parametrize("blank", [0, 4])
@pytest.mark.parametrize("max_symbols", [1, 2, 5])
@torch.no_grad()
def test_a_beam_of_one_is_greedy_search(blank, max_symbols):
    """Of one hypothesis the most probable continuation is kept, label or blank: the same paths and scores."""
    emitted = 0
    for seed in range(2):
        model = random_transducer(seed, blank)
        frames, lengths = 2 * torch.randn(5, 20, D), torch.tensor([20, 13, 1, 0, 17])
        found = beam_rnnt(model, frames, lengths, BeamOptions(1), max_symbols)
        for paths, greedy in zip(found, greedy_rnnt(model, frames, lengths, max_symbols), strict=True):
            assert_same_path(*paths, greedy)
            emitted += len(greedy.labels)
    assert emitted > 50


@torch.no_grad()
def test_other_prediction_and_joint_networks():
    torch.manual_seed(4)
    prediction = PredictionNetwork(V, 0, 6, 7, layers=2, encoding="one_hot", rnn="gru", projection=D)
    joint = JointNetwork(D, D, 9, V, mode="mul", encoder_linear=False, prediction_linear=False)
    model = Transducer(torch.nn.Identity(), prediction, joint, None).eval()
    joint.output.weight.mul_(6)
    frames, lengths = 2 * torch.randn(3, 12, D), torch.tensor([12, 5, 9])
    greedy = greedy_rnnt(model, frames, lengths, 3)
    found = beam_rnnt(model, frames, lengths, BeamOptions(1), 3)
    for paths, path, row, length in zip(found, greedy, frames, lengths, strict=True):
        assert_same_path(path, naive_rnnt(model, row[:length], 3))
        assert_same_path(*paths, path)
    wide = beam_rnnt(model, frames, lengths, BeamOptions(30, norm_score=False), 3)
    for paths, path in zip(wide, greedy, strict=True):
        assert len(paths) > 20 and paths[0].score >= path.score - 1e-4


@torch.no_grad()
def test_a_wider_beam_finds_more_probable_texts():
    better = 0
    for seed in range(4):
        model = random_transducer(seed, blank_bias=3.0)
        frames, lengths = torch.randn(4, 15, D), torch.tensor([12, 15, 9, 4])
        options = [BeamOptions(width, norm_score=False) for width in (1, 4, 20)]
        found = [beam_rnnt(model, frames, lengths, o) for o in options]
        for row, length, *(narrow, middle, wide) in zip(frames, lengths, *found, strict=True):
            exact = [rnnt_log_prob(model, row[:length], p[0].labels) for p in (narrow, middle, wide)]
            assert exact[2] >= exact[0] - 1e-4
            better += exact[2] > exact[0] + 1e-3
            for paths, true in zip((narrow, middle, wide), exact, strict=True):
                assert paths[0].score <= true + 1e-3  # alignments can be missed, but none counts twice
    assert better >= 3


@torch.no_grad()
def test_an_utterance_alone_or_among_others_and_padding():
    model, options = random_transducer(3), BeamOptions(4, lm=LM)
    frames, lengths = 2 * torch.randn(5, 12, D), torch.tensor([12, 3, 9, 0, 1])
    together = beam_rnnt(model, frames, lengths, options)
    padded = beam_rnnt(model, torch.cat([frames, 100 * torch.randn(5, 7, D)], dim=1), lengths, options)
    for paths, in_padding, row, length in zip(together, padded, frames, lengths, strict=True):
        (alone,) = beam_rnnt(model, row[None, :length], length[None], options)
        assert len(alone) == len(paths) == len(in_padding) >= 1
        for path, other, single in zip(paths, in_padding, alone, strict=True):
            assert_same_path(path, single)
            assert_same_path(other, single)


@torch.no_grad()
def test_a_label_that_repeats_itself_does_not_crowd_out_the_others():
    """This model, once it has emitted label 11, emits it again and again, as often as it may."""
    model = random_transducer(2, blank_bias=3.0, vocabulary=12)
    frames, lengths = torch.randn(1, 8, D), torch.tensor([8])
    (paths,) = beam_rnnt(model, frames, lengths, BeamOptions(11, norm_score=False), 100)
    (greedy,) = greedy_rnnt(model, frames, lengths, 100)
    assert len(greedy.labels) > 100 and greedy.score < -100
    assert len(paths[0].labels) < 5 and paths[0].score > -12


@torch.no_grad()
def test_the_path_is_one_alignment_of_the_text():
    """Its labels and the blanks between them, read off the lattice, are at most as probable as the sum."""
    model, frames, T = random_transducer(1), 2 * torch.randn(1, 10, D), 10
    (found,) = beam_rnnt(model, frames, torch.tensor([T]), BeamOptions(6))
    assert len(found) == 6
    for path in found:
        targets, U = torch.tensor([path.labels], dtype=torch.long), len(path.labels)
        log_probs = model.joint(frames[:, :, None], model.prediction(targets)[:, None])[0].log_softmax(-1)
        assert path.frames == sorted(path.frames)
        own = log_probs[path.frames, range(U), path.labels]
        assert path.log_probs == pytest.approx(own.tolist(), abs=1e-4)
        blanks = sum(log_probs[t, sum(frame <= t for frame in path.frames), 0] for t in range(T))
        assert path.score >= float(own.sum() + blanks) - 1e-3


@pytest.mark.parametrize("seed", range(6))
@torch.no_grad()
def test_torchaudios_search_finds_nothing_more_probable(seed):
    """It keeps ``beam_width`` hypotheses that wait and as many that go on: here one beam holds both."""
    models = pytest.importorskip("torchaudio.models")
    from asrlib.bench.decode import ForTorchaudio

    model = random_transducer(seed, blank_bias=4.0, vocabulary=12)
    frames, width = torch.randn(1, 8, D), 11  # it cannot search wider than there are labels
    search = models.RNNTBeamSearch(ForTorchaudio(model), blank=11, hypo_sort_key=lambda h: h[3])
    tokens, _, _, score = max(search(frames[0], torch.tensor(8), width), key=lambda h: h[3])
    labels = [token + 1 for token in tokens[1:]]
    (ours,) = beam_rnnt(model, frames, torch.tensor([8]), BeamOptions(2 * width, norm_score=False), 100)
    if ours[0].labels == labels:
        assert ours[0].score == pytest.approx(score, abs=0.1)  # each prunes some alignments
    else:
        assert rnnt_log_prob(model, frames[0], ours[0].labels) > rnnt_log_prob(model, frames[0], labels)


# ---- how texts are compared --------------------------------------------------------------------------------


@torch.no_grad()
def test_shallow_fusion_and_normalization_choose_by_definition():
    """On a lattice searched exhaustively, the ranking is that of the formula in the module's docstring."""
    model, frames = random_transducer(2, vocabulary=3), torch.randn(1, 2, D)
    lm = train_ngram([[1, 2], [1, 1, 2], [2, 2, 1]], ["a", "b"])
    for weight, bonus, norm in itertools.product((0.0, 0.8), (0.0, 2.5), (False, True)):
        (found,) = beam_rnnt(
            model, frames, torch.tensor([2]), BeamOptions(600, norm, lm, weight, bonus), max_symbols=3
        )
        assert len(found) == len(all_texts(6, (1, 2)))

        def key(path, weight=weight, bonus=bonus, norm=norm):
            fused = path.score + weight * lm.log_prob(path.labels) + bonus * len(path.labels)
            return fused / (len(path.labels) + 1) if norm else fused

        keys = [key(path) for path in found]
        assert keys == pytest.approx(sorted(keys, reverse=True), abs=1e-4)
        for text in all_texts(3, (1, 2)):  # the score stays the transducer's
            assert by_text(found)[text] == pytest.approx(rnnt_log_prob(model, frames[0], text), abs=1e-4)


@torch.no_grad()
def test_a_language_model_changes_the_best_text():
    """Labels 1 and 2 sound the same; the language model has only ever seen 2 after 3."""
    lm = train_ngram(30 * [[3, 2]], ["a", "b", "c", "d"], order=2)
    sure = torch.tensor([[0.01, 0.01, 0.01, 0.96, 0.01], [0.01, 0.5, 0.47, 0.01, 0.01]])
    log_probs = sure.log()[None]
    lengths = torch.tensor([2])
    assert beam_ctc(log_probs, lengths, BeamOptions(4))[0][0].labels == [3, 1]
    (best, *_) = beam_ctc(log_probs, lengths, BeamOptions(4, lm=lm, lm_weight=0.5))[0]
    assert best.labels == [3, 2] and best.score == pytest.approx(math.log(0.96 * 0.47), abs=1e-4)
    (best, *_) = beam_ctc(log_probs, lengths, BeamOptions(4, lm=lm, lm_weight=0.0))[0]
    assert best.labels == [3, 1]


def test_a_beam_has_at_least_one_slot():
    with pytest.raises(InputError, match="beam_width is 0"):
        BeamOptions(0)


# ---- CTC ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_an_exhaustive_ctc_beam_knows_every_labelling(seed):
    torch.manual_seed(seed)
    log_probs = (2 * torch.randn(1, 5, 4)).log_softmax(-1)
    texts = [t for t in all_texts(5, range(1, 4)) if len(t) + sum(a == b for a, b in zip(t, t[1:])) <= 5]  # noqa: B905
    options = BeamOptions(2 * len(texts), norm_score=False)
    (found,) = beam_ctc(log_probs, torch.tensor([5]), options)
    scores = by_text(found)
    assert len(found) == len(scores) == len(texts)
    for text in texts:
        assert scores[text] == pytest.approx(ctc_log_prob(log_probs[0], text), abs=1e-4), text
    assert sum(math.exp(score) for score in scores.values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("loudness", [0.5, 2.0])
def test_a_ctc_beam_of_one_is_greedy_search(blank, loudness):
    torch.manual_seed(0)
    log_probs = (loudness * torch.randn(6, 40, 4)).log_softmax(-1)
    lengths = torch.tensor([40, 17, 0, 1, 39, 8])
    found = beam_ctc(log_probs, lengths, BeamOptions(1), blank)
    for paths, greedy in zip(found, greedy_ctc(log_probs, lengths, blank), strict=True):
        assert_same_path(*paths, greedy)


def hannun(log_probs, width):
    """Hannun et al. 2014, algorithm 1, without a language model: prefixes in a dictionary, each with the
    probability that it ends in blank and that it does not."""
    beam = {(): (1.0, 0.0)}
    for row in log_probs.exp().tolist():
        after = {}
        for prefix, (ends_blank, ends_label) in beam.items():
            blank, label = after.get(prefix, (0.0, 0.0))
            again = ends_label * row[prefix[-1]] if prefix else 0.0
            after[prefix] = blank + (ends_blank + ends_label) * row[0], label + again
            for c in range(1, len(row)):
                source = ends_blank if prefix and c == prefix[-1] else ends_blank + ends_label
                blank, label = after.get((*prefix, c), (0.0, 0.0))
                after[(*prefix, c)] = blank, label + source * row[c]
        beam = dict(sorted(after.items(), key=lambda item: -sum(item[1]))[:width])
    return {prefix: math.log(sum(p)) for prefix, p in beam.items()}


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_ctc_beam_finds_what_hannuns_prefix_search_finds(seed):
    torch.manual_seed(seed)
    log_probs = (3 * torch.randn(2, 12, 6)).log_softmax(-1)
    found = beam_ctc(log_probs, torch.tensor([12, 7]), BeamOptions(200, norm_score=False))
    for paths, row, length in zip(found, log_probs, (12, 7), strict=True):
        labels, score = max(hannun(row[:length], 100).items(), key=lambda item: item[1])
        exact = ctc_log_prob(row[:length], paths[0].labels)
        assert tuple(paths[0].labels) == labels
        assert exact - 0.02 < paths[0].score < exact + 1e-4  # alignments are missed, none counted twice
        assert exact - 0.02 < score < exact + 1e-4


def test_a_ctc_beam_alone_or_among_others():
    torch.manual_seed(5)
    log_probs, lengths = (2 * torch.randn(4, 15, 5)).log_softmax(-1), torch.tensor([15, 0, 6, 1])
    options = BeamOptions(5, lm=LM, label_bonus=0.5)
    together = beam_ctc(log_probs, lengths, options)
    for paths, row, length in zip(together, log_probs, lengths, strict=True):
        (alone,) = beam_ctc(row[None, :length], length[None], options)
        assert len(alone) == len(paths)
        for path, single in zip(paths, alone, strict=True):
            assert_same_path(path, single)


def test_a_ctc_path_is_one_alignment_of_the_text():
    """Each label's first frame, with the log-probability it has there."""
    torch.manual_seed(6)
    log_probs = (2 * torch.randn(1, 12, 4)).log_softmax(-1)
    for path in beam_ctc(log_probs, torch.tensor([12]), BeamOptions(6))[0]:
        assert path.frames == sorted(set(path.frames))
        assert path.log_probs == pytest.approx(log_probs[0, path.frames, path.labels].tolist())


def test_the_same_label_twice_needs_a_blank_between():
    likely = F.one_hot(torch.tensor([[1, 1, 0, 1, 2]]), 3).float()
    log_probs = (8 * likely).log_softmax(-1)
    (best, *_) = beam_ctc(log_probs, torch.tensor([5]), BeamOptions(5, norm_score=False))[0]
    assert best.labels == [1, 1, 2] and best.frames == [0, 3, 4]
