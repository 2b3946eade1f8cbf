"""Public corpora: their catalog, and how to download, prepare and load one. Lesson 09.

Nothing is downloaded without a request: ``asrlib.load_corpus(name, download=True)`` or ``asrlib data NAME``.
A corpus's folder contains

    downloads/   the archives, verified (``asrlib.data.download``)
    unpacked/    their contents
    cuts/        PART.jsonl.gz, lhotse's cuts (``asrlib.data.preparation``)

Whatever has its final name is complete. After an interruption, call the function again.

Sources of the hashes and sizes: torchaudio's dataset classes and TensorFlow Datasets' checksum lists for
OpenSLR 12, 1 and 51 (sha256); md5sum.txt, as PaddleSpeech and others quote it, for OpenSLR 31; TensorFlow
Datasets for Speech Commands and the Free Spoken Digit Dataset (sha256).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asrlib.data import preparation
from asrlib.data.cache import cache_folder
from asrlib.data.download import Remote, disk_errors, obtain, unpack
from asrlib.data.earnings22 import earnings22_cuts
from asrlib.data.manifest import SPLITS
from asrlib.errors import InputError
from asrlib.extras import extra

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse

_OPENSLR = "https://www.openslr.org/resources"
_TENSORFLOW = "https://storage.googleapis.com/download.tensorflow.org/data"


@dataclass(frozen=True)
class PublicCorpus:
    """A corpus that is downloaded; an entry of the registry (``asrlib.data.corpora.Corpus``).

    ``make_cuts(folder, parts)`` returns the cuts of each part. ``splits`` lists the parts of each split.
    ``place`` is the name of the corpus's folder in the cache, which corpora with common parts may share.
    ``volume`` is the size of the download, as text, if there are no archives to add up.
    """

    name: str
    archives: tuple[Remote, ...]
    make_cuts: Callable[[Path, Sequence[str]], dict[str, list]]
    splits: dict[str, tuple[str, ...]]
    license: str
    place: str
    volume: str = ""

    def folder(self, out: str | Path | None = None) -> Path:
        """Return ``out``, or the folder in the cache.

        It is absolute: lhotse writes paths into its manifests.
        """
        return Path(out if out is not None else cache_folder() / self.place).expanduser().resolve()

    def prepare(self, out: str | Path | None = None) -> Path:
        """Download, verify, unpack and prepare what is missing; return the folder (``folder(out)``).

        If nothing is missing, make no request. Raises ``InputError`` if there is no network or the server
        refuses (naming the addresses, and the folder for files downloaded by other means), for a wrong hash,
        an archive that would write outside its folder, and a full or read-only disk. No error leaves a
        half-written file under a final name. The ``.part`` file of an interrupted download is kept and
        resumed.
        """
        folder = self.folder(out)
        parts = sorted({part for parts in self.splits.values() for part in parts})
        missing = [part for part in parts if not _cuts_file(folder, part).is_file()]
        if not missing:
            return folder
        for place in ("downloads", "unpacked", "cuts"):
            with disk_errors(f"creating {folder / place}"):
                (folder / place).mkdir(parents=True, exist_ok=True)
        packed = [archive for archive in self.archives if not _unpacked(folder, archive).is_dir()]
        obtain(folder, packed)
        for archive in packed:
            unpack(folder / archive.path, _unpacked(folder, archive))
        with disk_errors(f"reading {self.name} in {folder}"):
            cuts = self.make_cuts(folder, missing)
        for part in missing:
            _write_cuts(cuts[part], _cuts_file(folder, part))
        return folder

    def load(self, split: str | None = None, out: str | Path | None = None) -> lhotse.CutSet:
        """Return the cuts of a split, in the order of their ids. None means train, dev and test together.

        A cut is one utterance (in Earnings-22, a whole call) with its transcript as published. Raises
        ``InputError`` if the corpus was not downloaded, was moved, or has no such split.
        """
        with extra("train"):
            from lhotse import CutSet

        folder = self.folder(out)
        if split is not None and split not in self.splits:
            raise InputError(f"{self.name} has no split {split!r}; it has {', '.join(self.splits)}")
        cuts = []
        for name in [s for s in SPLITS if s in self.splits] if split is None else [split]:
            for part in self.splits[name]:
                if not _cuts_file(folder, part).is_file():
                    raise self._absent(folder)
                for cut in CutSet.from_file(_cuts_file(folder, part)):
                    cut.custom = {"split": name}
                    cuts.append(cut)
        audio = Path(cuts[0].recording.sources[0].source) if cuts else folder
        if not audio.exists():
            raise InputError(
                f"{folder / 'cuts'} names {audio}, which is not there: was the folder moved?"
                f" Delete its cuts, and `asrlib data {self.name}` writes them again"
            )
        return CutSet.from_cuts(cuts)

    def _absent(self, folder: Path) -> InputError:
        """Return the error that names the command and the size of the download."""
        absent = [
            archive
            for archive in self.archives
            if not _unpacked(folder, archive).is_dir() and not (folder / archive.path).is_file()
        ]
        size = self.volume or _readable(sum(archive.size for archive in absent))
        return InputError(
            f"{self.name} is not in {folder}: `asrlib data {self.name}` downloads it ({size}),"
            f" as load_corpus({self.name!r}, download=True) does"
        )


def _readable(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _unpacked(folder: Path, archive: Remote) -> Path:
    return folder / "unpacked" / Path(archive.path).name.removesuffix(".tgz").removesuffix(".tar.gz")


def _cuts_file(folder: Path, part: str) -> Path:
    return folder / "cuts" / f"{part}.jsonl.gz"


def _write_cuts(cuts: Sequence, target: Path) -> None:
    with extra("train"):
        from lhotse import CutSet

    part = target.with_name("part-" + target.name)  # keep the suffix: it tells lhotse the format
    with disk_errors(f"writing {target}", part):
        CutSet.from_cuts(cuts).to_file(part)
        os.replace(part, target)


# -------------------------------------------------------------------------------- the catalog


def _archive(url: str, checksum: str, size: int, name: str = "") -> Remote:
    return Remote(url, checksum, f"downloads/{name or url.rsplit('/', 1)[1]}", size)


_LIBRISPEECH = {
    part: _archive(f"{_OPENSLR}/12/{part}.tar.gz", f"sha256:{sha256}", size)
    for part, sha256, size in (
        (
            "train-clean-100",
            "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
            6_387_309_499,
        ),
        (
            "train-clean-360",
            "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
            23_049_477_885,
        ),
        (
            "train-other-500",
            "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
            30_593_501_606,
        ),
        ("dev-clean", "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3", 337_926_286),
        ("dev-other", "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365", 314_305_928),
        ("test-clean", "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23", 346_663_984),
        ("test-other", "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29", 328_757_843),
    )
}


def _librispeech(name: str, *train: str) -> PublicCorpus:
    """Return a LibriSpeech corpus with the training parts ``train``.

    ``test`` is test-clean alone, the papers' first column. ``dev-other`` and ``test-other`` are splits of
    their own.
    """
    splits = {"train": train, "dev": ("dev-clean",), "test": ("test-clean",)}
    splits |= {part: (part,) for part in ("dev-other", "test-other")}
    return PublicCorpus(
        name,
        archives=tuple(_LIBRISPEECH[part] for parts in splits.values() for part in parts),
        make_cuts=preparation.librispeech_cuts,
        splits=splits,
        license="CC BY 4.0, Vassil Panayotov",
        place="librispeech",
    )


_THREE = {split: (split,) for split in SPLITS}

PUBLIC = (
    _librispeech("librispeech", "train-clean-100"),
    _librispeech("librispeech-960", "train-clean-100", "train-clean-360", "train-other-500"),
    PublicCorpus(
        "mini-librispeech",
        archives=(
            _archive(
                f"{_OPENSLR}/31/train-clean-5.tar.gz", "md5:5df7d4e78065366204ca6845bb08f490", 332_954_390
            ),
            _archive(
                f"{_OPENSLR}/31/dev-clean-2.tar.gz", "md5:6d7ab67ac6a1d2c993d050e16d61080d", 126_046_265
            ),
        ),
        make_cuts=preparation.mini_librispeech_cuts,
        splits=_THREE,
        license="CC BY 4.0, Vassil Panayotov",
        place="mini-librispeech",
    ),
    PublicCorpus(
        "speech-commands",
        archives=(
            _archive(
                f"{_TENSORFLOW}/speech_commands_v0.02.tar.gz",
                "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
                2_428_923_189,
            ),
            _archive(
                f"{_TENSORFLOW}/speech_commands_test_set_v0.02.tar.gz",
                "sha256:cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df",
                112_563_277,
            ),
        ),
        make_cuts=preparation.speech_commands_cuts,
        splits=_THREE,
        license="CC BY 4.0, Google",
        place="speechcommands",
    ),
    PublicCorpus(
        "tedlium",
        archives=(
            _archive(
                f"{_OPENSLR}/51/TEDLIUM_release-3.tgz",
                "sha256:ad1e454d14d1ad550bc2564c462d87c7a7ec83d4dc2b9210f22ab4973b9eccdb",
                54_320_173_876,
            ),
        ),
        make_cuts=preparation.tedlium_cuts,
        splits=_THREE,
        license="CC BY-NC-ND 3.0, TED Conferences and LIUM",
        place="tedlium",
    ),
    PublicCorpus(
        "earnings22",
        archives=(),  # many files instead, see asrlib.data.earnings22
        make_cuts=earnings22_cuts,
        splits={"test": ("test",)},
        license="transcripts CC BY-SA 4.0, Rev",
        place="earnings22",
        volume="119 hours of MP3",
    ),
    PublicCorpus(
        "yesno",
        archives=(
            _archive(
                f"{_OPENSLR}/1/waves_yesno.tar.gz",
                "sha256:c3f49e0cca421f96b75b41640749167b52118f232498667ca7a5f9416aef8e73",
                4_700_000,  # rounded
            ),
        ),
        make_cuts=preparation.yesno_cuts,
        splits=_THREE,
        license="public, see openslr.org/1",
        place="yesno",
    ),
    PublicCorpus(
        "fsdd",
        archives=(
            _archive(
                "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.9.tar.gz",
                "sha256:8bc44cde129d505cbbb6b365c09f80c663f2aa77578afc634e6141a2f87100c0",
                11_970_000,  # rounded; GitHub packs it on request
                f"{preparation.FSDD}.tar.gz",
            ),
        ),
        make_cuts=preparation.fsdd_cuts,
        splits=_THREE,
        license="CC BY-SA 4.0, Zohar Jackson and contributors",
        place="fsdd",
    ),
)
