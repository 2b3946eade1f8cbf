"""Players side by side, to compare sounds. All lessons.

listen.row({"as recorded": samples, "with noise": noisy}, 16000)
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from asrlib.errors import InputError
from asrlib.extras import extra
from asrlib.teaching.widgets.controls import wav

if TYPE_CHECKING:
    from IPython.display import HTML

_LIMIT = 600_000  # bytes of all players of a row: what a notebook stores, it stores for good


def row(sounds: Mapping[str, Any], sample_rate: int | Mapping[str, int], level: bool = False) -> HTML:
    """Return a row of players, each under its name, with the loudness that the samples have.

    ``sounds`` are {name: (samples,) in [-1, 1]}; louder ones turn down the whole row. ``sample_rate`` is in
    Hz, one for all or one for each name. ``level`` brings every sound to the same peak. Raises ``InputError``
    for an empty sound, and for sounds that would make a notebook too large.
    """
    with extra("lab"):
        from IPython.display import HTML

    arrays = {name: np.asarray(samples, dtype=np.float32) for name, samples in sounds.items()}
    for name, samples in arrays.items():
        if samples.ndim != 1 or not samples.size:
            raise InputError(f"{name} has shape {samples.shape}; give one channel, (samples,)")
    peaks = {name: max(float(np.abs(samples).max()), 1e-9) for name, samples in arrays.items()}
    loudest = max(1.0, *peaks.values())
    cells, size = [], 0
    for name, samples in arrays.items():
        rate = sample_rate if isinstance(sample_rate, int) else sample_rate[name]
        data = wav(samples / (peaks[name] / 0.9 if level else loudest), rate)
        size += len(data)
        source = f"data:audio/wav;base64,{base64.b64encode(data).decode()}"
        cells.append(
            '<div style="display:inline-block;margin:4px 12px 4px 0">'
            f"<div>{html.escape(name)}</div>"
            f'<audio controls style="width:220px" src="{source}" type="audio/wav"></audio></div>'
        )
    if size > _LIMIT:
        raise InputError(
            f"the players of this row hold {size // 1000} kB, above {_LIMIT // 1000}: play fewer or shorter"
            " sounds, or resample them to 8000 Hz"
        )
    return HTML("".join(cells))
