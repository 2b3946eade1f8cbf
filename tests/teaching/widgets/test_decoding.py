import numpy as np
import pytest
import torch

from asrlib.decoding.beam import BeamOptions, beam_ctc
from asrlib.losses import textbook
from asrlib.signal.frame_times import FrameTimes
from asrlib.teaching import widgets
from asrlib.text.ngram import train_ngram

CLOCK = FrameTimes(0.08, 0.0125)


@pytest.fixture
def decoding():
    """Five frames of three labels, and a language model that likes "one two"."""
    generator = torch.Generator().manual_seed(0)
    log_probs = (2 * torch.randn(5, 3, generator=generator)).log_softmax(-1)
    return log_probs, train_ngram([[1, 2], [1, 2], [2]], ["one", "two"], order=2)


def test_draw_greedy_step_shows_what_is_written():
    log_probs = torch.tensor([[0.8, 0.2], [0.1, 0.9], [0.7, 0.3]]).log()
    steps = [(0, [], log_probs[0]), (1, [], log_probs[1]), (1, [1], log_probs[2])]
    seen = []
    for step in range(len(steps)):
        ax, bars = widgets.draw_greedy_step(steps, step, ["∅", "one"], CLOCK).axes
        seen.append((ax.get_xlabel().rsplit(": ", 1)[1], bars.get_title()))
        assert ax.lines[0].get_xydata()[-1].tolist() == [CLOCK(steps[step][0]), len(steps[step][1])]
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
    above, below = widgets.draw_models(said, ["∅", "one"], CLOCK, [("one", 0.02, 0.1)]).axes
    for ax, (name, values) in zip((above, below), said.items(), strict=True):
        assert ax.get_ylabel().startswith(name)
        lines = {line.get_label(): line for line in ax.lines}
        np.testing.assert_allclose(
            lines["one"].get_xydata(), [[0.0125, values[0, 1]], [0.0925, values[1, 1]]], rtol=1e-6
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
        assert text == textbook.collapse(log_probs[: frame + 1].argmax(-1).tolist())


def test_a_wide_beam_holds_the_exact_probability_of_every_text(decoding):
    log_probs, lm = decoding
    for frame in range(len(log_probs)):
        beam = widgets.beam_after(log_probs, frame, BeamOptions(100, False))
        assert sum(np.exp(-parts["audio"]) for _, parts in beam) == pytest.approx(1, abs=1e-5)
        text, parts = beam[0]
        target = torch.tensor(text, dtype=torch.long)
        exact = -textbook.ctc_brute_force(log_probs[: frame + 1].double(), target)
        assert parts == {"audio": pytest.approx(float(exact), abs=1e-5)}


def test_decoder_stepper_redraws_over_the_range_of_each_slider(decoding):
    log_probs, lm = decoding
    *sliders, picture = widgets.decoder_stepper(log_probs, ["∅", "one", "two"], CLOCK, lm).children
    start, seen = [slider.value for slider in sliders], {bytes(picture.value)}
    for slider, value in zip(sliders, start, strict=True):
        for position in np.arange(slider.min, slider.max + slider.step / 2, slider.step):
            slider.value = position
            assert bytes(picture.value).startswith(b"\x89PNG")
            seen.add(bytes(picture.value))
        slider.value = value
    assert len(seen) > 15
