"""A split scored: every utterance once, in the corpus's order."""

import pytest
import tiny

from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.evaluate import evaluate
from asrlib.recognizer import Recognizer


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@pytest.fixture(scope="module")
def recognizer(tiny_model):
    return Recognizer.load(tiny_model)


def test_the_whole_corpus_is_scored_in_its_order(recognizer, tiny_corpus):
    cuts = load_corpus(tiny_corpus, "test")
    words, characters, rows = evaluate(recognizer, cuts)
    assert [(name, reference) for name, reference, _ in rows] == [
        (cut.id, cut.supervisions[0].text) for cut in cuts
    ]
    assert words.rate == characters.rate == 0
    assert words.length == sum(len(cut.supervisions[0].text.split()) for cut in cuts)
    wrong = cuts.map_supervisions(lambda s: setattr(s, "text", "Mid, LOW") or s)
    rate, _, rows = evaluate(recognizer, wrong)
    assert rate.rate > 50 and rows[0][1] == "mid low"


@pytest.mark.parametrize("text", ["...", ""])
def test_words_where_the_reference_has_none_are_insertions(recognizer, tiny_corpus, text):
    cuts = load_corpus(tiny_corpus, "test").to_eager()
    said = len(cuts[3].supervisions[0].text.split())
    cuts[3].supervisions[0].text = text
    words, _, rows = evaluate(recognizer, cuts)
    assert words.insertions == said and rows[3][1] == ""
    for cut in cuts:
        cut.supervisions[0].text = text
    with pytest.raises(InputError, match="the transcripts, such as .* have no words to score against"):
        evaluate(recognizer, cuts)
    cuts[3].supervisions[0].text = None
    with pytest.raises(InputError, match=f"utterance {cuts[3].id}: it has no transcript"):
        evaluate(recognizer, cuts)


def test_two_utterances_of_one_name_are_refused(recognizer, tiny_corpus):
    cuts = load_corpus(tiny_corpus, "test")
    with pytest.raises(InputError, match=f"two utterances have the id {cuts[0].id}"):
        evaluate(recognizer, cuts + cuts)
