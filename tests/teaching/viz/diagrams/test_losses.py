import itertools

import pytest
from diagrams import words

from asrlib.errors import InputError
from asrlib.losses import textbook
from asrlib.teaching import viz


def test_the_funnel_collapses_as_the_loss_does():
    paths = ["∅a∅b", "aabb", "a∅ab", "∅∅∅∅"]
    found = words(viz.collapse_funnel(paths))
    for path in paths:
        text = textbook.collapse(["∅ab".index(label) for label in path])
        assert " ".join(path) in found and (" ".join("∅ab"[k] for k in text) or "(empty)") in found
    assert found.count("a b") == 2  # merged, and as the text to which two paths lead


def test_the_funnel_takes_names_of_several_letters():
    assert "five five" in words(viz.collapse_funnel([["five", "∅", "five"]]))


@pytest.mark.parametrize(("labels", "frames"), [("ab", 4), ("aa", 4), ("a", 1), ("abb", 6)])
def test_the_trellis_draws_the_nodes_of_all_paths_and_no_other(labels, frames):
    from matplotlib.patches import FancyBboxPatch

    letters = "∅" + "".join(dict.fromkeys(labels))
    wanted = [letters.index(label) for label in labels]
    states = [0]
    for k in wanted:
        states += [k, 0]
    nodes, moves = set(), set()
    for walk in itertools.product(range(len(states)), repeat=frames):
        steps = zip(walk, walk[1:], strict=False)
        by_rule = all(
            0 <= b - a <= 1 or (b - a == 2 and states[b] and states[a] != states[b]) for a, b in steps
        )
        if by_rule and walk[0] <= 1 and walk[-1] >= len(states) - 2:
            nodes |= set(enumerate(walk))
            moves |= {(t, walk[t], walk[t + 1]) for t in range(frames - 1)}
            assert textbook.collapse([states[s] for s in walk]) == wanted
    ax = viz.ctc_trellis(labels, frames)
    assert len([p for p in ax.patches if isinstance(p, FancyBboxPatch)]) == len(nodes)
    assert len([text for text in ax.texts if getattr(text, "arrow_patch", None)]) == len(moves)


def test_too_few_frames_are_refused():
    with pytest.raises(InputError, match="2 frames are too few for the 2 labels"):
        viz.ctc_trellis("aa", 2)


def test_the_transducer_has_three_networks_and_feeds_its_labels_back():
    found = " ".join(words(viz.transducer()))
    for part in ("encoder", "prediction network", "joint", "softmax", "u + 1", "t + 1"):
        assert part in found
