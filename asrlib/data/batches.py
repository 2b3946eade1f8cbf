"""From cuts to padded tensors: waveforms, label numbers, and their lengths. Lesson 09.

``asrlib.data.samplers`` chooses the cuts of a batch, ``asrlib.data.audio_cache`` reads them, and
``asrlib.signal.augment_policy`` augments the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.data.audio_cache import AudioCache
from asrlib.errors import InputError
from asrlib.signal.augment import change_speed
from asrlib.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from lhotse.cut import Cut


@dataclass
class Batch:
    """Zero-padded waveforms and label numbers of some utterances. ``lengths`` are in samples."""

    ids: list[str]
    waveforms: Float[Tensor, "batch samples"]
    lengths: Int[Tensor, "batch"]
    targets: Int[Tensor, "batch U"]
    target_lengths: Int[Tensor, "batch"]


def encode_corpus(cuts: Iterable[Cut], tokenizer: Tokenizer) -> dict[str, list[int]]:
    """Return the label numbers of every cut, by id.

    Training calls it once before it starts, so that a transcript that cannot be encoded is found at once.
    Raises ``InputError``, naming the utterance, for such a transcript, an empty one, and an id used twice.
    """
    encoded: dict[str, list[int]] = {}
    for cut in cuts:
        if cut.id in encoded:
            raise InputError(f"two utterances have the id {cut.id}: give each its own (cut.with_id)")
        try:
            labels = tokenizer.encode(cut.supervisions[0].text)
        except InputError as error:
            raise InputError(f"utterance {cut.id}: {error}") from None
        if not labels:
            raise InputError(f"utterance {cut.id}: its transcript {cut.supervisions[0].text!r} has no labels")
        encoded[cut.id] = labels
    return encoded


def collate(
    cuts: Sequence[Cut],
    audio: AudioCache,
    labels: dict[str, list[int]],
    speed: Sequence[float] | None = None,
    padding: tuple[int, int] | None = None,
    pin: bool = False,
) -> Batch:
    """Collate cuts into a padded batch.

    ``audio`` loads the waveforms. ``labels`` are label numbers by id. ``speed`` holds a speed factor for each
    cut. ``padding`` is the least number of samples and of labels to pad to. ``pin`` puts the waveforms into
    pinned memory, from which a GPU copies while the host continues.
    """
    waveforms = [audio.load(cut) for cut in cuts]
    if speed is not None:
        waveforms = [change_speed(w, factor) for w, factor in zip(waveforms, speed, strict=True)]
    targets = [torch.tensor(labels[cut.id]) for cut in cuts]
    samples, longest = padding or (0, 0)
    return Batch(
        ids=[cut.id for cut in cuts],
        waveforms=_padded(waveforms, samples, pin),
        lengths=torch.tensor([w.shape[0] for w in waveforms]),
        targets=_padded(targets, longest),
        target_lengths=torch.tensor([t.shape[0] for t in targets]),
    )


def _padded(rows: list[Tensor], size: int, pin: bool = False) -> Tensor:
    """Stack rows, zero-padded to the length of the longest one and at least to ``size``."""
    size = max(size, *(len(row) for row in rows))
    out = torch.zeros(len(rows), size, dtype=rows[0].dtype, pin_memory=pin)
    for place, row in zip(out, rows, strict=True):
        place[: len(row)] = row
    return out
