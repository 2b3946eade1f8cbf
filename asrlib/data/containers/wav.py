"""WAV files (RIFF, RIFX, RF64) and NIST SPHERE files: find the sound, and check that all of it is there.

A program that writes a WAV file into a pipe cannot know its length. It puts 0 or a large number in its place.
"""

from __future__ import annotations

import os
from io import BufferedIOBase

from asrlib.data.containers.mpeg import mpeg_pieces
from asrlib.data.containers.piece import Piece, cut_off, open_sound, plain_piece

_UNKNOWN = 0xFFFFFFFF  # of RF64, whose lengths are in its chunk ds64
_MP3 = 0x55  # the format tag of MP3 inside WAV


def wav_pieces(file: BufferedIOBase, path: str | None, name: str) -> list[Piece]:
    """Return the sound of a WAV file. Raises ``InputError`` if it is truncated.

    `soundfile.SoundFileError` says that libsndfile cannot read it.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    order = "big" if file.read(12)[:4] == b"RIFX" else "little"
    tag, long_length, place = 0, 0, 12
    while True:
        file.seek(place)
        chunk = file.read(8)
        if len(chunk) < 8:
            raise cut_off(name)
        kind, length = chunk[:4], int.from_bytes(chunk[4:], order)
        place += 8
        if kind == b"data":
            break
        if kind == b"fmt ":
            tag = int.from_bytes(file.read(2), order)
        elif kind == b"ds64":
            long_length = int.from_bytes(file.read(16)[8:], order)
        place += length + length % 2
    if length == _UNKNOWN and long_length:
        length = long_length
    unknown = length >= 2**31 - 4096 and _placeholder(length) if length else not _chunks(file, place, size)
    if not unknown and place + length > size:
        raise cut_off(name)
    end = size if unknown else place + length
    if tag == _MP3:
        return mpeg_pieces(file, name, place, end)
    if length:  # libsndfile reads to the end where the length is one of the large numbers
        return [plain_piece(file, path)]
    return [_with_length(file, place, end, order)] if unknown else []


def _placeholder(length: int) -> bool:
    """Return whether a length stands for one that is not known.

    SoX writes 0x7FFFF000, arecord 0x80000000, ffmpeg 0xFFFFFFFF; others take the length of the header off.
    """
    return length == 0x7FFFF000 or 0x7FFFFF00 <= length <= 0x80000000 or 0xFFFFF000 <= length <= _UNKNOWN


def _chunks(file: BufferedIOBase, place: int, size: int) -> bool:
    """Return whether there are only chunks from a place to the end of the file: it has no sound."""
    while place + 8 <= size:
        file.seek(place)
        chunk = file.read(8)
        if not chunk[:4].isalnum():
            return False
        length = int.from_bytes(chunk[4:], "little")
        place += 8 + length + length % 2
    return place in (size, size + 1)


def _with_length(file: BufferedIOBase, start: int, end: int, order: str) -> Piece:
    """Return the sound behind a header that says there is none, with the length in the header."""
    file.seek(0)
    header = bytearray(file.read(start))
    header[4:8] = min(end - 8, _UNKNOWN).to_bytes(4, order)  # type: ignore[arg-type]
    header[-4:] = min(end - start, _UNKNOWN).to_bytes(4, order)  # type: ignore[arg-type]
    piece = Piece(0, 0, 0, start, end, bytes(header))
    with open_sound(piece.view(file)) as audio:
        return Piece(audio.frames, audio.samplerate, audio.channels, start, end, bytes(header))


def sphere_pieces(file: BufferedIOBase, path: str | None, name: str) -> list[Piece]:
    """Return the sound of a NIST SPHERE file. Raises what ``wav_pieces`` raises."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    fields = {}
    for line in file.read(1024).split(b"\n"):
        key, _, value = line.partition(b" -i ")
        if value.strip().isdigit():
            fields[key] = int(value)
    if b"sample_count" in fields:
        sample = fields.get(b"sample_n_bytes", 1) * fields.get(b"channel_count", 1)
        if 1024 + fields[b"sample_count"] * sample > size:
            raise cut_off(name)
    return [plain_piece(file, path)]
