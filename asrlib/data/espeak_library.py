"""Call the espeak-ng library through ctypes: an engine renders a text with its events.

    speak(text, voice_file, ...)   samples at 22,050 Hz, and the events that espeak-ng reports while rendering
    engine_of_its_own()            within it, what was rendered before does not change what is rendered now
    data_folder()                  espeak-ng's own data: languages and timbres
    scratch_folder()               a folder whose path espeak-ng can read voices from

The wheel ``espeakng_loader`` provides the library. espeak-ng keeps its state in C globals and is not
thread-safe: ``LOCK`` admits one thread at a time. Each rendering also changes this state, and with it the
noise, the phase and even the length of the renderings that follow. Lessons 01 and 05 plot its events.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from asrlib.errors import InputError, first_line
from asrlib.extras import extra

ESPEAK_RATE = 22_050  # Hz; espeak_Initialize returns it
WORD, PHONEME = 1, 7  # event types, numbered as in espeak_EVENT_TYPE
LOCK = threading.Lock()  # hold it while calling `speak`, and not while entering `engine_of_its_own`


def speak(
    text: str, voice_file: bytes, rate: int, pitch: int, pitch_range: int, gap: int
) -> tuple[Float[np.ndarray, " samples"], list[tuple[int, int, float, str]]]:
    """Render ``text`` with the voice that a file describes.

    ``rate`` is in words per minute, ``pitch`` and ``pitch_range`` are 0 to 100, and ``gap`` is the pause
    between words in units of 10 ms at the default rate. Returns samples in [-1, 1] at ``ESPEAK_RATE``, and
    events ``(WORD or PHONEME, place in the text counted from 1, seconds, phone or "")``. Raises
    ``InputError`` if espeak-ng cannot be loaded, cannot use the voice, or returns no speech.
    """
    engine = _own_engine.get() or _engine()
    engine.chunks.clear()
    engine.events.clear()
    if engine.library.espeak_SetVoiceByFile(voice_file) != 0:
        name = os.path.basename(os.fsdecode(voice_file))
        raise InputError(f"espeak-ng cannot use the voice {name}; use another one")
    # 1 rate, 2 volume (25 of 100: several timbres clip at 40), 3 pitch, 4 range, 7 word gap
    for number, value in ((1, rate), (2, 25), (3, pitch), (4, pitch_range), (7, gap)):
        engine.library.espeak_SetParameter(number, value, 0)
    encoded = text.encode("utf-8")
    size = ctypes.c_size_t(len(encoded) + 1)
    status = engine.library.espeak_Synth(encoded, size, 0, 1, 0, 1, None, None)
    if status != 0 or not engine.chunks:
        raise InputError(f"espeak-ng returned no speech for the text {text!r}")
    return np.concatenate(engine.chunks), list(engine.events)


@contextlib.contextmanager
def engine_of_its_own() -> Iterator[None]:
    """Within it, ``speak`` uses a new engine in this thread; other threads use the process's engine.

    The same calls then return the same samples on the same platform, whatever the process rendered before.
    Raises ``InputError`` if espeak-ng cannot be loaded, or not from a copy in the temporary folder.
    """
    path = _library_path()
    # the loader gives a second copy of the library globals of its own; the same file would share them
    with tempfile.TemporaryDirectory(dir=scratch_folder(), ignore_cleanup_errors=True) as folder:
        try:
            copy = shutil.copy(path, folder)
        except OSError as error:
            raise InputError(f"{path}: the espeak-ng library cannot be copied ({error})") from None
        with LOCK:
            try:
                engine = _Engine(copy)
            except InputError:
                _engine()  # if this one cannot be loaded either, it says why
                raise InputError(
                    f"{folder}: a library cannot be loaded from this folder; set TMPDIR to one that allows it"
                ) from None
        before = _own_engine.set(engine)
        try:
            yield
        finally:
            _own_engine.reset(before)
            engine.library.espeak_Terminate()


@lru_cache(maxsize=1)
def data_folder() -> Path:
    """Return the folder of espeak-ng's own data. Raises ``InputError`` if it is not installed."""
    try:
        with extra("synth"):
            import espeakng_loader

        folder = Path(espeakng_loader.get_data_path())
    except (RuntimeError, OSError) as error:
        raise InputError(
            f"the espeak-ng library cannot be found ({first_line(error)}); reinstall it with: "
            "pip install --force-reinstall espeakng-loader"
        ) from None
    if not (folder / "lang").is_dir():
        raise InputError(
            f"{folder}: this folder does not hold espeak-ng's data; reinstall it with: "
            "pip install --force-reinstall espeakng-loader"
        )
    return folder


def scratch_folder() -> Path:
    """Return a temporary folder with a short lower-case path, deleted when the process ends.

    Raises ``InputError`` if there is no such folder.
    """
    return Path(_scratch_holder().name)


@lru_cache(maxsize=1)
def _scratch_holder() -> tempfile.TemporaryDirectory:
    for parent in (None, "/tmp", "/var/tmp", "/dev/shm"):
        try:
            folder = tempfile.TemporaryDirectory("", "asrlib-voices-", parent, ignore_cleanup_errors=True)
        except OSError:
            continue
        # espeak-ng converts a voice's path to lower case, in a buffer of about 160 characters
        if os.path.isdir(folder.name.lower()) and len(folder.name) < 120:
            return folder
        folder.cleanup()
    raise InputError("espeak-ng needs a writable folder with a short lower-case path; set TMPDIR to one")


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def _library_path() -> str:
    with extra("synth"):
        import espeakng_loader

    return espeakng_loader.get_library_path()


class _Engine:
    """An espeak-ng engine, from the library's file. Its callback fills two lists while espeak_Synth runs."""

    def __init__(self, path: str):
        data = data_folder()
        # espeak-ng keeps this path in a buffer of 160 characters
        if len(os.fsencode(data)) > 120:
            link = scratch_folder() / "data"
            if not link.is_symlink():
                link.symlink_to(data)
            data = link
        try:
            self.library = ctypes.CDLL(path)
        except OSError as error:
            raise InputError(
                f"{path}: the espeak-ng library cannot be loaded ({error}); reinstall it with: "
                "pip install --force-reinstall espeakng-loader"
            ) from None
        # 2: no sound device, synchronous. Options: phone events, in IPA, and never exit() the process.
        rate = self.library.espeak_Initialize(2, 0, os.fsencode(data), 0b11 | 1 << 15)
        if rate != ESPEAK_RATE:
            raise InputError(
                f"{data}: espeak-ng does not start from this folder; reinstall it with: "
                "pip install --force-reinstall espeakng-loader"
            )
        # it draws noise from generators that it seeds with the time: its own, and in the timbres klatt C's
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(0))
        ctypes.CDLL("ucrtbase" if os.name == "nt" else None).srand(0)
        self.chunks: list[np.ndarray] = []
        self.events: list[tuple[int, int, float, str]] = []
        self._callback = _Callback(self._collect)  # kept: C holds only a pointer to it
        self.library.espeak_SetSynthCallback(self._callback)

    def _collect(self, wave, count, event):
        if count > 0:
            self.chunks.append(np.ctypeslib.as_array(wave, (count,)).astype(np.float32) / 32768)
        index = 0
        while event[index].type:
            e = event[index]
            if e.type in (WORD, PHONEME):
                symbol = bytes(e.id.string).decode("utf-8", "ignore") if e.type == PHONEME else ""
                symbol = symbol.strip("ˈˌ\u200d ")  # stress marks and joiners are not phones
                self.events.append((e.type, e.text_position, e.sample / ESPEAK_RATE, symbol))
            index += 1
        return 0


_own_engine: ContextVar[_Engine | None] = ContextVar("_own_engine", default=None)


@lru_cache(maxsize=1)
def _engine() -> _Engine:
    return _Engine(_library_path())
