"""``asrlib data``: download or synthesize a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrlib.errors import InputError


def data(
    name: Annotated[str, typer.Argument(help="The corpus to download or synthesize.")],
    out: Annotated[Path | None, typer.Option(help="Folder to store it in (default: the cache).")] = None,
    shar: Annotated[
        Path | None,
        typer.Option(
            help="Also write it (or a folder of recordings) to this folder as Shar shards, for --corpus."
        ),
    ] = None,
) -> None:
    """Download a public corpus and verify its checksums, or synthesize a corpus."""
    from asrlib.data.corpora import find_corpus, load_corpus, summary
    from asrlib.data.shar import write_shar
    from asrlib.extras import require

    require("train", "lhotse")
    if shar is not None and shar.exists():  # checked before hours of downloading
        raise InputError(f"{shar} already exists: give --shar a new folder")
    if shar is not None and Path(name).is_dir():
        cuts = load_corpus(name)
    else:
        corpus = find_corpus(name)
        corpus.prepare(out)
        print(summary(corpus, out))
        cuts = corpus.load(out=out)
    if shar is not None:
        print(f"{shar}: shards of {', '.join(write_shar(cuts, shar))}")
