"""A part of a sound file that libsndfile decodes as a whole: `Piece`.

libsndfile reads the first stream of a file, and as much of it as the header says. A file may hold several
streams, one behind another, and a header may say too little. The modules of this package therefore walk
through a file themselves, count its samples, and return a `Piece` for each stream.
"""

from __future__ import annotations

import contextlib
import functools
import io
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any

import numpy as np

from asrlib.errors import InputError


@dataclass(frozen=True)
class Piece:
    """A stream of ``samples`` samples per channel, at ``rate`` Hz, in the bytes from ``start`` to ``end``.

    ``header`` stands before these bytes, in place of a header that is wrong. ``whole`` tells that the piece
    is a whole file as it is.
    """

    samples: int
    rate: int
    channels: int
    start: int
    end: int
    header: bytes = b""
    whole: bool = False

    def open(self, file: BufferedIOBase, path: str | None, first: int) -> Any:
        """Return a `soundfile.SoundFile` that is at sample ``first``.

        ``path`` is the name of ``file``, or None for a file in memory.
        """
        audio = open_sound(path if self.whole and path else self.view(file))
        if first:
            go_to(audio, first)
        return audio

    def view(self, file: BufferedIOBase) -> View:
        """Return the bytes of the piece as a file."""
        return View(file, self.start, self.end, self.header)

    def blocks(
        self, file: BufferedIOBase, path: str | None, first: int, count: int, size: int
    ) -> Iterator[np.ndarray]:
        """Yield float32 blocks (samples, channels) of at most ``size`` samples, ``count`` from ``first`` on.

        They are fewer if the stream ends early. Raises `soundfile.SoundFileError` for damaged data.
        """
        with self.open(file, path, first) as audio:
            while count > 0:
                block = audio.read(min(size, count), dtype="float32", always_2d=True)
                if not len(block):
                    return
                count -= len(block)
                yield block


def open_sound(source: Any) -> Any:
    """Return a `soundfile.SoundFile` of a path or a file object. A path may be no UTF-8."""
    # soundfile encodes a path strictly, but not one of bytes
    source = os.fsencode(source) if isinstance(source, str) and os.name != "nt" else source
    return _forward_reader()(source)


@functools.cache
def _forward_reader() -> Any:
    """Return a class of `soundfile.SoundFile` that reads without seeking.

    soundfile seeks to where it is after each read. The MP3 decoder then forgets what the next frame refers
    to, and garbles some frames.
    """
    import soundfile

    class Forward(soundfile.SoundFile):
        def seekable(self) -> bool:
            return False

    return Forward


def go_to(audio: Any, sample: int) -> None:
    """Go to a sample of a file that was just opened, by reading if its encoding cannot be searched."""
    import soundfile

    try:
        audio.seek(sample)
    except soundfile.SoundFileError:
        skip(audio, sample)


def skip(audio: Any, count: int) -> None:
    """Read the next ``count`` samples, and forget them."""
    while count > 0 and (read := len(audio.read(min(count, 1 << 16), dtype="float32"))):
        count -= read


@contextlib.contextmanager
def contents(file: BufferedIOBase) -> Iterator[Any]:
    """Yield the bytes of a file, as an object with slices, ``len`` and ``find``, without reading them yet."""
    if isinstance(file, io.BytesIO):
        yield file.getvalue()
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def plain_piece(file: BufferedIOBase, path: str | None) -> Piece:
    """Return a whole file as libsndfile reads it. Raises `soundfile.SoundFileError` if it cannot."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    with open_sound(path or file) as audio:
        return Piece(audio.frames, audio.samplerate, audio.channels, 0, end, whole=True)


def cut_off(name: str) -> InputError:
    """Return the error about a file that ends too early."""
    return InputError(f"{name}: truncated, the file ends before its last sample; copy it again")


def damaged(name: str, place: int) -> InputError:
    """Return the error about a file whose bytes at ``place`` make no sense."""
    return InputError(f"{name}: damaged at byte {place:,}; copy it again")


class View(io.RawIOBase):
    """The bytes from ``start`` to ``end`` of a file, as a file: behind ``header``, before ``filler``.

    ``filler`` is repeated up to a length of ``length`` bytes.
    """

    def __init__(
        self,
        file: BufferedIOBase,
        start: int,
        end: int,
        header: bytes = b"",
        filler: bytes = b"",
        length: int = 0,
    ):
        self.file, self.start, self.header, self.filler = file, start, header, filler
        self.sound = len(header) + end - start  # bytes before the filler
        self.length = max(self.sound, length if filler else 0)
        self.place = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte to read."""
        return self.place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place counted from the start, from here or from the end; return it."""
        self.place = max(0, offset + (0, self.place, self.length)[whence])
        return self.place

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` and return how many bytes there were. A file that cannot be read ends there."""
        data = b""
        while len(data) < len(buffer) and self.place < self.length:
            found = self._some(len(buffer) - len(data))
            if not found:
                break
            data += found
            self.place += len(found)
        buffer[: len(data)] = data
        return len(data)

    def _some(self, count: int) -> bytes:
        place, before = self.place, len(self.header)
        if place < before:
            return self.header[place : place + count]
        if place < self.sound:
            try:  # an exception would be lost in the C code that asks
                self.file.seek(self.start + place - before)
                return self.file.read(min(count, self.sound - place))
            except OSError:
                return b""
        first = (place - self.sound) % len(self.filler)
        return self.filler[first : first + min(count, self.length - place)]
