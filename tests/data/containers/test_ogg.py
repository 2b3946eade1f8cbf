"""Ogg files are read whole: chained ones, too; the count is that of the pages."""

import io

import numpy as np
import pytest
from folders import fails
from soundfiles import decoded, encoded, speechlike

from asrlib.data.containers.ogg import checksum, ogg_pieces

CODECS = ("VORBIS", "OPUS")


def ogg(codec, seconds, rate=16_000, channels=1, seed=0):
    return encoded(speechlike(seconds, rate, channels, seed), rate, format="OGG", subtype=codec)


def read(data, first=0):
    file = io.BytesIO(data)
    pieces = ogg_pieces(file, "a.ogg")
    blocks = [b for p in pieces for b in p.blocks(file, None, first, p.samples - first, 5_000)]
    return pieces, np.concatenate(blocks)


def pages(data):
    """Return the pages of a file."""
    starts = [n for n in range(len(data)) if data[n : n + 4] == b"OggS"]
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]


def sealed(page):
    """Return a page with its checksum."""
    empty = page[:22] + bytes(4) + page[26:]
    return page[:22] + checksum(empty).to_bytes(4, "little") + page[26:]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("rate, channels", [(8_000, 1), (16_000, 2), (48_000, 1)])
def test_a_whole_file_has_the_samples_that_were_encoded(codec, rate, channels):
    for seconds in (0.002, 0.3, 4.1):
        data = ogg(codec, seconds, rate, channels)
        (piece,), found = read(data)
        assert (piece.samples, piece.rate, piece.channels) == (int(seconds * rate), rate, channels)
        np.testing.assert_array_equal(found, decoded(data))
        assert b"".join(pages(data)) == data and all(sealed(page) == page for page in pages(data))


@pytest.mark.parametrize("codec", CODECS)
def test_chained_files_are_read_one_after_another(codec):
    first, second = ogg(codec, 1.5), ogg(codec, 0.7, seed=1)
    pieces, found = read(first + second + first)
    assert [piece.samples for piece in pieces] == [24_000, 11_200, 24_000]
    np.testing.assert_array_equal(found, np.concatenate([decoded(first), decoded(second), decoded(first)]))
    pieces = ogg_pieces(io.BytesIO(first + ogg("VORBIS", 1.0, channels=2)), "a.ogg")
    assert [(piece.samples, piece.channels) for piece in pieces] == [(24_000, 1), (16_000, 2)]


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_missing_or_damaged_is_named(codec):
    data = ogg(codec, 6.0)
    each = pages(data)
    assert len(each) > 4
    fails("a.ogg: truncated", ogg_pieces, io.BytesIO(data[:-10]), "a.ogg")
    fails("a.ogg: truncated", ogg_pieces, io.BytesIO(b"".join(each[:-1])), "a.ogg")
    fails("a.ogg: damaged at byte", ogg_pieces, io.BytesIO(b"".join(each[:3] + each[4:])), "a.ogg")
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1  # libsndfile would leave out this page and say nothing
    fails("a.ogg: damaged at byte", ogg_pieces, io.BytesIO(bytes(changed)), "a.ogg")
    fails("a.ogg: damaged at byte", ogg_pieces, io.BytesIO(data + b"more"), "a.ogg")
    fails("a.ogg: truncated", ogg_pieces, io.BytesIO(data + data[:-10]), "a.ogg")
    np.testing.assert_array_equal(read(data + bytes(50))[1], decoded(data))


def test_other_codecs_and_several_streams_at_once_are_refused_by_name():
    data = ogg("VORBIS", 1.0)
    first, *rest = pages(data)
    for mark, name in (
        (b"Speex   ", "Speex"),
        (b"\x80theora", "Theora video"),
        (b"what    ", "unknown codec"),
    ):
        other = first[:28] + mark + first[28 + len(mark) :]
        fails(f"a.ogg: .*{name}", ogg_pieces, io.BytesIO(b"".join([sealed(other), *rest])), "a.ogg")
    video = first[:14] + b"\1\2\3\4" + first[18:]
    both = b"".join([first, sealed(video), *rest])
    fails("a.ogg: .*several streams at once", ogg_pieces, io.BytesIO(both), "a.ogg")


def test_a_stream_that_was_cut_out_of_a_longer_one():
    """Its pages keep their counts, which begin late."""
    data = ogg("VORBIS", 6.0)
    heads, sound = pages(data)[:2], pages(data)[2:]
    assert len(sound) >= 3
    late = [*heads, *sound[1:]]
    late = [sealed(page[:18] + number.to_bytes(4, "little") + page[22:]) for number, page in enumerate(late)]
    (piece,), found = read(b"".join(late))
    assert 0 < len(found) == piece.samples < 6 * 16_000
