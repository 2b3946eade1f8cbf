import pytest
from diagrams import words

from asrlib.errors import InputError
from asrlib.teaching import viz


def test_parts_are_laid_end_to_end_and_summed():
    ax = viz.latency_bar({"ours": {"window": 25, "chunk": 80}, "theirs": {"chunk": 160, "computing": 10}})
    bars = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert bars == [(0, 25), (25, 80), (0, 160), (160, 10)]
    assert {"  105 ms", "  170 ms", "25", "80"} <= set(words(ax))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["window", "chunk", "computing"]


def test_a_part_looks_the_same_in_every_bar():
    ax = viz.latency_bar({"a": {"x": 1, "y": 2}, "b": {"y": 3}})
    _, y, again = ax.patches
    assert y.get_edgecolor() == again.get_edgecolor() and y.get_hatch() == again.get_hatch()


def test_a_negative_delay_is_refused():
    with pytest.raises(InputError, match="a: chunk takes -5 ms"):
        viz.latency_bar({"a": {"chunk": -5}})
