"""Features of a recording block by block are those of the whole."""

import itertools
import random

import pytest
import torch

from asrlib.signal.features import NORMALIZATIONS, FrontEnd
from asrlib.signal.recording import RecordingFeatures, at_most, measure, pieces, resampled
from asrlib.signal.resample import resample

RATE = 8000


def sound(samples, seed=0):
    generator = torch.Generator().manual_seed(seed)
    loudness = 0.05 + torch.linspace(0, 1, samples).sin().abs()  # so that blocks differ
    return 0.2 * loudness * torch.randn(samples, generator=generator)


def cut(signal, sizes):
    """Blocks of these sizes, again and again."""
    pieces, start = [], 0
    for size in itertools.cycle(sizes):
        pieces.append(signal[start : start + size])
        start += size
        if start >= len(signal):
            return pieces


def in_blocks(front_end, pieces, warp=1.0):
    (whole,) = measure(front_end, lambda: pieces, [warp])
    features = RecordingFeatures(front_end, whole, warp)
    return torch.cat([*(features.feed(piece) for piece in pieces), features.finish()])


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("logarithm", [True, False])
def test_blocks_of_any_size_give_the_features_of_the_whole(normalize, centered, logarithm):
    options = dict(normalize=normalize, centered=centered, logarithm=logarithm, normalize_signal=True)
    front_end, draw, signal = FrontEnd(RATE, mels=12, **options), random.Random(1), sound(30000)
    expected = front_end(signal[None], torch.tensor([len(signal)]))[0][0]
    for sizes in ([30000], [1, 7, 0, 90, 3000], [draw.randrange(1, 500) for _ in range(20)]):
        found = in_blocks(front_end, cut(signal, sizes))
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("normalize", ["none", "utterance", "running"])
@pytest.mark.parametrize(
    "options", [{"top_db": 40.0}, {"pad_end": True}, {"tail_ms": 200.0, "centered": True}]
)
def test_conventions_of_other_systems(normalize, options):
    options = options | dict(normalize=normalize, normalize_signal=True, epsilon_in="variance")
    front_end, signal = FrontEnd(RATE, mels=12, **options), sound(9003)
    expected = front_end(signal[None], torch.tensor([len(signal)]))[0][0]
    assert len(expected) == (113 if "pad_end" in options else 133 if "tail_ms" in options else 111)
    for sizes in ([9003], [1, 7, 0, 90, 3000]):
        found = in_blocks(front_end, cut(signal, sizes))
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("samples", [1, 2, 50, 99, 100, 101, 199, 200, 201, 279, 280, 281, 400])
@pytest.mark.parametrize(
    "options", [{}, {"centered": True}, {"pad_end": True}, {"top_db": 9.0}, {"tail_ms": 10}]
)
def test_recordings_about_as_short_as_a_window(samples, options):
    front_end, signal = FrontEnd(RATE, mels=12, **options), sound(samples)  # windows of 200
    expected = front_end(signal[None], torch.tensor([samples]))[0][0]
    for sizes in ([samples], [1], [60]):
        torch.testing.assert_close(in_blocks(front_end, cut(signal, sizes)), expected, atol=1e-5, rtol=1e-5)


def test_a_stretched_frequency_axis():
    front_end, signal = FrontEnd(RATE, mels=12, normalize="bin"), sound(9000)
    expected = front_end(signal[None], torch.tensor([9000]), torch.tensor([1.1]))[0][0]
    torch.testing.assert_close(in_blocks(front_end, cut(signal, [1000]), 1.1), expected, atol=2e-4, rtol=1e-4)


def test_what_needs_no_measuring_is_not_measured():
    def unread():
        raise AssertionError("a pass over the recording")

    assert len(measure(FrontEnd(RATE, normalize="none"), unread, [1.0, 1.1])) == 2


def test_nothing_is_kept_but_what_the_next_window_needs():
    front_end, signal = FrontEnd(RATE, mels=12), sound(80000)
    features = RecordingFeatures(front_end, measure(front_end, lambda: [signal])[0])
    for piece in signal.split(4000):
        features.feed(piece)
        assert len(features.buffer) < 200 + 80 and len(features.newest) <= 200


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
def test_resampled_blocks(rate):
    signal = sound(3 * rate)
    found = torch.cat(list(resampled(lambda: signal.split(5000), rate, RATE)()))
    torch.testing.assert_close(found, resample(signal, rate, RATE), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sizes", [[1000], [1, 7, 0, 90], [300, 200]])
def test_pieces_are_the_recording_without_overlap(sizes):
    signal, cuts = sound(1000), [1, 300, 500, 501, 997]
    found = pieces(lambda: cut(signal, sizes), cuts)
    for start, end, piece in zip([0, *cuts], [*cuts, 1000], found, strict=True):
        for _ in range(3):  # as often as wanted
            assert torch.equal(torch.cat(list(piece())), signal[start:end])


def test_a_piece_may_be_left_before_its_end_or_not_be_read():
    signal = sound(1000)
    for number, piece in enumerate(pieces(lambda: cut(signal, [70]), [200, 400, 600])):
        if number == 0:
            assert len(next(iter(piece()))) == 70
        if number >= 2:
            for _ in range(number):
                assert torch.equal(
                    torch.cat(list(piece())), signal[200 * number :][: 200 + 200 * (number == 3)]
                )


def test_pieces_share_passes_over_the_recording():
    signal, passes, read = sound(1000), 0, 0

    def blocks():
        nonlocal passes, read
        passes += 1
        for block in cut(signal, [10]):
            read += 1
            yield block

    taken = 0
    for piece in pieces(blocks, list(range(50, 1000, 50))):
        first, second = (sum(map(len, piece())) for _ in range(2))
        assert first == second == 50
        taken += 50
        assert read <= 2 * (taken // 10 + 1)  # nothing is read long before it is used
    assert passes == 2


def test_a_cut_at_the_end_leaves_an_empty_piece():
    assert [sum(map(len, piece())) for piece in pieces(lambda: [sound(10)], [10])] == [10, 0]


def test_a_short_recording_is_read_whole_and_a_long_one_not():
    signal = sound(100)
    blocks = cut(signal, [40])
    assert torch.equal(at_most(lambda: blocks, 100), signal)
    read = []
    assert at_most(lambda: (read.append(block) or block for block in blocks), 50) is None and len(read) == 2
    assert at_most(lambda: blocks, 0) is None
    assert at_most(lambda: [], 100) is None
