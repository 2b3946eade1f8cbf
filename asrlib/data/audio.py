"""Read audio files as mono samples, and report a bad file in one line.

    read_audio(path)    samples and sample rate of a WAV, FLAC, OGG or MP3 file
    audio_blocks(path)  the same samples, block by block, for recordings of hours
    cut_audio(cut)      samples of a lhotse cut
    audio_info(path)    length, rate and channels from the header, after checks that need no decoding

Lesson 01 (waveforms).
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from asrlib.errors import InputError, first_line

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse.cut


def read_audio(path: str | os.PathLike) -> tuple[Float[np.ndarray, " samples"], int]:
    """Decode a WAV, FLAC, OGG or MP3 file. Lesson 01.

    Returns float32 samples in [-1, 1], averaged over channels, and the sample rate in Hz. Raises
    ``InputError`` for a file that is missing, empty, not audio or truncated, and for samples that are NaN or
    infinite.
    """
    info = audio_info(Path(path))
    return _decode(str(path), str(path), 0, info.frames), info.samplerate


def audio_blocks(path: str | os.PathLike, seconds: float = 10.0) -> Iterator[Float[np.ndarray, " samples"]]:
    """Yield the samples of ``read_audio`` in blocks of ``seconds``, holding only one block in memory.

    Raises ``InputError`` as ``read_audio`` does; for a damaged file, at the block that cannot be decoded.
    """
    import soundfile

    path, found = Path(path), 0
    info = audio_info(path)
    try:
        with soundfile.SoundFile(str(path)) as audio:
            for block in audio.blocks(
                max(1, round(seconds * info.samplerate)), dtype="float32", always_2d=True
            ):
                found += len(block)
                yield _mono(str(path), block)
    except (soundfile.SoundFileError, OSError) as error:
        raise InputError(
            f"{path}: cannot be decoded to its end ({first_line(error)}); copy it again"
        ) from None
    if found < info.frames:
        raise _truncated(str(path), found, info.frames)


def cut_audio(cut: "lhotse.cut.Cut") -> Float[np.ndarray, " samples"]:
    """Return the samples of a cut, at its own sample rate.

    The samples are float32 and averaged over channels. This is ``cut.load_audio()`` without lhotse's
    overhead. Raises ``InputError``, naming the file, if the audio cannot be read or has fewer samples than
    its header says.
    """
    recording: Any = getattr(cut, "recording", None)
    simple = recording is not None and not recording.transforms and len(recording.sources) == 1
    if simple and recording.num_channels > 1:
        simple = cut.channel == recording.channel_ids  # the cut has all channels of the recording
    if not simple or recording.sources[0].type not in ("file", "memory"):
        try:
            return cut.load_audio().mean(axis=0, dtype=np.float32)
        except Exception as error:
            raise InputError(f"{cut.id}: its audio cannot be read ({first_line(error)})") from error
    source = recording.sources[0].source
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    first = round(cut.start * recording.sampling_rate)
    return _decode(file, recording.id if isinstance(source, bytes) else source, first, cut.num_samples)


def _decode(file: Any, name: str, first: int, count: int) -> np.ndarray:
    import soundfile

    try:
        with soundfile.SoundFile(file) as audio:
            if first:
                audio.seek(first)
            samples = audio.read(count, dtype="float32", always_2d=True)
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such audio file") from None
    except (soundfile.SoundFileError, OSError) as error:
        raise InputError(
            f"{name}: cannot be decoded to its end ({first_line(error)}); copy it again"
        ) from None
    if len(samples) < count:
        raise _truncated(name, len(samples), count)
    return _mono(name, samples)


def _truncated(name: str, found: int, announced: int) -> InputError:
    return InputError(f"{name}: truncated, {found:,} of {announced:,} samples can be decoded; copy it again")


def _mono(name: str, samples: np.ndarray) -> np.ndarray:
    """Average the channels of (samples, channels)."""
    samples = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not np.isfinite(samples).all():
        raise InputError(f"{name}: contains NaN or infinite samples; export it again")
    return np.ascontiguousarray(samples)


def audio_info(path: Path) -> Any:
    """Return a file's header as ``soundfile.info`` reads it: frames, samplerate, channels, format.

    ``frames`` are samples per channel. Raises ``InputError`` for a file that is missing, empty, a folder, not
    audio or truncated, and for a header without a length.
    """
    import soundfile

    try:
        size = path.stat().st_size
    except OSError:
        raise InputError(f"{path}: there is no such audio file") from None
    if path.is_dir():
        raise InputError(f"{path}: this is a folder, not an audio file")
    if size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); copy it again")
    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError) as error:
        raise InputError(
            f"{path}: cannot be read as audio ({first_line(error)}); give WAV, FLAC, OGG or MP3"
        ) from None
    if _is_cut_off(path, size, info.format):
        raise InputError(f"{path}: truncated, the file ends before its last sample; copy it again")
    if info.frames == 0:
        raise InputError(f"{path}: the file holds no samples; copy it again")
    if info.frames > 2**40:  # written by a program into a pipe
        raise InputError(f"{path}: the header does not give the length; convert it again, to a file")
    return info


def _is_cut_off(path: Path, size: int, format: str) -> bool:
    """Return whether a WAV or Ogg container ends too early. Such files decode without an error."""
    if format not in ("WAV", "WAVEX", "OGG"):
        return False
    with open(path, "rb") as file:
        if format == "OGG":
            file.seek(max(0, size - 70_000))  # a page has at most 65,307 bytes
            tail = file.read()
            page = tail.rfind(b"OggS")
            if page < 0 or len(tail) < page + 27:
                return True
            segments = tail[page + 27 : page + 27 + tail[page + 26]]
            complete = len(tail) >= page + 27 + tail[page + 26] + sum(segments)
            return not (complete and tail[page + 5] & 4)  # 4 flags the last page of a stream
        file.seek(12)
        while len(header := file.read(8)) == 8:
            length = int.from_bytes(header[4:], "little")
            if header[:4] == b"data":
                # programs that write into a pipe do not know the length and put 0 or the largest number
                return 0 < length < 0x7FFFFF00 and file.tell() + length > size
            file.seek(length + length % 2, os.SEEK_CUR)
    return False
