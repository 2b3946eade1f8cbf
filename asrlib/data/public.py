"""Public corpora: download, verify, unpack, and turn into lhotse cuts. Lesson 09.

No lesson needs this module: they run offline on speech that ``asrlib.data.corpora``
synthesises. Here is the way from there to LibriSpeech and the others:

1. each file goes to ``downloads/`` as ``NAME.part`` (a broken download is resumed),
2. its hash is compared with the published one, and only then does it get its name;
   a file that was put there by other means is verified just the same,
3. archives are unpacked beside their final place and renamed when complete,
4. lhotse's recipe finds recordings and transcripts, which become ``cuts/PART.jsonl.gz``.

So whatever has its final name is whole, and an interrupted call is simply repeated.

Where the hashes come from: OpenSLR 12, 1 and 51 from torchaudio's dataset classes
(sha256), OpenSLR 31 from its md5sum.txt as PaddleSpeech and others quote it, Speech
Commands and the Free Spoken Digit Dataset from TensorFlow Datasets' checksum lists
(sha256), Earnings-22 from its git repository: one pinned commit fixes the hash of every
file in it, of the audio too, for which git-lfs keeps a sha256 there.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import ssl
import subprocess
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asrlib.data.corpora import cache_folder, load_corpus, render_corpus
from asrlib.errors import InputError

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse

SYNTHESISED = ("digits", "commands", "sentences")
OPENSLR = "https://www.openslr.org/resources"
TENSORFLOW = "https://storage.googleapis.com/download.tensorflow.org/data"
FSDD = "free-spoken-digit-dataset-1.0.9"
EARNINGS22 = "https://github.com/revdotcom/speech-datasets"
EARNINGS22_COMMIT = "c05ab6fd8b4b627d123c922a22a39e993dd37635"
EARNINGS22_TEXT = "https://raw.githubusercontent.com/revdotcom/speech-datasets"
EARNINGS22_AUDIO = "https://media.githubusercontent.com/media/revdotcom/speech-datasets"
TIMEOUT = 60  # seconds without a single byte before a server counts as gone
NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


@dataclass(frozen=True)
class Remote:
    """A file to fetch: where from, where to (relative to the corpus' folder), and its
    published hash, ``sha256:…`` or ``md5:…``; ``git:…`` and ``lfs:…`` are a git blob's
    id and that of the git-lfs pointer which stands for the file."""

    url: str
    checksum: str
    path: str


@dataclass(frozen=True)
class Corpus:
    """``prepare(folder, parts)`` gives the cuts of each part; a split is made of parts."""

    archives: tuple[Remote, ...]
    prepare: Callable
    splits: dict[str, tuple[str, ...]]
    licence: str
    folder: str

    @property
    def parts(self) -> list[str]:
        return sorted({part for parts in self.splits.values() for part in parts})


def fetch(name: str, out: str | Path | None = None) -> Path:
    """Make a corpus ready for ``load_public`` and return its folder. Lesson 09.

    ``out`` is the folder to use, by default ``cache_folder()/NAME``. What is already
    there is not fetched again; when all of it is, no request is made. The synthesised
    corpora are rendered into the cache instead.

    Raises ``InputError``, one line, for an unknown name, no network or a server's
    refusal (naming the addresses, and the folder in which to put files that were
    fetched by other means), a wrong hash, an archive that would write outside its
    folder, and a full or read-only disk. None of them leaves a half-written file under
    a final name; the ``.part`` of a broken download is kept, to be resumed.
    """
    if name in SYNTHESISED:
        return _synthesise(name, out)
    corpus, folder = _find(name, out)
    missing = [part for part in corpus.parts if not _cuts_file(folder, part).is_file()]
    if not missing:
        return folder
    for place in ("downloads", "unpacked", "cuts"):
        with _disk(f"creating {folder / place}"):
            (folder / place).mkdir(parents=True, exist_ok=True)
    packed = [archive for archive in corpus.archives if not _unpacked(folder, archive).is_dir()]
    _obtain(folder, packed)
    for archive in packed:
        _unpack(folder / archive.path, _unpacked(folder, archive))
    with _disk(f"reading {name} in {folder}"):
        cuts = corpus.prepare(folder, missing)
    for part in missing:
        _write_cuts(cuts[part], _cuts_file(folder, part))
    return folder


def load_public(name: str, split: str | None = None, out: str | Path | None = None) -> lhotse.CutSet:
    """The cuts of a fetched corpus: ``train``, ``dev``, ``test``, another of its splits, or all three.

    One cut is one utterance with its transcript as published (a whole call for
    Earnings-22), in the order of their ids. Recordings without words (noise, silence)
    are left out, for there is nothing to train on or to score. Lesson 09.

    Raises ``InputError`` when the corpus was not fetched, was moved, or has no such split.
    """
    corpus, folder = _find(name, out)
    from lhotse import CutSet

    if split is not None and split not in corpus.splits:
        raise InputError(f"{name} has no split {split!r}; it has {', '.join(corpus.splits)}")
    wanted = [s for s in ("train", "dev", "test") if s in corpus.splits] if split is None else [split]
    cuts = []
    for split in wanted:
        for part in corpus.splits[split]:
            if not _cuts_file(folder, part).is_file():
                raise InputError(f"{name} is not in {folder}; `asrlib data {name}` fetches it")
            for cut in CutSet.from_file(_cuts_file(folder, part)):
                cut.custom = {"split": split}  # as asrlib.data.corpora marks its own
                cuts.append(cut)
    audio = Path(cuts[0].recording.sources[0].source) if cuts else folder
    if not audio.exists():
        raise InputError(
            f"{folder / 'cuts'} names {audio}, which is not there: was the folder moved?"
            f" Delete its cuts, and `asrlib data {name}` writes them anew"
        )
    return CutSet.from_cuts(cuts)


def summary(name: str, out: str | Path | None = None) -> str:
    """Where a fetched corpus lies, utterances and hours of each split, and its licence. Lesson 09."""
    if name in SYNTHESISED:
        cuts = list(load_corpus(name if out is None else out))
        folder, licence = _folder_of(cuts[0]), "none needed, it is synthesised"
    else:
        corpus, folder = _find(name, out)
        cuts = [cut for split in corpus.splits for cut in load_public(name, split, out)]
        licence = corpus.licence
    seconds: dict[str, list[float]] = {}
    for cut in cuts:
        seconds.setdefault(cut.custom["split"], []).append(cut.duration)
    lines = [f"  {split}: {len(s):,} utterances, {sum(s) / 3600:.2f} hours" for split, s in seconds.items()]
    return "\n".join([f"{name} in {folder}", *lines, f"  licence: {licence}"])


def _find(name: str, out: str | Path | None) -> tuple[Corpus, Path]:
    if name not in CATALOGUE:
        raise InputError(f"no corpus {name!r}; there are {', '.join([*SYNTHESISED, *CATALOGUE])}")
    corpus = CATALOGUE[name]
    folder = Path(out) if out is not None else cache_folder() / corpus.folder
    return corpus, folder.expanduser().resolve()  # lhotse writes these paths into its manifests


def _synthesise(name: str, out: str | Path | None) -> Path:
    if out is None:
        return _folder_of(load_corpus(name)[0])
    folder = Path(out).expanduser().resolve()
    render_corpus(name, folder)
    return folder


def _folder_of(cut) -> Path:
    """The folder of the manifest of a synthesised utterance."""
    return Path(cut.recording.sources[0].source).resolve().parent.parent


# --- download and verify ---------------------------------------------------------------


def _obtain(folder: Path, remotes: Iterable[Remote], by_hand: str = "") -> None:
    """Have every file in its place and verified. ``by_hand``: another way to get them."""
    missing, wrong = [], []
    for remote in remotes:  # files of an earlier call, or brought by other means
        target = folder / remote.path
        if not target.is_file():
            missing.append(remote)
        elif (found := _digest(target, remote.checksum)) != remote.checksum:
            with _disk(f"renaming {target}"):
                os.replace(target, target.with_name(target.name + ".wrong"))
            wrong.append(f"{target} has the hash {found}, not {remote.checksum}")
    if wrong:
        more = f" (and {len(wrong) - 1} more such files)" if wrong[1:] else ""
        raise InputError(
            f"{wrong[0]}{more}: damaged, or another version. It was renamed to .wrong; repeat the command to"
            " download the right one, or bring another copy"
        )
    for number, remote in enumerate(missing):
        target = folder / remote.path
        with _disk(f"creating {target.parent}"):
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _download(remote, target)
        except NETWORK_ERRORS as e:
            reason = f"{getattr(e, 'reason', None) or e}"
            if isinstance(e, urllib.error.HTTPError):
                reason = f"the server says {e.code} {e.reason}"
                e.close()
            urls = " ".join(each.url for each in missing[number:])
            raise InputError(
                f"cannot download {remote.url} ({reason}): fetch"
                f" {by_hand or f'{urls} by other means into {target.parent}'},"
                " then repeat the command; it verifies what is there and goes on"
            ) from None


def _download(remote: Remote, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    resumed = part.is_file() and part.stat().st_size > 0
    try:
        with _disk(f"downloading {target}", part):
            _stream(remote.url, part)
    except urllib.error.HTTPError as e:
        if not (resumed and e.code == 416):  # 416: nothing left to send, all of it may be here
            raise
        e.close()
    found = _digest(part, remote.checksum)
    if found == remote.checksum:
        os.replace(part, target)
        return
    part.unlink()
    if resumed:  # the beginning may have been of another version: once more, from the start
        return _download(remote, target)
    raise InputError(
        f"{remote.url} came with the hash {found}, not {remote.checksum}: damaged on its way, or changed by"
        f" its publisher. It was deleted; try again, or bring a right copy as {target}"
    )


def _stream(url: str, part: Path) -> None:
    """Append to ``part`` what is missing of ``url``.

    Not lhotse's ``resumable_download``: that has no timeout, and takes the whole file for
    its rest when a server ignores the request for a range.
    """
    from tqdm.auto import tqdm

    have = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "asrlib"} | ({"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
        if response.status != 206:
            have = 0
        size = int(response.headers.get("Content-Length") or 0)
        free = shutil.disk_usage(part.parent).free
        if size > free:  # better said before hours of downloading than after
            raise InputError(
                f"{url} needs {size / 1e9:.2f} GB and {part.parent} has {free / 1e9:.2f} GB left: make room,"
                " or choose a folder on another disk with --out or ASRLIB_CACHE"
            )
        progress = tqdm(
            desc=part.stem, total=have + size or None, initial=have, unit="B", unit_scale=True, disable=None
        )
        with progress, open(part, "ab" if have else "wb") as file:
            while chunk := response.read(1 << 20):
                file.write(chunk)
                progress.update(len(chunk))
    if size and part.stat().st_size < have + size:
        raise ConnectionError(f"the connection broke after {part.stat().st_size:,} of {have + size:,} bytes")


def _digest(path: Path, like: str) -> str:
    """The file's hash in the notation of the checksum ``like``."""
    kind = like.split(":")[0]
    size = path.stat().st_size
    if kind == "lfs":  # git holds this text in the file's place, and hashes it
        oid = _digest(path, "sha256:").replace("sha256:", "")
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
        return "lfs:" + hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest()
    digest = hashlib.new("sha1" if kind == "git" else kind, usedforsecurity=False)
    if kind == "git":
        digest.update(b"blob %d\0" % size)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return f"{kind}:{digest.hexdigest()}"


@contextmanager
def _disk(doing: str, *partial: Path) -> Iterator[None]:
    """A disk's refusal becomes one line, and a full disk keeps none of the partial files."""
    try:
        yield
    except NETWORK_ERRORS:
        raise  # OSErrors too, but not the disk's
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{doing} failed: {e}") from None
        for path in partial:
            path.unlink(missing_ok=True)
        raise InputError(
            f"{doing} failed: the disk is full ({e.strerror}). Partial files were removed; make room, or"
            " choose a folder on another disk with --out or ASRLIB_CACHE"
        ) from None


# --- unpack ----------------------------------------------------------------------------


def _unpacked(folder: Path, archive: Remote) -> Path:
    return folder / "unpacked" / Path(archive.path).name.removesuffix(".tgz").removesuffix(".tar.gz")


def _unpack(archive: Path, target: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise InputError("this Python cannot unpack safely: use 3.10.12, 3.11.4, 3.12 or newer")
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with _disk(f"unpacking {archive}"):
            with tarfile.open(archive) as tar:
                tar.extractall(part, filter="data")  # refuses paths and links that lead outside
            os.replace(part, target)
    except (tarfile.TarError, EOFError, zlib.error) as e:
        raise InputError(f"{archive} cannot be unpacked, nothing of it was kept: {e}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


# --- from files to cuts, through lhotse's recipes --------------------------------------


def _cuts_file(folder: Path, part: str) -> Path:
    return folder / "cuts" / f"{part}.jsonl.gz"


def _cuts(recordings, supervisions) -> list:
    """A cut an utterance, with the utterance's id, in a fixed order (recipes list folders as they come)."""
    from lhotse import CutSet

    cuts = CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    cuts = cuts.trim_to_supervisions(keep_overlapping=False)
    cuts = [cut.with_id(cut.supervisions[0].id) for cut in cuts if cut.supervisions[0].text.strip()]
    return sorted(cuts, key=lambda cut: cut.id)


def _write_cuts(cuts: Sequence, target: Path) -> None:
    from lhotse import CutSet

    part = target.with_name("part-" + target.name)  # lhotse goes by the ending
    with _disk(f"writing {target}", part):
        CutSet.from_cuts(cuts).to_file(part)
        os.replace(part, target)


def _prepare_librispeech(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    from lhotse.recipes import prepare_librispeech

    cuts = {}
    for part in parts:
        root = folder / "unpacked" / part / "LibriSpeech"
        made = prepare_librispeech(root, dataset_parts=part, num_jobs=os.cpu_count() or 1)[part]
        cuts[part] = _cuts(made["recordings"], made["supervisions"])
    return cuts


def _prepare_mini_librispeech(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    """Its dev-clean-2 is all there is to develop and to test on: every other speaker for each."""
    cuts = _prepare_librispeech(folder, ["train-clean-5", "dev-clean-2"])
    held_out = cuts["dev-clean-2"]
    to_test = set(sorted({cut.supervisions[0].speaker for cut in held_out})[1::2])
    return {
        "train": cuts["train-clean-5"],
        "dev": [cut for cut in held_out if cut.supervisions[0].speaker not in to_test],
        "test": [cut for cut in held_out if cut.supervisions[0].speaker in to_test],
    }


def _prepare_speechcommands(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    """lhotse's test is the published test set of 12 classes; ``testing_list.txt`` is left out of training."""
    from lhotse.recipes import prepare_speechcommands

    made = prepare_speechcommands("2", folder / "unpacked")
    names = {"train": "train", "dev": "valid", "test": "test"}
    return {part: _cuts(made[name]["recordings"], made[name]["supervisions"]) for part, name in names.items()}


def _prepare_tedlium(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    from lhotse.audio.backend import audio_backend
    from lhotse.recipes import prepare_tedlium

    root = folder / "unpacked" / "TEDLIUM_release-3" / "TEDLIUM_release-3"
    # lhotse's choice for .sph is a program that is not there; libsndfile reads these, which are plain PCM
    with audio_backend("LibsndfileBackend"):
        # "kaldi" joins "they 're" to one word and removes [NOISE] and <unk>
        made = prepare_tedlium(root, dataset_parts=parts, normalize_text="kaldi")
    return {part: _cuts(made[part]["recordings"], made[part]["supervisions"]) for part in parts}


def _prepare_yesno(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    """lhotse halves the 60 recordings of the one speaker; every sixth of its train is dev here."""
    from lhotse.recipes import prepare_yesno

    made = prepare_yesno(folder / "unpacked" / "waves_yesno" / "waves_yesno")
    train, test = (_cuts(made[half]["recordings"], made[half]["supervisions"]) for half in ("train", "test"))
    return {"train": [cut for n, cut in enumerate(train) if n % 6], "dev": train[::6], "test": test}


def _prepare_fsdd(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    """Files are named DIGIT_SPEAKER_INDEX.wav; its README tests on indices 0 to 4, here 5 to 9 are dev.

    A ``manifest.tsv`` is written as well: who wants other splits, by speaker say, loads
    the folder with ``asrlib.load_corpus(folder)``.
    """
    from lhotse import Recording, RecordingSet, SupervisionSegment, SupervisionSet

    words = "zero one two three four five six seven eight nine".split()
    recordings, supervisions, rows = [], [], ["path\tspeaker\tseconds\ttext"]
    for path in sorted((folder / "unpacked" / FSDD / FSDD / "recordings").glob("*.wav")):
        digit, speaker, _ = path.stem.split("_")
        recording, text = Recording.from_file(path), words[int(digit)]
        recordings.append(recording)
        supervisions.append(
            SupervisionSegment(
                path.stem, path.stem, 0.0, recording.duration, text=text, speaker=speaker, language="English"
            )
        )
        rows.append(f"{path.relative_to(folder)}\t{speaker}\t{recording.duration:.3f}\t{text}")
    part = folder / "manifest.tsv.part"
    with _disk(f"writing {folder / 'manifest.tsv'}", part):
        part.write_text("\n".join(rows) + "\n", encoding="utf-8")
        os.replace(part, folder / "manifest.tsv")
    cuts: dict[str, list] = {"train": [], "dev": [], "test": []}
    made = RecordingSet.from_recordings(recordings), SupervisionSet.from_segments(supervisions)
    for cut in _cuts(*made):
        index = int(cut.id.split("_")[2])
        cuts["test" if index < 5 else "dev" if index < 10 else "train"].append(cut)
    return cuts


def _prepare_earnings22(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    """A test corpus: 125 calls of up to two hours. lhotse leaves its download to the reader."""
    from lhotse.recipes import prepare_earnings22

    clone = folder / "speech-datasets"
    by_hand = f"a clone of {EARNINGS22} (commit {EARNINGS22_COMMIT}, earnings22 by git-lfs) into {clone}"
    _obtain(folder, _earnings22_files(clone, by_hand), by_hand)
    return {"test": _cuts(*prepare_earnings22(clone / "earnings22"))}


def _earnings22_files(clone: Path, by_hand: str) -> list[Remote]:
    """What the pinned commit holds. git itself verifies the commit and its listing by their hashes."""
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}

    def git(*arguments: str) -> str:
        run = ["git", *arguments]
        return subprocess.run(run, env=environment, check=True, capture_output=True, text=True).stdout

    inside = f"--git-dir={clone / '.git'}"
    try:
        if not clone.is_dir():
            part = clone.with_name(clone.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            # no files yet, only their names and hashes
            git("clone", "-q", "--depth=1", "--filter=blob:none", "--no-checkout", EARNINGS22, str(part))
            os.replace(part, clone)
        try:
            git(inside, "cat-file", "-e", f"{EARNINGS22_COMMIT}^{{commit}}")
        except subprocess.CalledProcessError:
            git(inside, "fetch", "-q", "--depth=1", "origin", EARNINGS22_COMMIT)
        listing = git(inside, "ls-tree", "-r", "-z", EARNINGS22_COMMIT, "earnings22")
    except FileNotFoundError:
        raise InputError(f"{EARNINGS22} is a git repository: install git, then repeat the command") from None
    except subprocess.CalledProcessError as e:
        reason = (e.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(
            f"cannot download {EARNINGS22} ({reason}): fetch {by_hand},"
            " then repeat the command; it verifies what is there and goes on"
        ) from None
    remotes = []
    for line in listing.rstrip("\0").split("\0"):
        attributes, path = line.split("\t")
        blob = attributes.split()[2]
        place = f"{clone.name}/{path}"
        if Path(path).parent.name == "media" and path.endswith(".mp3"):
            remotes.append(Remote(f"{EARNINGS22_AUDIO}/{EARNINGS22_COMMIT}/{path}", f"lfs:{blob}", place))
        elif Path(path).parent.name == "nlp_references" or path == "earnings22/metadata.csv":
            remotes.append(Remote(f"{EARNINGS22_TEXT}/{EARNINGS22_COMMIT}/{path}", f"git:{blob}", place))
    return remotes


# --- the catalogue ---------------------------------------------------------------------


def _archive(url: str, checksum: str, name: str = "") -> Remote:
    return Remote(url, checksum, f"downloads/{name or url.rsplit('/', 1)[1]}")


_LIBRISPEECH = {
    part: _archive(f"{OPENSLR}/12/{part}.tar.gz", f"sha256:{sha256}")
    for part, sha256 in {
        "train-clean-100": "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
        "train-clean-360": "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
        "train-other-500": "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
        "dev-clean": "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
        "dev-other": "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365",
        "test-clean": "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
        "test-other": "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29",
    }.items()
}


def _librispeech(*train: str) -> Corpus:
    """``test`` is test-clean alone, as in the papers' first column; ``test-other`` is asked for by name."""
    splits = {"train": train, "dev": ("dev-clean",), "test": ("test-clean",)}
    splits |= {part: (part,) for part in ("dev-other", "test-other")}
    archives = tuple(_LIBRISPEECH[part] for parts in splits.values() for part in parts)
    return Corpus(archives, _prepare_librispeech, splits, "CC BY 4.0, Vassil Panayotov", "librispeech")


_THREE = {split: (split,) for split in ("train", "dev", "test")}

CATALOGUE: dict[str, Corpus] = {
    "librispeech": _librispeech("train-clean-100"),
    "librispeech-960": _librispeech("train-clean-100", "train-clean-360", "train-other-500"),
    "mini-librispeech": Corpus(
        archives=(
            _archive(f"{OPENSLR}/31/train-clean-5.tar.gz", "md5:5df7d4e78065366204ca6845bb08f490"),
            _archive(f"{OPENSLR}/31/dev-clean-2.tar.gz", "md5:6d7ab67ac6a1d2c993d050e16d61080d"),
        ),
        prepare=_prepare_mini_librispeech,
        splits=_THREE,
        licence="CC BY 4.0, Vassil Panayotov",
        folder="mini-librispeech",
    ),
    "speechcommands": Corpus(
        archives=(
            _archive(
                f"{TENSORFLOW}/speech_commands_v0.02.tar.gz",
                "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
            ),
            _archive(
                f"{TENSORFLOW}/speech_commands_test_set_v0.02.tar.gz",
                "sha256:cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df",
            ),
        ),
        prepare=_prepare_speechcommands,
        splits=_THREE,
        licence="CC BY 4.0, Google",
        folder="speechcommands",
    ),
    "tedlium": Corpus(
        archives=(
            _archive(
                f"{OPENSLR}/51/TEDLIUM_release-3.tgz",
                "sha256:ad1e454d14d1ad550bc2564c462d87c7a7ec83d4dc2b9210f22ab4973b9eccdb",
            ),
        ),
        prepare=_prepare_tedlium,
        splits=_THREE,
        licence="CC BY-NC-ND 3.0, TED Conferences and LIUM",
        folder="tedlium",
    ),
    "earnings22": Corpus(
        archives=(),  # many files instead, see _prepare_earnings22
        prepare=_prepare_earnings22,
        splits={"test": ("test",)},
        licence="transcripts CC BY-SA 4.0, Rev",
        folder="earnings22",
    ),
    "yesno": Corpus(
        archives=(
            _archive(
                f"{OPENSLR}/1/waves_yesno.tar.gz",
                "sha256:c3f49e0cca421f96b75b41640749167b52118f232498667ca7a5f9416aef8e73",
            ),
        ),
        prepare=_prepare_yesno,
        splits=_THREE,
        licence="public, see openslr.org/1",
        folder="yesno",
    ),
    "fsdd": Corpus(
        archives=(
            _archive(
                "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.9.tar.gz",
                "sha256:8bc44cde129d505cbbb6b365c09f80c663f2aa77578afc634e6141a2f87100c0",
                f"{FSDD}.tar.gz",
            ),
        ),
        prepare=_prepare_fsdd,
        splits=_THREE,
        licence="CC BY-SA 4.0, Zohar Jackson and contributors",
        folder="fsdd",
    ),
}
