"""The command line: ``asrlib data | train | test | transcribe | lm | export | import | recipe | bench``.

The commands are in ``asrlib.commands``. An error in the input is one line on standard error with exit
code 2. A traceback means a defect of asrlib. Lesson 09.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from asrlib.commands import (
    benchmarks,
    corpus,
    exporting,
    importing,
    recipes,
    recognition,
    training,
    transcription,
)
from asrlib.commands.options import print_error
from asrlib.errors import InputError, first_line

NO_MEMORY = "there is not enough memory: give less at once (shorter recordings, smaller batches or beams)"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# typer's own copy of click or the package, whichever this version of typer uses
_UsageError = typer.BadParameter.__mro__[2]

app = typer.Typer(
    help="Speech recognition with ContextNet: the library behind the course.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (corpus.data, training.train, recognition.test, transcription.transcribe, exporting.export):
    app.command()(command)
app.command("lm")(training.language_model)
app.command("import")(importing.import_)

recipe_app = typer.Typer(help="Run the trainings behind the figures in the README.", no_args_is_help=True)
for command in (recipes.digits, recipes.sentences, recipes.english, recipes.commands):
    recipe_app.command()(command)
recipe_app.command("word-pieces")(recipes.word_pieces)
recipe_app.command("long-context")(recipes.long_context)
recipe_app.command("digits-model")(recipes.digits_model)
recipe_app.command("digits-streaming-model")(recipes.digits_streaming_model)
app.add_typer(recipe_app, name="recipe")

bench_app = typer.Typer(help="Compare speed, memory and long recordings in one run.", no_args_is_help=True)
for command in (
    benchmarks.losses,
    benchmarks.train,
    benchmarks.decode,
    benchmarks.chapters,
    benchmarks.playgrounds,
):
    bench_app.command()(command)
app.add_typer(bench_app, name="bench")


def main() -> None:
    """Run the command line; the entry point of the ``asrlib`` program."""
    warnings.showwarning = _show_warning
    threading.excepthook = _show_thread_error
    sys.unraisablehook = _show_unraisable
    # deprecations in other packages do not concern users, even if asrlib's code causes them
    for category in (DeprecationWarning, FutureWarning):
        warnings.simplefilter("ignore", category)
    _write_any_character()
    try:
        with _standard_error_alone():
            _check_arguments(sys.argv[1:])
            code = app(standalone_mode=False)
    except InputError as error:
        _fail(str(error))
    except _UsageError as error:
        _fail_of_usage(error)
    except typer.Abort:
        print("asrlib: stopped", file=sys.stderr)
        raise SystemExit(130) from None
    except OSError as error:
        if error.errno in _FULL:
            _fail(
                f"{error.filename or 'a file'} cannot be written, the disk is full ({error.strerror}): free"
                " some space and run again; files that were complete before are intact"
            )
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}")
    except MemoryError:
        _fail(NO_MEMORY)
    except RuntimeError as error:  # torch's
        if not any(words in str(error) for words in ("out of memory", "can't allocate memory")):
            raise
        _fail(f"{NO_MEMORY} ({first_line(error)[:100]})")
    else:
        raise SystemExit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    print_error(message)
    raise SystemExit(2)


def _fail_of_usage(error: Any) -> None:
    """Say in one line what is wrong with the words of the command, and which command explains them."""
    if type(error).__name__ == "NoArgsIsHelpError":  # the help has been printed, or is the message
        error.show()
        raise SystemExit(2)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "asrlib"
    _fail(f"{error.format_message()} ({command} --help lists what there is)")


def _check_arguments(words: list[str]) -> None:
    """Raise ``InputError`` for an argument that is empty, which stands for no file, folder or name."""
    for place, word in enumerate(words, start=1):
        if not word or re.fullmatch(r"--[a-z0-9-]+=", word):
            what = f"the value of {words[place - 2]}" if place > 1 and not word else f"argument {place}"
            raise InputError(
                f"{word[:-1] or what} is empty: leave it out, or give a value (is a shell variable unset?)"
            )


def _write_any_character() -> None:
    """Let standard output and error write names that are no text, and text that the terminal lacks.

    A file name's bytes that are not UTF-8 are written as they are; characters that the encoding of the
    terminal does not have are written as \\u escapes. Neither may end a command half-way.
    """

    def written(error: UnicodeError) -> tuple[str | bytes, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        character = error.object[error.start]
        if "\udc80" <= character <= "\udcff":  # how Python stands for a byte that is no UTF-8
            return bytes([ord(character) - 0xDC00]), error.start + 1
        return character.encode("ascii", "backslashreplace").decode(), error.start + 1

    codecs.register_error("asrlib", written)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="asrlib")


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


def _show_unraisable(unraisable: Any) -> None:
    """Print the traceback of an error in a destructor unless it is an ``OSError``.

    The files of a full disk fail again when they are closed, after the error has been reported.
    """
    if not isinstance(unraisable.exc_value, OSError):
        sys.__unraisablehook__(unraisable)


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
