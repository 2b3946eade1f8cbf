"""The command line: ``asrlib data | train | test | transcribe | lm | export | import | recipe | bench``.

The commands are in ``asrlib.commands``. An error in the input is one line on standard error with exit
code 2. A traceback means a defect of asrlib. Lesson 09.
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

import typer

from asrlib.commands import benchmarks, corpus, exporting, importing, recipes, recognition, training
from asrlib.errors import InputError

app = typer.Typer(
    help="Speech recognition with ContextNet: the library behind the course.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (corpus.data, training.train, recognition.test, recognition.transcribe, exporting.export):
    app.command()(command)
app.command("lm")(training.language_model)
app.command("import")(importing.import_)

recipe_app = typer.Typer(help="Run the trainings behind the figures in the README.", no_args_is_help=True)
for command in (recipes.digits, recipes.shipped, recipes.sentences, recipes.commands):
    recipe_app.command()(command)
recipe_app.command("long-context")(recipes.long_context)
app.add_typer(recipe_app, name="recipe")

bench_app = typer.Typer(help="Compare speed, memory and long recordings in one run.", no_args_is_help=True)
for command in (benchmarks.losses, benchmarks.train, benchmarks.decode, benchmarks.chapters):
    bench_app.command()(command)
app.add_typer(bench_app, name="bench")


def main() -> None:
    """Run the command line; the entry point of the ``asrlib`` program."""
    warnings.showwarning = _show_warning
    threading.excepthook = _show_thread_error
    # deprecations in other packages do not concern users, even if asrlib's code causes them
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
                " some space and run again; files that were complete before are intact"
            )
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}")


def _fail(message: str) -> None:
    print(f"asrlib: error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """Print asrlib's own warnings in one line, and drop those of other packages."""
    if Path(filename).is_relative_to(Path(__file__).parent):
        print(f"asrlib: warning: {message}", file=sys.stderr)


def _show_thread_error(args: threading.ExceptHookArgs) -> None:
    """Print the traceback of a thread's error unless it is an ``OSError``.

    TensorBoard's thread passes such errors, about files that it cannot write, to the main thread, which
    reports them.
    """
    if not issubclass(args.exc_type, OSError):
        threading.__excepthook__(args)


@contextlib.contextmanager
def _standard_error_alone() -> Iterator[None]:
    """Silence file descriptor 2 within the block, while ``sys.stderr`` still writes to where it pointed.

    C libraries write to the descriptor, such as libmpg123 about every damaged MP3 file.
    """
    usual = sys.stderr
    try:
        ours = usual.fileno() == 2
    except (AttributeError, OSError):  # there is none, or pytest or a notebook has replaced it
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


if __name__ == "__main__":
    main()
