"""Labels against frames, of a sentence that the reader types. Lesson 05."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from asrlib.data.espeak import Utterance, synthesize
from asrlib.errors import InputError
from asrlib.extras import extra
from asrlib.signal.framing import frame_count
from asrlib.teaching.viz.axes import BLUE, GREY, ORANGE, axes_or_new
from asrlib.teaching.widgets.controls import choice, explorer, player, wav
from asrlib.text.labels import normalize_text

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure

    from asrlib.text.labels import Tokenizer

_WINDOW, _HOP = 0.025, 0.010  # seconds


def draw_tokens(
    tokenizer: Tokenizer, words: Sequence[tuple[str, float, float]], seconds: float, reduction: int
) -> Figure:
    """Draw a sentence's labels over the encoder's frames, and which frames have too many. Lesson 05.

    ``words`` are (word, start, end) of a recording of ``seconds``; labels are spread evenly over their words.
    ``reduction`` is the number of feature frames, of 10 ms, per frame of the encoder. A frame with more than
    one label is orange. The title says whether CTC can write the sentence at all.
    """
    labels = [
        (label, start + (end - start) * n / len(split), start + (end - start) * (n + 1) / len(split))
        for word, start, end in words
        for split in [[piece.strip("▁") or "▁" for piece in tokenizer.split(word)]]
        for n, label in enumerate(split)
    ]
    target = tokenizer.encode(" ".join(word for word, _, _ in words))
    needed = len(target) + sum(a == b for a, b in pairwise(target))
    features = frame_count(round(seconds * 16000), round(_WINDOW * 16000), round(_HOP * 16000))
    frames = math.ceil(features / reduction)
    ax = axes_or_new(None, height=2.4)
    box = {"height": 0.8, "alpha": 0.35, "edgecolor": "black", "linewidth": 0.6}
    for label, start, end in labels:
        ax.barh(1, end - start, left=start, color=GREY, **box)
        ax.text((start + end) / 2, 1, label, ha="center", va="center", fontsize=9, clip_on=True)
    period = reduction * _HOP
    first = _WINDOW / 2 - period / 2  # the left edge of frame 0
    for n in range(frames):
        left = first + n * period
        inside = sum(left <= (start + end) / 2 < left + period for _, start, end in labels)
        color = ORANGE if inside > 1 else BLUE if inside else "white"
        ax.barh(0, period, left=left, color=color, **box)
        if inside > 1 and period > 0.03:
            ax.text(
                left + period / 2, 0, str(inside), ha="center", va="center", fontsize=9, fontweight="bold"
            )
    verdict = "fits" if needed <= frames else "does not fit: no path, infinite loss"
    ax.set_title(f"{len(target)} labels need {needed} frames, {frames} are there: {verdict}", loc="left")
    ax.set(yticks=[0, 1], yticklabels=[f"frames of {1000 * period:.0f} ms", "labels"], xlabel="time (s)")
    ax.set(xlim=(min(first, 0), seconds), ylim=(-0.6, 1.6))
    return ax.figure


def token_explorer(tokenizers: Mapping[str, Tokenizer], text: str) -> ipywidgets.VBox:
    """Return a field for a sentence, labels and reduction over ``draw_tokens``, and the sound. Lesson 05.

    A synthesizer speaks what is typed, so that there are times. ``tokenizers`` are {name: tokenizer of text}.
    """
    with extra("lab"):
        import ipywidgets

    sentence = ipywidgets.Text(text, description="sentence", continuous_update=False)
    message, sound = ipywidgets.Label(), player()

    @functools.lru_cache(maxsize=8)
    def spoken(text: str) -> Utterance:
        return synthesize(text)

    def draw(text: str, name: str, reduction: str) -> Figure | None:
        try:
            utterance = spoken(normalize_text(text))
            seconds = len(utterance.samples) / utterance.sample_rate
            figure = draw_tokens(tokenizers[name], utterance.words, seconds, int(reduction))
        except InputError as error:
            message.value = str(error)
            return None
        message.value = ""
        sound.value = wav(utterance.samples, utterance.sample_rate)
        return figure

    controls = [sentence, choice("labels", list(tokenizers)), choice("reduction", ["2", "4", "8", "16"])]
    controls[2].value = "8"
    return explorer(controls, draw, above=[message], below=[sound])
