"""The folder for rendered and downloaded corpora, and a lock for the processes that write there."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from asrlib.errors import InputError, first_line


def cache_folder() -> Path:
    """Return the folder for rendered and downloaded corpora: ASRLIB_CACHE, or ``~/.cache/asrlib``."""
    return Path(os.environ.get("ASRLIB_CACHE") or Path.home() / ".cache" / "asrlib")


@contextlib.contextmanager
def one_process_at_a_time(folder: Path) -> Iterator[None]:
    """Lock ``folder``, so that one process makes it while the others wait.

    The lock is released when its process ends. Windows has no such locks; there two processes may both write,
    and the first to finish wins. Raises ``InputError`` if the folder's parent cannot be written.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = open(folder.parent / f".{folder.name}.lock", "w")
    except OSError as error:
        raise InputError(
            f"{folder.parent}: the cache cannot be written ({first_line(error)}); "
            "set ASRLIB_CACHE to another folder"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in folder.parent.glob(f".{folder.name}-*"):  # drafts left over from a killed process
            shutil.rmtree(leftover, ignore_errors=True)
        yield
