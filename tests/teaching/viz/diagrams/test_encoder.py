from diagrams import words

from asrlib.models.contextnet_blocks import BlockConfig, standard_blocks
from asrlib.teaching import viz


def test_separable_convolution_counts_its_weights():
    text = "\n".join(words(viz.separable_convolution(kernel=5, channels_in=6, channels_out=4)))
    assert "6 · 5 = 30 weights" in text and "6 · 4 = 24 weights" in text


def test_one_output_reads_the_kernels_frames_of_its_own_channel():
    from matplotlib.colors import to_hex
    from matplotlib.patches import Rectangle

    ax = viz.separable_convolution(kernel=3, channels_in=4, channels_out=5)
    colored = [p for p in ax.patches if isinstance(p, Rectangle) and to_hex(p.get_edgecolor()) == viz.ORANGE]
    assert len(colored) == 3 + 1 and len({round(p.get_y(), 3) for p in colored[:3]}) == 1
    written = [p for p in ax.patches if isinstance(p, Rectangle) and to_hex(p.get_edgecolor()) == viz.BLUE]
    assert len(written) == 3 + 5  # the column that pointwise reads, but for the orange one, and its outputs


def test_a_block_names_its_parts_in_the_papers_order():
    ax = viz.contextnet_block(layers=5, stride=2)
    where = {text.get_text(): text.get_position() for text in ax.texts}
    parts = ["separable\nconvolution", "SE\n(all frames)", "+"]
    assert [where[part][0] for part in parts] == sorted(where[part][0] for part in parts)
    assert "f, 5 in a row; the last has stride 2" in where
    assert any("stride 2" in text and "pointwise" in text for text in where)


def test_the_stack_has_a_column_per_block_as_high_as_its_channels():
    from matplotlib.patches import FancyBboxPatch

    blocks = [BlockConfig(10), BlockConfig(20, stride=2), BlockConfig(40)]
    ax = viz.contextnet_stack(blocks, alpha=0.5)
    columns = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    heights = [patch.get_height() for patch in columns]
    assert len(columns) == 3 and heights[1] / heights[0] == 2 and round(heights[2] / heights[0], 6) == 4
    assert {"0", "1", "2", "÷2", "5 channels", "10 channels", "20 channels"} <= set(words(ax))


def test_the_stack_of_the_paper_ends_with_a_frame_every_80_ms():
    found = words(viz.contextnet_stack(standard_blocks()))
    assert found.count("÷2") == 3 and "a frame every 80 ms" in found and "640" in found
