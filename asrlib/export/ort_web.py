"""ONNX Runtime Web: the files that run a graph in a browser. They are fetched once, and verified by hash.

Lesson 12.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from asrlib.data.cache import cache_folder, one_process_at_a_time
from asrlib.data.download import Remote, obtain
from asrlib.errors import InputError
from asrlib.files import write_atomically

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
# where the npm package is served file by file
SERVER = f"https://cdn.jsdelivr.net/npm/{PACKAGE}/dist"
# the build for WebAssembly alone: the module, what it starts, and the program
FILES = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
# seconds for npm to fetch 33 MB
_PATIENCE = 600


def runtime_files(folder: str | Path | None = None, fetch: bool = True) -> dict[str, bytes]:
    """Return the contents of ``FILES`` by name, each with the right hash.

    ``folder`` has them, such as ``node_modules/onnxruntime-web/dist``; None is the cache, into which they are
    fetched once: by npm if it is installed, and else from ``SERVER``; ``fetch`` false forbids that. Raises
    ``InputError`` for a missing file, a wrong hash, and if they are neither in the cache nor to be fetched.
    """
    if folder is None:
        folder = cache_folder() / f"ort-web-{VERSION}"
        if not _complete(folder) and not fetch:
            raise InputError(
                "ONNX Runtime Web is not in the cache: run `asrlib export DIR --format web` once, which"
                " fetches it"
            )
        if not _complete(folder):
            with one_process_at_a_time(folder):
                if not _complete(folder):  # or another process has fetched them by now
                    _fetch(folder)
    return {name: _verified(Path(folder, name), hash) for name, hash in FILES.items()}


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES)


def _verified(path: Path, hash: str) -> bytes:
    if not path.is_file():
        raise InputError(f"{path} is missing: --runtime takes a folder with {', '.join(FILES)} of {PACKAGE}")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != hash:
        raise InputError(f"{path} is not the file of {PACKAGE}: delete it, or give a folder of that version")
    return content


def _fetch(folder: Path) -> None:
    if _packed(folder):
        return
    remotes = [Remote(f"{SERVER}/{name}", f"sha256:{hash}", name) for name, hash in FILES.items()]
    by_hand = (
        f"ONNX Runtime Web where there is a network (npm install {PACKAGE}) and give the folder"
        f" node_modules/onnxruntime-web/dist as --runtime, or copy its files into {folder}"
    )
    obtain(folder, remotes, by_hand)


def _packed(folder: Path) -> bool:
    """Fetch the npm package and take the files out of it; return whether that worked."""
    npm = shutil.which("npm")
    if npm is None:
        return False
    with tempfile.TemporaryDirectory() as draft:
        command = [npm, "pack", "--silent", "--fetch-retries=0", PACKAGE]
        try:
            done = subprocess.run(command, cwd=draft, capture_output=True, timeout=_PATIENCE)
            (archive,) = Path(draft).glob("*.tgz")
            with tarfile.open(archive) as tar:
                members = [tar.extractfile(f"package/dist/{name}") for name in FILES]
                contents = [member.read() for member in members if member is not None]
        except (OSError, subprocess.SubprocessError, ValueError, KeyError, tarfile.TarError):
            return False
        if done.returncode or len(contents) != len(FILES):
            return False
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in zip(FILES, contents, strict=True):
            write_atomically(folder / name, content)
    return True
