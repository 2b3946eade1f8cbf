"""MP3 files are read whole, whatever stands in their headers; samples are counted as their encoders count."""

import io

import numpy as np
import pytest
from folders import fails
from soundfiles import (
    MODES,
    decoded,
    frames_said,
    id3v1,
    id3v2,
    mp3,
    speechlike,
    without_xing,
    xing,
)

from asrlib.data.containers.mpeg import frame_header, mpeg_pieces


def read(data, first=0, count=None, size=10_000):
    """Return the pieces of a file, and the samples of all of them."""
    file = io.BytesIO(data)
    pieces = mpeg_pieces(file, "a.mp3")
    blocks = [
        block
        for piece in pieces
        for block in piece.blocks(file, None, first, count or piece.samples - first, size)
    ]
    return pieces, np.concatenate(blocks)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rate, channels", [(8_000, 1), (16_000, 2), (22_050, 1), (44_100, 2), (48_000, 1)])
def test_a_whole_file_has_the_samples_that_were_encoded(rate, channels, mode):
    for seconds in (0.03, 3.1):
        samples = speechlike(seconds, rate, channels)
        (piece,), found = read(mp3(samples, rate, mode))
        assert (piece.samples, piece.rate, piece.channels) == (len(samples), rate, channels)
        np.testing.assert_allclose(found, decoded(mp3(samples, rate, mode)), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rate, channels", [(8_000, 1), (16_000, 2), (44_100, 1)])
def test_without_a_xing_header_all_frames_are_read(rate, channels, mode):
    samples = speechlike(4.0, rate, channels)
    data = mp3(samples, rate, mode)
    (piece,), found = read(without_xing(data))
    per_frame = 1152 if rate > 24_000 else 576
    assert len(found) == piece.samples == per_frame * frames_said(data)
    lag = 576 + 529  # of LAME's encoder, and of every decoder
    np.testing.assert_allclose(found[lag:][: len(samples)], decoded(data), atol=1e-6)


def test_a_xing_header_of_zero_frames_or_of_too_few_is_not_believed():
    data = mp3(speechlike(4.0))
    said = xing(data) + 8
    zero = data[:said] + bytes(4) + data[said + 4 :]
    few = data[:said] + (9).to_bytes(4, "big") + data[said + 4 :]
    for changed in (zero, few):
        (piece,), found = read(changed)
        assert len(found) == piece.samples == 576 * frames_said(data) - 1105
        np.testing.assert_allclose(found[: 4 * 16_000], decoded(data), atol=1e-6)


def test_the_encoders_gap_is_cut_as_libsndfile_cuts_it():
    data = mp3(speechlike(1.0))
    gap = xing(data) + 120 + 21  # delay and padding, 12 bits each
    for delay, padding in ((576, 600), (1105, 529), (0, 100), (576, 0), (0, 0)):
        changed = data[:gap] + (delay << 12 | padding).to_bytes(3, "big") + data[gap + 3 :]
        (piece,), found = read(changed)
        assert len(found) == piece.samples
        np.testing.assert_allclose(found, decoded(changed)[: len(found)], atol=1e-6)
        assert abs(len(decoded(changed)) - len(found)) <= 529, (delay, padding)


@pytest.mark.parametrize("mode", MODES)
def test_tags_are_not_sound(mode):
    data = mp3(speechlike(2.0), mode=mode)
    bare = without_xing(data)
    plain = read(bare)[1]
    for tagged in (
        id3v2() + bare,
        id3v2(50_000) + id3v2(300) + bare + id3v1(),
        bare + b"APETAGEX" + (2000).to_bytes(4, "little") + (32).to_bytes(4, "little").ljust(20, b"\0")
        + bytes(2000) + id3v1(),
        bare + b"LYRICSBEGIN" + b"IND0000200" + b"000021LYRICS200" + id3v1(),
        bytes(300) + bare + bytes(700),
    ):  # fmt: skip
        found = read(tagged)[1]
        np.testing.assert_array_equal(found, plain)
    found = read(id3v2() + data + id3v1())[1]
    np.testing.assert_allclose(found, decoded(data), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_joined_files_are_read_one_after_another(mode):
    first, second = mp3(speechlike(2.0), mode=mode), mp3(speechlike(1.5, channels=2, seed=1), mode="AVERAGE")
    for between in (b"", id3v1(), id3v1() + id3v2(), id3v2(20)):
        pieces = mpeg_pieces(io.BytesIO(first + between + second + between + first), "a.mp3")
        assert [piece.samples for piece in pieces] == [32_000, 24_000, 32_000]
        assert [piece.channels for piece in pieces] == [1, 2, 1]
    bare = without_xing(first)
    found = read(bare + bare)[1]  # one stream to all appearances
    assert len(found) == 2 * 576 * frames_said(first)
    np.testing.assert_allclose(found[: 576 * frames_said(first)], read(bare)[1], atol=1e-6)
    _, twice = read(first + first)
    np.testing.assert_allclose(twice, np.concatenate([decoded(first)] * 2), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_any_sample_can_be_read_first_and_blocks_may_have_any_size(mode):
    """libsndfile itself garbles frames after a search, as it does not go back far enough."""
    for channels in (1, 2):
        data = mp3(speechlike(5.0, channels=channels), mode=mode)
        for form in (data, without_xing(data)):
            whole = read(form)[1]
            for first in (1, 575, 576, 9_999, 30_000, 51_234, 79_000):
                _, found = read(form, first, 700, size=333)
                np.testing.assert_allclose(found, whole[first : first + 700], atol=1e-6)


def test_what_is_missing_or_damaged_is_named():
    data = mp3(speechlike(2.0))
    bare = without_xing(data)
    fails("a.mp3: truncated, the file ends before", mpeg_pieces, io.BytesIO(bare[:-5]), "a.mp3")
    last = mpeg_pieces(io.BytesIO(data), "a.mp3")[0].places[-2]  # a border between frames
    fails("a.mp3: truncated, .* of .* frames are there", mpeg_pieces, io.BytesIO(data[:last]), "a.mp3")
    broken = bare[: len(bare) // 2] + b"a hole" + bare[len(bare) // 2 :]
    fails("a.mp3: damaged at byte", mpeg_pieces, io.BytesIO(broken), "a.mp3")
    assert mpeg_pieces(io.BytesIO(b"no frames at all" * 50), "a.mp3") == []
    assert mpeg_pieces(io.BytesIO(b"\xff\xfe" + "not MP3 but UTF-16".encode("utf-16-le")), "a.mp3") == []


def test_a_stream_that_was_cut_out_of_another_begins_with_silence():
    """Its first frame refers to bytes of frames that are not there."""
    whole = without_xing(mp3(speechlike(3.0), mode="CONSTANT"))
    start = frame_header(whole, 0).size
    while frame_header(whole, start) is None:
        start += 1
    (piece,), found = read(whole[start:])
    assert len(found) == piece.samples == len(read(whole)[1]) - 576


def test_headers_of_all_layers():
    assert frame_header(b"\xff\xfb\x90\x64", 0)[:4] == (417, 1152, 44_100, 2)  # MPEG 1, layer III, 128 kbit/s
    assert frame_header(b"\xff\xfb\x92\x64", 0).size == 418
    assert frame_header(b"\xff\xfd\xa4\xc4", 0)[:4] == (576, 1152, 48_000, 1)  # layer II, 192 kbit/s
    assert frame_header(b"\xff\xff\xc4\x04", 0)[:4] == (384, 384, 48_000, 2)  # layer I, 384 kbit/s
    assert frame_header(b"\xff\xe3\x18\xc4", 0)[:4] == (72, 576, 8_000, 1)  # MPEG 2.5
    for other in (
        b"\xff\xe8\x90\x64",
        b"\xff\xf9\x90\x64",
        b"\xff\xfb\xf0\x64",
        b"\xff\xfb\x9c\x64",
        b"\xff",
    ):
        assert frame_header(other, 0) is None
