"""Download files, resume, verify and unpack them, each completely or not at all. Lesson 09.

1. A file is downloaded to ``NAME.part``. An interrupted download is resumed.
2. Its hash is compared with the published one before it gets its final name. A file that was put there by
   other means is verified as well.
3. An archive is unpacked beside its final place and renamed when complete.

Therefore, whatever has its final name is complete. After an interruption, call the function again.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import ssl
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asrlib.errors import InputError

_TIMEOUT = 60  # seconds without a single byte before giving up on a server
_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


@dataclass(frozen=True)
class Remote:
    """A file to download.

    ``path`` is its path relative to the corpus's folder. ``checksum`` is its published hash: ``sha256:…``,
    ``md5:…``, ``git:…`` (the id of its git blob) or ``lfs:…`` (the id of the blob of its git-lfs pointer).
    ``size`` is in bytes; 0 means unknown.
    """

    url: str
    checksum: str
    path: str
    size: int = 0


def obtain(folder: Path, remotes: Iterable[Remote], by_hand: str = "") -> None:
    """Download what is missing in ``folder`` and verify every file, also those that were there before.

    ``by_hand`` describes another way to get the files, for the error message. Raises ``InputError`` if there
    is no network or the server refuses, for a wrong hash, and for a full or read-only disk.
    """
    missing, wrong = [], []
    for remote in remotes:
        target = folder / remote.path
        if not target.is_file():
            missing.append(remote)
        elif (found := _digest(target, remote.checksum)) != remote.checksum:
            with disk_errors(f"renaming {target}"):
                os.replace(target, target.with_name(target.name + ".wrong"))
            wrong.append(f"{target} has the hash {found}, not {remote.checksum}")
    if wrong:
        more = f" (and {len(wrong) - 1} more such files)" if wrong[1:] else ""
        raise InputError(
            f"{wrong[0]}{more}: damaged, or another version. It was renamed to .wrong; repeat the command to"
            " download the right one, or copy it there yourself"
        )
    for number, remote in enumerate(missing):
        target = folder / remote.path
        with disk_errors(f"creating {target.parent}"):
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _download(remote, target)
        except _NETWORK_ERRORS as e:
            reason = f"{getattr(e, 'reason', None) or e}"
            if isinstance(e, urllib.error.HTTPError):
                reason = f"the server says {e.code} {e.reason}"
                e.close()
            urls = " ".join(each.url for each in missing[number:])
            raise InputError(
                f"cannot download {remote.url} ({reason}): fetch"
                f" {by_hand or f'{urls} by other means into {target.parent}'},"
                " then repeat the command; it verifies what is there and continues"
            ) from None


def _download(remote: Remote, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    resumed = part.is_file() and part.stat().st_size > 0
    try:
        with disk_errors(f"downloading {target}", part):
            _stream(remote.url, part)
    except urllib.error.HTTPError as e:
        if not (resumed and e.code == 416):  # 416: nothing left to send, so the file may be complete
            raise
        e.close()
    found = _digest(part, remote.checksum)
    if found == remote.checksum:
        os.replace(part, target)
        return
    part.unlink()
    if resumed:  # the first part may be of another version: download it all again
        return _download(remote, target)
    raise InputError(
        f"{remote.url} has the hash {found}, not {remote.checksum}: damaged in transit, or changed by"
        f" its publisher. It was deleted; try again, or copy the right file to {target}"
    )


def _stream(url: str, part: Path) -> None:
    """Append to ``part`` what is missing of ``url``.

    lhotse's ``resumable_download`` has no timeout. If a server ignores the requested range, it appends the
    whole file instead of the rest.
    """
    from tqdm.auto import tqdm

    have = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "asrlib"} | ({"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT) as response:
        if response.status != 206:
            have = 0
        told = response.headers.get("Content-Length") or ""
        size = int(told) if told.isascii() and told.isdigit() else 0  # some proxies send anything
        _check_free_space(url, size, part.parent)
        progress = tqdm(
            desc=part.stem, total=have + size or None, initial=have, unit="B", unit_scale=True, disable=None
        )
        with progress, open(part, "ab" if have else "wb") as file:
            while chunk := response.read(1 << 20):
                file.write(chunk)
                progress.update(len(chunk))
    if size and part.stat().st_size < have + size:
        raise ConnectionError(f"the connection broke after {part.stat().st_size:,} of {have + size:,} bytes")


def _check_free_space(url: str, size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:  # check before a download that takes hours, not after
        raise InputError(
            f"{url} needs {size / 1e9:.2f} GB and {folder} has {free / 1e9:.2f} GB left: make room,"
            " or choose a folder on another disk with --out or ASRLIB_CACHE"
        )


def _digest(path: Path, like: str) -> str:
    """Return the file's hash in the notation of the checksum ``like``."""
    kind = like.split(":")[0]
    size = path.stat().st_size
    if kind == "lfs":  # git stores and hashes this text in place of the file
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
def disk_errors(doing: str, *partial: Path) -> Iterator[None]:
    """Turn disk errors inside the block into an ``InputError``. On a full disk, remove the partial files.

    ``doing`` describes what failed, such as "writing FILE".
    """
    try:
        yield
    except _NETWORK_ERRORS:
        raise  # these are OSErrors too, but not of the disk
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"{doing} failed: {e}; if it cannot be written, choose another folder with --out or"
                " ASRLIB_CACHE"
            ) from None
        for path in partial:
            path.unlink(missing_ok=True)
        raise InputError(
            f"{doing} failed: the disk is full ({e.strerror}). Partial files were removed; make room, or"
            " choose a folder on another disk with --out or ASRLIB_CACHE"
        ) from None


def unpack(archive: Path, target: Path) -> None:
    """Unpack a tar archive into the new folder ``target``, which appears when it is complete.

    Raises ``InputError``, and keeps nothing, for an archive that is damaged or would write outside its
    folder, and for a full or read-only disk.
    """
    if not hasattr(tarfile, "data_filter"):
        raise InputError("this Python cannot unpack safely: use 3.10.12, 3.11.4, 3.12 or newer")
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with disk_errors(f"unpacking {archive}"):
            with tarfile.open(archive) as tar:
                tar.extractall(part, filter="data")  # refuses paths and links that lead outside
            os.replace(part, target)
    except (tarfile.TarError, EOFError, zlib.error) as e:
        raise InputError(f"{archive} cannot be unpacked, nothing of it was kept: {e}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
