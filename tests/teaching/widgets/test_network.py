import io

import numpy as np
import pytest
import soundfile
import torch

import asrlib
from asrlib.teaching import widgets


def test_receptive_field_explorer_redraws_over_the_range_of_each_control():
    *sliders, padding, picture = widgets.receptive_field_explorer().children
    for choice in padding.options:
        padding.value = choice
        seen = {bytes(picture.value)}
        for slider in sliders:
            start = slider.value
            for position in range(slider.min, slider.max + 1, slider.step):
                slider.value = position
                seen.add(bytes(picture.value))
            slider.value = start
        assert len(seen) == sum(len(range(s.min, s.max + 1, s.step)) - 1 for s in sliders) + 1


@pytest.mark.parametrize(
    "arguments, title",
    [
        ((5, 1, 0, "same"), "sees 5 frames, 2 of them in the future; strides multiply to 1"),
        ((5, 2, 0, "causal"), "sees 9 frames, 0 of them in the future; strides multiply to 1"),
        ((3, 3, 2, "same"), "sees 15 frames, 7 of them in the future; strides multiply to 4"),
    ],
)
def test_receptive_field_is_counted_in_the_title(arguments, title):
    ax = widgets.draw_receptive_field(*arguments).axes[0]
    assert ax.get_title(loc="left") == title
    seen = ax.lines[-1].get_xdata()
    assert title.startswith(f"sees {max(seen) - min(seen) + 1} frames, {max(seen)} of them")


def test_gates_are_those_that_the_encoder_multiplies_with(recognizer, cut):
    samples = asrlib.cut_audio(cut)
    gates = widgets.se_gates(recognizer, samples, cut.sampling_rate)
    blocks = recognizer.model.encoder.blocks
    assert [len(g) for g in gates] == [block.channels for block in blocks]
    ratios = []
    hooks = [
        block.se.register_forward_hook(lambda module, inputs, out: ratios.append((out / inputs[0])[0]))
        for block in blocks
    ]
    recognizer.transcribe(samples, cut.sampling_rate)  # five warps; the third is none
    for hook in hooks:
        hook.remove()
    unwarped = ratios[2 * len(blocks) : 3 * len(blocks)]
    for gate, ratio in zip(gates, unwarped, strict=True):
        torch.testing.assert_close(gate.expand_as(ratio), ratio, atol=1e-4, rtol=1e-4)


def test_gate_viewer_redraws_for_every_block_and_pair(recognizer):
    cuts = list(asrlib.clips())[:3]
    sounds = {cut.id: (asrlib.cut_audio(cut), cut.sampling_rate) for cut in cuts}
    first, second, noise, block, picture, *players = widgets.gate_viewer(recognizer, sounds).children
    seen = {bytes(picture.value)}
    for position in range(block.min, block.max + 1):
        block.value = position
        seen.add(bytes(picture.value))
    for name in first.options:
        first.value = name
        seen.add(bytes(picture.value))
    for level in noise.options:
        noise.value = level
        seen.add(bytes(picture.value))
    assert len(seen) == len(recognizer.model.encoder.blocks) + len(cuts) - 1 + len(noise.options) - 1
    first.value = second.value
    assert bytes(picture.value).startswith(b"\x89PNG")


def test_gate_viewer_plays_what_the_gates_saw(recognizer):
    cuts = list(asrlib.clips())[:2]
    sounds = {cut.id: (asrlib.cut_audio(cut), cut.sampling_rate) for cut in cuts}
    _, second, noise, _, _, one, other = widgets.gate_viewer(recognizer, sounds).children
    clean = [soundfile.read(io.BytesIO(bytes(sound.value)))[0] for sound in (one, other)]
    for heard, cut in zip(clean, cuts, strict=True):
        np.testing.assert_allclose(heard, asrlib.cut_audio(cut), atol=1e-4)
    noise.value = "10"
    noisy, _ = soundfile.read(io.BytesIO(bytes(other.value)))
    scale = noisy @ clean[1] / (clean[1] @ clean[1])  # a player turns down what exceeds 1
    measured = 10 * np.log10((clean[1] ** 2).mean() / ((noisy / scale - clean[1]) ** 2).mean())
    assert abs(measured - 10) < 0.5


def test_draw_gates_says_how_far_apart_they_are():
    one, two = [torch.tensor([0.2, 0.4])], [torch.tensor([0.3, 0.2])]
    ax = widgets.draw_gates(0, ("a", one), ("b", two)).axes[0]
    assert ax.get_title(loc="left") == "block C0, mean difference 0.150"


@pytest.mark.parametrize("variant, parameters, seconds", [("tensorflowasr", 6.9, 23.8), ("paper", 5.8, 19.4)])
def test_draw_contextnet_says_size_and_reach(variant, parameters, seconds):
    figure = widgets.draw_contextnet(variant, 0.5, 5, "progressive")
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[0] == f"{parameters} million" and titles[2] == f"{seconds} s by convolution alone"
    assert all(len(ax.patches) == 23 for ax in figure.axes)


def test_contextnet_explorer_redraws_over_the_range_of_each_control():
    *controls, picture = widgets.contextnet_explorer().children
    for control in controls:
        start, seen = control.value, set()
        if hasattr(control, "options"):
            positions = control.options
        else:
            positions = [control.min, control.min + 2 * control.step, control.max]
        for position in positions:
            control.value = position
            assert bytes(picture.value).startswith(b"\x89PNG")
            seen.add(bytes(picture.value))
        assert len(seen) == len(positions)
        control.value = start
