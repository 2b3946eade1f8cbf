"""Words that appear while one speaks: a recognizer for whole utterances, used in chunks. Lesson 12."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from asrlib.decoding.streaming import StreamingCTC
from asrlib.errors import InputError
from asrlib.extras import extra
from asrlib.signal.resample import resample
from asrlib.teaching import viz
from asrlib.teaching.widgets.controls import explorer, slider, wav

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure

    from asrlib.recognizer import Recognizer

Words = Sequence[tuple[str, float, float]]  # word, start and end in seconds


class Shown(NamedTuple):
    """A word and the second of the recording at which it is shown."""

    word: str
    second: float


def shown_words(
    recognizer: Recognizer,
    samples: Any,
    sample_rate: int,
    chunk: int,
    look_ahead: int,
    context: int = 25,
) -> list[Shown]:
    """Return the words that a recognizer for whole utterances writes in chunks, and when. Lesson 12.

    All lengths are in encoder frames. A chunk of ``chunk`` frames is recognized together with ``context``
    frames before and ``look_ahead`` frames after it, and only its own frames count; CTC's last label goes on
    across chunks. A word is shown when the last frame that its chunk needs was heard, the time of computing
    left out. Raises ``InputError`` for a chunk below one frame and for negative lengths.
    """
    if chunk < 1 or look_ahead < 0 or context < 0:
        raise InputError("a chunk has at least one frame; look-ahead and context have no fewer than none")
    rate = recognizer.config.features.sample_rate
    wave = resample(torch.as_tensor(np.asarray(samples, dtype=np.float32)), sample_rate, rate)
    hop, seconds = round(recognizer.frame_seconds * rate), len(wave) / rate
    search, shown = StreamingCTC(recognizer.model), []
    frames = -(-len(wave) // hop)
    for first in range(0, frames, chunk):
        start, end = max(0, first - context), first + chunk + look_ahead
        log_probs = recognizer.ctc_log_probs([(wave[start * hop : end * hop], rate)])[0][0]
        own = log_probs[first - start :]
        if first + chunk < frames:  # else with the silence after the end, `features.tail_ms`
            own = own[:chunk]
        if not len(own):
            break
        before = len(search.result.labels)
        search.feed_log_probs(own)
        at = min(end * recognizer.frame_seconds, seconds)
        new = search.result.labels[before:]
        shown += [Shown(recognizer.tokenizer.labels[label - 1], at) for label in new]
    return shown


def draw_shown(
    recognizer: Recognizer, samples: Any, sample_rate: int, chunk: int, look_ahead: int, words: Words = ()
) -> Figure:
    """Draw a waveform, what was said when, and when which words are shown. Lengths in frames. Lesson 12."""
    found = shown_words(recognizer, samples, sample_rate, chunk, look_ahead)
    ax = viz.plot_waveform(samples, sample_rate)
    viz.mark_words(words, ax)
    together: dict[float, str] = {}
    for word, second in found:
        together[second] = f"{together[second]} {word}" if second in together else word
    viz.mark_tokens(list(together.values()), list(together), ax, 0.12)
    one = 1000 * recognizer.frame_seconds
    title = f"chunks of {chunk * one:.0f} ms, {look_ahead * one:.0f} ms ahead: "
    ax.set_title(
        title + (" ".join(word for word, _ in found) or "(nothing)"), loc="left", fontsize=10, pad=18
    )
    return ax.figure


def live_html(shown: Sequence[Shown], samples: Any, sample_rate: int) -> str:
    """Return a player as HTML, below which each word appears at its second while the sound plays."""
    sound = base64.b64encode(wav(samples, sample_rate)).decode()
    spans = "".join(
        f'<span data-at="{second:.3f}" style="visibility:hidden">{html.escape(word)}&ensp;</span>'
        for word, second in shown
    )
    reveal = (
        "for (const s of this.nextElementSibling.children)"
        " s.style.visibility = this.currentTime >= s.dataset.at ? 'visible' : 'hidden'"
    )
    step = "const a = this, f = () => { a.reveal(); if (!a.paused) requestAnimationFrame(f) }; f()"
    return (
        f'<div><audio controls style="width:420px" src="data:audio/wav;base64,{sound}"'
        f' onplay="this.reveal = () => {{ {reveal} }}; {step}" ontimeupdate="{reveal}"></audio>'
        f'<div style="font-size:1.4em;min-height:1.6em">{spans}</div></div>'
    )


def live_explorer(
    recognizer: Recognizer, samples: Any, sample_rate: int, words: Words = ()
) -> ipywidgets.VBox:
    """Return sliders for chunk and look-ahead over ``draw_shown`` and a player of ``live_html``. Lesson 12.

    Press play, and the words appear when a recognizer could show them.
    """
    with extra("lab"):
        import ipywidgets

    live = ipywidgets.HTML()

    def draw(chunk: int, look_ahead: int) -> Figure:
        shown = shown_words(recognizer, samples, sample_rate, chunk, look_ahead)
        live.value = live_html(shown, samples, sample_rate)
        return draw_shown(recognizer, samples, sample_rate, chunk, look_ahead, words)

    frame = f"{1000 * recognizer.frame_seconds:.0f} ms"
    controls = [
        slider(f"chunk (times {frame})", 5, 1, 20, name_width="12em"),
        slider(f"look-ahead (times {frame})", 3, 0, 8, name_width="12em"),
    ]
    return explorer(controls, draw, below=[live])
