"""``asrlib data``, and the corpora that other commands are given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrlib.errors import InputError

if TYPE_CHECKING:
    from lhotse import CutSet


def data(
    name: Annotated[str, typer.Argument(help="The corpus to fetch or synthesise.")],
    out: Annotated[Path | None, typer.Option(help="Folder to keep it in (default: the cache).")] = None,
    shar: Annotated[
        Path | None,
        typer.Option(help="Also write it (or a folder of recordings) as Shar shards, for --corpus."),
    ] = None,
) -> None:
    """Fetch a public corpus, verified by checksum, or synthesise one."""
    from asrlib.data import public
    from asrlib.data.corpora import load_corpus
    from asrlib.data.shar import write_shar

    if shar is not None and shar.exists():  # better said before hours of fetching than after
        raise InputError(f"{shar} exists already: give --shar a folder that does not")
    folder = shar is not None and Path(name).is_dir()
    if not folder:
        public.fetch(name, out)
        print(public.summary(name, out))
    if shar is not None:
        downloaded = name in public.CATALOGUE and not folder
        local = name if folder else out or name
        cuts = public.load_public(name, out=out) if downloaded else load_corpus(local)
        print(f"{shar}: shards of {', '.join(write_shar(cuts, shar))}")


def named_corpora(names: list[str], split: str | None, optional: bool = False) -> CutSet | None:
    """The named corpora's split, one after another; ``optional``: None where no corpus has it."""
    from lhotse import CutSet

    from asrlib.data.corpora import load_corpus
    from asrlib.data.public import CATALOGUE, load_public
    from asrlib.data.shar import is_shar, splits_of

    together = []
    for name in filter(is_shar, names):
        if len(names) > 1:
            raise InputError(f"--corpus {name} holds Shar shards: it can only be given alone")
        return None if optional and split not in splits_of(name) else load_corpus(name, split)
    for name in names:
        if name in CATALOGUE and not Path(name).is_dir():
            cuts = [] if optional and split not in CATALOGUE[name].splits else load_public(name, split)
        elif optional:
            cuts = [cut for cut in load_corpus(name) if cut.custom["split"] == split]
        else:
            cuts = load_corpus(name, split)
        # two corpora may call their utterances the same
        together += [cut.with_id(f"{name}/{cut.id}") for cut in cuts] if len(names) > 1 else cuts
    return CutSet.from_cuts(together) if together else None
