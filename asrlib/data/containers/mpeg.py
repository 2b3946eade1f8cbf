"""MP3 files: walk from frame to frame, skip tags, count the samples.

libsndfile takes the length of an MP3 file from its Xing header. Without one it multiplies the size of the
file by the bit rate of the first frame, which is wrong for variable bit rates, for files with tags, and for
files joined one behind another. Layout of frames: ISO/IEC 11172-3, section 2.4.1; of the Xing and LAME
headers: the LAME project's "Mp3 Info Tag rev 1".
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BufferedIOBase
from typing import Any, NamedTuple

from asrlib.data.containers.piece import Piece, View, contents, cut_off, damaged, open_sound, skip
from asrlib.errors import InputError

# kbit/s by (MPEG version 1 or 2, layer) and the header's index; 2.5 is as 2
_KBITS = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
# Hz by the header's version bits: 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
# samples by which every decoder of layer III lags behind
_DECODER_DELAY = 529
# bytes of earlier frames that a frame of layer III may refer to
_RESERVOIR = 511
# bytes of no known tag that may stand before the first frame, or behind the last
_JUNK = 4096
_BIGGEST_FRAME = 3000  # bytes, and more than any frame has


class Header(NamedTuple):
    """The header of a frame: its ``size`` in bytes, samples per channel, Hz, channels.

    ``side`` is the number of bytes before the sound's own data. Frames of equal ``kind`` are of one stream.
    """

    size: int
    samples: int
    rate: int
    channels: int
    side: int
    kind: tuple[int, ...]

    def info(self, data: Any, place: int) -> int:
        """Return the place of the Xing header of a frame at ``place``; 1 for a VBRI header, 0 for neither."""
        if bytes(data[place + 36 : place + 40]) == b"VBRI":
            return 1
        for start in (place + self.side, place + self.side + 2):  # without or with a checksum
            if bytes(data[start : start + 4]) in (b"Xing", b"Info"):
                return start
        return 0


_known: dict[bytes, Header | None] = {}


def frame_header(data: Any, place: int) -> Header | None:
    """Return the header at a place, or None if there is none or the frame's size is not in it."""
    code = bytes(data[place : place + 4])
    if code not in _known:
        if len(_known) > 10_000:  # damaged files have any code
            _known.clear()
        _known[code] = _parse(code)
    return _known[code]


def _parse(code: bytes) -> Header | None:
    if len(code) < 4 or code[0] != 0xFF or code[1] & 0xE0 != 0xE0:
        return None
    version, layer = code[1] >> 3 & 3, 4 - (code[1] >> 1 & 3)
    rate_index, padding = code[2] >> 2 & 3, code[2] >> 1 & 1
    if version == 1 or layer == 4 or code[2] >> 4 in (0, 15) or rate_index == 3:
        return None
    generation = 1 if version == 3 else 2
    bits, rate = 1000 * _KBITS[generation, layer][code[2] >> 4], _RATES[version][rate_index]
    channels = 1 if code[3] >> 6 == 3 else 2
    samples = {1: 384, 2: 1152, 3: 1152 if generation == 1 else 576}[layer]
    size = (12 * bits // rate + padding) * 4 if layer == 1 else samples // 8 * bits // rate + padding
    side = 4 + {(1, 1): 17, (1, 2): 32, (2, 1): 9, (2, 2): 17}[generation, channels]
    return Header(size, samples, rate, channels, side, (version, layer, rate, channels))


@dataclass(frozen=True)
class MPEGPiece(Piece):
    """A stream of MPEG frames, which start at ``places``; the first ``skip`` samples are not of the sound."""

    places: Sequence[int] = field(default=(), repr=False)
    frame: Header | None = None
    skip: int = 0

    def open(self, file: BufferedIOBase, path: str | None, first: int) -> Any:
        """Return a `soundfile.SoundFile` at sample ``first``, exactly, as if all before it had been decoded.

        libsndfile's own search does not go back far enough to find all that a frame refers to.
        """
        assert self.frame is not None
        wanted = first + self.skip
        start = self._decodable(wanted // self.frame.samples)
        # silent frames follow, so that the size of the file promises enough samples
        file.seek(self.places[start])
        code = file.read(4)
        silence = bytes([code[0], code[1] | 1, *code[2:]])  # without a checksum
        silence = silence.ljust(self.frame.size, b"\0")
        length = (len(self.places) - start + 16) * _BIGGEST_FRAME
        audio = open_sound(View(file, self.places[start], self.end, b"", silence, length))
        skip(audio, wanted - start * self.frame.samples)
        return audio

    def moved(self, by: int) -> MPEGPiece:
        """Return the same stream ``by`` bytes further on."""
        places = array("Q", (place + by for place in self.places))
        return replace(self, start=self.start + by, end=self.end + by, places=places)

    def _decodable(self, frame: int) -> int:
        """Return the frame to begin with, so that ``frame`` and all after it are decoded right."""
        assert self.frame is not None
        start, found = frame, 0
        while start > 0 and found < _RESERVOIR:
            start -= 1
            found += max(0, self.places[start + 1] - self.places[start] - self.frame.side - 2)
        return max(0, start - 2)  # frames overlap, and the filters remember


def mpeg_pieces(file: BufferedIOBase, name: str, start: int = 0, end: int | None = None) -> list[Piece]:
    """Return the streams of an MP3 file, or of the bytes from ``start`` to ``end`` of a file.

    There are none in a file of another format. Raises ``InputError`` for a file that is truncated or damaged.
    """
    with contents(file) as data:
        pieces = list(_streams(data if end is None else data[start:end], name))
    return [piece.moved(start) for piece in pieces] if start else list(pieces)


class _Stream:
    """The frames of a stream that were found so far, and what its Xing header says."""

    def __init__(self, name: str, data: Any = b"", place: int = 0, header: Header | None = None):
        self.name, self.header = name, header
        self.places, self.end = array("Q"), place
        self.info = header.info(data, place) if header else 0
        self.announced, self.delay, self.padding = 0, -1, 0
        if self.info > 1:
            self._read(bytes(data[self.info : self.info + 156]))

    def _read(self, info: bytes) -> None:
        flags, after = int.from_bytes(info[4:8], "big"), 8
        if flags & 1:
            self.announced = int.from_bytes(info[8:12], "big")
        for flag, length in ((1, 4), (2, 4), (4, 100), (8, 4)):  # frames, bytes, table of places, quality
            after += length if flags & flag else 0
        encoder, gaps = info[after : after + 9], int.from_bytes(info[after + 21 : after + 24], "big")
        if encoder.strip(b"\0"):
            self.delay, self.padding = gaps >> 12, gaps & 0xFFF

    def pieces(self) -> Iterator[MPEGPiece]:
        """Yield the piece, if there are frames. Raises ``InputError`` if more frames were announced."""
        header, found = self.header, len(self.places)
        if header is None or not found:
            return
        if self.announced > found + 1:  # some encoders count the Xing header's frame, too
            raise InputError(
                f"{self.name}: truncated, {found:,} of {self.announced:,} frames are there; copy it again"
            )
        samples, skip = found * header.samples, 0
        if self.delay >= 0:  # what the encoder put before and behind the sound
            rest = samples - self.delay - _DECODER_DELAY
            if found - self.announced <= 0:
                rest -= max(0, self.padding - _DECODER_DELAY)
            if rest > 0:
                samples, skip = rest, self.delay + _DECODER_DELAY
        yield MPEGPiece(
            samples, header.rate, header.channels, self.places[0], self.end,
            places=self.places, frame=header, skip=skip,
        )  # fmt: skip


def _streams(data: Any, name: str) -> Iterator[MPEGPiece]:
    place, stream, found = 0, _Stream(name), False
    while place < len(data):
        header = frame_header(data, place)
        known = header is not None and stream.header is not None and header.kind == stream.header.kind
        if not known or header.info(data, place):
            if header is None or not _begins(data, place, header):
                found = found or stream.header is not None
                later = _next(data, place, name, stream.header is not None, found)
                yield from stream.pieces()
                stream, place = _Stream(name), later
                continue
            yield from stream.pieces()
            stream = _Stream(name, data, place, header)
            if stream.info:  # this frame has no sound
                place += header.size
                continue
        if place + header.size > len(data):
            raise cut_off(name)
        stream.places.append(place)
        place = stream.end = place + header.size
    yield from stream.pieces()


def _begins(data: Any, place: int, header: Header) -> bool:
    """Return whether a stream begins here: another frame follows, a tag, or the end."""
    end = place + header.size
    following = frame_header(data, end)
    if following is None:
        return end == len(data) or _tag_length(data, end) > 0
    return following.kind == header.kind


def _next(data: Any, place: int, name: str, within: bool, found: bool) -> int:
    """Return the place behind a tag, or else of the next stream, or the end if there is none.

    ``within`` tells whether there are frames up to here: bytes of no tag are then damage, but at the end.
    ``found`` tells whether there were frames before: a file without any is of another format.
    """
    if length := _tag_length(data, place):
        return place + length
    for later in range(place + 1, min(place + _JUNK, len(data)) + 1):
        header = frame_header(data, later)
        if _tag_length(data, later) or (header and _begins(data, later, header)):
            if within and header:
                break
            return later
    else:
        if place + _JUNK >= len(data) or not found:
            return len(data)
    raise damaged(name, place)


def _tag_length(data: Any, place: int) -> int:
    """Return the length in bytes of an ID3, APE or Lyrics3 tag at a place, or 0 if there is none."""
    start = bytes(data[place : place + 32])
    if start[:3] == b"ID3" and len(start) >= 10 and max(start[6:10]) < 128:
        a, b, c, d = start[6:10]
        return 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if start[5] & 0x10 else 0)
    if start[:3] == b"TAG":
        return 227 if start[:4] == b"TAG+" else 128
    if start[:8] == b"APETAGEX" and len(start) == 32:  # with a header, which its size does not count
        return 32 + int.from_bytes(start[12:16], "little")
    if start[:11] == b"LYRICSBEGIN":
        end = max(data.find(mark, place, place + 100_000) for mark in (b"LYRICS200", b"LYRICSEND"))
        return end + 9 - place if end > 0 else 0
    return 0
