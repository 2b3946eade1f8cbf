import io
import itertools
import re

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
import soundfile
import torch

import asrlib
from asrlib.decoding.beam import BeamOptions, beam_ctc
from asrlib.losses import ctc
from asrlib.models.contextnet import BlockConfig, ContextNetEncoder
from asrlib.models.parameters import count_parameters
from asrlib.teaching import widgets
from asrlib.text.ngram import train_ngram


@pytest.fixture(scope="module")
def recognizer():
    return asrlib.Recognizer.load("lessons-model")


@pytest.fixture(scope="module")
def cut():
    return next(iter(asrlib.clips()))


def test_noise_explorer_redraws_over_the_whole_range_of_its_slider(recognizer, cut):
    samples = asrlib.cut_audio(cut)
    slider, picture, sound = widgets.noise_explorer(recognizer, samples, cut.sampling_rate).children
    seen = {(bytes(picture.value), bytes(sound.value))}
    positions = range(slider.min, slider.max + 1, slider.step)
    for position in positions:
        slider.value = position
        assert bytes(picture.value).startswith(b"\x89PNG")
        heard, rate = soundfile.read(io.BytesIO(bytes(sound.value)))
        assert rate == cut.sampling_rate and len(heard) == len(samples)
        seen.add((bytes(picture.value), bytes(sound.value)))
    assert len(seen) == len(positions)


def test_noise_is_as_loud_as_the_slider_says(cut):
    samples = asrlib.cut_audio(cut)
    for snr_db in (-10, 0, 20):
        noise = widgets._noisy(samples, snr_db, seed=0) - samples
        measured = 10 * np.log10((samples**2).mean() / (noise**2).mean())
        assert measured == pytest.approx(snr_db, abs=0.3)


def test_draw_noisy_titles_the_picture_with_what_is_heard(recognizer, cut):
    figure = widgets.draw_noisy(recognizer, asrlib.cut_audio(cut), cut.sampling_rate, 40)
    (title,) = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    assert title.endswith(cut.supervisions[0].text)


def test_spectrogram_explorer_redraws_over_the_range_of_each_slider(cut):
    *sliders, message, picture = widgets.spectrogram_explorer(
        asrlib.cut_audio(cut)[:8000], cut.sampling_rate
    ).children
    start, seen = [slider.value for slider in sliders], {bytes(picture.value)}
    for slider, value in zip(sliders, start, strict=True):
        for position in range(slider.min, slider.max + 1, slider.step):
            slider.value = position
            if sliders[0].value < sliders[1].value:
                assert "window must be at least as long as the hop" in message.value
            else:
                assert bytes(picture.value).startswith(b"\x89PNG") and not message.value
                seen.add(bytes(picture.value))
        slider.value = value
    too_short = sum(n < start[1] for n in range(sliders[0].min, sliders[0].max + 1, sliders[0].step))
    positions = sum(len(range(s.min, s.max + 1, s.step)) for s in sliders)
    assert len(seen) == positions - too_short - (len(sliders) - 1)


def test_draw_spectrogram_says_how_many_filters_are_empty(cut):
    figure = widgets.draw_spectrogram(asrlib.cut_audio(cut), 16000, window_ms=5, hop_ms=5, mels=80)
    above, below = figure.axes[:2]
    frames = 1 + (len(asrlib.cut_audio(cut)) - 80) // 80
    assert above.get_title() == f"{frames} frames of 80 samples, hop 80"
    assert above.get_images()[0].get_array().shape == (65, frames)
    empty = int((asrlib.signal.features.mel_filters(16000, 128, 80).sum(0) == 0).sum())
    assert empty > 0 and below.get_title() == f"80 filters over bins of 125 Hz, {empty} of them empty"


@pytest.fixture(scope="module")
def ctc_log_probs():
    """Seven frames that read ∅ one one ∅ one two ∅ at their best."""
    best = [0, 1, 1, 0, 1, 2, 0]
    return (torch.eye(3)[best] * 5).log_softmax(-1)


def test_draw_ctc_frame_collapses_what_it_has_seen(ctc_log_probs):
    written = []
    for frame in range(len(ctc_log_probs)):
        figure = widgets.draw_ctc_frame(ctc_log_probs, ["∅", "one", "two"], frame, 0.08)
        label = figure.axes[0].get_xlabel()
        written.append(label.rsplit(": ", 1)[1])
        matplotlib.pyplot.close(figure)
    assert "· one one · one two ·" in label
    assert written == ["(nothing yet)", "one", "one", "one", "one one", "one one two", "one one two"]


def test_ctc_explorer_redraws_and_plays_up_to_each_frame(ctc_log_probs):
    rate, seconds = 8000, 0.08
    samples = np.linspace(-0.5, 0.5, int(7 * seconds * rate))
    words = [("one", 0.08, 0.24)]
    explorer = widgets.ctc_explorer(ctc_log_probs, ["∅", "one", "two"], seconds, samples, rate, words)
    slider, picture, sound = explorer.children
    assert (slider.min, slider.max) == (0, 6)
    seen = set()
    for frame in range(slider.max, -1, -1):
        slider.value = frame
        assert bytes(picture.value).startswith(b"\x89PNG")
        seen.add(bytes(picture.value))
        heard, _ = soundfile.read(io.BytesIO(bytes(sound.value)))
        assert len(heard) == (frame + 1) * 640
        assert heard == pytest.approx(samples[: len(heard)], abs=1e-4)
    assert len(seen) == 7


def test_stepper_draws_each_step_and_lets_errors_out():
    drawn = []

    def draw(step):
        drawn.append(step)
        return matplotlib.pyplot.figure(figsize=(1, 1))

    open_before = matplotlib.pyplot.get_fignums()
    slider, _ = widgets.stepper(draw, 4).children
    for step in range(slider.min, slider.max + 1):
        slider.value = step
    assert drawn == [0, 1, 2, 3]
    assert matplotlib.pyplot.get_fignums() == open_before

    with pytest.raises(ZeroDivisionError):
        widgets.stepper(lambda step: 1 // 0, 2)


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
    first, second, block, picture = widgets.gate_viewer(recognizer, sounds).children
    seen = {bytes(picture.value)}
    for position in range(block.min, block.max + 1):
        block.value = position
        seen.add(bytes(picture.value))
    for name in first.options:
        first.value = name
        seen.add(bytes(picture.value))
    assert len(seen) == len(recognizer.model.encoder.blocks) + len(cuts) - 1
    first.value = second.value
    assert bytes(picture.value).startswith(b"\x89PNG")


def test_draw_gates_says_how_far_apart_they_are():
    one, two = [torch.tensor([0.2, 0.4])], [torch.tensor([0.3, 0.2])]
    ax = widgets.draw_gates(0, ("a", one), ("b", two)).axes[0]
    assert ax.get_title(loc="left") == "block C0, mean difference 0.150"


@pytest.fixture(scope="module")
def lattice():
    """Six frames, the target 1 2 (one two), any scores."""
    return torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([1, 2])


def share_and_score(figure):
    text = figure.axes[0].get_xlabel()
    score, share = re.search(r"ln P\(path\) = (-?[\d.]+), ([\d.]+)%", text).groups()
    return float(share), float(score)


def test_all_paths_of_the_lattice_explorer_share_the_whole(lattice):
    names = ["∅", "one", "two", "three"]
    shares = []
    for frames in itertools.combinations_with_replacement(range(6), 2):
        figure = widgets.draw_rnnt_path(*lattice, names, frames, 0.08)
        shares.append(share_and_score(figure)[0])
        matplotlib.pyplot.close(figure)
    assert len(shares) == 21
    assert sum(shares) == pytest.approx(100, abs=21 * 0.05)


def test_drawn_path_has_the_score_of_the_alignment(lattice):
    logits, targets = lattice
    best = asrlib.rnnt_align(logits[None], targets[None], blank=0)[0]
    figure = widgets.draw_rnnt_path(logits, targets, ["∅", "1", "2", "3"], best.starts.tolist(), 0.08)
    assert share_and_score(figure)[1] == pytest.approx(best.score, abs=0.006)
    way = figure.axes[0].lines[0].get_xydata() / [0.08, 1]
    assert way.round().astype(int).tolist() == best.path[:-1].tolist()


def test_lattice_explorer_takes_neighbours_along(lattice):
    words = [("one", 0.1, 0.2), ("two", 0.2, 0.4)]
    explorer = widgets.lattice_explorer(*lattice, ["∅", "one", "two", "three"], 0.08, words)
    first, second, back, picture = explorer.children
    start = first.value, second.value
    seen = {start: bytes(picture.value)}
    for frame in range(6):
        first.value = frame
        assert first.value == frame <= second.value
        seen[first.value, second.value] = bytes(picture.value)
    for frame in reversed(range(6)):
        second.value = frame
        assert first.value <= frame == second.value
        seen[first.value, second.value] = bytes(picture.value)
    assert len(set(seen.values())) == len(seen) > 5
    back.click()
    assert (first.value, second.value) == start
    assert bytes(picture.value) == seen[start]


def test_draw_greedy_step_shows_what_is_written():
    log_probs = torch.tensor([[0.8, 0.2], [0.1, 0.9], [0.7, 0.3]]).log()
    steps = [(0, [], log_probs[0]), (1, [], log_probs[1]), (1, [1], log_probs[2])]
    seen = []
    for step in range(len(steps)):
        ax, bars = widgets.draw_greedy_step(steps, step, ["∅", "one"], 0.08).axes
        seen.append((ax.get_xlabel().rsplit(": ", 1)[1], bars.get_title()))
        assert ax.lines[0].get_xydata()[-1].tolist() == [steps[step][0] * 0.08, len(steps[step][1])]
    assert seen == [
        ("(nothing yet)", "t = 0, u = 0: ∅"),
        ("(nothing yet)", "t = 1, u = 0: one"),
        ("one", "t = 1, u = 1: ∅"),
    ]


def test_draw_hypotheses_lists_the_beam_of_its_frame():
    history = [[((), -0.1)], [((1,), -0.5), ((1, 1), -1.5), ((), -2.0)]]
    ax = widgets.draw_hypotheses(history, 1, ["∅", "one"]).axes[0]
    assert [text.get_text().split("   ") for text in ax.texts] == [
        ["one", "ln P = -0.50"],
        ["one one", "ln P = -1.50"],
        ["(nothing yet)", "ln P = -2.00"],
    ]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(np.exp([-0.5, -1.5, -2.0]))
    assert ax.get_title() == "the beam after frame 1"
    assert widgets.draw_hypotheses(history, 0, ["∅", "one"]).axes[0].get_title().endswith("0")


def test_draw_models_shows_each_over_the_same_time():
    said = {"first": torch.tensor([[0.9, 0.1], [0.2, 0.8]]), "second": torch.tensor([[0.6, 0.4], [0.3, 0.7]])}
    above, below = widgets.draw_models(said, ["∅", "one"], 0.08, [("one", 0.02, 0.1)]).axes
    for ax, (name, values) in zip((above, below), said.items(), strict=True):
        assert ax.get_ylabel().startswith(name)
        lines = {line.get_label(): line for line in ax.lines}
        np.testing.assert_allclose(
            lines["one"].get_xydata(), [[0.0, values[0, 1]], [0.08, values[1, 1]]], rtol=1e-6
        )
        assert "one" in [text.get_text() for text in ax.texts]
    assert above.get_xlim() == below.get_xlim()
    assert (above.get_xlabel(), below.get_xlabel()) == ("", "time (s)")


def test_the_beam_after_each_frame_is_that_of_the_frames_so_far(decoding):
    log_probs, lm = decoding
    for width, weight, bonus in ((1, 0.0, 0.0), (3, 0.5, 1.0), (50, 1.0, -0.5)):
        options = BeamOptions(width, False, lm, weight, bonus)
        [found] = beam_ctc(log_probs[None], torch.tensor([len(log_probs)]), options)
        last = widgets.beam_after(log_probs, len(log_probs) - 1, options)
        assert [text for text, _ in last] == [path.labels for path in found]
        for text, parts in last:
            assert parts["language model"] == pytest.approx(-weight * lm.log_prob(text), abs=1e-4)
            assert parts.get("bonus", 0.0) == -bonus * len(text)
    greedy = BeamOptions(1, False, lm, 0.0)
    for frame in range(len(log_probs)):
        [(text, _)] = widgets.beam_after(log_probs, frame, greedy)
        assert text == ctc.collapse(log_probs[: frame + 1].argmax(-1).tolist())


def test_a_wide_beam_holds_the_exact_probability_of_every_text(decoding):
    log_probs, lm = decoding
    for frame in range(len(log_probs)):
        beam = widgets.beam_after(log_probs, frame, BeamOptions(100, False))
        assert sum(np.exp(-parts["audio"]) for _, parts in beam) == pytest.approx(1, abs=1e-5)
        text, parts = beam[0]
        exact = -ctc.ctc_brute_force(log_probs[: frame + 1].double(), torch.tensor(text, dtype=torch.long))
        assert parts == {"audio": pytest.approx(float(exact), abs=1e-5)}


def test_decoder_stepper_redraws_over_the_range_of_each_slider(decoding):
    log_probs, lm = decoding
    *sliders, picture = widgets.decoder_stepper(log_probs, ["∅", "one", "two"], 0.08, lm).children
    start, seen = [slider.value for slider in sliders], {bytes(picture.value)}
    for slider, value in zip(sliders, start, strict=True):
        for position in np.arange(slider.min, slider.max + slider.step / 2, slider.step):
            slider.value = position
            assert bytes(picture.value).startswith(b"\x89PNG")
            seen.add(bytes(picture.value))
        slider.value = value
    assert len(seen) > 15


@pytest.fixture
def decoding():
    """Five frames of three labels, and a language model that likes "one two"."""
    generator = torch.Generator().manual_seed(0)
    log_probs = (2 * torch.randn(5, 3, generator=generator)).log_softmax(-1)
    return log_probs, train_ngram([[1, 2], [1, 2], [2]], ["one", "two"], order=2)


def test_block_profile_counts_what_runs():
    encoder = ContextNetEncoder(
        6,
        [
            BlockConfig(8, layers=1, kernel=3, residual=False),
            BlockConfig(8, layers=2, kernel=3, stride=2),
        ],
        variant="paper",
    )
    profile = widgets.block_profile(encoder)
    assert profile["parameters"] == [sum(count_parameters(block)) for block in encoder.blocks]
    assert profile["field"] == [3, 7] and profile["rate"] == [1, 2]
    # C0: 3·6 + 6·8 a frame; C1: 3·8 + 8·8, the second half as often, as is the 8·8 of the shortcut
    assert profile["work"] == [100 * 66, 100 * 88 + 50 * 88 + 50 * 64]


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
