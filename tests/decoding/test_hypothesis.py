"""Hypotheses of pieces make that of the recording."""

from asrlib.decoding.hypothesis import Hypothesis


def test_pieces_are_joined_with_their_times():
    first = Hypothesis("ab c", ["a", "b", " ", "c"], [0.1, 0.2, 0.3, 0.5], -1.0, [0.9, 0.8, 0.7, 0.6])
    first.words.extend([("ab", 0.1), ("c", 0.5)])
    silent = Hypothesis("", [], [], -0.5, [])
    last = Hypothesis(" d", [" ", "d"], [0.0, 0.25], -2.0, [0.5, 0.4], [("d", 0.25)])
    found = Hypothesis.joined([(0.0, first), (1.0, silent), (2.5, last)])
    assert found.text == "ab c d"
    assert found.tokens == ["a", "b", " ", "c", " ", "d"]
    assert found.times == [0.1, 0.2, 0.3, 0.5, 2.5, 2.75]
    assert found.score == -3.5
    assert found.confidences == [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert found.words == [("ab", 0.1), ("c", 0.5), ("d", 2.75)]


def test_one_piece_is_the_recording():
    piece = Hypothesis("a", ["a"], [0.1], -1.0, [0.9], [("a", 0.1)])
    assert Hypothesis.joined([(0.0, piece)]) == piece
