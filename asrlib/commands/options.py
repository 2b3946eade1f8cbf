"""Options shared by several commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from asrlib.errors import InputError

CorpusOption = Annotated[
    list[str],
    typer.Option("--corpus", help="A corpus name or a folder with manifest.tsv; repeatable."),
]
BeamOption = Annotated[int | None, typer.Option("--beam", min=0, help="Beam width; 0 is greedy search.")]
LMOption = Annotated[
    Path | None, typer.Option("--lm", help="Language model for beam search: an ARPA file from asrlib lm.")
]
LMWeightOption = Annotated[float | None, typer.Option(min=0, help="Weight of the language model.")]
BonusOption = Annotated[float | None, typer.Option(help="Bonus per label, in nats.")]
PhonesOption = Annotated[
    bool, typer.Option("--phones", help="Of a model of phones: write phones, with times, and no words.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override a key, e.g. training.max_steps=4000; repeatable.")
]
SplitOption = Annotated[str, typer.Option(help="train, dev, test, or all.")]


def print_error(error: object) -> None:
    """Print an error as one line on standard error."""
    print(f"asrlib: error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)


def check_output(path: Path) -> None:
    """Raise ``InputError`` if the --output file ``path`` is a folder, or its folder does not exist."""
    if path.is_dir():
        raise InputError(f"--output {path} is a folder: give a file")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--output {path}: there is no folder {path.parent}")
