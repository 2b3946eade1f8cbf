import io

import pytest
import soundfile

import asrlib
from asrlib.teaching import widgets
from asrlib.text.tokenizers import train_tokenizer

TEXTS = ["the meeting starts at noon", "who stole it", "a book"]
WORDS = [("meeting", 0.2, 0.6), ("noon", 0.6, 0.9)]


@pytest.fixture
def characters():
    return train_tokenizer("characters", TEXTS)


def title_of(figure):
    return figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize("reduction", [2, 4, 8, 16])
def test_the_verdict_is_that_of_the_loss(characters, reduction):
    import torch

    target = torch.tensor(characters.encode("meeting noon"))
    frames = -(-(1 + (16000 - 400) // 160) // reduction)
    log_probs = torch.zeros(frames, characters.vocabulary).log_softmax(-1)
    loss = asrlib.ctc_loss(log_probs, target, frames, len(target), reduction="sum")
    title = title_of(widgets.draw_tokens(characters, WORDS, 1.0, reduction))
    assert f"12 labels need 14 frames, {frames} are there" in title  # two doubled letters
    assert ("does not fit" in title) == bool(loss.isinf())


def test_frames_with_more_than_one_label_say_how_many(characters):
    figure = widgets.draw_tokens(characters, WORDS, 1.0, 16)
    counts = [int(text.get_text()) for text in figure.axes[0].texts if text.get_text().isdigit()]
    assert counts and min(counts) >= 2 and sum(counts) <= 11  # eleven letters, the space is in no word
    letters = "".join(t.get_text() for t in figure.axes[0].texts if not t.get_text().isdigit())
    assert letters == "meetingnoon"


def test_the_explorer_redraws_speaks_and_explains(characters):
    tokenizers = {"characters": characters, "words": train_tokenizer("words", TEXTS)}
    shown = widgets.token_explorer(tokenizers, "the meeting starts at noon")
    sentence, labels, reduction, message, picture, sound = shown.children
    seen = {bytes(picture.value)}
    for value in reduction.options:
        reduction.value = value
        seen.add(bytes(picture.value))
    labels.value = "words"
    seen.add(bytes(picture.value))
    assert len(seen) == len(reduction.options) + 1 and not message.value
    samples, rate = soundfile.read(io.BytesIO(bytes(sound.value)))
    assert len(samples) > rate
    before = bytes(picture.value)
    sentence.value = "the tuba"
    assert "tuba" in message.value and bytes(picture.value) == before
    sentence.value = "..."
    assert message.value
    sentence.value = "Who stole it?"
    assert not message.value and bytes(picture.value) != before
