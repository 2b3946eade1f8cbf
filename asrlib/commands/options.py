"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrlib.errors import InputError

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
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override a key, e.g. training.max_steps=4000; repeatable.")
]
SplitOption = Annotated[str, typer.Option(help="train, dev, test, or all.")]


def check_output(path: Path) -> None:
    """Raise ``InputError`` if a file given as --output cannot be written because its folder is missing."""
    if not path.absolute().parent.is_dir():
        raise InputError(f"--output {path}: there is no folder {path.parent}")
