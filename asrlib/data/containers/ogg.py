"""Ogg files with Vorbis or Opus: walk from page to page, find all streams, count their samples.

libsndfile reads the first stream of a chain and drops damaged pages. The layout of pages is that of RFC 3533,
section 6; the count of Opus that of RFC 7845, section 4.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any, NamedTuple

from asrlib.data.containers.piece import Piece, contents, cut_off, damaged, open_sound
from asrlib.errors import InputError

# how the first packet of a stream begins
_CODECS = {
    b"\x01vorbis": "Vorbis",
    b"OpusHead": "Opus",
    b"\x7fFLAC": "FLAC",
    b"Speex   ": "Speex",
    b"\x80theora": "Theora video",
    b"fishead\0": "a skeleton of several streams",
}
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class _Page(NamedTuple):
    """A page: flags, samples up to its end or -1, stream, number in the stream, and its bytes' bounds."""

    first: bool
    last: bool
    granule: int
    stream: int
    number: int
    start: int
    body: int
    end: int


def ogg_pieces(file: BufferedIOBase, name: str) -> list[Piece]:
    """Return the streams of an Ogg file.

    Raises ``InputError`` for one that is truncated, damaged, or neither Vorbis nor Opus.
    `soundfile.SoundFileError` says that libsndfile cannot read it.
    """
    with contents(file) as data:
        links = list(_links(data, name))
        if not links[-1][-1].last:
            raise cut_off(name)
        alone = len(links) == 1
        return [piece for link in links if (piece := _piece(file, data, link, alone, name)).samples]


def _links(data: Any, name: str) -> Iterator[list[_Page]]:
    """Yield the pages of each stream."""
    link: list[_Page] = []
    for page in _pages(data, name):
        if page.first and link:
            yield link
            link = []
        elif not page.first and (not link or page.stream != link[-1].stream):
            raise InputError(f"{name}: an Ogg file with several streams at once; extract its sound")
        elif not page.first and page.number != link[-1].number + 1:
            raise damaged(name, page.start)
        link.append(page)
    yield link


def _pages(data: Any, name: str) -> Iterator[_Page]:
    place = 0
    while place < len(data):
        head = bytes(data[place : place + 27])
        if data[place : place + 4] != b"OggS":
            if place and not any(data[place:]):  # padding
                return
            raise damaged(name, place)
        table = bytes(data[place + 27 : place + 27 + head[26]]) if len(head) == 27 else b""
        body = place + 27 + len(table)
        end = body + sum(table)
        if len(head) < 27 or len(table) < head[26] or end > len(data):
            raise cut_off(name)
        if checksum(head[:22] + bytes(4) + bytes(data[place + 26 : end])) != int.from_bytes(
            head[22:26], "little"
        ):
            raise damaged(name, place)
        yield _Page(
            bool(head[5] & 2),
            bool(head[5] & 4),
            int.from_bytes(head[6:14], "little", signed=True),
            int.from_bytes(head[14:18], "little"),
            int.from_bytes(head[18:22], "little"),
            place,
            body,
            end,
        )
        place = end


def checksum(page: bytes) -> int:
    """Return the checksum of a page in which it is 0.

    It is that of zip files with the bits of each byte reversed, and without its inversions.
    """
    value = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{value:032b}"[::-1], 2)


def _piece(file: BufferedIOBase, data: Any, link: list[_Page], alone: bool, name: str) -> Piece:
    start, end = link[0].start, link[-1].end
    begin = bytes(data[link[0].body : link[0].end])
    codec = next((codec for mark, codec in _CODECS.items() if begin.startswith(mark)), "an unknown codec")
    if codec not in ("Vorbis", "Opus"):
        raise InputError(
            f"{name}: cannot be read as audio, this is Ogg with {codec}; give WAV, FLAC, OGG or MP3"
        )
    samples = max(page.granule for page in link)
    piece = Piece(samples, 0, 0, start, end)
    with open_sound(piece.view(file)) as audio:
        rate, channels, decoded = audio.samplerate, audio.channels, audio.frames
    if codec == "Opus":  # counts at 48 kHz, and includes what the decoder needs to start
        samples = (samples - int.from_bytes(begin[10:12], "little")) * rate // 48000
    # a stream that was cut out of a longer one begins at a later count
    return Piece(min(samples, decoded), rate, channels, start, end, whole=alone and end == len(data))
