"""Decoded waveforms, kept in memory where they fit and read ahead by threads. Lesson 09."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from asrlib.data.audio import cut_audio
from asrlib.signal.resample import resample

if TYPE_CHECKING:
    from lhotse.cut import Cut


class AudioCache:
    """Waveforms at one sample rate (Hz), kept as 16-bit numbers up to ``max_bytes``.

    A small corpus is decoded once and then stays in memory; of a large one, what does not fit is read from
    disk every time.

    Inside a ``with`` block, ``workers`` threads read and decode the next of ``batches`` while one is
    computed; 0: each utterance is read when it is used. Nothing but time depends on their number. Reading
    waits for the disk and decodes in C, where Python's threads do not block one another.
    """

    def __init__(self, sample_rate: int, max_bytes: int = 2_000_000_000, workers: int = 0):
        self.sample_rate, self.room, self.workers = sample_rate, max_bytes, workers
        self._kept: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._pending: dict[str, deque[Future]] = defaultdict(
            deque
        )  # an utterance may be in two of the next batches

    def load(self, cut: Cut) -> Tensor:
        """Return a cut's float32 samples in [-1, 1], the mean over channels.

        Raises InputError for audio that cannot be read, also where a thread has read it.
        """
        pending = self._pending.get(cut.id)
        if not pending:
            return self._load(cut)
        future = pending.popleft()
        if not pending:  # keep nothing, not even the id, of a corpus larger than memory
            del self._pending[cut.id]
        return future.result()

    @property
    def cached(self) -> int:
        """How many utterances are kept in memory."""
        return len(self._kept)

    def _load(self, cut: Cut) -> Tensor:
        kept = self._kept.get(cut.id)
        if kept is None:
            samples = torch.from_numpy(cut_audio(cut))
            samples = resample(samples, cut.sampling_rate, self.sample_rate)
            kept = (samples * 32767).round().clamp(-32768, 32767).to(torch.int16).numpy()
            with self._lock:
                if kept.nbytes <= self.room and cut.id not in self._kept:
                    self.room -= kept.nbytes
                    self._kept[cut.id] = kept
        return torch.from_numpy(kept).float() / 32768

    def batches(self, batches: Iterator[list[Cut]]) -> Iterator[list[Cut]]:
        """Yield the same batches in their order, each when the threads have been given the next ones."""
        if self._threads is None:
            yield from batches
            return
        known: deque[list[Cut]] = deque()
        for batch in batches:
            for cut in batch:
                self._pending[cut.id].append(self._threads.submit(self._load, cut))
            known.append(batch)
            if len(known) > max(2, self.workers):
                yield known.popleft()
        yield from known

    def __enter__(self) -> AudioCache:
        if self.workers:
            # each thread has this switch of its own
            switch = dict(initializer=torch.set_flush_denormal, initargs=(True,))
            self._threads = ThreadPoolExecutor(self.workers, "read-ahead", **switch)
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads, whatever was still to be read."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._threads = None
            self._pending.clear()
