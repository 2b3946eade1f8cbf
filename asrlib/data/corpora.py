"""Corpora: utterances with their texts, speakers and times, as lhotse ``CutSet``s.

    load_corpus("digits", "train")     connected digits, synthesized offline (also: "commands", ...)
    load_corpus("librispeech", "dev")  a public corpus; ``download=True`` downloads what is missing
    load_corpus("x.h5", "train")       utterances of an HDF5 file
    load_corpus(folder, "test")        a folder of recordings with manifest.tsv, or of Shar shards
    load_corpora(names, "train")       several corpora, one after another
    clips()                            the few clips that ship with asrlib

A *cut* is one utterance. With one channel it is a ``Clip``: ``cut.text``, ``cut.speaker``, ``cut.audio``
and, if times are known, ``cut.words`` and ``cut.phones``. lhotse keeps them in ``cut.supervisions[0]``.
``cut.custom["split"]`` is the name of its split, such as ``train``, ``dev`` or ``test``.

To add a corpus, add an entry to ``asrlib.data.synthetic.SYNTHETIC`` or ``asrlib.data.public.PUBLIC``, or any
object with the methods of ``Corpus`` to the registry below. docs/extending.md has a worked example. Lessons
01 (waveforms) and 09 (training) load corpora.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from asrlib.data.hdf5 import hdf5_splits, is_hdf5, load_hdf5
from asrlib.data.manifest import SPLITS, folder_splits, load_folder
from asrlib.data.public import PUBLIC
from asrlib.data.shar import is_shar, load_shar, shar_splits
from asrlib.data.synthetic import SYNTHETIC
from asrlib.errors import InputError
from asrlib.extras import extra, require
from asrlib.files import assets

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse


@runtime_checkable
class Corpus(Protocol):
    """An entry of the registry. ``out`` is the folder that holds the corpus; None means the cache."""

    @property
    def name(self) -> str:
        """The name that ``load_corpus`` takes."""

    @property
    def license(self) -> str:
        """The license, in a few words."""

    @property
    def splits(self) -> Collection[str]:
        """The names of the splits."""

    def folder(self, out: str | Path | None = None) -> Path:
        """Return the folder that holds the corpus."""

    def prepare(self, out: str | Path | None = None) -> Path:
        """Render or download what is missing; return the folder."""

    def load(self, split: str | None = None, out: str | Path | None = None) -> lhotse.CutSet:
        """Return the utterances of a split. None means train, dev and test together."""


_BUILT_IN: tuple[Corpus, ...] = (
    *SYNTHETIC,
    *PUBLIC,
)
CORPORA: dict[str, Corpus] = {corpus.name: corpus for corpus in _BUILT_IN}


def register_corpus(corpus: Corpus) -> Corpus:
    """Register a corpus, so that ``load_corpus(corpus.name)`` loads it, and return it.

    Raises ``InputError`` if ``corpus`` lacks a method of ``Corpus``, or if another corpus has its name in any
    spelling.
    """
    if not isinstance(corpus, Corpus):
        parts = "name", "license", "splits", "folder", "prepare", "load"
        lacking = ", ".join(part for part in parts if not hasattr(corpus, part))
        raise InputError(f"{type(corpus).__name__} is not a corpus: it lacks {lacking}")
    taken = {_spelling(name) for name, other in CORPORA.items() if other is not corpus}
    if not corpus.name or _spelling(corpus.name) in taken:
        raise InputError(
            f"a corpus cannot be called {corpus.name!r}; use a name other than {', '.join(CORPORA)}"
        )
    CORPORA[corpus.name] = corpus
    return corpus


def load_corpus(
    name_or_folder: str | os.PathLike, split: str | None = None, download: bool = False
) -> lhotse.CutSet:
    """Load a split of a corpus, given by name or folder; ``split=None`` loads everything. Lessons 01 and 09.

    Synthetic corpora (``digits``, ``commands``, ...) are rendered on first use, which takes some
    seconds to a minute, and kept in the cache (``ASRLIB_CACHE``, or ``~/.cache/asrlib``). No two splits share
    a voice: timbres, not only accents, are disjoint.

    Public corpora (``librispeech``, ``speech-commands``, ...) are read from the cache. With
    ``download=True``, what is missing is first downloaded, verified by hash and prepared. Case, hyphens and
    underscores in a name do not matter.

    A folder with ``manifest.tsv`` is split by its column ``split``. Without that column it is split by
    speaker, about 80/10/10, in the order of a hash of the speakers' names, so that the splits never change.
    With fewer than three speakers it is split by utterance in the same way. A folder of Shar shards (``asrlib
    data --shar``) is read lazily, for corpora larger than memory. So is an HDF5 file (``.h5``, see
    ``asrlib.data.hdf5``). Write ``./digits`` for a folder that has the name of a corpus.

    Raises ``InputError`` for an unknown name or split; for a public corpus that was not downloaded, naming
    the command and the size; if there is no network; for a manifest that is missing, lacks a column, or has a
    malformed row or an empty text, naming the file and line; and for audio files that are missing, empty or
    not audio. Samples are not decoded here but in ``cut_audio``.
    """
    require("train", "lhotse")  # before a corpus is rendered or downloaded
    name = _name(name_or_folder)
    corpus = _registered(name)
    if corpus is not None:
        # check before a download that takes hours, not after
        if split is not None and split not in corpus.splits:
            raise InputError(f"{corpus.name} has no split {split!r}; it has {', '.join(corpus.splits)}")
        if download:
            corpus.prepare()
        return corpus.load(split)
    if is_hdf5(name):
        return load_hdf5(name, split)
    folder = _existing_folder(name)
    return load_shar(folder, split) if is_shar(folder) else load_folder(folder, split)


def load_corpora(names: Sequence[str], split: str | None, optional: bool = False) -> lhotse.CutSet | None:
    """Load a split of several corpora, one after another.

    With ``optional``, corpora without the split are skipped, and the result is None if none has it; a warning
    lists the splits of a corpus that has others than ``train``, ``dev`` and ``test``. With
    several corpora, the ids of the utterances start with the name of their corpus. A folder of shards is
    streamed and can only be loaded alone. Raises ``InputError`` as ``load_corpus`` does, and for a corpus
    that is given twice.
    """
    with extra("train"):
        from lhotse import CutSet

    _check_different(names)
    if optional:
        _warn_of_other_splits(names, split)
    for name in names:
        if len(names) > 1 and _registered(name) is None and is_shar(name):
            raise InputError(f"{name} holds Shar shards: give it without other corpora")
    wanted = [name for name in names if not optional or split in corpus_splits(name)]
    if not wanted:
        return None
    if len(names) == 1:
        return load_corpus(names[0], split)
    # two corpora may give their utterances the same ids
    return CutSet.from_cuts(
        cut.with_id(f"{name}/{cut.id}") for name in wanted for cut in load_corpus(name, split)
    ).to_eager()


def corpus_splits(name_or_folder: str | os.PathLike) -> list[str]:
    """Return the names of a corpus's splits. Raises ``InputError`` as ``load_corpus`` does."""
    name = _name(name_or_folder)
    corpus = _registered(name)
    if corpus is not None:
        return list(corpus.splits)
    if is_hdf5(name):
        return hdf5_splits(name)
    folder = _existing_folder(name)
    return list(shar_splits(folder)) if is_shar(folder) else folder_splits(folder)


def find_corpus(name: str) -> Corpus:
    """Return the registry's entry for a name.

    Raises ``InputError``, which lists all names, for an unknown one.
    """
    corpus = _registered(_name(name))
    if corpus is None:
        raise InputError(f"no corpus {name!r}; there are {', '.join(CORPORA)}")
    return corpus


def summary(corpus: Corpus, out: str | Path | None = None) -> str:
    """Return a prepared corpus's folder, utterances and hours per split, and license, as text."""
    lines = [f"{corpus.name} in {corpus.folder(out)}"]
    for split in corpus.splits:
        seconds = [cut.duration for cut in corpus.load(split, out)]
        lines.append(f"  {split}: {len(seconds):,} utterances, {sum(seconds) / 3600:.2f} hours")
    return "\n".join([*lines, f"  license: {corpus.license}"])


def clips() -> lhotse.CutSet:
    """Return the clips that ship with asrlib, with word and phone times. Lesson 00.

    ASRLIB_DATA may name another folder that contains ``clips``. Raises ``InputError`` if there are no clips.
    """
    folder = assets() / "clips"
    if not folder.is_dir():
        raise InputError(
            f"{folder}: the shipped clips are not here; set ASRLIB_DATA to the data folder of a checkout, or"
            " install asrlib again"
        )
    return load_folder(folder)


def _name(name_or_folder: str | os.PathLike) -> str:
    name = os.fspath(name_or_folder)
    if not name or "\0" in name:
        raise InputError(f"a corpus cannot be called {name!r}: name one, or a folder (. is this one)")
    return name


def _check_different(names: Sequence[str]) -> None:
    """Raise ``InputError`` if two of the names stand for the same corpus or folder."""
    seen: dict[str, str] = {}
    for name in names:
        corpus = _registered(_name(name))
        place = os.path.realpath(name) if corpus is None else corpus.name
        if place in seen:
            raise InputError(f"the corpora {seen[place]} and {name} are the same: give it once")
        seen[place] = name


def _warn_of_other_splits(names: Sequence[str], split: str | None) -> None:
    """Warn about corpora that lack ``split`` and have splits of other names, which may stand for it."""
    for name in names:
        found = corpus_splits(name)
        if split not in found and not set(found) <= set(SPLITS):
            warnings.warn(
                f"{name} has no split {split}, which is left out; it has {', '.join(found)}: rename one to"
                f" {split} if it is meant",
                stacklevel=3,
            )


def _registered(name: str) -> Corpus | None:
    """Return the entry for a name in any spelling. A folder takes precedence over an inexact spelling."""
    if name in CORPORA or Path(name).is_dir():
        return CORPORA.get(name)
    spellings = {_spelling(known): corpus for known, corpus in CORPORA.items()}
    return spellings.get(_spelling(name))


def _spelling(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _existing_folder(name: str) -> Path:
    folder = Path(name)
    if not folder.is_dir():
        raise InputError(
            f"{name}: neither a folder nor one of the corpora {', '.join(CORPORA)}; "
            "give a folder that holds manifest.tsv"
        )
    return folder
