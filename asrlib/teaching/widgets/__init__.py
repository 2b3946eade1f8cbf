"""Widgets: sliders over a plot.

Each widget is based on a plain drawing function, so that a figure can precede it and a test can call the
function over the slider's whole range.
"""

from asrlib.teaching.widgets.controls import explorer, stepper
from asrlib.teaching.widgets.decoding import (
    beam_after,
    decoder_stepper,
    draw_beam_step,
    draw_greedy_step,
    draw_hypotheses,
    draw_models,
)
from asrlib.teaching.widgets.lattice import ctc_explorer, draw_ctc_frame, draw_rnnt_path, lattice_explorer
from asrlib.teaching.widgets.live import draw_shown, live_explorer, shown_words
from asrlib.teaching.widgets.network import (
    contextnet_explorer,
    draw_contextnet,
    draw_gates,
    draw_receptive_field,
    gate_viewer,
    receptive_field_explorer,
    se_gates,
)
from asrlib.teaching.widgets.sound import (
    draw_heard,
    draw_noisy,
    draw_spectrogram,
    noise_explorer,
    spectrogram_explorer,
    with_white_noise,
)
from asrlib.teaching.widgets.tokens import draw_tokens, token_explorer
from asrlib.teaching.widgets.voice import voice_explorer

__all__ = [
    "beam_after",
    "contextnet_explorer",
    "ctc_explorer",
    "decoder_stepper",
    "draw_beam_step",
    "draw_contextnet",
    "draw_ctc_frame",
    "draw_gates",
    "draw_greedy_step",
    "draw_heard",
    "draw_hypotheses",
    "draw_models",
    "draw_noisy",
    "draw_receptive_field",
    "draw_rnnt_path",
    "draw_shown",
    "draw_spectrogram",
    "draw_tokens",
    "explorer",
    "gate_viewer",
    "lattice_explorer",
    "live_explorer",
    "noise_explorer",
    "receptive_field_explorer",
    "se_gates",
    "shown_words",
    "spectrogram_explorer",
    "stepper",
    "token_explorer",
    "voice_explorer",
    "with_white_noise",
]
