"""FLAC files: find all streams, and the last sample of each.

libsndfile reads the first stream of a file, and none whose header does not say its length. The layout is
that of RFC 9639: sections 8.2 (the header, called streaminfo), 9.1 (headers of frames) and 9.3 (their ends).
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any, NamedTuple

from asrlib.data.containers.piece import Piece, contents, cut_off, damaged

_MARK = b"fLaC"
# samples of a block by the code in a frame's header; with 6 and 7 the number follows
_BLOCKS = {1: 192, **{n: 576 << n - 2 for n in range(2, 6)}, **{n: 256 << n - 8 for n in range(8, 16)}}
_JUNK = 4096  # bytes that may stand behind the last frame


class _Info(NamedTuple):
    """A header: samples per block and bytes per frame at most, Hz, channels, samples; 0 is unknown."""

    block: int
    largest: int
    rate: int
    channels: int
    samples: int


def flac_pieces(file: BufferedIOBase, name: str) -> list[Piece]:
    """Return the streams of a FLAC file. Raises ``InputError`` for one that is truncated or damaged."""
    with contents(file) as data:
        first = data.find(_MARK)  # behind an ID3 tag, if there is one
        pieces, start, end = [], first, len(data)
        while start >= 0:
            audio, info = _header(data, start, name)
            following = _next(data, audio)
            stream_end = following if following >= 0 else end
            alone = start == first and following < 0
            pieces.append(_piece(data, start, audio, stream_end, info, alone, name))
            start = following
    return [piece for piece in pieces if piece.samples]


def _next(data: Any, place: int) -> int:
    """Return the start of the next stream, or -1."""
    while (place := data.find(_MARK, place)) >= 0:
        if data[place + 4 : place + 8] in (b"\0\0\0\x22", b"\x80\0\0\x22"):
            return place
        place += 1
    return -1


def _header(data: Any, start: int, name: str) -> tuple[int, _Info]:
    """Return where a stream's first frame starts, and what its header says."""
    place, last, info = start + 4, False, None
    while not last:
        head = bytes(data[place : place + 4])
        last, length = bool(head[:1] > b"\x7f"), int.from_bytes(head[1:], "big")
        if place + 4 + length > len(data):
            raise cut_off(name)
        if head[0] & 0x7F == 0 and length == 34 and info is None:
            body = bytes(data[place + 4 : place + 38])
            numbers = int.from_bytes(body[10:18], "big")  # Hz: 20 bits, channels: 3, bits: 5, samples: 36
            info = _Info(
                int.from_bytes(body[2:4], "big"),
                int.from_bytes(body[7:10], "big"),
                numbers >> 44,
                (numbers >> 41 & 7) + 1,
                numbers & (1 << 36) - 1,
            )
        place += 4 + length
    if info is None:
        raise damaged(name, start)
    return place, info


def _piece(data: Any, start: int, audio: int, end: int, info: _Info, alone: bool, name: str) -> Piece:
    samples = info.samples
    frames = _last_frames(data, audio, end, info)
    if samples:
        if not any(found == samples for _, found in frames):
            raise cut_off(name)
        return Piece(samples, info.rate, info.channels, start, end, whole=alone)
    # written into a pipe: the length is that of the last whole frame
    if data[end - 128 : end - 125] == b"TAG":
        end -= 128
    samples = next((found for place, found in frames if not crc16(data[place:end])), 0)
    if not samples and end > audio:
        raise cut_off(name)
    known = bytearray(data[start:audio])
    known[21] |= samples >> 32
    known[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    return Piece(samples, info.rate, info.channels, audio, end, header=bytes(known))


def _last_frames(data: Any, audio: int, end: int, info: _Info) -> Iterator[tuple[int, int]]:
    """Yield what look like the last frames, backwards: their places, and the samples up to their ends."""
    first = max(audio, end - (info.largest or 4 * info.block * info.channels + 1000) - _JUNK)
    place = end
    while (place := data.rfind(b"\xff", first, place)) >= 0:
        found = _samples_until(bytes(data[place : place + 16]), info.block)
        if found is not None:
            yield place, found


def _samples_until(head: bytes, block: int) -> int | None:
    """Return the number of samples up to the end of a frame with this header, None if it is no header."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    code, rate_code = head[2] >> 4, head[2] & 15
    more = 0  # bytes of the coded number behind its first
    while more < 7 and head[4] << more & 0x80:
        more += 1
    number = head[4] & (0x7F >> more)
    place, more = 5, max(0, more - 1)
    for byte in head[place : place + more]:
        number = number << 6 | byte & 0x3F
    place += more
    if code in (6, 7):
        size = int.from_bytes(head[place : place + code - 5], "big") + 1
        place += code - 5
    else:
        size = _BLOCKS.get(code, 0)
    place += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if not size or len(head) <= place or crc8(head[:place]) != head[place]:
        return None
    # frames of a fixed size are numbered, those of a variable size say their first sample
    return (number if head[1] & 1 else number * block) + size


def _table(polynomial: int, bits: int) -> list[int]:
    table = []
    for value in range(256):
        value <<= bits - 8
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value >> bits - 1 else 0)
            value &= (1 << bits) - 1
        table.append(value)
    return table


_CRC8, _CRC16 = _table(0x07, 8), _table(0x8005, 16)


def crc8(data: bytes) -> int:
    """Return the checksum of a frame's header."""
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value


def crc16(data: bytes) -> int:
    """Return the checksum of a frame: 0 if its own checksum is at its end."""
    value = 0
    for byte in data:
        value = (value << 8 & 0xFF00) ^ _CRC16[value >> 8 ^ byte]
    return value
