"""The transducer playground computes what asrlib and the shipped recognizer compute."""

import copy
import itertools
import json
import math

import pytest
import torch
from javascript import ENGINES, evaluate

import asrlib
from asrlib.decoding.beam import BeamOptions, beam_rnnt
from asrlib.decoding.greedy import greedy_rnnt
from asrlib.errors import InputError
from asrlib.losses.alignment import rnnt_align
from asrlib.losses.rnnt import rnnt_loss, rnnt_posteriors
from asrlib.losses.textbook import rnnt_alphas, rnnt_betas, rnnt_scores
from asrlib.teaching.playgrounds import transducer_options, transducer_playground
from asrlib.teaching.playgrounds.floats import from_text
from asrlib.teaching.playgrounds.transducer import SNRS

CLOSE = {"rtol": 0, "atol": 1e-6}
PENALTIES = (0.0, 2.5, -1.0)


@pytest.fixture(scope="module")
def recognizer():
    return asrlib.Recognizer.load("lessons-model")


@pytest.fixture(scope="module")
def options(recognizer):
    [clip] = [cut for cut in asrlib.clips() if cut.id == "audio/digits-4.flac"]
    return transducer_options(
        recognizer, torch.from_numpy(clip.audio), clip.sampling_rate, clip.text, clip.words
    )


@pytest.fixture(scope="module")
def double(recognizer):
    """The model in 64 bits, in which the page computes."""
    return copy.deepcopy(recognizer.model).double()


def frames_of(options, level, width=96):
    return from_text(options["levels"][level]["frames"]).view(-1, width).double()


@torch.no_grad()
def logits_of(double, options, level, penalty):
    target = torch.tensor([options["target"]])
    prefixes = double.joint.prediction_linear(double.prediction(target))
    logits = double.joint.scores(frames_of(options, level)[:, None], prefixes)
    logits[..., 0] -= penalty
    return logits


@pytest.mark.parametrize("engine", ENGINES)
def test_sums_and_best_paths_of_any_lattice_are_those_of_asrlib(engine, tmp_path):
    generator = torch.Generator().manual_seed(0)
    cases = [
        (
            2 * torch.randn(T, U + 1, 4, generator=generator, dtype=torch.float64),
            [1 + u % 3 for u in range(U)],
        )
        for T, U in itertools.product((1, 2, 5, 9), (1, 2, 4))
    ]
    expression = """given.map(([logits, target]) => {
        const scores = rnntScores(logits.map((row) => row.map((node) => penalized(node, 0))), target);
        const frames = bestFrames(scores);
        return [rnntSums(scores), frames, pathScore(scores, frames)];
    })"""
    given = [(logits.tolist(), target) for logits, target in cases]
    found = evaluate(engine, "transducer", expression, given, tmp_path)
    for (logits, target), (sums, frames, score) in zip(cases, found, strict=True):
        labels = torch.tensor(target)
        scores = rnnt_scores(logits, labels, blank=0)
        torch.testing.assert_close(as_tensor(sums["alpha"]), rnnt_alphas(*scores), **CLOSE)
        torch.testing.assert_close(as_tensor(sums["beta"]), rnnt_betas(*scores), **CLOSE)
        gamma = rnnt_posteriors(logits[None], labels[None], blank=0)[0]
        torch.testing.assert_close(as_tensor(sums["gamma"]), gamma, **CLOSE)
        lengths = torch.tensor([len(logits)]), torch.tensor([len(target)])
        loss = rnnt_loss(logits[None], labels[None], *lengths, blank=0, reduction="sum")
        assert -sums["logP"] == pytest.approx(loss.item(), abs=1e-6)
        best = rnnt_align(logits[None], labels[None], blank=0)[0]
        assert score == pytest.approx(best.score, abs=1e-6) and frames == best.starts.tolist()


def as_tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_networks_lattice_with_noise_and_penalty_is_the_recognizers(engine, options, double, tmp_path):
    settings = [(level, penalty) for level in (0, 3, len(SNRS) - 1) for penalty in PENALTIES]
    expression = """(() => {
        const at = transducer(given.options);
        return given.settings.map(([level, penalty]) => at(level, penalty).lattice());
    })()"""
    found = evaluate(engine, "transducer", expression, {"options": options, "settings": settings}, tmp_path)
    for (level, penalty), lattice in zip(settings, found, strict=True):
        wanted = logits_of(double, options, level, penalty).log_softmax(-1)
        torch.testing.assert_close(as_tensor(lattice), wanted, **CLOSE)


@pytest.mark.parametrize("engine", ENGINES)
def test_searches_are_those_of_asrlib(engine, options, recognizer, double, tmp_path):
    """In 64 bits to 1e-6 a search written here; asrlib's, which is in 32 bits, by its labels, and to 1e-3."""
    settings = list(itertools.product((0, 4), (0.0, 1.5), (1, 2, 4)))
    expression = """(() => {
        const at = transducer(given.options), most = given.options.most;
        return given.settings.map(([level, penalty, width]) => {
            const { T, says } = at(level, penalty);
            return [greedySteps(says, T, most), beamSteps(says, T, width, most)];
        });
    })()"""
    found = evaluate(engine, "transducer", expression, {"options": options, "settings": settings}, tmp_path)
    most = options["most"]
    for (level, penalty, width), (steps, history) in zip(settings, found, strict=True):
        frames = frames_of(options, level)
        mine = reference_beam(double, frames, penalty, width, most)
        assert [tuple(one["written"]) for one in history[-1]] == [text for text, _ in mine]
        assert [one["score"] for one in history[-1]] == pytest.approx([s for _, s in mine], abs=1e-6)
        assert all(len(one["frames"]) == len(one["written"]) for beam in history for one in beam)

        model = with_penalty(recognizer.model, penalty)
        encoded, length = frames[None].float(), torch.tensor([len(frames)])
        [greedy] = greedy_rnnt(model, encoded, length, most)
        assert [step["label"] for step in steps if step["label"]] == greedy.labels
        assert steps[-1]["score"] == pytest.approx(greedy.score, abs=1e-3)
        assert [step["t"] for step in steps if step["label"]] == greedy.frames
        [theirs] = beam_rnnt(model, encoded, length, BeamOptions(width, norm_score=False), most)
        assert history[-1][0]["written"] == theirs[0].labels
        assert history[-1][0]["score"] == pytest.approx(theirs[0].score, abs=1e-3)
        if width == 1:
            assert history[-1][0]["written"] == greedy.labels


def with_penalty(model, penalty):
    """The model with the penalty in its bias, for frames that are projected already."""
    model = copy.deepcopy(model)
    model.joint.encoder_linear = torch.nn.Identity()
    with torch.no_grad():
        model.joint.output.bias[0] -= penalty
    return model


@torch.no_grad()
def reference_beam(double, frames, penalty, width, most):
    """Lesson 07's beam search in 64 bits: [(labels, ln P)], best first."""

    def says(t, written):
        after = double.prediction(torch.tensor([list(written)], dtype=torch.long))[:, -1]
        logits = double.joint.scores(frames[t], double.joint.prediction_linear(after)[0])
        logits[0] -= penalty
        return logits.log_softmax(-1).tolist()

    beam = {(): 0.0}
    for t in range(len(frames)):
        going, waiting = beam, {}
        for symbol in range(most + 1):
            longer = {}
            for text, score in going.items():
                blank, *labels = says(t, text)
                both = torch.tensor([waiting.get(text, -torch.inf), score + blank], dtype=torch.float64)
                waiting[text] = both.logsumexp(0).item()
                if symbol < most:
                    longer |= {(*text, k): score + value for k, value in enumerate(labels, 1)}
            grown = sorted(longer.items(), key=lambda pair: -pair[1])[: (width + 1) // 2]
            everyone = [(score, text, False) for text, score in waiting.items()]
            everyone += [(score, text, True) for text, score in grown]
            kept = sorted(everyone, key=lambda entry: -entry[0])[:width]
            going = {text: score for score, text, grows in kept if grows}
            waiting = {text: score for score, text, grows in kept if not grows}
        beam = waiting
    return sorted(beam.items(), key=lambda pair: -pair[1])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_moved_label_takes_others_along(engine, tmp_path):
    given = [([3, 6, 16], 0, 10), ([3, 6, 16], 2, 0), ([3, 6, 16], 1, 99), ([3, 6, 16], 1, -5)]
    found = evaluate(engine, "transducer", "given.map(([f, u, t]) => moved(f, u, t, 22))", given, tmp_path)
    assert found == [[10, 10, 16], [0, 0, 0], [3, 21, 21], [0, 0, 16]]


def test_the_options_are_plain_and_start_from_asrlib(options):
    assert json.loads(json.dumps(options)) == options
    value = options["value"]
    assert value["log_path"] <= value["log_total"] < 0 and sorted(value["frames"]) == value["frames"]
    assert options["labels"][0] == "∅" and "seven" in options["labels"]
    loudness = [from_text(level["frames"]).abs().sum() for level in options["levels"]]
    assert len(set(map(float, loudness))) == len(SNRS) == len(options["levels"])


def test_a_recognizer_that_the_page_cannot_compute_is_refused_in_one_line(recognizer):
    other = copy.copy(recognizer)
    other.model = copy.deepcopy(recognizer.model)
    other.model.joint.activation = "relu"
    with pytest.raises(InputError, match="a joint network that adds and applies tanh"):
        transducer_options(other, torch.rand(8000) - 0.5, 8000, "one")
    with pytest.raises(InputError, match="this recognizer has a CTC head alone"):
        transducer_options(asrlib.Recognizer.load("commands-model"), torch.rand(8000) - 0.5, 8000, "yes")
    with pytest.raises(InputError, match="one label or more"):
        transducer_options(recognizer, torch.rand(8000) - 0.5, 8000, "")


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (torch.zeros(0), "non-empty"),
        (torch.zeros(2, 8000), "expected one row of mono samples"),
        (torch.full((8000,), math.nan), "NaN or infinite"),
    ],
)
def test_a_sound_that_is_none_is_refused_in_one_line(recognizer, samples, words):
    with pytest.raises(InputError) as error:
        transducer_options(recognizer, samples, 8000, "one")
    assert words in str(error.value) and "\n" not in str(error.value)


def test_samples_may_be_an_array(recognizer):
    samples = torch.rand(800) - 0.5
    options = [transducer_options(recognizer, sound, 8000, "one") for sound in (samples, samples.numpy())]
    assert options[0] == options[1]


def test_a_cell_reads_the_lattice_that_is_shown(recognizer, double):
    pytest.importorskip("anywidget", reason="needs anywidget")
    play = transducer_playground(recognizer, torch.rand(8000) - 0.5, 8000, "one two")
    for level, penalty in ((0, 0.0), (2, 3.0)):
        play.value = {"snr_db": SNRS[level], "blank_penalty": penalty}
        wanted = logits_of(double, play.options, level, penalty)
        torch.testing.assert_close(play.logits.double(), wanted, rtol=0, atol=1e-3)
    assert play.target.tolist() == play.options["target"]
    assert repr(play) == "TransducerPlayground: run this cell to move it"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"snr_db": 12}, "there are None, 20"),
        ({"frames": [3, 1]}, "do not decrease"),
        ({"frames": [0]}, "give 2 frames"),
        ({"frames": [0, 999]}, "from 0 to"),
        ({"frames": [0, "1"]}, "from 0 to"),
        ({"frames": 3}, "give 2 frames"),
    ],
)
def test_a_value_that_cannot_be_shown_is_refused_in_one_line(recognizer, value, words):
    pytest.importorskip("anywidget", reason="needs anywidget")
    play = transducer_playground(recognizer, torch.rand(8000) - 0.5, 8000, "one two")
    before = play.value
    with pytest.raises(InputError) as error:
        play.value = value
    assert words in str(error.value) and "\n" not in str(error.value)
    assert play.value == before
