"""``asrlib test`` scores a model on a corpus; ``asrlib transcribe`` transcribes audio files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrlib.commands.options import (
    BeamOption,
    BonusOption,
    CorpusOption,
    LMOption,
    LMWeightOption,
    PhonesOption,
    SplitOption,
    check_output,
)
from asrlib.errors import InputError

if TYPE_CHECKING:
    from asrlib.decoding.hypothesis import Hypothesis
    from asrlib.recognizer import Recognizer


def test(
    model_dir: Annotated[Path, typer.Argument(help="A model directory.")],
    corpus: CorpusOption,
    output: Annotated[Path, typer.Option(help="TSV file to write, one row per utterance.")],
    split: SplitOption = "test",
    beam: BeamOption = None,
    lm: LMOption = None,
    lm_weight: LMWeightOption = None,
    label_bonus: BonusOption = None,
    phones: PhonesOption = False,
) -> None:
    """Transcribe a split; print WER and CER (of phones, PER) in percent and write one row per utterance."""
    from asrlib.data.corpora import load_corpora
    from asrlib.evaluate import evaluate
    from asrlib.files import write_atomically
    from asrlib.recognizer import Recognizer

    check_output(output)
    recognizer = Recognizer.load(model_dir)
    _configure_search(recognizer, beam, lm, lm_weight, label_bonus, phones)
    cuts = load_corpora(corpus, None if split == "all" else split)
    words, characters, rows = evaluate(recognizer, cuts)
    table = ["id\treference\thypothesis\tscore"]
    table += [
        f"{name}\t{reference}\t{hypothesis.text}\t{hypothesis.score:.4f}"
        for name, reference, hypothesis in rows
    ]
    write_atomically(output, ("\n".join(table) + "\n").encode(errors="surrogateescape"))
    by_phones = recognizer.tokenizer.kind == "phones" and recognizer.config.decoding.words is None
    print(f"PER {words}" if by_phones else f"WER {words}\nCER {characters}")
    print(f"{len(rows)} utterances in {output}")


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
) -> None:
    """Print the transcript of each audio file."""
    from asrlib.model_directory import shipped_models
    from asrlib.recognizer import Recognizer

    first = arguments[0]
    named = not Path(first).is_file() and first in shipped_models()
    folder = first if named or Path(first).is_dir() else None
    files = arguments[1:] if folder else arguments
    if not files:
        raise InputError("no audio file is given: use asrlib transcribe [MODEL_DIR] AUDIO...")
    long_form = {"window": window, "cut": cut, "overlap": overlap, "join": join}
    given = {key: value for key, value in long_form.items() if value is not None}
    if given and (stream or window is None):
        raise InputError(
            f"--{next(iter(given))} is for recordings heard piece by piece:"
            + (" drop it or --stream" if stream else " add for instance --window 20")
        )
    if overlap is not None and join == "whole":
        raise InputError("--overlap is set by the window where --join is whole: drop it")
    recognizer = Recognizer.load(folder)
    _configure_search(recognizer, beam, lm, lm_weight, label_bonus, phones)
    for file in files:
        if stream:
            hypothesis = _transcribe_stream(recognizer, file)
        elif given:
            hypothesis = recognizer.transcribe_long(file, **given)
        else:
            hypothesis = recognizer.transcribe(file)
        print(f"{file}\t{hypothesis.text}" if len(files) > 1 else hypothesis.text)
        if times or phones:
            columns = hypothesis.tokens, hypothesis.times, hypothesis.confidences
            for token, second, confidence in zip(*columns, strict=True):
                print(f"  {second:7.2f} s  {confidence:4.0%}  {token}")
        if words:
            for word, second in hypothesis.words:
                print(f"  {second:7.2f} s  {word}")


def _configure_search(
    recognizer: Recognizer,
    beam: int | None,
    lm: Path | None,
    lm_weight: float | None,
    bonus: float | None,
    phones: bool = False,
) -> None:
    """Apply the options of the command line to the recognizer's ``decoding`` settings."""
    from asrlib.text.ngram import load_arpa

    decoding = recognizer.config.decoding
    if phones:
        if recognizer.tokenizer.kind != "phones":
            raise InputError(
                f"--phones: the labels of this model are {recognizer.tokenizer.kind}, not phones"
            )
        decoding.words = None
    if beam and decoding.words is not None:
        raise InputError("--beam: this model scores every word of its list; add --phones, or omit --beam")
    given = {"beam_width": beam, "lm_weight": lm_weight, "label_bonus": bonus}
    for key, value in given.items():
        if value is not None:
            if not math.isfinite(value):
                option = {"beam_width": "beam"}.get(key, key.replace("_", "-"))
                raise InputError(f"--{option} is {value}: give a finite number")
            setattr(decoding, key, value)
    decoding.check("--beam, --lm-weight and --label-bonus")
    if lm is not None and not decoding.beam_width:
        raise InputError("--lm needs beam search: add, for instance, --beam 5")
    recognizer.lm = load_arpa(lm, recognizer.tokenizer.labels) if lm is not None else None


def _transcribe_stream(recognizer: Recognizer, file: str) -> Hypothesis:
    """Print each new hypothesis with its position in the file in seconds; return the final one."""
    from asrlib.data.audio import read_audio

    samples, rate = read_audio(file)
    stream, text, chunk = recognizer.stream(rate), "", max(1, rate // 10)
    for start in range(0, len(samples), chunk):
        hypothesis = stream.feed(samples[start : start + chunk])
        if hypothesis.text != text:
            text = hypothesis.text
            print(f"  {min(start + chunk, len(samples)) / rate:7.2f} s  {text}", flush=True)
    return stream.finish()
