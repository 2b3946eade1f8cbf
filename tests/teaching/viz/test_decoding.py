import numpy as np
import pytest

from asrlib.teaching import viz


def test_emissions_stand_at_their_seconds_one_row_per_recognizer():
    words = [("one", 0.1, 0.4), ("two", 0.4, 0.8)]
    rows = [("CTC", ["one", "two"], [0.2, 0.5]), ("transducer", ["one"], [0.3]), ("silent", [], [])]
    ax = viz.plot_emissions(rows, words)
    marks = [line.get_xydata().tolist() for line in ax.lines if line.get_marker() == "|"]
    assert marks == [[[0.2, 0], [0.5, 0]], [[0.3, 1]], []]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["CTC", "transducer", "silent"]
    assert [text.get_text() for text in ax.texts] == ["one", "two", "one", "one", "two"]
    bottom, top = ax.get_ylim()
    assert bottom > top and "(s)" in ax.get_xlabel()


def test_hypotheses_are_as_long_as_their_probability():
    ax = viz.plot_hypotheses([("one two", np.log(0.75)), ("", np.log(0.25))])
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.75, 0.25])
    assert [text.get_text().split("  ")[0] for text in ax.texts] == ["one two", "(nothing yet)"]


def test_costs_are_laid_end_to_end_and_a_bonus_leads_back():
    ax = viz.plot_costs([("one", {"audio": 2.0, "lm": 1.0, "bonus": -0.5}), ("", {"audio": 3.0, "lm": 0.25})])
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [
        (0, 2.0), (2.0, 1.0), (3.0, -0.5), (0, 3.0), (3.0, 0.25),
    ]  # fmt: skip
    assert [line.get_xdata()[0] for line in ax.lines] == [2.5, 3.25]
    assert [text.get_text() for text in ax.texts] == ["one   2.50", "(nothing yet)   3.25"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["audio", "lm", "bonus"]
