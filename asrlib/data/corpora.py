"""Corpora: utterances with their texts, speakers and times, as lhotse ``CutSet``s.

    load_corpus("digits", "train")     connected digits, synthesised offline (also: "commands", "sentences")
    load_corpus(folder, "test")        a folder of recordings with manifest.tsv
    connected_digits(corpus, ...)      isolated digit recordings of a speaker strung into utterances
    clips()                            the few clips that come with the kit
    cut_audio(cut), read_audio(path)   samples

A *cut* is one utterance: ``cut.supervisions[0]`` has ``text``, ``speaker`` and, where times are known,
``alignment["word"]`` and ``alignment["phone"]`` (lists of lhotse ``AlignmentItem``: symbol, start, duration
in seconds); ``cut.custom["split"]`` is ``train``, ``dev`` or ``test``.

There is one format on disk, also for what is synthesised: a folder with audio files and

    manifest.tsv       tab-separated, header ``path speaker seconds text split``; path and text are
                       required; paths are relative to the manifest, texts are taken as written
    alignments.json    optional: {path: {"word": [[symbol, start, end], ...], "phone": [...]}}, seconds

Lessons 01 (waveforms) and 09 (training) load these corpora.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from asrlib.data.espeak import ACCENTS, DIGITS, RESPELLED, SAMPLE_RATE, synthesise, timbres
from asrlib.data.shar import is_shar, load_shar
from asrlib.errors import InputError
from asrlib.files import assets

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse
    import lhotse.cut

SPLITS = ("train", "dev", "test")

# utterances of each split
SIZES = {
    "digits": {"train": 4000, "dev": 200, "test": 400},
    "commands": {"train": 4000, "dev": 400, "test": 600},
    "sentences": {"train": 6000, "dev": 200, "test": 300},
}

# Raise it whenever a change below changes what is rendered: old renderings are then left alone.
RECIPE = 2


def load_corpus(name_or_folder: str | os.PathLike, split: str | None = None) -> "lhotse.CutSet":
    """Load ``digits``, ``commands``, ``sentences``, or a folder with ``manifest.tsv`` (lessons 01, 09).

    The three names are synthesised on first use (some seconds to a minute) and kept in ``cache_folder()``.
    No voice of one split speaks in another: timbres, not only accents, are disjoint.

    A folder of Shar shards (`asrlib data --shar`) is read as it is needed, for corpora larger than memory.

    A folder is split by its column ``split``; without one by speaker, about 80/10/10, in the order of a hash
    of their names (so it never changes, and three speakers are enough); below three speakers by utterance in
    the same way. ``split=None`` gives everything.

    Raises InputError, naming file and line, for an unknown name or split, a manifest that is missing, lacks a
    column or has a malformed row or an empty text, and for audio that is missing, empty or no audio. Samples
    are decoded only in ``cut_audio``.
    """
    name = os.fspath(name_or_folder)
    if name in SIZES:
        folder = _rendered(name)
    else:
        folder = Path(name)
        if not folder.is_dir():
            raise InputError(
                f"{name}: neither a folder nor one of the corpora {', '.join(SIZES)}; "
                "give a folder that holds manifest.tsv"
            )
        if not (folder / "manifest.tsv").is_file() and is_shar(folder):
            return load_shar(folder, split)
    rows = _read_manifest(folder / "manifest.tsv")
    known = sorted({row.split for row in rows}, key=lambda s: (SPLITS.index(s) if s in SPLITS else 9, s))
    if split is not None:
        if split not in known:
            raise InputError(
                f"{folder / 'manifest.tsv'}: there is no split {split!r}; it has {', '.join(known)}"
            )
        rows = [row for row in rows if row.split == split]
    return _cuts(folder, rows)


def clips() -> "lhotse.CutSet":
    """The clips that come with the kit, with word and phone times (lesson 00); the same samples everywhere.

    They lie in ``data/clips`` of the checkout, or in ``clips`` of the folder that ASRLIB_DATA names.
    """
    folder = assets() / "clips"
    if not folder.is_dir():
        raise InputError(
            f"{folder}: the kit's clips are not here; set ASRLIB_DATA to the data folder of a checkout"
        )
    return load_corpus(folder)


def cache_folder() -> Path:
    """Where synthesised corpora are kept: ASRLIB_CACHE, or else ``~/.cache/asrlib``."""
    return Path(os.environ.get("ASRLIB_CACHE") or Path.home() / ".cache" / "asrlib")


# -------------------------------------------------------------------------------- audio


def read_audio(path: str | os.PathLike) -> tuple[Float[np.ndarray, " samples"], int]:
    """Decode a WAV, FLAC, OGG or MP3 file to ``(samples in [-1, 1], rate in Hz)``; channels are averaged.

    Raises InputError for a file that is missing, empty, no audio, truncated, or holds NaN (lesson 01).
    """
    info = _audio_info(Path(path))
    return _decode(str(path), str(path), 0, info.frames), info.samplerate


def cut_audio(cut: "lhotse.cut.Cut") -> Float[np.ndarray, " samples"]:
    """The samples of a cut at its own rate, mono float32: ``cut.load_audio()`` without its overhead.

    Raises InputError, naming the file, when fewer samples can be decoded than its header announces.
    """
    recording = getattr(cut, "recording", None)
    simple = recording is not None and not recording.transforms and len(recording.sources) == 1
    if simple and recording.num_channels > 1:
        simple = cut.channel == recording.channel_ids  # not one of a recording's channels
    if not simple or recording.sources[0].type not in ("file", "memory"):
        try:
            return cut.load_audio().mean(axis=0, dtype=np.float32)
        except Exception as error:
            raise InputError(f"{cut.id}: its audio cannot be read ({_first_line(error)})") from error
    source = recording.sources[0].source
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    first = round(cut.start * recording.sampling_rate)
    return _decode(file, recording.id if isinstance(source, bytes) else source, first, cut.num_samples)


def _decode(file, name: str, first: int, count: int) -> np.ndarray:
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
            f"{name}: cannot be decoded to its end ({_first_line(error)}); copy it again"
        ) from None
    if len(samples) < count:
        raise InputError(
            f"{name}: truncated, {len(samples):,} of {count:,} samples can be decoded; copy it again"
        )
    samples = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not np.isfinite(samples).all():
        raise InputError(f"{name}: holds samples that are no numbers (NaN or infinity); save it again")
    return np.ascontiguousarray(samples)


def _audio_info(path: Path):
    """The file's header as soundfile reads it, after the checks that need no decoding."""
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
            f"{path}: no audio that can be read ({_first_line(error)}); give WAV, FLAC, OGG or MP3"
        ) from None
    if _is_cut_off(path, size, info.format):
        raise InputError(f"{path}: truncated, the file ends before its last sample; copy it again")
    if info.frames == 0:
        raise InputError(f"{path}: the file holds no samples; copy it again")
    if info.frames > 2**40:  # a program that wrote into a pipe
        raise InputError(f"{path}: its header does not say how long it is; convert it anew, into a file")
    return info


def _is_cut_off(path: Path, size: int, format: str) -> bool:
    """WAV and Ogg files that end too early decode without an error, so look at the container itself."""
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
            return not (complete and tail[page + 5] & 4)  # 4: the flag of a stream's last page
        file.seek(12)
        while len(header := file.read(8)) == 8:
            length = int.from_bytes(header[4:], "little")
            if header[:4] == b"data":
                # programs that write into a pipe do not know the length and put 0 or the largest number
                return 0 < length < 0x7FFFFF00 and file.tell() + length > size
            file.seek(length + length % 2, os.SEEK_CUR)
    return False


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# -------------------------------------------------------------------------------- folders


@dataclass
class _Row:
    line: int
    path: str
    text: str
    speaker: str | None
    split: str


def _read_manifest(manifest: Path) -> list[_Row]:
    try:
        # not splitlines(), which also breaks a text at rarer characters
        lines = manifest.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except FileNotFoundError:
        raise InputError(
            f"{manifest}: there is no such file; a corpus folder needs it, with the columns path and text"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{manifest}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    header = lines[0].split("\t")
    for column in ("path", "text"):
        if column not in header:
            raise InputError(
                f"{manifest}: line 1 has no column {column!r}; it must name the tab-separated columns, "
                "path and text at least"
            )
    rows = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != len(header):
            raise InputError(
                f"{manifest}: line {number} has {len(fields)} fields, the header has {len(header)}; "
                "separate fields with one tab"
            )
        row = dict(zip(header, fields, strict=True))
        for column in ("path", "text", "split"):
            if column in row and not row[column].strip():
                what = {"path": "path", "text": "transcript", "split": "split"}[column]
                raise InputError(f"{manifest}: line {number}: the {what} is empty; fill it in or drop it")
        if row["path"] in seen:
            raise InputError(
                f"{manifest}: line {number}: {row['path']} is already in line {seen[row['path']]}; drop one"
            )
        seen[row["path"]] = number
        rows.append(_Row(number, row["path"], row["text"], row.get("speaker") or None, row.get("split", "")))
    if not rows:
        raise InputError(f"{manifest}: there is no utterance in it; add a row for each audio file")
    if "split" not in header:
        _split_rows(rows)
    return rows


def _split_rows(rows: list[_Row]) -> None:
    """Fill in ``split`` by speaker, or by utterance when there are fewer than three speakers."""
    by_speaker = len({row.speaker for row in rows if row.speaker}) >= 3
    keys = [(row.speaker or row.path) if by_speaker else row.path for row in rows]
    ordered = sorted(set(keys), key=lambda key: (hashlib.sha256(key.encode()).digest(), key))
    held_out = max(1, round(len(ordered) / 10)) if len(ordered) >= 3 else 0
    split = dict.fromkeys(ordered, "train")
    split |= dict.fromkeys(ordered[:held_out], "test")
    split |= dict.fromkeys(ordered[held_out : 2 * held_out], "dev")
    for row, key in zip(rows, keys, strict=True):
        row.split = split[key]


def _cuts(folder: Path, rows: list[_Row]) -> "lhotse.CutSet":
    from lhotse import CutSet, MultiCut, Recording, SupervisionSegment
    from lhotse.audio import AudioSource
    from lhotse.cut import MonoCut

    alignments = _read_alignments(folder / "alignments.json")
    cuts = []
    for row in rows:
        path = folder / row.path
        try:
            info = _audio_info(path)
        except InputError as error:
            raise InputError(f"{folder / 'manifest.tsv'}: line {row.line}: {error}") from None
        seconds = info.frames / info.samplerate
        key = row.path
        channels = list(range(info.channels))
        recording = Recording(
            id=key,
            sources=[AudioSource("file", channels, str(path))],
            sampling_rate=info.samplerate,
            num_samples=info.frames,
            duration=seconds,
        )
        channel = 0 if info.channels == 1 else channels
        supervision = SupervisionSegment(
            id=key,
            recording_id=key,
            start=0.0,
            duration=seconds,
            channel=channel,
            text=row.text,
            speaker=row.speaker,
            alignment=_alignment(alignments.get(row.path)),
        )
        kind = MonoCut if info.channels == 1 else MultiCut
        cuts.append(
            kind(
                id=key,
                start=0.0,
                duration=seconds,
                channel=channel,
                supervisions=[supervision],
                recording=recording,
                custom={"split": row.split},
            )
        )
    return CutSet.from_cuts(cuts).to_eager()


def _read_alignments(path: Path) -> dict:
    if not path.exists():
        return {}
    try:
        alignments = json.loads(path.read_text(encoding="utf-8"))
        # one look at every entry, so that a slip in the file is named here and not by lhotse
        for entry in alignments.values():
            for items in entry.values():
                for symbol, start, end in items:
                    if not (isinstance(symbol, str) and 0 <= start <= end):
                        raise ValueError(f"{[symbol, start, end]} is no [symbol, start, end]")
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path}: not of the form {{path: {{"word": [[symbol, start, end], ...]}}}} '
            f"({_first_line(error)})"
        ) from None
    return alignments


def _alignment(entry: dict | None) -> dict | None:
    from lhotse.supervision import AlignmentItem

    if entry is None:
        return None
    return {
        kind: [AlignmentItem(symbol, start, round(end - start, 5)) for symbol, start, end in items]
        for kind, items in entry.items()
    }


def save_corpus(folder: Path, utterances: Iterable) -> None:
    """Write ``(path, speaker, split, text, 16 kHz samples, {kind: times})`` tuples as a corpus folder.

    The folder appears complete or not at all: it is written beside its place and then renamed.
    Raises InputError when the folder exists, or when the disk is full or not writable.
    """
    import soundfile

    folder = Path(folder)
    if folder.exists():
        raise InputError(f"{folder}: exists already; give a folder that does not")
    draft = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        (draft / "audio").mkdir()
        lines, alignments = ["path\tspeaker\tseconds\tsplit\ttext"], {}
        for path, speaker, split, text, samples, times in utterances:
            soundfile.write(draft / path, np.round(samples * 32767).astype(np.int16), SAMPLE_RATE)
            seconds = len(samples) / SAMPLE_RATE
            lines.append(f"{path}\t{speaker}\t{seconds:.3f}\t{split}\t{text}")
            alignments[path] = {
                kind: [(symbol, round(start, 4), round(min(end, seconds), 4)) for symbol, start, end in items]
                for kind, items in times.items()
            }
        (draft / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (draft / "alignments.json").write_text(_one_entry_a_line(alignments), encoding="utf-8")
        draft.chmod(0o755)  # mkdtemp's folders are private
        try:
            draft.rename(folder)
        except OSError:
            # else another process was faster, and its copy is as good
            if not (folder / "manifest.tsv").is_file():
                raise
    except (OSError, soundfile.SoundFileError) as error:
        raise InputError(
            f"{folder}: the corpus cannot be written ({_first_line(error)}); "
            "free some space, or set ASRLIB_CACHE to a folder with some 300 MB"
        ) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _one_entry_a_line(entries: dict) -> str:
    body = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in entries.items())
    return "{\n" + body + "\n}\n"


# -------------------------------------------------------------------------------- connected digits


def connected_digits(
    corpus: "lhotse.CutSet", speakers: Sequence[str] | None = None, n: int = 1000, seed: int = 0
) -> "lhotse.CutSet":
    """String isolated digit recordings into ``n`` utterances of 1 to 7 digits by one speaker (lesson 09).

    corpus: cuts, of which those whose text is one digit word are used. speakers: whose (None: all), in turn.
    Between digits there is a pause of 0.05 to 0.4 s, or, one time in four, none; pauses carry the recordings'
    own noise, as digital silence would give the boundaries away. Recordings are trimmed to their speech.
    The audio lives in memory at the recordings' rate; ``alignment["word"]`` holds the words' times.
    The same arguments give the same utterances. Raises InputError for an unknown speaker, one without
    recordings of a digit, mixed sampling rates, or n below 1.
    """
    from lhotse import CutSet

    if n < 1:
        raise InputError(f"connected_digits: n={n}; at least one utterance must be asked for")
    takes: dict[str, dict[str, list]] = {}
    everyone = set()
    for cut in corpus:
        supervision = cut.supervisions[0]
        everyone.add(str(supervision.speaker))
        word = supervision.text.strip().lower()
        if word in DIGITS:
            takes.setdefault(str(supervision.speaker), {}).setdefault(word, []).append(cut)
    chosen = sorted(takes) if speakers is None else list(speakers)
    if not chosen:
        raise InputError("connected_digits: no cut of the corpus is one digit word (zero to nine)")
    for speaker in chosen:
        if speaker not in everyone:
            raise InputError(
                f"connected_digits: unknown speaker {speaker!r}; "
                f"the corpus has {', '.join(sorted(everyone)[:20])}"
            )
        if speaker not in takes:
            raise InputError(f"connected_digits: speaker {speaker!r} has no recording of one digit word")
    rates = {cut.sampling_rate for s in chosen for cuts in takes[s].values() for cut in cuts}
    if len(rates) > 1:
        raise InputError(
            f"connected_digits: the recordings have several sampling rates, {sorted(rates)} Hz; "
            "resample them to one (CutSet.resample)"
        )
    rate = rates.pop()

    draw = np.random.default_rng(seed)
    # a speaker's recordings share a background, so that all of them are looked at
    trimmed = {
        speaker: {
            word: [_trim(cut_audio(cut), rate) for cut in recordings]
            for word, recordings in takes[speaker].items()
        }
        for speaker in dict.fromkeys(chosen[:n])
    }
    noise = {
        speaker: _background([take for some in words.values() for take in some])
        for speaker, words in trimmed.items()
    }
    cuts = []
    for index in range(n):
        speaker = chosen[index % len(chosen)]
        recordings = trimmed[speaker]
        known = [digit for digit in DIGITS if digit in recordings]
        parts = []
        for word in draw.choice(known, size=draw.integers(1, 8)):
            parts.append((str(word), recordings[word][draw.integers(len(recordings[word]))]))
        samples, words = _string(parts, noise[speaker], rate, draw)
        cuts.append(_memory_cut(f"connected-{seed}-{index:05d}-{speaker}", samples, rate, speaker, words))
    return CutSet.from_cuts(cuts).to_eager()


@dataclass
class _Take:
    """A recording of one digit, trimmed: ``samples[before:-after]`` is speech, the rest its surroundings."""

    samples: np.ndarray
    before: int  # samples
    after: int  # samples
    noise: np.ndarray  # amplitude of its quietest tenth at equally spaced frequencies from 0 to rate / 2


def _trim(samples: np.ndarray, rate: int) -> _Take:
    """Keep the speech and 30 ms around it; its quietest tenth tells what its noise is like."""
    hop = rate // 100
    frames = samples[: len(samples) // hop * hop].reshape(-1, hop)
    if not len(frames):
        return _Take(samples, 0, 0, np.zeros(hop // 2 + 1))
    level = np.sqrt((frames**2).mean(axis=1))
    speech = np.flatnonzero(level >= level.max() / 100)  # within 40 dB of the loudest 10 ms
    first, last = speech[0] * hop, min((speech[-1] + 1) * hop, len(samples))
    start, stop = max(0, first - 3 * hop), min(len(samples), last + 3 * hop)
    quiet = frames[np.argsort(level)[: max(1, len(frames) // 10)]]
    noise = np.sqrt((np.abs(np.fft.rfft(quiet, axis=1)) ** 2).mean(axis=0) / hop)
    return _Take(samples[start:stop], int(first - start), int(stop - last), noise)


def _background(takes: list[_Take]) -> np.ndarray:
    """What a speaker's silence sounds like, as amplitudes from 0 to rate / 2: the median of the quieter
    half of the recordings, for one that was trimmed to the bone has only speech to show.
    """
    loudness = [np.sqrt((take.noise**2).mean()) for take in takes]
    quieter = np.argsort(loudness)[: -(-len(takes) // 2)]
    return np.median([takes[i].noise for i in quieter], axis=0)


def _string(
    parts: list[tuple[str, _Take]], noise: np.ndarray, rate: int, draw: np.random.Generator
) -> tuple[np.ndarray, list]:
    """Lay recordings one after another over a floor of noise; each one fades in and out within 5 ms."""
    pauses = np.where(draw.random(len(parts) + 1) < 0.25, 0.0, draw.uniform(0.05, 0.4, len(parts) + 1))
    pauses[[0, -1]] = draw.uniform(0.05, 0.3, 2)
    gaps = np.round(pauses * rate).astype(int)
    total = int(gaps.sum()) + sum(len(take.samples) for _, take in parts)
    # white noise, given the spectrum of the recordings' own: any other hiss would give the pauses away
    padded = 1 << (total - 1).bit_length()  # a power of two: other transforms can be ten times slower
    spectrum = np.fft.rfft(draw.standard_normal(padded))
    grid = np.linspace(0, 1, len(spectrum))
    shape = np.interp(grid, np.linspace(0, 1, len(noise)), noise)
    out = np.fft.irfft(spectrum * np.maximum(shape, 1e-4))[:total].astype(np.float32)
    words, at = [], 0
    for gap, (word, take) in zip(gaps, parts, strict=False):
        at += gap
        length = len(take.samples)
        ramp = np.minimum(1, np.arange(1, length + 1) / (0.005 * rate))
        fade = np.minimum(ramp, ramp[::-1])
        out[at : at + length] = take.samples * fade + out[at : at + length] * (1 - fade)
        words.append((word, (at + take.before) / rate, (at + length - take.after) / rate))
        at += length
    return out, words


def _memory_cut(key: str, samples: np.ndarray, rate: int, speaker: str, words: list) -> "lhotse.cut.MonoCut":
    import soundfile
    from lhotse import Recording, SupervisionSegment
    from lhotse.audio import AudioSource
    from lhotse.cut import MonoCut

    buffer = io.BytesIO()
    pcm = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    soundfile.write(buffer, pcm, rate, format="WAV")
    seconds = len(samples) / rate
    recording = Recording(
        id=key,
        sources=[AudioSource("memory", [0], buffer.getvalue())],
        sampling_rate=rate,
        num_samples=len(samples),
        duration=seconds,
    )
    supervision = SupervisionSegment(
        id=key,
        recording_id=key,
        start=0.0,
        duration=seconds,
        text=" ".join(word for word, *_ in words),
        speaker=speaker,
        alignment=_alignment({"word": words}),
    )
    return MonoCut(
        id=key, start=0.0, duration=seconds, channel=0, supervisions=[supervision], recording=recording
    )


# -------------------------------------------------------------------------------- synthesised corpora


def _rendered(name: str) -> Path:
    """The folder of a synthesised corpus, rendered now if this recipe's is not there yet."""
    stamp = hashlib.sha256(repr((RECIPE, SIZES[name])).encode()).hexdigest()[:8]
    folder = cache_folder() / f"{name}-{stamp}"
    if not (folder / "manifest.tsv").is_file():
        with _one_at_a_time(folder):
            if not (folder / "manifest.tsv").is_file():
                render_corpus(name, folder)
    return folder


@contextlib.contextmanager
def _one_at_a_time(folder: Path):
    """Let one process render; the others wait for it. The lock dies with its process.

    Where there are no such locks (Windows) two processes may both render, and the first to finish wins.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = open(folder.parent / f".{folder.name}.lock", "w")
    except OSError as error:
        raise InputError(
            f"{folder.parent}: the cache cannot be written ({_first_line(error)}); "
            "set ASRLIB_CACHE to another folder"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in folder.parent.glob(f".{folder.name}-*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def render_corpus(name: str, folder: str | os.PathLike) -> None:
    """Synthesise ``digits``, ``commands`` or ``sentences`` into a folder that ``load_corpus`` reads.

    Always in the same order from the same seed. Raises InputError when the folder exists or cannot be
    written.
    """
    from tqdm import tqdm

    folder = Path(folder)
    if name not in SIZES:
        raise InputError(f"unknown corpus {name!r}; known: {', '.join(SIZES)}")
    total = sum(SIZES[name].values())
    # disable=None: no bar where standard error is no terminal
    save_corpus(folder, tqdm(_utterances(name), f"synthesising {name}", total, leave=False, disable=None))


def _utterances(name: str):
    pools = _voice_pools(foreign=name == "digits")
    for split in SPLITS:
        draw = random.Random(f"{name} {split}")
        for index in range(SIZES[name][split]):
            voice = draw.choice(pools[split])
            text = {"digits": _digit_text, "commands": _command_text, "sentences": _sentence_text}[name](draw)
            utterance = synthesise(
                text,
                voice,
                rate=draw.uniform(110, 240),
                pitch=draw.randint(30, 70),
                pitch_range=draw.randint(20, 80),
                gap=draw.choice([0, 0, 0, draw.randint(1, 12)]),
            )
            samples, times = _placed(utterance, draw)
            plain = " ".join(re.sub("[,.]", "", text).split())
            yield f"audio/{split}-{index:05d}.flac", voice, split, plain, samples, times


def _voice_pools(foreign: bool) -> dict[str, list[str]]:
    """Voices of each split. A timbre belongs to one split, whatever accent it speaks with."""
    draw = random.Random("voices")
    named = list(timbres())
    draw.shuffle(named)
    shares = {"test": named[:12], "dev": named[12:20], "train": named[20:]}
    numbers = {"test": range(2000, 2040), "dev": range(1000, 1020), "train": range(400)}
    pools = {}
    for split in SPLITS:
        accents = list(ACCENTS)
        pools[split] = [f"{accent}+{name}" for name in shares[split] for accent in draw.sample(accents, 3)]
        pools[split] += [f"{draw.choice(accents)}+r{number}" for number in numbers[split]]
    if foreign:
        # in training only: how a respelled word sounds is a guess, and a test must not rest on guesses
        pools["train"] += [f"{accent}+r{5000 + i}" for i, accent in enumerate([*RESPELLED] * 8)]
    return pools


def _placed(utterance, draw: random.Random) -> tuple[np.ndarray, dict]:
    """Put the speech at a random level into a stretch of low noise, 0.05 to 0.35 s on either side."""
    rate = utterance.sample_rate
    lead, trail = (int(draw.uniform(0.05, 0.35) * rate) for _ in range(2))
    samples = np.pad(utterance.samples * draw.uniform(0.3, 1.8), (lead, trail))
    noise = np.random.default_rng(draw.getrandbits(32)).standard_normal(len(samples), dtype=np.float32)
    samples += noise * 10 ** (draw.uniform(-75, -45) / 20)
    shift = lead / rate
    times = {
        kind: [(symbol, start + shift, end + shift) for symbol, start, end in items]
        for kind, items in (("word", utterance.words), ("phone", utterance.phones))
    }
    return np.clip(samples, -1, 1), times


def _digit_text(draw: random.Random) -> str:
    pause = draw.choice([0, 0, 0, 0.3, 0.3, 1])
    words = [draw.choice(DIGITS)]
    for _ in range(draw.randint(0, 6)):
        # a digit said twice in a row is the hard case, so it comes twice as often as by chance
        words.append(words[-1] if draw.random() < 0.11 else draw.choice(DIGITS))
    return " ".join(word + ("," if draw.random() < pause else "") for word in words)


COMMANDS = (
    "backward bed bird cat dog down eight five follow forward four go happy house learn left marvin nine no "
    "off on one right seven sheila six stop three tree two up visual wow yes zero"
).split()


def _command_text(draw: random.Random) -> str:
    return draw.choice(COMMANDS)


# The grammar of ``sentences``: a word in braces stands for one line of its list, a bar separates them.
_GRAMMAR = {
    "sentence": "{command}|{command}|{story}|{story}|{story}|{question}|{question}|{report}|{report}",
    "command": "please {act}|{act}|{act} please|could you {act}|{act} and then {act}|{name} please {act}",
    "act": "turn {onoff} the {device} in the {room}|turn {onoff} the {device}"
    "|set the {device} to {number} {unit}|open the {opening}|close the {opening} in the {room}"
    "|call {name} {when}|call my {relative}|send a message to {name}|play {music}"
    "|play some {style} music in the {room}|wake me up at {time}|set an alarm for {time}"
    "|remind me to {chore} {when}|add {food} and {food} to the shopping list|read me the news"
    "|book a table for {number} at {time}|find the nearest {place}|show me the way to the {place}"
    "|stop the music|count from {number} to {number}",
    "story": "the {adjective} {animal} {moved} {across} the {place}"
    "|{name} {moved} {across} the {adjective} {place}|{name} and {name} {moved} {across} the {place} {when}"
    "|my {relative} {made} {food} for {name} {when}|a {color} {animal} {watched} the {adjective} {animal}"
    "|{name} gave the {color} {thing} to my {relative}"
    "|when the {weather} came the {animal} {moved} {across} the {place}"
    "|the {relative} of {name} lost a {color} {thing} {across} the {place}"
    "|{number} {adjective} {thing}s were on the table in the {room}"
    "|nobody {watched} the {animal} {across} the {place}"
    "|i {watched} a {adjective} {animal} and {number} {color} {thing}s"
    "|they lived in a {adjective} {color} house near the {place}",
    "question": "what is the weather in {city} {when}|what time is it in {city}"
    "|who {watched} the {adjective} {animal}|where is the {color} {thing}|where did {name} {chore}"
    "|how far is it from {city} to {city}|how many {thing}s are there in the {room}"
    "|is there any {food} in the {room}|did {name} {chore} {when}|why is the {animal} so {adjective}"
    "|when does the train to {city} leave|can you {chore} {when}|do you like {food} with {food}"
    "|which {thing} is more {adjective} than the {color} one",
    "report": "the train from {city} to {city} leaves at {time}|the flight to {city} is {number} hours late"
    "|it is {number} degrees in {city} {when}|there will be {weather} in {city} {when}"
    "|the price of {food} went {updown} by {number} per cent"
    "|the {place} opens at {time} and closes at {time}|{name} scored {number} points against {city}"
    "|the road to {city} is closed because of {weather}"
    "|the number is {digit} {digit} {digit} {digit} {digit}|the meeting with {name} starts at {time}"
    "|a {adjective} {animal} was seen {across} the {place} in {city}"
    "|the {device} costs {number} hundred euros",
    "onoff": "on|off",
    "updown": "up|down",
    "device": "light|lamp|heater|television|radio|fan|oven|washing machine|computer|printer|camera"
    "|coffee machine",
    "room": "kitchen|bedroom|bathroom|living room|garage|hall|office|cellar|attic|nursery",
    "opening": "window|door|curtain|gate|drawer|box",
    "unit": "degrees|per cent|minutes|seconds",
    "name": "anna|peter|maria|john|susan|david|emma|george|helen|jack|laura|oliver|sarah|thomas|victoria"
    "|william",
    "relative": "mother|father|sister|brother|uncle|aunt|cousin|grandmother|grandfather|neighbour|friend"
    "|teacher",
    "when": "today|tomorrow|tonight|on monday|on tuesday|on wednesday|on thursday|on friday|on saturday"
    "|on sunday|next week|in the morning|in the afternoon|after lunch|before dinner|in {number} minutes"
    "|last summer",
    "music": "the next song|my favourite song|the piano concerto|some {style} music|the radio"
    "|something quiet",
    "style": "jazz|classical|folk|dance|rock|choir|piano|summer|old",
    "time": "{hour}|{hour} thirty|half past {hour}|quarter to {hour}|quarter past {hour}"
    "|{hour} in the morning|{hour} in the evening|noon|midnight",
    "hour": "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve",
    "digit": "zero|one|two|three|four|five|six|seven|eight|nine",
    "number": "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fifteen|twenty|twenty one"
    "|thirty two|forty|fifty six|sixty|seventy five|eighty|ninety nine",
    "chore": "water the flowers|feed the cat|wash the dishes|buy a ticket|clean the {room}"
    "|visit my {relative}|write a letter|repair the {device}|paint the {room}|bake a cake|walk the dog"
    "|pay the bill|bring the {thing}|meet {name}|study for the exam|take the medicine"
    "|sell the {color} {thing}",
    "food": "bread|butter|cheese|apples|oranges|tomatoes|potatoes|rice|soup|coffee|tea|milk|honey|chocolate"
    "|pepper|sugar|fish|chicken|salad|strawberries|onions|garlic",
    "place": "station|river|market|forest|bridge|mountain|garden|library|hospital|school|museum|harbour"
    "|village|church|castle|beach|lake|island|theatre|bakery|pharmacy|airport|square|valley|desert",
    "adjective": "old|young|quick|slow|small|large|quiet|loud|happy|sad|tired|hungry|brave|gentle|clever"
    "|lazy|strange|beautiful|heavy|bright|dark|warm|cold|famous|careful|wooden|empty|friendly|golden|curious",
    "color": "red|green|blue|yellow|black|white|brown|orange|purple|grey|silver|pink",
    "animal": "dog|cat|horse|fox|bear|bird|rabbit|mouse|lion|tiger|elephant|monkey|goat|sheep|wolf|snake"
    "|turtle|whale|eagle|squirrel|hedgehog|donkey|frog|spider",
    "moved": "walked|ran|jumped|swam|travelled|climbed|danced|wandered|rushed|sailed|followed the {animal}",
    "across": "across|around|through|behind|towards|beyond|over|near|beside|under",
    "made": "made|cooked|bought|ordered|carried|prepared|found|stole",
    "watched": "watched|heard|saw|remembered|painted|chased|discovered|admired|ignored|caught",
    "thing": "book|key|bottle|hat|letter|basket|bicycle|coat|umbrella|guitar|ball|clock|mirror|pencil|ring"
    "|ticket|candle|blanket|wallet|picture|chair|suitcase|button|spoon",
    "weather": "rain|snow|fog|thunder|wind|sunshine|a storm|heavy rain|frost|hail",
    "city": "london|paris|berlin|madrid|rome|vienna|dublin|boston|chicago|sydney|toronto|cairo|tokyo|moscow"
    "|lisbon|oslo|athens|warsaw|zurich|delhi",
}


def _sentence_text(draw: random.Random) -> str:
    def expand(symbol: str) -> str:
        line = draw.choice(_GRAMMAR[symbol].split("|"))
        return re.sub(r"\{(\w+)\}", lambda match: expand(match.group(1)), line)

    return expand("sentence")
