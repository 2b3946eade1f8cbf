"""From a corpus to augmented, padded training batches that can be repeated exactly.

Batches hold utterances of similar length (lhotse's bucketing sampler), up to a total
of seconds. All randomness of step ``n`` comes from (seed, n): a resumed run draws the
same numbers as one that was never interrupted. Lesson 09.
"""

from __future__ import annotations

import math
import random
import threading
import warnings
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
import torchaudio.functional
from jaxtyping import Bool, Float, Int
from torch import Tensor

from asrlib.config.schema import AugmentConfig
from asrlib.errors import InputError
from asrlib.signal import augment
from asrlib.signal.features import FrontEnd
from asrlib.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut


@dataclass
class Batch:
    """Padded waveforms (lengths in samples) and label numbers, with the utterances' ids."""

    ids: list[str]
    waveforms: Float[Tensor, "batch samples"]
    lengths: Int[Tensor, "batch"]
    targets: Int[Tensor, "batch U"]
    target_lengths: Int[Tensor, "batch"]


class AudioCache:
    """Waveforms at one sample rate, kept as 16-bit numbers up to ``max_bytes``.

    A small corpus is decoded once and then lives in memory; of a large one, what does
    not fit is read from disk every time.

    Inside a ``with`` block, ``workers`` threads read and decode the next of ``batches`` while one is
    computed; 0: each utterance is read when it is wanted. Nothing but time depends on their number.
    Reading waits for the disk and decodes in C, where Python's threads do not hold one another up.
    """

    def __init__(self, sample_rate: int, max_bytes: int = 2_000_000_000, workers: int = 0):
        self.sample_rate, self.room, self.workers = sample_rate, max_bytes, workers
        self._kept: dict[str, np.ndarray] = {}
        self._counting = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._coming: dict[str, deque[Future]] = defaultdict(deque)  # an utterance may come again soon

    def load(self, cut: Cut) -> Tensor:
        """float32 samples in [-1, 1]; the mean over channels. What went wrong in a thread is raised here."""
        coming = self._coming.get(cut.id)
        if not coming:
            return self._load(cut)
        future = coming.popleft()
        if not coming:  # of a corpus larger than memory not even the ids are kept
            del self._coming[cut.id]
        return future.result()

    def _load(self, cut: Cut) -> Tensor:
        kept = self._kept.get(cut.id)
        if kept is None:
            from asrlib.data.corpora import cut_audio

            samples = torch.from_numpy(cut_audio(cut))
            if cut.sampling_rate != self.sample_rate:
                samples = torchaudio.functional.resample(samples, cut.sampling_rate, self.sample_rate)
            kept = (samples * 32767).round().clamp(-32768, 32767).to(torch.int16).numpy()
            with self._counting:
                if kept.nbytes <= self.room and cut.id not in self._kept:
                    self.room -= kept.nbytes
                    self._kept[cut.id] = kept
        return torch.from_numpy(kept).float() / 32768

    def batches(self, batches: Iterator[list[Cut]]) -> Iterator[list[Cut]]:
        """The same batches in their order, each handed out when the threads know of the next ones."""
        if self._threads is None:
            yield from batches
            return
        known: deque[list[Cut]] = deque()
        for batch in batches:
            for cut in batch:
                self._coming[cut.id].append(self._threads.submit(self._load, cut))
            known.append(batch)
            if len(known) > max(2, self.workers):
                yield known.popleft()
        yield from known

    def __enter__(self) -> AudioCache:
        if self.workers:
            # a switch that each thread has of its own
            switch = dict(initializer=torch.set_flush_denormal, initargs=(True,))
            self._threads = ThreadPoolExecutor(self.workers, "read-ahead", **switch)
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the threads, whatever was still to be read."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._threads = None
            self._coming.clear()


def encode_corpus(cuts: CutSet, tokenizer: Tokenizer) -> dict[str, list[int]]:
    """Label numbers of every cut, by id; all of them before training starts, so that a
    transcript the tokenizer cannot encode is found at once. ``InputError`` names it, and
    an id that two utterances share.
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


class BatchSampler:
    """Lists of cuts, by epoch, the same for the same (seed, epoch, rank): up to ``batch_seconds``
    of speech each, or ``batch_utterances`` if that is given.

    Processes share out batches that are so many times larger: together they do what one
    process does with the larger batch, and hear each utterance once an epoch.
    """

    def __init__(
        self,
        cuts: CutSet,
        batch_seconds: float,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        batch_utterances: int | None = None,
    ):
        self.cuts, self.batch_seconds, self.seed = cuts, batch_seconds, seed
        self.rank, self.processes, self.batch_utterances = rank, processes, batch_utterances

    def epoch(self, number: int, first: int = 0) -> Iterator[list[Cut]]:
        """Batches from the one numbered ``first``."""
        yield from islice(self._epoch(number), first, None)

    def count(self, number: int) -> int:
        """The batches of an epoch."""
        return sum(1 for _ in self._epoch(number))

    def _epoch(self, number: int) -> Iterator[list[Cut]]:
        from lhotse.dataset import DynamicBucketingSampler

        count = len(self.cuts)
        if count < self.processes:
            raise InputError(f"{self.processes} processes cannot share {count} utterances: start fewer")
        if count == 1:  # too few for lhotse's buckets
            yield list(self.cuts)
            return
        utterances = self.batch_utterances and self.batch_utterances * self.processes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lhotse's guesses about corpora that do not fit into memory
            sampler = DynamicBucketingSampler(
                self.cuts,
                max_duration=None if utterances else self.batch_seconds * self.processes,
                max_cuts=utterances,
                num_buckets=min(20, max(2, count // 50)),
                shuffle=True,
                drop_last=False,
                seed=self.seed,
                world_size=1,  # lhotse would hand out whole batches, and some twice
                rank=0,
                # lhotse would look at 10,000 cuts at a time, which of several corpora are the first one's
                num_cuts_for_bins_estimate=max(10_000, count),
                buffer_size=max(10_000, count),
            )
            sampler.set_epoch(number)
            batches = map(list, sampler)
        for batch in _shareable(batches, self.processes):
            yield batch[self.rank :: self.processes]

    def padding(self, cuts: Sequence[Cut]) -> tuple[int, int] | None:
        """No more than the longest of a batch needs."""
        return None


def _shareable(batches: Iterator[list[Cut]], processes: int) -> Iterator[list[Cut]]:
    """A batch of fewer utterances than processes joins the one before it (the first: the one behind)."""
    ready: list[Cut] = []
    for batch in batches:
        if len(ready) >= processes and len(batch) >= processes:
            yield ready
            ready = []
        ready = ready + batch
    yield ready


class StaticBatchSampler:
    """As ``BatchSampler``, for XLA, which compiles a program for each shape: at most ``buckets`` shapes.

    Utterances are sorted into buckets by their length. All batches of a bucket have the same count and are
    padded to the same size, that of its longest utterance, played at ``slowest`` speed. Its last batch of
    an epoch is filled up with others of the bucket, so that none is left out.
    """

    def __init__(
        self,
        cuts: CutSet,
        labels: dict[str, list[int]],
        sample_rate: int,
        batch_seconds: float,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        batch_utterances: int | None = None,
        slowest: float | None = None,
        buckets: int = 4,
    ):
        self.seed, self.rank, self.processes = seed, rank, processes
        self.buckets: list[tuple[list[Cut], int]] = []  # with the utterances of a batch, of all processes
        self._padding: dict[str, tuple[int, int]] = {}
        ordered = sorted(cuts, key=lambda cut: (cut.duration, cut.id))
        ends = np.cumsum([cut.duration for cut in ordered])
        # about the same seconds in each
        bucket_of = np.minimum((ends / ends[-1] * buckets).astype(int), buckets - 1)
        for bucket in np.unique(bucket_of):
            members = [cut for cut, b in zip(ordered, bucket_of, strict=True) if b == bucket]
            count = batch_utterances or max(1, int(batch_seconds // members[-1].duration))
            together = processes * min(count, -(-len(members) // processes))
            samples = math.ceil(members[-1].duration * sample_rate) + 1
            if slowest is not None:
                samples = augment.longest_after(samples, slowest)
            longest = max(len(labels[cut.id]) for cut in members)
            self.buckets.append((members, together))
            self._padding |= {cut.id: (samples, longest) for cut in members}

    def epoch(self, number: int, first: int = 0) -> Iterator[list[Cut]]:
        """Batches from the one numbered ``first``."""
        draw = random.Random(f"{self.seed} {number}")
        batches = []
        for members, together in self.buckets:
            order = draw.sample(members, len(members))
            order += (order * together)[: -len(order) % together]
            batches += [order[n : n + together] for n in range(0, len(order), together)]
        draw.shuffle(batches)
        for batch in batches[first:]:
            yield batch[self.rank :: self.processes]

    def count(self, number: int) -> int:
        """The batches of an epoch."""
        return sum(-(-len(members) // together) for members, together in self.buckets)

    def padding(self, cuts: Sequence[Cut]) -> tuple[int, int]:
        """Samples and labels of the batch these cuts make."""
        return self._padding[cuts[0].id]


def collate(
    cuts: Sequence[Cut],
    audio: AudioCache,
    labels: dict[str, list[int]],
    speed: Sequence[float] | None = None,
    padding: tuple[int, int] | None = None,
) -> Batch:
    """``speed``: a factor for each cut. ``padding``: samples and labels to pad to, at least."""
    waveforms = [audio.load(cut) for cut in cuts]
    if speed is not None:
        waveforms = [augment.change_speed(w, factor) for w, factor in zip(waveforms, speed, strict=True)]
    targets = [torch.tensor(labels[cut.id]) for cut in cuts]
    samples, longest = padding or (0, 0)
    return Batch(
        ids=[cut.id for cut in cuts],
        waveforms=_padded(waveforms, samples),
        lengths=torch.tensor([w.shape[0] for w in waveforms]),
        targets=_padded(targets, longest),
        target_lengths=torch.tensor([t.shape[0] for t in targets]),
    )


def _padded(rows: list[Tensor], size: int) -> Tensor:
    """Behind one another as rows of the longest one's length, at least ``size``, zeros behind them."""
    size = max(size, *(len(row) for row in rows))
    return torch.stack([torch.nn.functional.pad(row, (0, size - len(row))) for row in rows])


def draw_speed(config: AugmentConfig, count: int, generator: torch.Generator) -> list[float] | None:
    if config.speed is None:
        return None
    return augment.uniform(*config.speed, (count,), generator).tolist()


def augmented_features(
    waveforms: Float[Tensor, "batch samples"],
    lengths: Int[Tensor, "batch"],
    front_end: FrontEnd,
    config: AugmentConfig,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "batch frames mels"], Int[Tensor, "batch"]]:
    """Channel, room, noise; features with a warped frequency axis; SpecAugment."""
    waveforms = augment_waveforms(waveforms, lengths, front_end.sample_rate, config, generator)
    warp = draw_warp(config, len(waveforms), generator)
    features, counts = front_end(waveforms, lengths, None if warp is None else warp.to(waveforms.device))
    times, bins = draw_spec_masks(config, counts.cpu(), features.shape[1], features.shape[2], generator)
    return augment.hide(features, times.to(features.device), bins.to(features.device)), counts


def augment_waveforms(
    waveforms: Float[Tensor, "batch samples"],
    lengths: Int[Tensor, "batch"],
    sample_rate: int,
    config: AugmentConfig,
    generator: torch.Generator,
) -> Float[Tensor, "batch samples"]:
    """The first part of ``augmented_features``: channel, room, noise, gate."""
    batch = waveforms.shape[0]

    def some(probability: float) -> Tensor:
        return (torch.rand(batch, generator=generator) < probability).float()

    if config.channel_db:
        waveforms = augment.colour_channel(
            waveforms, augment.uniform(-config.channel_db, config.channel_db, (batch, 5), generator)
        )
    if config.room_probability:
        decay = augment.uniform(0.1, 0.5, (batch,), generator)
        wet = augment.uniform(0.05, 0.6, (batch,), generator) * some(config.room_probability)
        waveforms = augment.reverberate(waveforms, sample_rate, decay, wet, generator)
    clean = waveforms
    if config.noise_probability:
        snr = augment.uniform(*config.noise_snr_db, (batch,), generator)
        snr = snr + 100.0 * (1 - some(config.noise_probability))
        colour = augment.uniform(0.0, 2.0, (batch,), generator)
        waveforms = augment.add_noise(waveforms, lengths, snr, colour, generator)
    if config.gate_probability:
        gated = some(config.gate_probability)
        waveforms = augment.gate_noise(waveforms, clean, sample_rate, gated)
    return waveforms


def draw_warp(
    config: AugmentConfig, count: int, generator: torch.Generator
) -> Float[Tensor, "batch"] | None:
    """A factor for each of ``count`` utterances' frequency axis, on the CPU; None if no axis is warped."""
    return None if config.warp is None else augment.uniform(*config.warp, (count,), generator)


def draw_spec_masks(
    config: AugmentConfig, lengths: Int[Tensor, "batch"], frames: int, mels: int, generator: torch.Generator
) -> tuple[Bool[Tensor, "batch frames"], Bool[Tensor, "batch mels"]]:
    """SpecAugment's masks of time and frequency, on the CPU, where ``lengths`` (in frames) are, too."""
    return augment.draw_masks(
        lengths,
        frames,
        mels,
        generator,
        config.time_masks,
        config.time_fraction,
        config.time_width,
        config.freq_masks,
        config.freq_width,
    )
