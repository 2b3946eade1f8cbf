"""``asrlib transcribe`` transcribes audio files, one after another, whatever is wrong with some of them."""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from asrlib.commands.options import (
    BeamOption,
    BonusOption,
    LMOption,
    LMWeightOption,
    PhonesOption,
    print_error,
)
from asrlib.commands.recognition import configure_search
from asrlib.errors import InputError

if TYPE_CHECKING:
    from asrlib.decoding.hypothesis import Hypothesis
    from asrlib.recognizer import Recognizer

# what the names of recordings end with, readable or not
_ENDINGS = set(
    ".wav .flac .ogg .oga .opus .mp3 .mp2 .sph .m4a .m4b .mp4 .aac .webm .mka .mkv .wma .aif .aiff .aifc .au"
    " .caf .w64 .amr .3gp .mov .avi .ape .wv".split()
)


def transcribe(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL_DIR] AUDIO...",
            help="Audio files (WAV, FLAC, OGG or MP3);"
            " a model directory or the name of a shipped model before them replaces the digit recognizer.",
        ),
    ],
    times: Annotated[
        bool, typer.Option("--times", help="Also print the time and confidence of each token.")
    ] = False,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Feed the file in chunks of 0.1 s and print each new hypothesis."),
    ] = False,
    words: Annotated[bool, typer.Option("--words", help="Also print the time of each word.")] = False,
    window: Annotated[
        float | None,
        typer.Option(
            help="For recordings of any length: cut the file into pieces of at most this many seconds."
        ),
    ] = None,
    cut: Annotated[
        str | None,
        typer.Option(
            help="Where to cut: pauses (the default; windows where there are none), or windows that overlap."
        ),
    ] = None,
    overlap: Annotated[
        float | None, typer.Option(help="Fraction of a window shared with the next one (default: 0.875).")
    ] = None,
    join: Annotated[
        str | None,
        typer.Option(
            help="How to join windows: average (CTC heads), middle, or whole (as one pass over the"
            " recording, for an encoder whose context is at most the window)."
        ),
    ] = None,
    beam: BeamOption = None,
    lm: LMOption = None,
    lm_weight: LMWeightOption = None,
    label_bonus: BonusOption = None,
    phones: PhonesOption = False,
    json_: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print a JSON object per file and line: path, text, words with their times in seconds, error"
            " (null if there is none); with --times also tokens.",
        ),
    ] = False,
) -> None:
    """Print the transcript of each audio file.

    A file that cannot be transcribed is named on standard error; the others are transcribed nevertheless, and
    the exit code is 2 at the end.
    """
    from asrlib.recognizer import Recognizer

    folder, files = _model_and_files(arguments)
    long_form = {"window": window, "cut": cut, "overlap": overlap, "join": join}
    given = {key: value for key, value in long_form.items() if value is not None}
    if given and (stream or window is None):
        raise InputError(
            f"--{next(iter(given))} is for recordings heard piece by piece:"
            + (" drop it or --stream" if stream else " add for instance --window 20")
        )
    if overlap is not None and join == "whole":
        raise InputError("--overlap is set by the window where --join is whole: drop it")
    if json_ and stream:
        raise InputError("--json is for the final text of each file: drop it or --stream")
    recognizer = Recognizer.load(folder)
    configure_search(recognizer, beam, lm, lm_weight, label_bonus, phones)

    def transcribed(audio: Any, rate: int | None = None) -> Hypothesis:
        if stream:
            return _transcribe_stream(recognizer, audio, rate)
        if given:
            return recognizer.transcribe_long(audio, rate, **given)
        return recognizer.transcribe(audio, rate)

    # what is wrong with the model or the options is told once, before any file
    if stream:
        recognizer.check_streaming()
    elif len(files) > 1:
        rate = recognizer.config.features.sample_rate
        transcribed(np.zeros(rate, dtype=np.float32), rate)
    failed, announced = False, folder is not None
    for file in files:
        try:
            hypothesis = _in_memory(file, transcribed)
            if not announced:
                announced = _announce_default()
        except InputError as error:
            failed = True
            print_error(error)
            if json_:
                line = " ".join(str(error).split())
                print(json.dumps({"path": file, "text": None, "words": None, "error": line}), flush=True)
            continue
        if json_:
            print(json.dumps(_as_json(file, hypothesis, times or phones)), flush=True)
        else:
            print(f"{file}\t{hypothesis.text}" if len(files) > 1 else hypothesis.text, flush=True)
            _print_times(hypothesis, times or phones, words)
    if failed:
        raise typer.Exit(2)


def _model_and_files(arguments: list[str]) -> tuple[str | None, list[str]]:
    """Return the model that the first argument names, if it does, and the audio files.

    Raises ``InputError`` if there is no audio file, or if the first argument looks like the name of a model
    but is none.
    """
    from asrlib.model_directory import shipped_models

    first, rest = arguments[0], arguments[1:]
    if os.path.isdir(first) or (not os.path.exists(first) and first in shipped_models()):
        if not rest:
            raise InputError("no audio file is given: use asrlib transcribe [MODEL_DIR] AUDIO...")
        return first, rest
    if not os.path.exists(first) and os.path.splitext(first)[1].lower() not in _ENDINGS:
        known = shipped_models()
        close = difflib.get_close_matches(first, known, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise InputError(
            f"there is no model directory, shipped model or audio file {first}{hint}; shipped models:"
            f" {', '.join(known) or 'none'}"
        )
    return None, arguments


def _announce_default() -> bool:
    """Print on standard error which model transcribes when none is named; return True."""
    from asrlib.model_directory import DEFAULT, shipped_models

    others = ", ".join(name for name in shipped_models() if name != DEFAULT)
    note = f"asrlib: no model is named, so {DEFAULT} transcribes, which knows the digits zero to nine"
    if others:
        note += f"; name another one before the files, such as {others}, or a model directory"
    print(note, file=sys.stderr, flush=True)
    return True


def _in_memory(file: str, transcribed: Callable[[str], Hypothesis]) -> Hypothesis:
    """Transcribe a file. Raises ``InputError`` if that takes more memory than there is."""
    try:
        return transcribed(file)
    except (MemoryError, RuntimeError) as error:  # PyTorch raises the latter
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise InputError(
            f"{file}: transcribing it at once takes more memory than there is; add for instance --window 20"
        ) from None


def _as_json(file: str, hypothesis: Hypothesis, tokens: bool) -> dict[str, Any]:
    """Return what --json prints of a file; times are in seconds."""
    found: dict[str, Any] = {"path": file, "text": hypothesis.text}
    found["words"] = [{"word": word, "time": round(second, 3)} for word, second in hypothesis.words]
    if tokens:
        columns = hypothesis.tokens, hypothesis.times, hypothesis.confidences
        found["tokens"] = [
            {"token": token, "time": round(second, 3), "confidence": round(confidence, 4)}
            for token, second, confidence in zip(*columns, strict=True)
        ]
    return found | {"error": None}


def _print_times(hypothesis: Hypothesis, tokens: bool, words: bool) -> None:
    if tokens:
        columns = hypothesis.tokens, hypothesis.times, hypothesis.confidences
        for token, second, confidence in zip(*columns, strict=True):
            print(f"  {second:7.2f} s  {confidence:4.0%}  {token}")
    if words:
        for word, second in hypothesis.words:
            print(f"  {second:7.2f} s  {word}")


def _transcribe_stream(recognizer: Recognizer, audio: Any, rate: int | None) -> Hypothesis:
    """Print each new hypothesis with its position in seconds; return the final one.

    ``audio`` is a path, or samples with their ``rate`` in Hz.
    """
    from asrlib.recognizer import mono_samples

    samples, rate = mono_samples(audio, rate)
    stream, text, chunk = recognizer.stream(rate), "", max(1, rate // 10)
    for start in range(0, len(samples), chunk):
        hypothesis = stream.feed(samples[start : start + chunk])
        if hypothesis.text != text:
            text = hypothesis.text
            print(f"  {min(start + chunk, len(samples)) / rate:7.2f} s  {text}", flush=True)
    hypothesis = stream.finish()
    if hypothesis.text != text:
        print(f"  {len(samples) / rate:7.2f} s  {hypothesis.text}", flush=True)
    return hypothesis
