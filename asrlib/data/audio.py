"""Read audio files as mono samples, and report a bad file in one line.

    read_audio(path)    samples and sample rate of a WAV, FLAC, OGG or MP3 file
    audio_blocks(path)  the same samples, block by block, for recordings of hours
    cut_audio(cut)      samples of a lhotse cut
    audio_info(path)    length, rate and channels, counted without decoding

A file may hold several streams of sound one behind another: joined MP3 files, chained Ogg, concatenated
FLAC. All of them are read. Lesson 01 (waveforms).
"""

import contextlib
import functools
import io
import os
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from asrlib.data.containers.formats import sound_pieces
from asrlib.data.containers.piece import Piece, plain_piece
from asrlib.errors import InputError, first_line
from asrlib.signal.resample import MAX_RATE, MIN_RATE

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse.cut

# samples of all channels in a block
_BLOCK = 1 << 22


@dataclass(frozen=True)
class AudioInfo:
    """What a file holds: ``frames`` samples per channel at ``samplerate`` Hz, its format and its streams."""

    frames: int
    samplerate: int
    channels: int
    format: str
    pieces: tuple[Piece, ...]


def read_audio(path: str | os.PathLike) -> tuple[Float[np.ndarray, " samples"], int]:
    """Decode a WAV, FLAC, OGG or MP3 file. Lesson 01.

    Returns float32 samples in [-1, 1], averaged over channels, and the sample rate in Hz. If the channels
    cancel each other, this warns and takes one of them. Raises ``InputError`` for a file that is missing,
    empty, of another format, truncated or damaged, and for samples that are NaN or infinite.
    """
    info = audio_info(Path(path))
    return _samples(str(path), str(path), info, 0, info.frames), info.samplerate


def audio_blocks(path: str | os.PathLike, seconds: float = 10.0) -> Iterator[Float[np.ndarray, " samples"]]:
    """Yield the samples of ``read_audio`` in blocks of ``seconds``, holding only one block in memory.

    A stream's last block may be shorter. Raises ``InputError`` as ``read_audio`` does; for a damaged file, at
    the block that cannot be decoded.
    """
    name, info = str(path), audio_info(Path(path))
    size = max(1, round(seconds * info.samplerate))
    mix = _Mix()
    if any(piece.channels > 1 for piece in info.pieces):
        for block in _blocks(name, name, info, 0, info.frames, size):
            mix.add(block)
    channel = mix.channel(name)
    for block in _blocks(name, name, info, 0, info.frames, size):
        yield _mono(name, block, channel)


def cut_audio(cut: "lhotse.cut.Cut") -> Float[np.ndarray, " samples"]:
    """Return the samples of a cut, at its own sample rate.

    The samples are float32 and averaged over channels. This is ``cut.load_audio()`` without lhotse's
    overhead. Raises ``InputError``, naming the file, if the audio cannot be read or has fewer samples than
    the cut.
    """
    recording: Any = getattr(cut, "recording", None)
    simple = recording is not None and not recording.transforms and len(recording.sources) == 1
    if simple and recording.num_channels > 1:
        simple = cut.channel == recording.channel_ids  # the cut has all channels of the recording
    if not simple or recording.sources[0].type not in ("file", "memory"):
        try:
            samples = cut.load_audio()
        except Exception as error:
            raise InputError(f"{cut.id}: its audio cannot be read ({first_line(error)})") from error
        return _mono(cut.id, samples.T, None)
    source = recording.sources[0].source
    name = recording.id if isinstance(source, bytes) else source
    first = round(cut.start * recording.sampling_rate)
    info = _info_for(source, name, first + cut.num_samples)
    return _samples(source, name, info, first, cut.num_samples)


def audio_info(path: Path) -> AudioInfo:
    """Return what a file holds, counted frame by frame where headers are not to be trusted.

    Raises ``InputError`` for a file that is missing, empty, a folder, of a format that is not read,
    truncated or damaged, and for rates outside of 4 to 400 kHz.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        raise InputError(f"{path}: there is no such audio file") from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{path}: this is a folder, not an audio file")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: this is a pipe or a device, not a file; save the sound to a file first")
    if found.st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); copy it again")
    return _file_info(str(path), found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=64)  # many cuts may be of one long recording
def _file_info(path: str, size: int, changed: int) -> AudioInfo:
    with _errors(path, "cannot be read as audio"), open(path, "rb") as file:
        return _checked(path, *sound_pieces(file, path, path))


def _info_for(source: str | bytes, name: str, samples: int) -> AudioInfo:
    """Return what a file holds, or its bytes, of which ``samples`` samples are needed.

    WAV and FLAC files are not counted if their header promises as many.
    """
    if isinstance(source, str):
        with _errors(name, "cannot be read as audio"), open(source, "rb") as file:
            if file.read(4) in (b"RIFF", b"fLaC", b"NIST"):
                piece = plain_piece(file, source)
                if samples <= piece.samples:
                    return _checked(name, "", [piece])
        return audio_info(Path(source))
    memory = io.BytesIO(source)
    with _errors(name, "cannot be read as audio"):
        return _checked(name, *sound_pieces(memory, None, name))


def _checked(name: str, format: str, pieces: list[Piece]) -> AudioInfo:
    frames = sum(piece.samples for piece in pieces)
    if not frames:
        raise InputError(f"{name}: the file holds no samples; copy it again")
    rates = sorted({piece.rate for piece in pieces})
    for rate in rates:
        if not MIN_RATE <= rate <= MAX_RATE:
            raise InputError(
                f"{name}: the header says {rate:,} Hz, not {MIN_RATE:,} to {MAX_RATE:,} Hz; convert it"
            )
    if len(rates) > 1:
        raise InputError(
            f"{name}: joined from sound at {rates[0]:,} Hz and at {rates[1]:,} Hz; convert all to one rate"
        )
    return AudioInfo(frames, rates[0], max(piece.channels for piece in pieces), format, tuple(pieces))


@contextlib.contextmanager
def _errors(name: str, what: str) -> Iterator[None]:
    """Turn errors of the disk, of libsndfile and of memory into an ``InputError`` about ``name``."""
    import soundfile

    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such audio file") from None
    except (soundfile.SoundFileError, OSError) as error:
        raise InputError(f"{name}: {what} ({first_line(error)}); copy it again") from None
    except MemoryError:
        raise InputError(f"{name}: does not fit into memory; cut it into shorter files") from None


def _blocks(
    source: str | bytes, name: str, info: AudioInfo, first: int, count: int, size: int
) -> Iterator[np.ndarray]:
    """Yield ``count`` samples from ``first`` on, in float32 blocks (samples, channels) of at most ``size``.

    Raises ``InputError`` if there are fewer.
    """
    path, wanted = (None, count) if isinstance(source, bytes) else (source, count)
    with (
        _errors(name, "cannot be decoded to its end"),
        io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file,
    ):
        for piece in info.pieces:
            number = min(count, piece.samples - first)
            if number <= 0:
                first -= piece.samples
                continue
            most = max(1, min(size, _BLOCK // piece.channels))
            for block in piece.blocks(file, path, first, number, most):
                yield block
                count -= len(block)
                number -= len(block)
            if number:
                break
            first = 0
    if count:
        raise InputError(
            f"{name}: truncated, {wanted - count:,} of {wanted:,} samples can be decoded; copy it again"
        )


def _samples(source: str | bytes, name: str, info: AudioInfo, first: int, count: int) -> np.ndarray:
    mix, place = _Mix(), 0
    with _errors(name, "cannot be decoded to its end"):
        if info.channels == 1:  # a recording may be hours long: into one array
            samples = np.empty((count, 1), np.float32)
            for block in _blocks(source, name, info, first, count, _BLOCK):
                samples[place : place + len(block)] = block
                place += len(block)
            return _mono(name, samples, None)
        blocks = list(_blocks(source, name, info, first, count, _BLOCK))
        for block in blocks:
            mix.add(block)
        channel = mix.channel(name)
        mono = [_mono(name, block, channel) for block in blocks]
        return mono[0] if len(mono) == 1 else np.concatenate([np.zeros(0, np.float32), *mono])


class _Mix:
    """The energy of the average over channels, and of each channel, to find channels of opposite phase."""

    def __init__(self) -> None:
        self.average, self.single = 0.0, np.zeros(0)

    def add(self, block: np.ndarray) -> None:
        """Take samples (samples, channels)."""
        if block.shape[1] > 1:
            energies = np.square(block, dtype=np.float64).sum(axis=0)
            self.single = np.pad(self.single, (0, max(0, len(energies) - len(self.single))))
            self.single[: len(energies)] += energies
            self.average += float(np.square(block.mean(axis=1), dtype=np.float64).sum())

    def channel(self, name: str) -> int | None:
        """Return the loudest channel, with a warning, if the average loses what the channels have."""
        channels = len(self.single)
        # the average of channels that have nothing in common has their mean energy divided by their number
        if not channels or not self.average < 0.2 * self.single.mean() / channels:
            return None
        loudest = int(self.single.argmax())
        warnings.warn(
            f"{name}: its channels cancel each other (opposite phase): channel {loudest + 1} alone is used",
            stacklevel=1,
        )
        return loudest


def _mono(name: str, samples: np.ndarray, channel: int | None) -> np.ndarray:
    """Average the channels of (samples, channels), or take one of them."""
    channels = samples.shape[1]
    if channels == 1 or channel is not None:
        samples = samples[:, min(channel or 0, channels - 1)]
    else:
        samples = samples.mean(axis=1)
    if not np.isfinite(samples).all():
        raise InputError(f"{name}: contains NaN or infinite samples; export it again")
    return np.ascontiguousarray(samples)
