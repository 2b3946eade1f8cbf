"""Corpora: utterances with their texts, speakers and times, as lhotse ``CutSet``s.

    load_corpus("digits", "train")     connected digits, synthesized offline (also: "commands", "sentences")
    load_corpus("librispeech", "dev")  a public corpus; ``download=True`` fetches what is not there
    load_corpus(folder, "test")        a folder of recordings with manifest.tsv, or of Shar shards
    load_corpora(names, "train")       several corpora, one after another
    clips()                            the few clips that come with the kit

A *cut* is one utterance. With one channel it is a ``Clip``: ``cut.text``, ``cut.speaker``, ``cut.audio``
and, where times are known, ``cut.words`` and ``cut.phones``; lhotse keeps them in ``cut.supervisions[0]``.
``cut.custom["split"]`` is ``train``, ``dev`` or ``test``.

A new corpus is one entry of ``asrlib.data.synthetic.SYNTHETIC`` or ``asrlib.data.public.PUBLIC``, or another
object with the methods of ``Corpus`` in ``CORPORA``. Lessons 01 (waveforms) and 09 (training) load corpora.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from asrlib.data.manifest import folder_splits, load_folder
from asrlib.data.public import PUBLIC
from asrlib.data.shar import is_shar, load_shar, shar_splits
from asrlib.data.synthetic import SYNTHETIC
from asrlib.errors import InputError
from asrlib.files import assets

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse


@runtime_checkable
class Corpus(Protocol):
    """What the registry holds. ``out`` is a folder to keep the corpus in; None: its place in the cache."""

    name: str
    license: str

    @property
    def splits(self) -> Collection[str]: ...

    def folder(self, out: str | Path | None = None) -> Path:
        """Return the folder the corpus is kept in."""

    def prepare(self, out: str | Path | None = None) -> Path:
        """Render or download what is not there yet; return the folder."""

    def load(self, split: str | None = None, out: str | Path | None = None) -> lhotse.CutSet:
        """Return the utterances of a split (None: of train, dev and test)."""


# the registry
CORPORA: dict[str, Corpus] = {corpus.name: corpus for corpus in (*SYNTHETIC, *PUBLIC)}


def load_corpus(
    name_or_folder: str | os.PathLike, split: str | None = None, download: bool = False
) -> lhotse.CutSet:
    """Load a corpus of the registry, or a folder; ``split=None`` loads everything (lessons 01, 09).

    ``digits``, ``commands`` and ``sentences`` are synthesized on first use (some seconds to a minute) and
    kept in the cache (``ASRLIB_CACHE``, or ``~/.cache/asrlib``). No voice of one split is in another:
    timbres, not only accents, are disjoint.

    Public corpora (``librispeech``, ``speech-commands``, ...) are read from the cache. With ``download=True``
    what is not there is downloaded, verified by hash and prepared first. Case, hyphens and underscores in a
    name do not matter.

    A folder with ``manifest.tsv`` is split by its column ``split``; without one by speaker, about 80/10/10,
    in the order of a hash of their names (so it never changes, and three speakers are enough); below three
    speakers by utterance in the same way. A folder of Shar shards (``asrlib data --shar``) is read as it is
    needed, for corpora larger than memory. A folder called like a corpus is given as ``./digits``.

    Raises InputError for an unknown name or split, a public corpus that was not downloaded (naming the
    command and the size), no network, a manifest that is missing, lacks a column or has a malformed row or an
    empty text (naming file and line), and audio that is missing, empty or no audio. Samples are decoded only
    in ``cut_audio``.
    """
    name = os.fspath(name_or_folder)
    corpus = _registered(name)
    if corpus is not None:
        # better said before hours of download than after
        if split is not None and split not in corpus.splits:
            raise InputError(f"{corpus.name} has no split {split!r}; it has {', '.join(corpus.splits)}")
        if download:
            corpus.prepare()
        return corpus.load(split)
    folder = _existing_folder(name)
    return load_shar(folder, split) if is_shar(folder) else load_folder(folder, split)


def load_corpora(names: Sequence[str], split: str | None, optional: bool = False) -> lhotse.CutSet | None:
    """Load a split of several corpora, one after another; with ``optional`` None where none has the split.

    The ids of several corpora's utterances start with the corpus' name. A folder of shards is streamed, so it
    can only be loaded alone. Raises InputError as ``load_corpus`` does.
    """
    from lhotse import CutSet

    for name in names:
        if len(names) > 1 and _registered(name) is None and is_shar(name):
            raise InputError(f"{name} holds Shar shards: it can only be given alone")
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
    """Return the names of a corpus' splits. Raises InputError as ``load_corpus`` does."""
    name = os.fspath(name_or_folder)
    corpus = _registered(name)
    if corpus is not None:
        return list(corpus.splits)
    folder = _existing_folder(name)
    return list(shar_splits(folder)) if is_shar(folder) else folder_splits(folder)


def find_corpus(name: str) -> Corpus:
    """Return the registry's entry. Raises InputError, naming all of them, for an unknown name."""
    corpus = _registered(name)
    if corpus is None:
        raise InputError(f"no corpus {name!r}; there are {', '.join(CORPORA)}")
    return corpus


def summary(corpus: Corpus, out: str | Path | None = None) -> str:
    """Return where a prepared corpus lies, utterances and hours of each split, and its license, as text."""
    lines = [f"{corpus.name} in {corpus.folder(out)}"]
    for split in corpus.splits:
        seconds = [cut.duration for cut in corpus.load(split, out)]
        lines.append(f"  {split}: {len(seconds):,} utterances, {sum(seconds) / 3600:.2f} hours")
    return "\n".join([*lines, f"  license: {corpus.license}"])


def clips() -> lhotse.CutSet:
    """Return the kit's own clips, with word and phone times (lesson 00); the same samples everywhere.

    They come with the package; ASRLIB_DATA may name another folder that holds ``clips``.
    """
    folder = assets() / "clips"
    if not folder.is_dir():
        raise InputError(
            f"{folder}: the kit's clips are not here; set ASRLIB_DATA to the data folder of a checkout, or"
            " install asrlib again"
        )
    return load_folder(folder)


def _registered(name: str) -> Corpus | None:
    """Return the entry of a name in any spelling; a folder is taken before a name in another spelling."""
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
