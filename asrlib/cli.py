"""The command line: ``asrlib data | train | test | transcribe | recipe | bench``.

What is wrong with the input is said in one line on standard error, with exit code 2;
a traceback means a defect of asrlib. Lesson 09.
"""

from __future__ import annotations

import errno
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrlib.errors import InputError

if TYPE_CHECKING:
    from lhotse import CutSet

app = typer.Typer(
    help="Speech recognition with ContextNet: the library under the course.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
recipe_app = typer.Typer(help="The training runs behind the figures that the README reports.", no_args_is_help=True)
bench_app = typer.Typer(help="Speed and memory, side by side in one run.", no_args_is_help=True)
app.add_typer(recipe_app, name="recipe")
app.add_typer(bench_app, name="bench")

CorpusOption = Annotated[
    list[str], typer.Option("--corpus", help="A corpus name or a folder with manifest.tsv; give it again to add more.")
]


@app.command()
def data(
    name: Annotated[str, typer.Argument(help="The corpus to fetch or synthesise.")],
    out: Annotated[Path | None, typer.Option(help="Folder to keep it in (default: the cache).")] = None,
) -> None:
    """Fetch a public corpus, verified by checksum, or synthesise one."""
    from asrlib import fetch

    fetch.fetch(name, out)
    print(fetch.summary(name, out))


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="A shipped configuration's name, or a YAML file.")],
    corpus: CorpusOption,
    out: Annotated[Path, typer.Option(help="The run's directory; a model directory when done.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")] = False,
    init: Annotated[Path | None, typer.Option(help="Model directory to take fitting weights from.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key: training.max_lr=0.001")] = None,
) -> None:
    """Train on the corpora's train splits; the best weights by dev WER are kept."""
    from asrlib.config import load_config, override
    from asrlib.train import train as run

    settings = override(load_config(config), set_ or [])
    recognizer = run(settings, _corpora(corpus, "train"), out, _corpora(corpus, "dev", optional=True), resume, init)
    print(f"model directory: {out} ({sum(p.numel() for p in recognizer.model.parameters()):,} parameters)")


@app.command()
def test(
    model_dir: Annotated[Path, typer.Argument(help="A model directory.")],
    corpus: CorpusOption,
    output: Annotated[Path, typer.Option(help="TSV file to write, a row an utterance.")],
    split: Annotated[str, typer.Option(help="train, dev, test, or all.")] = "test",
) -> None:
    """Transcribe a split; print WER and CER in per cent, write one row an utterance."""
    from asrlib.recognizer import Recognizer, write_atomically
    from asrlib.train import test as run

    cuts = _corpora(corpus, None if split == "all" else split)
    words, characters, rows = run(Recognizer.load(model_dir), cuts)
    table = ["id\treference\thypothesis\tscore"]
    table += [f"{name}\t{reference}\t{found.text}\t{found.score:.4f}" for name, reference, found in rows]
    write_atomically(output, ("\n".join(table) + "\n").encode())
    print(f"WER {words}\nCER {characters}\n{len(rows)} utterances in {output}")


@app.command()
def transcribe(
    arguments: Annotated[list[str], typer.Argument(metavar="[MODEL_DIR] AUDIO...", help="Audio files, WAV, FLAC, OGG"
                         " or MP3; a model directory before them replaces the digit recogniser that ships.")],
    times: Annotated[bool, typer.Option("--times", help="Also print each token with its second and confidence.")] = False,
) -> None:
    """Print what is said in each audio file."""
    from asrlib.recognizer import Recognizer

    folder = arguments[0] if Path(arguments[0]).is_dir() else None
    files = arguments[1:] if folder else arguments
    if not files:
        raise InputError("no audio file is given: asrlib transcribe [MODEL_DIR] AUDIO...")
    recognizer = Recognizer.load(folder)
    for file in files:
        found = recognizer.transcribe(file)
        print(f"{file}\t{found.text}" if len(files) > 1 else found.text)
        if times:
            for token, second, confidence in zip(found.tokens, found.times, found.confidences, strict=True):
                print(f"  {second:7.2f} s  {confidence:4.0%}  {token}")


def _corpora(names: list[str], split: str | None, optional: bool = False) -> CutSet | None:
    """The named corpora's split, one after another; ``optional``: None where no corpus has it."""
    from asrlib.corpus import SIZES, load_corpus
    from asrlib.fetch import CATALOGUE, load_public

    together = None
    for name in names:
        try:
            public = name in CATALOGUE and name not in SIZES and not Path(name).is_dir()
            cuts = load_public(name, split) if public else load_corpus(name, split)
        except InputError as error:
            if optional and "there is no split" in str(error):
                continue
            raise
        together = cuts if together is None else together + cuts
    return together


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"asrlib: warning: {message}", file=sys.stderr)


def main() -> None:
    """Run the command line; the entry point of the ``asrlib`` program."""
    warnings.showwarning = _show_warning
    # other packages' deprecations are not the user's business
    for category in (DeprecationWarning, FutureWarning):
        warnings.simplefilter("ignore", category)
    try:
        app()
    except InputError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _fail(f"the disk is full (writing {error.filename or 'a file'}): free some space and run again; what was"
                  " complete before is intact")
        if error.errno in (errno.EACCES, errno.EROFS, errno.ENOENT, errno.EISDIR, errno.ENOTDIR):
            _fail(f"{error.filename}: {error.strerror}")
        raise


def _fail(message: str) -> None:
    print(f"asrlib: error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
