"""A lhotse recording whose samples lie in an HDF5 file. This module imports lhotse; `hdf5` does so late."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from asrlib.errors import InputError, first_line
from asrlib.extras import extra

with extra("train"):
    from lhotse import Recording
    from lhotse.audio import AudioSource

# what HDF5 opened in one process is of no use in another: each worker opens its own
_open: dict[tuple[int, str], Any] = {}


class HDF5Recording(Recording):
    """``sources[0].source`` is (file, dataset, place): a place among samples, or a row of a matrix."""

    def __init__(self, *arguments: Any, **named: Any):  # its own, for lhotse's hints are of an older form
        super().__init__(*arguments, **named)

    def load_audio(
        self, channels: Any = None, offset: float = 0.0, duration: float | None = None
    ) -> np.ndarray:
        """Return samples (1, number) from ``offset`` seconds on. Raises ``InputError`` for a damaged file."""
        path, dataset, place = self.sources[0].source
        first = round(offset * self.sampling_rate)
        rest = self.num_samples - first
        count = rest if duration is None else min(round(duration * self.sampling_rate), rest)
        try:
            data = _file(path)[dataset]
            if data.ndim == 2:
                samples = data[place, first : first + count]
            else:
                samples = data[place + first : place + first + count]
        except (OSError, KeyError, ValueError, IndexError, RuntimeError) as error:
            raise InputError(f"{path}: samples cannot be read ({first_line(error)}); copy it again") from None
        samples = np.asarray(samples, dtype=np.float32)
        if not np.isfinite(samples).all():
            raise InputError(f"{path}: {self.id} has samples that are NaN or infinite; write it again")
        return samples[None]


def recording(name: str, path: Path, dataset: str, place: int, length: int, rate: int) -> HDF5Recording:
    """Return the recording of ``length`` samples at ``place`` of a dataset; ``rate`` in Hz."""
    source = AudioSource("hdf5", [0], (str(path), dataset, place))  # type: ignore[arg-type]
    return HDF5Recording(name, [source], rate, length, length / rate)


def _file(path: str) -> Any:
    key = (os.getpid(), path)
    if key not in _open:
        _open[key] = open_hdf5(path)
    return _open[key]


def open_hdf5(path: str | Path) -> Any:
    """Return the file, open for reading. Raises ``InputError`` if it is missing, or not a whole HDF5 file."""
    with extra("phones"):
        import h5py

    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such HDF5 file")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: not a whole HDF5 file ({first_line(error)}); copy it again") from None
