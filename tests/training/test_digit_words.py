"""asrlib.training.digit_words: which words count as digits, and where they are found in an utterance."""

import numpy as np
import pytest
import torch
from folders import noise_folder

from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.recognizer import Recognizer
from asrlib.signal.frame_times import FrameTimes
from asrlib.text.lexicon import ARPABET, Lexicon
from asrlib.text.tokenizers import PhoneTokenizer
from asrlib.training import digit_words as module
from asrlib.training.digit_words import Run, as_digits, cut_words, find_runs, stored_runs

FRAME_TIMES = FrameTimes(0.04, 0.0125)


class Aligner(Recognizer):
    """Hears these phones, one in every fifth frame from frame 2 on, and nothing else."""

    def __init__(self, phones):
        self.tokenizer = PhoneTokenizer([*ARPABET], Lexicon({"a": [["AH"]]}))
        self.frame_times, self.phones = FRAME_TIMES, phones

    def ctc_log_probs(self, utterances):
        frames = 5 * len(self.phones) + 5
        scores = torch.full((1, frames, len(self.tokenizer.labels) + 1), -9.0)
        scores[..., 0] = 0.0
        for place, number in enumerate(self.tokenizer.numbers(self.phones)):
            scores[0, 2 + 5 * place, number] = 9.0
        return scores.log_softmax(-1), torch.tensor([frames])


def the_cut(tmp_path, text, seconds=4.0):
    noise_folder(tmp_path / "folder", [("ann", text)], lambda _: seconds, 8000)
    return next(iter(load_corpus(tmp_path / "folder")))


def test_words_that_are_digits():
    assert as_digits("ONE five oh", "an4") == ["one", "five", "zero"]
    assert as_digits("O ONE", "an4") == ["zero", "one"] and as_digits("O one", "commands") is None
    assert as_digits("sixty five", "an4") is None and as_digits("", "an4") is None


def test_runs_lie_between_their_neighbors(tmp_path):
    cut = the_cut(tmp_path, "BED TWO OH CAT SIX")
    phones = "B EH D T UW OW K AE T S IH K S".split()
    first, second = find_runs(Aligner(phones), cut, "an4")
    at = [FRAME_TIMES(2 + 5 * place) for place in range(len(phones))]
    assert first.words == ("two", "zero") and second.words == ("six",)
    # the neighbors are nearer than the margins
    assert first.start == pytest.approx((at[2] + at[3]) / 2) and first.end == pytest.approx(
        (at[5] + at[6]) / 2
    )
    assert second.end == pytest.approx(at[12] + module.AFTER)
    assert first.score > -0.1 and second.id == cut.id


def test_a_text_that_was_not_said_scores_low(tmp_path):
    cut = the_cut(tmp_path, "SEVEN")
    (run,) = find_runs(Aligner("N OW TH IH NG".split()), cut, "an4")
    assert run.score < module.LEAST_SCORE


def test_a_text_too_long_for_its_sound_has_no_runs(tmp_path):
    cut = the_cut(tmp_path, "SEVEN " * 20)
    assert list(find_runs(Aligner(["N"]), cut, "an4")) == []


def test_another_recognizer_is_refused(tmp_path, tiny_model):
    cut = the_cut(tmp_path, "SEVEN")
    with pytest.raises(InputError, match="recognizer of phones"):
        list(find_runs(Recognizer.load(tiny_model), cut, "an4"))


@pytest.fixture
def real(tmp_path):
    noise_folder(tmp_path / "an4", [("ann", "GO TWO"), ("bob", "C TWO"), ("cid", "STOP")], lambda _: 1.0)
    noise_folder(tmp_path / "commands", [("ann", "two"), ("bob", "oh"), ("cid", "bed")], lambda _: 1.0)
    return tmp_path


def test_pieces_are_cut_where_the_runs_say(real):
    ids = [cut.id for cut in load_corpus(real / "an4")]
    runs = [
        Run(ids[0], ("two",), 0.5, 0.9, -0.2),
        Run(ids[1], ("two",), 0.1, 0.9, -0.2),
        Run(ids[0], ("two",), 0.0, 0.3, -3.0),  # improbable
        Run(ids[0], ("two",), 0.2, 0.25, -0.1),  # too short for a word
    ]
    (piece,) = cut_words(real, "an4", runs, {"ann"})
    assert len(piece.take.samples) == pytest.approx(0.4 * 8000, abs=2) and piece.words == ("two",)


def test_runs_are_found_once(real, tmp_path, monkeypatch):
    asked = []

    def find(aligner, cut, name):
        asked.append(cut.supervisions[0].text)
        yield Run(cut.id, ("two",), 0.25, 0.75, -0.5)

    monkeypatch.setattr(module, "find_runs", find)
    monkeypatch.setattr(module.Recognizer, "load", lambda name: name)
    found = stored_runs(real, "an4", tmp_path / "words" / "an4.json")
    assert asked == ["GO TWO", "C TWO"] and [run.words for run in found] == [("two",)] * 2
    assert stored_runs(real, "an4", tmp_path / "words" / "an4.json") == found and len(asked) == 2
    assert np.isclose(found[0].end, 0.75)
