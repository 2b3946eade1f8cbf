"""What the tests of training share: one thread, a few utterances, losses that are not finite."""

import pytest
import tiny

from asrlib.data.corpora import load_corpus
from asrlib.training import loop


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@pytest.fixture(scope="module")
def cuts(tiny_corpus):
    """Six utterances."""
    return load_corpus(tiny_corpus, "train").subset(first=6)


@pytest.fixture(scope="module")
def dev(tiny_corpus):
    return load_corpus(tiny_corpus, "dev")


@pytest.fixture
def broken_losses(monkeypatch):
    """``broken_losses(numbers, value)``: the loss of these batches is multiplied by ``value``."""

    def install(numbers, value):
        count = iter(range(10**6))
        original = loop.build_model

        def build(*arguments):
            model = original(*arguments)
            forward = model.forward
            model.forward = lambda *a, **k: forward(*a, **k) * (value if next(count) in numbers else 1.0)
            return model

        monkeypatch.setattr(loop, "build_model", build)

    return install
