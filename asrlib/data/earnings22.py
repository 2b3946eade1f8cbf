"""Earnings-22: 125 earnings calls of up to two hours, for testing. Lesson 09.

The corpus is a git repository. A pinned commit fixes the hash of every file, also of the audio, whose sha256
is in the git-lfs pointers. lhotse leaves the download to the user.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from asrlib.data.download import Remote, obtain
from asrlib.data.preparation import utterance_cuts
from asrlib.errors import InputError
from asrlib.extras import extra

REPOSITORY = "https://github.com/revdotcom/speech-datasets"
COMMIT = "c05ab6fd8b4b627d123c922a22a39e993dd37635"
TEXT_SERVER = "https://raw.githubusercontent.com/revdotcom/speech-datasets"
AUDIO_SERVER = "https://media.githubusercontent.com/media/revdotcom/speech-datasets"


def earnings22_cuts(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    """Download what is missing in ``folder``, verify it, and return the cuts of the only part, ``test``.

    Raises ``InputError`` without git or a network, and as ``asrlib.data.download.obtain`` does.
    """
    with extra("train"):
        from lhotse.recipes import prepare_earnings22

    clone = folder / "speech-datasets"
    by_hand = f"a clone of {REPOSITORY} (commit {COMMIT}, earnings22 by git-lfs) into {clone}"
    obtain(folder, _files(clone, by_hand), by_hand)
    return {"test": utterance_cuts(*prepare_earnings22(clone / "earnings22"))}


def _files(clone: Path, by_hand: str) -> list[Remote]:
    """Return the needed files of the pinned commit."""
    remotes = []
    for line in _listing(clone, by_hand).rstrip("\0").split("\0"):
        attributes, path = line.split("\t")
        blob = attributes.split()[2]
        place = f"{clone.name}/{path}"
        if Path(path).parent.name == "media" and path.endswith(".mp3"):
            remotes.append(Remote(f"{AUDIO_SERVER}/{COMMIT}/{path}", f"lfs:{blob}", place))
        elif Path(path).parent.name == "nlp_references" or path == "earnings22/metadata.csv":
            remotes.append(Remote(f"{TEXT_SERVER}/{COMMIT}/{path}", f"git:{blob}", place))
    return remotes


def _listing(clone: Path, by_hand: str) -> str:
    """Return git's listing of the pinned commit, cloning the repository without files if necessary.

    git itself verifies the commit and the listing by their hashes.
    """
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}

    def git(*arguments: str) -> str:
        run = ["git", *arguments]
        return subprocess.run(run, env=environment, check=True, capture_output=True, text=True).stdout

    inside = f"--git-dir={clone / '.git'}"
    try:
        if not clone.is_dir():
            part = clone.with_name(clone.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            # get only the names and hashes of the files
            git("clone", "-q", "--depth=1", "--filter=blob:none", "--no-checkout", REPOSITORY, str(part))
            os.replace(part, clone)
        try:
            git(inside, "cat-file", "-e", f"{COMMIT}^{{commit}}")
        except subprocess.CalledProcessError:
            git(inside, "fetch", "-q", "--depth=1", "origin", COMMIT)
        return git(inside, "ls-tree", "-r", "-z", COMMIT, "earnings22")
    except FileNotFoundError:
        raise InputError(f"{REPOSITORY} is a git repository: install git, then repeat the command") from None
    except subprocess.CalledProcessError as e:
        reason = (e.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(
            f"cannot download {REPOSITORY} ({reason}): fetch {by_hand},"
            " then repeat the command; it verifies what is there and continues"
        ) from None
