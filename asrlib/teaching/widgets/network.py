"""Explorers of the encoder: receptive field, gates, and ContextNet block by block. Lessons 02, 03, 04."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from asrlib.extras import extra
from asrlib.models.contextnet import DOWNSAMPLING, ContextNetEncoder, standard_blocks
from asrlib.models.layers.conv import pad_amounts, receptive_field
from asrlib.signal.resample import resample
from asrlib.teaching import viz
from asrlib.teaching.widgets.controls import choice, explorer, player, slider, wav
from asrlib.teaching.widgets.sound import with_white_noise

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure

    from asrlib.recognizer import Recognizer


def draw_receptive_field(kernel: int, layers: int, strided: int, padding: str) -> Figure:
    """Draw what one output frame sees through ``layers`` of one kernel. Lesson 02.

    The first ``strided`` layers have stride 2.
    """
    stack = [(kernel, 2 if layer < strided else 1) for layer in range(layers)]
    field, step = receptive_field(stack)[-1]
    ax = viz.plot_receptive_field(stack, padding)
    steps = [1, *(step for _, step in receptive_field(stack))]
    ahead = pad_amounts(kernel, padding)[1] * sum(steps[:-1])
    ax.set_title(
        f"sees {field} frames, {ahead} of them in the future; strides multiply to {step}", loc="left"
    )
    return ax.figure


def receptive_field_explorer() -> ipywidgets.VBox:
    """Return kernel, layers, strides and padding over ``draw_receptive_field``. Lesson 02."""
    controls = [
        slider("kernel", 5, 1, 9, 2),
        slider("layers", 3, 1, 6),
        slider("of stride 2", 0, 0, 3),
        choice("padding", ("same", "causal")),  # what keras-same reads depends on the length
    ]
    return explorer(controls, draw_receptive_field)


@torch.no_grad()
def se_gates(recognizer: Recognizer, samples: Any, sample_rate: int) -> list[torch.Tensor]:
    """Return the gates of each squeeze-and-excitation module on one utterance, (channels,) each. Lesson 03.

    If the context is not the whole utterance, these are means over frames.
    """
    samples = torch.as_tensor(np.asarray(samples, dtype=np.float32))
    samples = resample(samples, sample_rate, recognizer.front_end.sample_rate)
    encoder, front_end = recognizer.model.encoder, recognizer.front_end
    gates = encoder.gates(*front_end(samples[None], torch.tensor([len(samples)])))
    return [of_frames[0].mean(0) for of_frames in gates]


def draw_gates(block: int, *utterances: tuple[str, list[torch.Tensor]]) -> Figure:
    """Draw one block's gates on some utterances, given as (name, ``se_gates``). Lesson 03."""
    ax = viz.plot_gates([(name, gates[block]) for name, gates in utterances])
    (_, first), *others = utterances
    distances = ", ".join(f"{(first[block] - other[block]).abs().mean():.3f}" for _, other in others)
    ax.set_title(f"block C{block}, mean difference {distances}", loc="left")
    return ax.figure


def gate_viewer(recognizer: Recognizer, utterances: dict[str, tuple[Any, int]]) -> ipywidgets.VBox:
    """Return a choice of two utterances, noise in the second, and a block over ``draw_gates``. Lesson 03.

    ``utterances`` are {name: (samples, sample rate)}; noise is in decibels below the speech. Players below
    have the two as the gates saw them.
    """
    with extra("lab"):
        import ipywidgets

    names = list(utterances)
    players = player(), player()

    @functools.cache
    def heard(name: str, snr_db: int | None) -> tuple[np.ndarray, list[torch.Tensor]]:
        samples, rate = utterances[name]
        if snr_db is not None:
            samples = with_white_noise(samples, snr_db)
        return samples, se_gates(recognizer, samples, rate)

    def draw(first: str, second: str, snr_db: str, block: int) -> Figure:
        one, other = heard(first, None), heard(second, None if snr_db == "none" else int(snr_db))
        for sound, name, (samples, _) in zip(players, (first, second), (one, other), strict=True):
            sound.value = wav(samples, utterances[name][1])
        title = second if snr_db == "none" else f"{second}, {snr_db} dB"
        return draw_gates(block, (first, one[1]), (title, other[1]))

    controls = [
        ipywidgets.Dropdown(options=names, value=names[0], description="line"),
        ipywidgets.Dropdown(options=names, value=names[-1], description="dots"),
        ipywidgets.Dropdown(options=["none", "20", "10", "0"], value="none", description="their noise"),
        slider("block", 0, 0, len(recognizer.model.encoder.blocks) - 1),
    ]
    return explorer(controls, draw, below=players)


def draw_contextnet(variant: str, alpha: float, kernel: int, downsampling: str) -> Figure:
    """Draw parameters, work and receptive field of C0 to C22, block by block. Lesson 04."""
    with extra("lab"):
        import matplotlib.pyplot as plt

    with torch.device("meta"):  # shapes alone
        blocks = standard_blocks(kernel, downsampling=downsampling)
        profile = ContextNetEncoder(80, blocks, alpha, variant).profile()
    figure, axes = plt.subplots(1, 3, figsize=(12, 2.9), layout="constrained")
    panels = (
        ("parameters", 1e6, "parameters (millions)"),
        ("work", 1e6, "multiplications (millions per second)"),
        ("field", 100, "receptive field (s)"),
    )
    for ax, (key, unit, label) in zip(axes, panels, strict=True):
        viz.plot_blocks([value / unit for value in profile[key]], profile["rate"], label, ax)
    axes[0].set_title(f"{sum(profile['parameters']) / 1e6:.1f} million")
    axes[1].set_title(f"{sum(profile['work']) / 1e6:,.0f} million per second of sound")
    axes[2].set_title(f"{profile['field'][-1] / 100:.1f} s by convolution alone")
    return figure


def contextnet_explorer() -> ipywidgets.VBox:
    """Return variant, alpha, kernel and down-sampling over ``draw_contextnet``. Lesson 04."""
    controls = [
        choice("variant", ["paper", "tensorflowasr"]),
        slider("alpha", 0.5, 0.25, 2.0, 0.25),
        slider("kernel", 5, 3, 21, 2),
        choice("reduction", list(DOWNSAMPLING)),
    ]
    return explorer(controls, draw_contextnet)
