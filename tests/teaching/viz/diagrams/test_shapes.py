import pytest
from diagrams import unreadable

from asrlib.models.contextnet_blocks import standard_blocks
from asrlib.teaching import viz
from asrlib.teaching.viz.diagrams.shapes import box, canvas, note

DIAGRAMS = {
    "pipeline": viz.pipeline,
    "pipeline at three places": lambda ax=None: viz.pipeline(("loss", "tokens", "shipping"), ax),
    "asr_map": viz.asr_map,
    "separable_convolution": viz.separable_convolution,
    "separable_convolution of kernel 5": lambda ax=None: viz.separable_convolution(5, 6, 4, ax),
    "squeeze_excitation": viz.squeeze_excitation,
    "contextnet_block": viz.contextnet_block,
    "contextnet_block with stride": lambda ax=None: viz.contextnet_block(5, 2, ax),
    "contextnet_stack": lambda ax=None: viz.contextnet_stack(standard_blocks(), ax=ax),
    "collapse_funnel": lambda ax=None: viz.collapse_funnel(["∅a∅b", "aabb", "ab∅∅", "∅∅∅∅"], ax),
    "ctc_trellis": lambda ax=None: viz.ctc_trellis(["five", "five", "six"], 7, ax),
    "transducer": viz.transducer,
    "latency_bar": lambda ax=None: viz.latency_bar({"a": {"window": 25, "chunk": 80}}, ax),
}


@pytest.mark.parametrize("draw", DIAGRAMS.values(), ids=DIAGRAMS)
def test_every_text_can_be_read(draw):
    assert not unreadable(draw())


@pytest.mark.parametrize("draw", DIAGRAMS.values(), ids=DIAGRAMS)
def test_it_is_drawn_on_the_axes_that_are_given(draw):
    import matplotlib.pyplot as plt

    _, (ax, other) = plt.subplots(2)
    assert draw(ax=ax) is ax and ax.texts and not other.texts
    assert len(plt.get_fignums()) == 1


def test_what_cannot_be_read_is_found():
    ax = canvas(None, 4, 2)
    box(ax, (1, 1), "much too long for it", 0.5, 0.4)
    note(ax, (3.9, 1), "over the edge")
    note(ax, (2, 0.3), "tiny", size=6)
    note(ax, (2.02, 0.3), "over tiny")
    found = unreadable(ax)
    for problem in ("wider than its box", "leaves the picture", "is small", "covers"):
        assert any(problem in text for text in found), problem
