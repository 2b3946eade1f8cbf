"""Windows over frames, and the whole put together from them."""

import pytest
import torch

from asrlib.decoding.windows import Average, Middle, Slicer


def windows(frames, width, step, grid=1, pieces=(3,)):
    """(start, frames, last) of all windows over 0, 1, 2, …, fed in pieces."""
    slicer, start, found, turn = Slicer(width, step, grid), 0, [], 0
    while start < frames:
        size = pieces[turn % len(pieces)]
        numbers = torch.arange(start, min(start + size, frames)).float()[:, None]
        found += slicer.feed([numbers, -numbers])
        start, turn = start + size, turn + 1
    return [*found, *slicer.finish()]


@pytest.mark.parametrize("pieces", [(1,), (3,), (100,), (2, 0, 7)])
@pytest.mark.parametrize("frames", [1, 4, 5, 9, 10, 23])
def test_windows_are_as_wide_as_can_be_and_reach_the_end(frames, pieces):
    found = windows(frames, width=5, step=2, pieces=pieces)
    assert [span.last for span in found] == [False] * (len(found) - 1) + [True]
    for number, span in enumerate(found):
        first, second = span.features
        assert first[:, 0].tolist() == list(range(span.start, span.start + len(first)))
        assert torch.equal(second, -first)
        assert len(first) == min(5, frames)
        assert span.last or span.start == 2 * number
    assert found[-1].start == max(0, frames - 5)


def test_starts_are_multiples_of_the_grid():
    found = windows(43, width=16, step=8, grid=8)
    assert [(span.start, len(span.features[0])) for span in found] == [
        (0, 16),
        (8, 16),
        (16, 16),
        (24, 16),
        (24, 19),
    ]


def test_no_frames_no_windows():
    slicer = Slicer(4, 2, 1)
    assert list(slicer.finish()) == []
    assert list(slicer.feed([torch.zeros(0, 3)])) == [] and list(slicer.finish()) == []


def join(joined, spans):
    """Concatenate what comes out, and say how many rows were held at most."""
    out, held = [], 0
    for start, frames, last in spans:
        out.append(joined.add(start, frames, last))
        held = max(
            held, len(getattr(joined, "sums", None) if getattr(joined, "sums", None) is not None else [])
        )
    return torch.cat(out), held


def random_spans(frames, width, step):
    generator = torch.Generator().manual_seed(0)
    return [
        (span.start, torch.rand(len(span.features[0]), 4, generator=generator), span.last)
        for span in windows(frames, width, step)
    ]


@pytest.mark.parametrize(
    "frames, width, step", [(40, 8, 1), (40, 8, 3), (41, 8, 8), (5, 8, 3), (8, 8, 4), (9, 8, 4)]
)
def test_an_average_is_the_sum_over_the_number_of_windows(frames, width, step):
    spans = random_spans(frames, width, step)
    total, count = torch.zeros(frames, 4), torch.zeros(frames, 1)
    for start, values, _ in spans:
        total[start : start + len(values)] += values
        count[start : start + len(values)] += 1
    found, held = join(Average(), spans)
    torch.testing.assert_close(found, total / count)
    assert held <= width


@pytest.mark.parametrize(
    "frames, width, step", [(40, 8, 2), (41, 9, 3), (43, 8, 8), (5, 8, 3), (8, 8, 4), (9, 8, 4)]
)
def test_of_each_window_the_middle_is_kept(frames, width, step):
    spans, margin = windows(frames, width, step), (width - step) // 2
    joined = Middle(margin)
    kept = [(span, joined.add(span.start, span.features[0], span.last)) for span in spans]
    assert torch.cat([values for _, values in kept])[:, 0].tolist() == list(range(frames))
    for span, values in kept:
        end = span.start + len(span.features[0])
        for frame in values[:, 0].tolist():
            assert span.start == 0 or frame - span.start >= margin
            assert end == frames or end - 1 - frame >= margin
