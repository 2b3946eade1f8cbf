"""Render the clips in data/clips: python tools/make_clips.py

The committed files are authoritative: espeak-ng's noise was not yet seeded when they were rendered, and
notebooks show numbers computed from these exact samples. Run this only to change the set, then run the
notebooks again.

All voices belong to the test split of the synthetic corpora, so no training split contains them.
"""

import shutil

import numpy as np

from asrlib.data.espeak import SAMPLE_RATE, synthesize
from asrlib.data.manifest import save_corpus
from asrlib.files import assets

CLIPS = [  # name, voice, words per minute, text
    ("digits-1", "en-us+f3", 150, "seven three nine"),
    ("digits-2", "en-gb-x-rp+r2013", 140, "zero one eight four two"),
    ("digits-3", "en-us+r2016", 170, "five five, six"),
    ("digits-4", "en-gb-scotland+f5", 190, "two four six eight zero nine one"),
    ("command-1", "en-us+r2012", 130, "marvin"),
    ("sentence-1", "en-us+r2012", 160, "please turn on the light in the kitchen"),
    ("sentence-2", "en-gb+r2015", 160, "please turn on the light in the kitchen"),
    ("sentence-3", "en-us+f3", 160, "the train from london to paris leaves at seven thirty"),
    ("sentence-4", "en-029+r2007", 175, "the old fox jumped over the wooden bridge"),
]
MARGIN = 0.15  # seconds of quiet noise before and after the speech


def utterances():
    """Yield the rows of the clips for ``save_corpus``."""
    noise = np.random.default_rng(0)
    for name, voice, rate, text in CLIPS:
        speech = synthesize(text, voice, rate=rate)
        samples = np.pad(speech.samples, round(MARGIN * speech.sample_rate))
        samples += 10 ** (-65 / 20) * noise.standard_normal(len(samples), dtype=np.float32)  # -65 dB
        times = {
            kind: [(symbol, start + MARGIN, end + MARGIN) for symbol, start, end in items]
            for kind, items in (("word", speech.words), ("phone", speech.phones))
        }
        yield f"audio/{name}.flac", voice, "test", text.replace(",", ""), samples, times


if __name__ == "__main__":
    folder = assets() / "clips"
    shutil.rmtree(folder, ignore_errors=True)
    save_corpus(folder, utterances(), SAMPLE_RATE)
