"""The second pass against sums over all alignments, and within a recognizer."""

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from searches import D, V, random_transducer

from asrlib.decoding.beam import BeamOptions, beam_ctc
from asrlib.decoding.second_pass import second_pass, text_scores
from asrlib.errors import InputError
from asrlib.recognizer import Recognizer
from asrlib.text.ngram import train_ngram

TEXTS = [[], [1], [2, 2], [1, 3, 4], [4, 1, 2]]


def two_heads(seed):
    model = random_transducer(seed)
    model.ctc_head = torch.nn.Linear(D, V)
    torch.nn.init.normal_(model.ctc_head.weight)
    return model


@torch.no_grad()
def rnnt_by_recursion(model, frames, text):
    """Sum over all alignments, one cell (t, u) at a time (Graves 2012, eq. 16)."""
    prediction_out = model.prediction(torch.tensor([text], dtype=torch.long))[0]
    arriving = {(0, 0): 0.0}
    for t in range(len(frames)):
        for u in range(len(text) + 1):
            log_probs = model.joint(frames[t], prediction_out[u]).log_softmax(-1)
            here = torch.as_tensor(arriving.get((t, u), -torch.inf))
            moves = [((t + 1, u), model.blank)] + ([((t, u + 1), text[u])] if u < len(text) else [])
            for cell, label in moves:
                before = torch.as_tensor(arriving.get(cell, -torch.inf))
                arriving[cell] = torch.logaddexp(before, here + log_probs[label])
    return float(arriving[len(frames), len(text)])


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@torch.no_grad()
def test_texts_are_scored_by_all_alignments_of_both_heads(weight):
    model, frames = two_heads(0), 2 * torch.randn(6, D)
    found = text_scores(model, frames, TEXTS, weight)
    log_probs = model.ctc_head(frames).log_softmax(-1)
    for text, score in zip(TEXTS, found.tolist(), strict=True):
        targets = torch.tensor([text], dtype=torch.long)
        ctc = -float(F.ctc_loss(log_probs[:, None], targets, [6], [len(text)], reduction="sum"))
        rnnt = rnnt_by_recursion(model, frames, text)
        assert score == pytest.approx((1 - weight) * ctc + weight * rnnt, abs=1e-4), text


def test_a_text_that_does_not_fit_is_impossible_for_ctc_only():
    model, frames = two_heads(1), torch.randn(2, D)
    assert text_scores(model, frames, [[1, 1], [1, 2]], 0.5).isinf().tolist() == [True, False]
    assert text_scores(model, frames, [[1, 1], [1, 2]], 1.0).isfinite().all()


@torch.no_grad()
def test_views_are_averaged_and_the_best_text_comes_first():
    models, lengths = [two_heads(2), two_heads(3)], torch.tensor([7, 4])
    views = [(model, 2 * torch.randn(2, 7, D)) for model in models]
    mean = torch.stack([model.ctc_head(heard).log_softmax(-1) for model, heard in views]).mean(0)
    options = BeamOptions(6, norm_score=False)
    ranked = beam_ctc(mean.log_softmax(-1), lengths, options)
    found = second_pass(views, lengths, ranked, 0.4, options)
    for index, (before, after) in enumerate(zip(ranked, found, strict=True)):
        assert {tuple(r.labels) for r in before} == {tuple(r.labels) for r in after}
        assert [r.score for r in after] == sorted((r.score for r in after), reverse=True)
        for result in after:
            each = [text_scores(m, h[index, : lengths[index]], [result.labels], 0.4) for m, h in views]
            assert result.score == pytest.approx(float(sum(each)) / 2, abs=1e-4)
    assert [r.labels for r in ranked[0]] != [r.labels for r in found[0]]  # the order has changed


@torch.no_grad()
def test_a_language_model_adds_in_the_second_pass_what_it_added_in_the_first():
    model, lengths, views = two_heads(4), torch.tensor([8]), []
    views = [(model, 2 * torch.randn(1, 8, D))]
    log_probs = model.ctc_head(views[0][1]).log_softmax(-1)
    lm = train_ngram([[1, 2], [1, 3, 2, 4], [4, 1]], ["a", "b", "c", "d"], order=3)
    options = BeamOptions(8, True, lm, lm_weight=0.7, label_bonus=0.2)
    found = second_pass(views, lengths, beam_ctc(log_probs, lengths, options), 0.5, options)[0]
    expected = []
    for result in found:
        score = float(text_scores(model, views[0][1][0], [result.labels], 0.5))
        count = len(result.labels)
        assert result.extra == pytest.approx(0.7 * lm.log_prob(result.labels) + 0.2 * count, abs=1e-4)
        expected.append((score + result.extra) / (count + 1))
    assert expected == sorted(expected, reverse=True)


# ---- recognizer --------------------------------------------------------------------------------------------


@pytest.fixture
def rescoring(tiny_model):
    recognizer = Recognizer.load(tiny_model)
    decoding = recognizer.config.decoding
    decoding.head, decoding.warps = "ctc", [0.97, 1.0, 1.05]
    decoding.beam_width, decoding.norm_score, decoding.rescore_weight = 8, False, 0.3
    recognizer.members["other"] = Recognizer.load(tiny_model)
    recognizer.members["other"].front_end.log_floor = 1e-3
    return recognizer


def test_a_recognizer_scores_with_all_networks_and_warps(rescoring):
    """The score of the best text is the mean over two networks and three warps, of both heads."""
    wave = torch.from_numpy(tiny.tones("low mid low"))
    found = rescoring.transcribe(wave, tiny.RATE)
    labels, scores = rescoring.tokenizer.encode(found.text), []
    for member in rescoring.ensemble:
        for warp in (0.97, 1.0, 1.05):
            features, lengths = member.front_end(wave[None], torch.tensor([len(wave)]), torch.tensor([warp]))
            with torch.no_grad():
                heard, frames = member.model.encoder(features, lengths)
            scores.append(float(text_scores(member.model, heard[0, : frames[0]], [labels], 0.3)))
    assert found.score == pytest.approx(sum(scores) / 6, abs=1e-3)


def test_batches_and_pieces_of_recordings_have_a_second_pass_too(rescoring):
    waves = [torch.from_numpy(tiny.tones(text)) for text in ("low mid low", "high low")]
    alone = [rescoring.transcribe(wave, tiny.RATE) for wave in waves]
    batch = rescoring.transcribe_batch([(wave, tiny.RATE) for wave in waves])
    for one, other in zip(alone, batch, strict=True):
        assert one.text == other.text and one.score == pytest.approx(other.score, abs=1e-3)
    piece = rescoring.transcribe_long(waves[0], tiny.RATE, window=60)
    assert piece.text == alone[0].text and piece.score == pytest.approx(alone[0].score, abs=1e-3)
    options = [{"window": 0.2}, {"window": 60, "cut": "windows"}]
    found = [rescoring.transcribe_long(waves[0], tiny.RATE, **each) for each in options]
    rescoring.config.decoding.rescore_weight = None
    first = [rescoring.transcribe_long(waves[0], tiny.RATE, **each) for each in options]
    assert [each.score for each in found] == [each.score for each in first]  # these have no second pass
    assert rescoring.transcribe(waves[0], tiny.RATE).score != pytest.approx(alone[0].score, abs=1e-3)


def test_pieces_between_pauses_are_rescored_one_by_one(rescoring):
    """A piece that is too long for a second pass was partly read when that is noticed: nothing is lost."""
    pause = np.zeros(tiny.RATE // 2, np.float32)
    words = [tiny.tones("low mid low"), tiny.tones("high low high mid low high low"), tiny.tones("mid")]
    recording = np.concatenate([words[0], pause, words[1], pause, words[2]])
    found = rescoring.transcribe_long(recording, tiny.RATE, window=1.2)
    assert found.text.split()[:3] == ["low", "mid", "low"] and found.text.split()[-1] == "mid"
    rescoring.config.decoding.rescore_weight = None
    first_pass = rescoring.transcribe_long(recording, tiny.RATE, window=1.2)
    assert found.text == first_pass.text and found.score != pytest.approx(first_pass.score, abs=1e-3)


def test_log_probabilities_that_are_nan_have_no_texts():
    model, lengths = two_heads(5), torch.tensor([3])
    options = BeamOptions(4)
    ranked = beam_ctc(torch.full((1, 3, V), torch.nan), lengths, options)
    assert second_pass([(model, torch.randn(1, 3, D))], lengths, ranked, 0.5, options) == [[]] == ranked


def test_a_member_without_a_transducer_is_refused(rescoring):
    rescoring.members["other"].model.joint = None
    with pytest.raises(InputError, match="decoding.rescore_weight is set, but a network has no transducer"):
        rescoring.transcribe(tiny.tones("low"), tiny.RATE)
