"""asrlib.training.fewer_labels: a recognizer that forgets labels."""

import pytest
import torch
from folders import fails

from asrlib.config.parse import load_config
from asrlib.models.build import build_model
from asrlib.recognizer import Recognizer
from asrlib.text.labels import Tokenizer
from asrlib.training.fewer_labels import keep_labels


@pytest.fixture
def words():
    torch.manual_seed(0)
    config = load_config("contextnet-digits")
    config.tokenizer.vocabulary = 5
    return Recognizer(config, build_model(config, 5), Tokenizer("words", ["bed", "one", "tree", "zero"]))


def test_probabilities_are_renormalized_over_what_is_kept(words):
    fewer = keep_labels(words, ["zero", "one"])
    assert fewer.tokenizer.labels == ["zero", "one"] and fewer.config.tokenizer.vocabulary == 3
    sound = [(torch.randn(8000), 8000)]
    before, frames = words.ctc_log_probs(sound)
    after, same = fewer.ctc_log_probs(sound)
    kept = before[..., [0, 4, 2]]
    torch.testing.assert_close(after, kept.log_softmax(-1))
    assert torch.equal(frames, same)
    assert words.tokenizer.vocabulary == words.config.tokenizer.vocabulary == 5


def test_the_transducer_forgets_the_same_labels(words):
    fewer = keep_labels(words, ["zero", "one"])
    rows = [0, 4, 2]
    assert torch.equal(fewer.model.prediction.embedding.weight, words.model.prediction.embedding.weight[rows])
    assert torch.equal(fewer.model.joint.output.weight, words.model.joint.output.weight[rows])
    assert torch.equal(fewer.model.joint.output.bias, words.model.joint.output.bias[rows])


def test_it_is_saved_and_loaded(words, tmp_path):
    keep_labels(words, ["one"]).save(tmp_path / "model", {})
    assert Recognizer.load(tmp_path / "model").tokenizer.labels == ["one"]


def test_bad_labels_are_named(words):
    fails("keep_labels: the recognizer has no label 'two'", keep_labels, words, ["one", "two"])
    phones = Recognizer.load("commands-model")
    fails("keep_labels needs a tokenizer of words or characters, not of phones", keep_labels, phones, ["AH"])
