"""Long recordings of tones with word times, and where the folders of recordings beside the checkout lie."""

import random
from pathlib import Path

import tiny

from asrlib.data.manifest import save_corpus

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL = SHARED / "real"
FIXTURES = SHARED / "fixtures"  # outputs of other systems
WORD, PAUSE = 0.16, 0.12  # seconds, as in tiny.tones


def long_text(words: int, seed: int = 0) -> str:
    """Return a text of tones without repetitions in a row."""
    draw = random.Random(seed)
    text = [draw.choice(list(tiny.TONES))]
    while len(text) < words:
        text.append(draw.choice([word for word in tiny.TONES if word != text[-1]]))
    return " ".join(text)


def times(text: str) -> list[tuple[str, float, float]]:
    """Return the words of ``tiny.tones(text)`` as (word, start, end) in seconds."""
    starts = [PAUSE + n * (WORD + PAUSE) for n in range(len(text.split()))]
    return [(word, start, start + WORD) for word, start in zip(text.split(), starts, strict=True)]


def write_recordings(folder, train=4, dev=1, words=20, path="{split}-{index}.wav"):
    """Write a folder of recordings of some 5.7 s (20 words) with word times, and return it."""
    rows = []
    for split, count in (("train", train), ("dev", dev)):
        for index in range(count):
            text = long_text(words + index, seed=index + 50 * (split == "dev"))
            name = "audio/" + path.format(split=split, index=index)
            rows.append((name, "someone", split, text, tiny.tones(text, seed=index), {"word": times(text)}))
    save_corpus(folder, rows, tiny.RATE)
    return folder
