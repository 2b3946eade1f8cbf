"""The CTC playground computes what asrlib computes."""

import itertools
import json
import math

import pytest
import torch
from javascript import ENGINES, evaluate

from asrlib.errors import InputError
from asrlib.losses.alignment import ctc_align
from asrlib.losses.ctc import ctc_loss, ctc_posteriors
from asrlib.losses.textbook import collapse, ctc_alphas, ctc_betas
from asrlib.teaching.playgrounds import ctc_options, ctc_playground

CLOSE = {"rtol": 0, "atol": 1e-6}
# the last has no path: two equal labels need a blank between
TARGETS = ([], [1], [1, 2], [2, 2], [1, 2, 1], [3, 3, 3, 1], [1] * 5)


def cases():
    generator = torch.Generator().manual_seed(0)
    for T, target in itertools.product((1, 2, 4, 8), TARGETS):
        logits = 3 * torch.randn(T, 4, generator=generator, dtype=torch.float64)
        yield logits, target


def as_tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("engine", ENGINES)
def test_sums_and_gradient_are_those_of_asrlib(engine, tmp_path):
    given = [(logits.log_softmax(-1).tolist(), target) for logits, target in cases()]
    found = evaluate(
        engine, "ctc", "given.map(([y, l]) => [ctcSums(y, l), ctcBestPath(y, l)])", given, tmp_path
    )
    possible = 0
    for (logits, target), (sums, path) in zip(cases(), found, strict=True):
        logits.requires_grad_()
        y, labels, T = logits.log_softmax(-1), torch.tensor(target, dtype=torch.long), len(logits)
        loss = ctc_loss(y[:, None], labels[None], [T], [len(target)], reduction="sum")
        loss.backward()
        y = y.detach()
        torch.testing.assert_close(as_tensor(sums["alpha"]), ctc_alphas(y, labels), **CLOSE)
        torch.testing.assert_close(as_tensor(sums["beta"]), ctc_betas(y, labels), **CLOSE)
        torch.testing.assert_close(as_tensor(sums["gamma"]), ctc_posteriors(y, labels), **CLOSE)
        torch.testing.assert_close(as_tensor(sums["gradient"]), logits.grad, **CLOSE)
        assert -sums["logP"] == pytest.approx(loss.item(), abs=1e-6)
        best = ctc_align(y, labels)
        assert path == best.path.tolist()
        possible += loss.isfinite().item()
    assert 10 < possible < len(given)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_path_collapses_as_in_asrlib_and_walks_through_the_trellis(engine, tmp_path):
    paths = [list(path) for path in itertools.product(range(3), repeat=5)]
    target = [1, 1, 2]
    expression = "given.paths.map((path) => [collapse(path), statesOf(path, given.target)])"
    found = evaluate(engine, "ctc", expression, {"paths": paths, "target": target}, tmp_path)
    states = [0, 1, 0, 1, 0, 2, 0]
    walks = set()
    for path, (steps, walk) in zip(paths, found, strict=True):
        assert steps["labels"] == collapse(path)
        assert (walk is not None) == (collapse(path) == target)
        if walk is not None:
            assert [states[s] for s in walk] == path
            jumps = [b - a for a, b in itertools.pairwise(walk)]
            assert all(jump in (0, 1, 2) for jump in jumps) and walk[0] < 2 and walk[-1] >= 5
            walks.add(tuple(walk))
    assert len(walks) == sum(collapse(path) == target for path in paths) > 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dragged_bar_keeps_the_sum_at_one_and_the_others_in_proportion(engine, tmp_path):
    given = [
        ([0.5, 0.3, 0.2], 1, 0.8),
        ([1.0, 0.0, 0.0], 0, 0.4),
        ([0.2, 0.8], 0, 7.0),
        ([0.2, 0.8], 0, -7.0),
    ]
    found = evaluate(engine, "ctc", "given.map(([y, k, p]) => withProbability(y, k, p))", given, tmp_path)
    wanted = [[1 / 7, 0.8, 0.4 / 7], [0.4, 0.3, 0.3], [0.999, 0.001], [0.001, 0.999]]
    torch.testing.assert_close([as_tensor(row) for row in found], [as_tensor(row) for row in wanted], **CLOSE)


def test_the_options_are_plain_and_start_from_asrlib():
    y = torch.tensor([[0.6, 0.3, 0.1]] * 4, dtype=torch.float64)
    options = ctc_options("∅ab", "ab", y)
    assert json.loads(json.dumps(options)) == options
    value = options["value"]
    assert len(value["path"]) == 4 and collapse(["∅ab".index(c) for c in value["path"]]) == [1, 2]
    assert value["loss"] == pytest.approx(-ctc_posterior_sum(y), abs=1e-9)
    assert ctc_options("∅ab", "aaa", y)["value"]["loss"] is None
    assert ctc_options("∅ab", "", y)["value"]["loss"] == pytest.approx(-4 * math.log(0.6))


def ctc_posterior_sum(y):
    alpha = ctc_alphas(y.log(), torch.tensor([1, 2]))
    return alpha[-1, -2:].logsumexp(0).item()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("∅",), "2 to 5 different characters"),
        (("∅aa",), "2 to 5 different characters"),
        (("∅ab", "ac"), "at most 6 of the labels ab"),
        (("∅ab", "a∅"), "at most 6 of the labels ab"),
        (("∅ab", "a", [[0.5, 0.5]]), "give (T, 3)"),
        (("∅ab", "a", [[0.5, 0.5, 0.5]]), "sum to 1"),
        (("∅ab", "a", [[1.5, 0.5, -1.0]]), "0 or more"),
        (("∅ab", "a", [[1.0, 0.0, 0.0]] * 13), "at most 12 frames"),
        (("∅ab", "a", None, 0), "at most 12 frames"),
        (("∅ab", "a", None, -1), "frames is -1; give 1 or more"),
        (("∅ab", "a", None, 10**11), "at most 12 frames"),
        (("∅ab", "a", [[0.5, 0.25, 0.25], [1.0]]), "no matrix of numbers"),
        (("∅ab", "a", "abc"), "no matrix of numbers"),
        (("∅a-", "-"), "- _ ∅ stand for blank"),
    ],
)
def test_what_the_picture_cannot_show_is_said_in_one_line(arguments, words):
    with pytest.raises(InputError) as error:
        ctc_options(*arguments)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_probabilities_may_have_a_gradient():
    logits = torch.zeros(4, 3, requires_grad=True)
    assert ctc_options("∅ab", "ab", logits.softmax(-1))["value"]["y"] == [[pytest.approx(1 / 3)] * 3] * 4


def test_a_cell_reads_what_is_shown_and_sets_it():
    pytest.importorskip("anywidget", reason="needs anywidget")
    play = ctc_playground(target="ab")
    assert play.target.tolist() == [1, 2] and play.probabilities.shape == (6, 4)
    play.widget.value = {
        **play.widget.value,
        "y": [[0.7, 0.1, 0.1, 0.1]] * 6,
        "target": "ba",
    }  # as the page does
    assert play.target.tolist() == [2, 1] and play.probabilities[0, 0] == 0.7
    play.value = {"target": "c"}
    assert play.widget.value["target"] == "c" and play.widget.value["y"][0][0] == 0.7
    assert repr(play) == "CTCPlayground: run this cell to move it"
    data, _ = play._repr_mimebundle_()
    assert data["text/plain"] == repr(play) and "0x" not in str(data)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"tragt": "b"}, "value has no 'tragt'; it has y, target"),
        ({"target": "x"}, "at most 6 of the labels abc"),
        ({"y": torch.full((6, 4), 0.25)}, "such as y.tolist()"),
        ({"y": [[math.nan] * 4] * 6}, "finite numbers"),
        ({"y": [[0.5, 0.5]] * 6}, "give (T, 4)"),
    ],
)
def test_a_value_that_cannot_be_shown_is_refused_in_one_line(value, words):
    pytest.importorskip("anywidget", reason="needs anywidget")
    play = ctc_playground()
    before = play.value
    with pytest.raises(InputError) as error:
        play.value = value
    assert words in str(error.value) and "\n" not in str(error.value)
    assert play.value == before


def test_the_loss_is_that_of_the_value_that_was_set():
    pytest.importorskip("anywidget", reason="needs anywidget")
    play = ctc_playground(target="ab", frames=2)
    play.value = {"target": "b"}
    assert play.value["loss"] == pytest.approx(-math.log(3 / 16))
    play.value = {"target": "bb"}
    assert play.value["loss"] is None
