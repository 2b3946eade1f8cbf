"""A cache of decoded waveforms, filled ahead by threads. Lesson 09."""

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
    """Waveforms at ``sample_rate`` Hz, kept in memory as 16-bit integers up to ``max_bytes``.

    A corpus that fits is decoded once and stays in memory. The rest of a larger corpus is read from disk
    every time.

    Inside a ``with`` block, ``workers`` threads read and decode the next of ``batches`` while one is in use.
    With 0 workers, each utterance is read when it is used. The number of workers changes nothing but speed.
    Threads suffice because waiting for the disk and decoding in C release Python's global lock.
    """

    def __init__(self, sample_rate: int, max_bytes: int = 2_000_000_000, workers: int = 0):
        self.sample_rate, self.room, self.workers = sample_rate, max_bytes, workers
        self._kept: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        # a queue, because an utterance may be in two of the next batches
        self._pending: dict[str, deque[Future]] = defaultdict(deque)

    def load(self, cut: Cut) -> Tensor:
        """Return a cut's samples: float32 in [-1, 1], at ``sample_rate`` Hz, averaged over channels.

        Raises ``InputError`` for audio that cannot be read, also if a thread read it.
        """
        pending = self._pending.get(cut.id)
        if not pending:
            return self._load(cut)
        future = pending.popleft()
        if not pending:  # drop even the id: a corpus may be larger than memory
            del self._pending[cut.id]
        return future.result()

    @property
    def cached(self) -> int:
        """The number of utterances kept in memory."""
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
        """Yield ``batches`` unchanged and in order, handing the next few to the threads first."""
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
            # the setting to flush denormal numbers to zero is per thread
            switch = dict(initializer=torch.set_flush_denormal, initargs=(True,))
            self._threads = ThreadPoolExecutor(self.workers, "read-ahead", **switch)
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads and drop what they were going to read."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._threads = None
            self._pending.clear()
