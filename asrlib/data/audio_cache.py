"""A cache of decoded waveforms, filled ahead by threads. Lesson 09."""

from __future__ import annotations

import dataclasses
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


MAX_BYTES = 2_000_000_000


class AudioCache:
    """Waveforms at ``sample_rate`` Hz, kept in memory as 16-bit integers up to ``max_bytes``.

    A corpus that fits is decoded once and stays in memory. The rest of a larger corpus is read from disk
    every time.

    ``whole_recordings`` keeps the recording of a cut in place of the cut, see ``of_recordings``.

    Inside a ``with`` block, ``workers`` threads read and decode the next of ``batches`` while one is in use.
    With 0 workers, each utterance is read when it is used. The number of workers changes nothing but speed.
    Threads suffice because waiting for the disk and decoding in C release Python's global lock.
    """

    def __init__(
        self, sample_rate: int, max_bytes: int = MAX_BYTES, workers: int = 0, whole_recordings: bool = False
    ):
        self.sample_rate, self.room, self.workers = sample_rate, max_bytes, workers
        self.whole_recordings = whole_recordings
        self._kept: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        # a queue, because an utterance may be in two of the next batches
        self._pending: dict[str, deque[Future]] = defaultdict(deque)

    @classmethod
    def of_recordings(cls, sample_rate: int, seconds: float, workers: int = 0) -> AudioCache:
        """Return a cache for chunks of recordings, which are ``seconds`` seconds long in all.

        If they fit, each recording is decoded once and its chunks are cut from it. If they do not, nothing is
        kept. It is either all or none, because a chunk that is decoded alone may differ in its last bits, and
        a resumed run would keep other recordings than the run before it.
        """
        fits = 2 * sample_rate * seconds <= MAX_BYTES
        return cls(sample_rate, MAX_BYTES if fits else 0, workers, whole_recordings=fits)

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
        if not self.whole_recordings:
            return torch.from_numpy(self._decoded(cut)).float() / 32768
        recording = cut.recording
        whole = dataclasses.replace(cut, id=recording.id, start=0.0, duration=recording.duration)
        first = round(cut.start * self.sample_rate)
        part = self._decoded(whole)[first : first + round(cut.duration * self.sample_rate)]
        return torch.from_numpy(part).float() / 32768

    def _decoded(self, cut: Cut) -> np.ndarray:
        """Return the samples of a cut as 16-bit integers, kept or decoded now."""
        kept = self._kept.get(cut.id)
        if kept is None:
            samples = torch.from_numpy(cut_audio(cut))
            samples = resample(samples, cut.sampling_rate, self.sample_rate)
            kept = (samples * 32767).round().clamp(-32768, 32767).to(torch.int16).numpy()
            with self._lock:
                if kept.nbytes <= self.room and cut.id not in self._kept:
                    self.room -= kept.nbytes
                    self._kept[cut.id] = kept
        return kept

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
