"""The command line: ``asrlib data | train | test | transcribe | lm | export | recipe | bench``.

What is wrong with the input is said in one line on standard error, with exit code 2;
a traceback means a defect of asrlib. Lesson 09.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrlib.errors import InputError

if TYPE_CHECKING:
    from lhotse import CutSet

    from asrlib.recognizer import Hypothesis, Recognizer

app = typer.Typer(
    help="Speech recognition with ContextNet: the library under the course.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
recipe_app = typer.Typer(
    help="The training runs behind the figures that the README reports.", no_args_is_help=True
)
bench_app = typer.Typer(help="Speed and memory, side by side in one run.", no_args_is_help=True)
app.add_typer(recipe_app, name="recipe")
app.add_typer(bench_app, name="bench")

CorpusOption = Annotated[
    list[str],
    typer.Option("--corpus", help="A corpus name or a folder with manifest.tsv; give it again to add more."),
]


BeamOption = Annotated[
    int | None, typer.Option("--beam", min=0, help="Hypotheses to keep side by side; 0: greedy search.")
]
LMOption = Annotated[
    Path | None, typer.Option("--lm", help="Language model for beam search: the ARPA file of asrlib lm.")
]
LMWeightOption = Annotated[float | None, typer.Option(min=0, help="How much the language model counts.")]
BonusOption = Annotated[float | None, typer.Option(help="What each label adds to a hypothesis, in nats.")]


@app.command()
def data(
    name: Annotated[str, typer.Argument(help="The corpus to download or synthesize.")],
    out: Annotated[Path | None, typer.Option(help="Folder to keep it in (default: the cache).")] = None,
    shar: Annotated[
        Path | None,
        typer.Option(help="Also write it (or a folder of recordings) as Shar shards, for --corpus."),
    ] = None,
) -> None:
    """Download a public corpus, verified by checksum, or synthesize one."""
    from asrlib.data.corpora import find_corpus, load_corpus, summary
    from asrlib.data.shar import write_shar

    if shar is not None and shar.exists():  # found out before hours of downloading, not after
        raise InputError(f"{shar} exists already: give --shar a folder that does not")
    if shar is not None and Path(name).is_dir():
        cuts = load_corpus(name)
    else:
        corpus = find_corpus(name)
        corpus.prepare(out)
        print(summary(corpus, out))
        cuts = corpus.load(out=out)
    if shar is not None:
        print(f"{shar}: shards of {', '.join(write_shar(cuts, shar))}")


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="A shipped configuration's name, or a YAML file.")],
    corpus: CorpusOption,
    out: Annotated[Path, typer.Option(help="The run's directory; a model directory when done.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")] = False,
    init: Annotated[Path | None, typer.Option(help="Model directory to take fitting weights from.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key: training.max_lr=0.001")
    ] = None,
) -> None:
    """Train on the corpora's train splits; the best weights by dev WER are kept."""
    from asrlib.config.schema import load_config, override
    from asrlib.training import loop

    settings = override(load_config(config), set_ or [])
    recognizer = loop.train(
        settings, _corpora(corpus, "train"), out, _corpora(corpus, "dev", optional=True), resume, init
    )
    if os.environ.get("RANK", "0") == "0":  # the first of several processes
        parameters = sum(p.numel() for p in recognizer.model.parameters())
        print(f"model directory: {out} ({parameters:,} parameters)")


@app.command()
def test(
    model_dir: Annotated[Path, typer.Argument(help="A model directory.")],
    corpus: CorpusOption,
    output: Annotated[Path, typer.Option(help="TSV file to write, a row an utterance.")],
    split: Annotated[str, typer.Option(help="train, dev, test, or all.")] = "test",
    beam: BeamOption = None,
    lm: LMOption = None,
    lm_weight: LMWeightOption = None,
    label_bonus: BonusOption = None,
) -> None:
    """Transcribe a split; print WER and CER in per cent, write one row an utterance."""
    from asrlib.evaluate import evaluate
    from asrlib.files import write_atomically
    from asrlib.recognizer import Recognizer

    if not output.absolute().parent.is_dir():
        raise InputError(f"--output {output}: there is no folder {output.parent}")
    recognizer = Recognizer.load(model_dir)
    _choose_search(recognizer, beam, lm, lm_weight, label_bonus)
    cuts = _corpora(corpus, None if split == "all" else split)
    words, characters, rows = evaluate(recognizer, cuts)
    table = ["id\treference\thypothesis\tscore"]
    table += [f"{name}\t{reference}\t{found.text}\t{found.score:.4f}" for name, reference, found in rows]
    write_atomically(output, ("\n".join(table) + "\n").encode())
    print(f"WER {words}\nCER {characters}\n{len(rows)} utterances in {output}")


@app.command()
def transcribe(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL_DIR] AUDIO...",
            help="Audio files, WAV, FLAC, OGG"
            " or MP3; a model directory before them replaces the digit recogniser that ships.",
        ),
    ],
    times: Annotated[
        bool, typer.Option("--times", help="Also print each token with its second and confidence.")
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Hear the file in pieces of 0.1 s, and print what is new.")
    ] = False,
    beam: BeamOption = None,
    lm: LMOption = None,
    lm_weight: LMWeightOption = None,
    label_bonus: BonusOption = None,
) -> None:
    """Print what is said in each audio file."""
    from asrlib.recognizer import Recognizer

    folder = arguments[0] if Path(arguments[0]).is_dir() else None
    files = arguments[1:] if folder else arguments
    if not files:
        raise InputError("no audio file is given: asrlib transcribe [MODEL_DIR] AUDIO...")
    recognizer = Recognizer.load(folder)
    _choose_search(recognizer, beam, lm, lm_weight, label_bonus)
    for file in files:
        found = _stream(recognizer, file) if stream else recognizer.transcribe(file)
        print(f"{file}\t{found.text}" if len(files) > 1 else found.text)
        if times:
            for token, second, confidence in zip(found.tokens, found.times, found.confidences, strict=True):
                print(f"  {second:7.2f} s  {confidence:4.0%}  {token}")


@app.command()
def export(
    model_dir: Annotated[Path, typer.Argument(help="A model directory.")],
    format: Annotated[str, typer.Option(help="onnx or tflite.")],
    output: Annotated[
        Path | None, typer.Option(help="File to write (default: model.FORMAT in the model directory).")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Store large weights in 8 bits.")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Of a causal model: the step from one encoder frame to the next.")
    ] = False,
    seconds: Annotated[
        list[int] | None, typer.Option(help="A length that the TFLite file takes; give it again to add more.")
    ] = None,
    corpus: Annotated[
        list[str] | None, typer.Option(help="Compare on this corpus, with WER (default: the kit's clips).")
    ] = None,
    split: Annotated[str, typer.Option(help="train, dev, test, or all.")] = "test",
) -> None:
    """Write one file that runs without PyTorch, signal in and labels out; compare it with eager."""
    from asrlib.data.corpora import clips
    from asrlib.export import convert
    from asrlib.export.comparison import compare, table
    from asrlib.export.formats import check_format
    from asrlib.recognizer import Recognizer

    check_format(format)
    path = output or model_dir / f"model{'-stream' * stream}{'-int8' * int8}.{format}"
    if not path.absolute().parent.is_dir():
        raise InputError(f"--output {path}: there is no folder {path.parent}")
    recognizer = Recognizer.load(model_dir)
    cuts = _corpora(corpus, None if split == "all" else split) if corpus else clips()
    lengths, longest = seconds or convert.SECONDS, max(cut.duration for cut in cuts)
    if format == "tflite" and not stream and longest > max(lengths):
        raise InputError(
            f"an utterance to compare on lasts {longest:.1f} s, and --seconds is at most {max(lengths)}"
        )
    files = convert.export(recognizer, path, format, int8, lengths, stream)
    size = (model_dir / "model.safetensors").stat().st_size
    rows = compare(recognizer, size, files, format, cuts, score=bool(corpus))
    print(f"{table(rows)}\n{path}: {'int8' if int8 else 'float32'}, {path.stat().st_size:,} bytes")


@app.command("lm")
def language_model(
    model_dir: Annotated[Path, typer.Argument(help="The model directory whose labels it is to know.")],
    corpus: CorpusOption,
    output: Annotated[Path, typer.Option(help="ARPA file to write.")],
    order: Annotated[int, typer.Option(help="Labels it looks at together: 3 is a trigram model.")] = 3,
) -> None:
    """Train an n-gram language model on the corpora's train transcripts, for --lm."""
    from asrlib.files import write_atomically
    from asrlib.text.ngram import train_ngram
    from asrlib.text.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(model_dir)
    splits = [_corpora(corpus, "train"), _corpora(corpus, "dev", optional=True)]
    texts, unseen = ([tokenizer.encode(c.supervisions[0].text) for c in cuts or []] for cuts in splits)
    model = train_ngram(texts, tokenizer.labels, order)
    write_atomically(output, model.arpa().encode())
    print(f"{output}: order {order}, {sum(map(len, model.table.values())):,} n-grams of {len(texts)} texts")
    print(f"perplexity of these texts: {model.perplexity(texts):.2f}")
    if unseen:
        print(f"perplexity of the dev texts: {model.perplexity(unseen):.2f}")


RealOption = Annotated[Path, typer.Option("--real", help="Folder that holds fsdd, speechocean-train, ….")]


@recipe_app.command("digits")
def recipe_digits(
    real: RealOption,
    out: Annotated[Path, typer.Option(help="The run's directory.")],
    leave_out: Annotated[str | None, typer.Option(help="FSDD speaker to test on and never train on.")] = None,
    init: Annotated[Path | None, typer.Option(help="Start from this model's weights.")] = None,
    strings: Annotated[int, typer.Option(help="Utterances to string from isolated digits.")] = 4000,
    repeats: Annotated[int, typer.Option(help="How often to hear each digit string as spoken.")] = 10,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key: training.max_steps=4000")
    ] = None,
) -> None:
    """Digits from real and synthetic speech, tested on the speakers left out."""
    from asrlib.training.recipes import train_digits

    for name, value in train_digits(real, out, leave_out, init, strings, repeats, set_ or []).items():
        print(f"{name}: {value:.2f}")


@recipe_app.command("shipped")
def recipe_shipped(
    real: RealOption,
    out: Annotated[Path, typer.Option(help="The run's directory; the model comes into its folder model.")],
    leave_out: Annotated[str | None, typer.Option(help="FSDD speaker to test on and never train on.")] = None,
) -> None:
    """The digit recogniser that ships: two networks that listen together."""
    from asrlib.training.recipes import train_shipped

    for name, value in train_shipped(real, out, leave_out).items():
        print(f"{name}: {value:.2f}")


@recipe_app.command("sentences")
def recipe_sentences(
    real: RealOption,
    out: Annotated[Path, typer.Option(help="The run's directory.")],
    init: Annotated[Path | None, typer.Option(help="Start from this model's weights.")] = None,
    repeats: Annotated[
        int, typer.Option(min=1, help="How often to hear a recording for each time of a synthetic sentence.")
    ] = 1,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key.")] = None,
) -> None:
    """Word pieces from all recordings and synthetic sentences, tested on other speakers (docs/results.md)."""
    from asrlib.training.recipes import train_sentences

    for name, value in train_sentences(real, out, init, repeats, set_ or []).items():
        print(f"{name}: {value:.2f}")


@bench_app.command("losses")
def bench_losses(
    repeats: Annotated[int, typer.Option(help="Runs of each; the table has medians.")] = 5,
    device: Annotated[str | None, typer.Option(help="cpu or cuda (default: a GPU if there is one).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Toy shapes, to see that all runs.")] = False,
) -> None:
    """CTC and RNN-T losses beside torchaudio's, warprnnt_numba's and PyTorch's."""
    from asrlib.bench import losses

    losses.bench_losses(repeats=repeats, device=device, quick=quick)


@bench_app.command("train")
def bench_train(
    config: Annotated[str, typer.Option(help="A shipped configuration, or a file.")] = "contextnet-s",
    repeats: Annotated[int, typer.Option(min=1, help="Steps of each; the table has medians.")] = 8,
    device: Annotated[str | None, typer.Option(help="cpu or cuda (default: a GPU if there is one).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A toy shape, to see that all runs.")] = False,
) -> None:
    """The parts of a training step, beside the plain way to write the same network."""
    from asrlib.bench import train

    train.bench_train(config, repeats=repeats, device=device, quick=quick)


@bench_app.command("decode")
def bench_decode(
    repeats: Annotated[int, typer.Option(help="Runs of each; the table has medians.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="A toy size, to see that all runs.")] = False,
) -> None:
    """Greedy and beam search beside torchaudio's, on the same encoder output."""
    from asrlib.bench import decode

    decode.bench_decode(repeats=repeats, quick=quick)


def _choose_search(
    recognizer: Recognizer, beam: int | None, lm: Path | None, lm_weight: float | None, bonus: float | None
) -> None:
    """What the command line says in place of the configuration's ``decoding``."""
    from asrlib.text.ngram import load_arpa

    decoding = recognizer.config.decoding
    given = {"beam_width": beam, "lm_weight": lm_weight, "label_bonus": bonus}
    for key, value in given.items():
        if value is not None:
            setattr(decoding, key, value)
    if lm is not None and not decoding.beam_width:
        raise InputError("--lm is for beam search: add --beam 5, say")
    recognizer.lm = load_arpa(lm, recognizer.tokenizer.labels) if lm is not None else None


def _stream(recognizer: Recognizer, file: str) -> Hypothesis:
    """Prints what is heard whenever it changes, with the second of the file at which it did."""
    from asrlib.data.audio import read_audio

    samples, rate = read_audio(file)
    stream, text, chunk = recognizer.stream(rate), "", max(1, rate // 10)
    for start in range(0, len(samples), chunk):
        found = stream.feed(samples[start : start + chunk])
        if found.text != text:
            text = found.text
            print(f"  {min(start + chunk, len(samples)) / rate:7.2f} s  {text}", flush=True)
    return stream.finish()


def _corpora(names: list[str], split: str | None, optional: bool = False) -> CutSet | None:
    from asrlib.data.corpora import load_corpora

    return load_corpora(names, split, optional)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    # what other packages warn of is not the user's business
    if Path(filename).is_relative_to(Path(__file__).parent):
        print(f"asrlib: warning: {message}", file=sys.stderr)


def _show_thread_error(args: threading.ExceptHookArgs) -> None:
    # TensorBoard's thread hands on what it could not write to the main thread, which reports it
    if not issubclass(args.exc_type, OSError):
        threading.__excepthook__(args)


@contextlib.contextmanager
def _standard_error_alone() -> Iterator[None]:
    """Libraries in C (libmpg123 for one, about every damaged MP3) write to file number 2
    without asking; Python's ``sys.stderr`` goes on to what that was before.
    """
    usual = sys.stderr
    try:
        ours = usual.fileno() == 2
    except (AttributeError, OSError):  # none, or a stand-in: of pytest or a notebook
        ours = False
    if not ours:
        yield
        return
    with open(os.dup(2), "w", encoding=usual.encoding, errors=usual.errors, buffering=1) as kept:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        sys.stderr = kept
        try:
            yield
        finally:
            sys.stderr = usual
            os.dup2(kept.fileno(), 2)


def main() -> None:
    """Run the command line; the entry point of the ``asrlib`` program."""
    warnings.showwarning = _show_warning
    threading.excepthook = _show_thread_error
    # a deprecation of another package's, even where asrlib's code is to blame
    for category in (DeprecationWarning, FutureWarning):
        warnings.simplefilter("ignore", category)
    try:
        with _standard_error_alone():
            app()
    except InputError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            _fail(
                f"{error.filename or 'a file'} cannot be written, the disk is full ({error.strerror}): free"
                " some space and run again; what was complete before is intact"
            )
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}")


def _fail(message: str) -> None:
    print(f"asrlib: error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
