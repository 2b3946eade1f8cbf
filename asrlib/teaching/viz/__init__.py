"""Plots: axes in (``ax=None`` makes one), axes out; labeled, with units.

The lessons' widgets draw with the same functions, so what a slider shows is what a
figure shows.
"""

from asrlib.teaching.viz.axes import BLUE, GREY, ORANGE
from asrlib.teaching.viz.decoding import plot_costs, plot_emissions, plot_hypotheses
from asrlib.teaching.viz.diagrams.course import asr_map, pipeline
from asrlib.teaching.viz.diagrams.delay import latency_bar
from asrlib.teaching.viz.diagrams.encoder import (
    contextnet_block,
    contextnet_stack,
    separable_convolution,
    squeeze_excitation,
)
from asrlib.teaching.viz.diagrams.losses import collapse_funnel, ctc_trellis, transducer
from asrlib.teaching.viz.lattice import plot_distribution, plot_label_probabilities, plot_moves, plot_nodes
from asrlib.teaching.viz.network import plot_blocks, plot_dependency, plot_gates, plot_receptive_field
from asrlib.teaching.viz.results import (
    plot_calibration,
    plot_confusions,
    plot_contexts,
    plot_history,
    plot_seeds,
)
from asrlib.teaching.viz.signal import (
    mark_formants,
    mark_tokens,
    mark_words,
    plot_log_mel,
    plot_mel_filters,
    plot_spectrogram,
    plot_waveform,
)

__all__ = [
    "BLUE",
    "GREY",
    "ORANGE",
    "asr_map",
    "collapse_funnel",
    "contextnet_block",
    "contextnet_stack",
    "ctc_trellis",
    "latency_bar",
    "mark_formants",
    "mark_tokens",
    "mark_words",
    "pipeline",
    "plot_blocks",
    "plot_calibration",
    "plot_confusions",
    "plot_contexts",
    "plot_costs",
    "plot_dependency",
    "plot_distribution",
    "plot_emissions",
    "plot_gates",
    "plot_history",
    "plot_hypotheses",
    "plot_label_probabilities",
    "plot_log_mel",
    "plot_mel_filters",
    "plot_moves",
    "plot_nodes",
    "plot_receptive_field",
    "plot_seeds",
    "plot_spectrogram",
    "plot_waveform",
    "separable_convolution",
    "squeeze_excitation",
    "transducer",
]
