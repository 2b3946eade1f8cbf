"""Samples to features chunk by chunk: every stage carries on where the last chunk left it.

Resampling keeps the few input samples that the next outputs still need; pre-emphasis the last
sample; framing the samples of unfinished windows; the running mean a sum and a number of frames.
The result is that of the whole signal at once. Lesson 12.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from asrlib.errors import InputError
from asrlib.signal.features import FrontEnd, preemphasize, running_mean
from asrlib.signal.resample import filter_reach, resample


def mono_chunk(samples: Any) -> Float[Tensor, "n"]:
    """Return mono samples, as many as there are, as float32; raises ``InputError`` for several channels."""
    chunk = torch.as_tensor(np.asarray(samples, dtype=np.float32))
    if chunk.dim() != 1:
        raise InputError(f"audio has shape {tuple(chunk.shape)}; expected one row of mono samples")
    return chunk


class StreamingResampler:
    """``asrlib.signal.resample.resample`` chunk by chunk; rates in Hz."""

    def __init__(self, rate: int, new_rate: int):
        shared = math.gcd(rate, new_rate)
        self.rate, self.new_rate = rate, new_rate
        self.old, self.new = rate // shared, new_rate // shared
        # input samples on either side of an output sample that it depends on
        self.reach = 0 if rate == new_rate else filter_reach(self.old, self.new)
        self.buffer = torch.zeros(0)
        self.dropped = 0  # input samples, in whole periods, that no output needs any more
        self.returned = 0  # output samples

    @property
    def delay_seconds(self) -> float:
        """How much later than its own time an output sample is complete."""
        return self.reach / self.rate

    def feed(self, samples: Float[Tensor, "n"]) -> Float[Tensor, "m"]:
        """Return all further output samples that do not depend on input still to come."""
        if not self.reach:
            return samples
        self.buffer = torch.cat([self.buffer.to(samples.device), samples])
        known = self.dropped + len(self.buffer) - self.reach  # input samples with all they need
        return self._resample(max(0, (known - 1) * self.new // self.old + 1 if known > 0 else 0))

    def finish(self) -> Float[Tensor, "m"]:
        """Return the rest; behind the end there is silence."""
        return self._resample(-(-(self.dropped + len(self.buffer)) * self.new // self.old))

    def _resample(self, until: int) -> Tensor:
        """Return the output samples not yet returned, up to number ``until``."""
        if until <= self.returned:
            return self.buffer[:0]
        start = self.dropped // self.old * self.new
        resampled = resample(self.buffer, self.old, self.new)
        out = resampled[self.returned - start : until - start]
        self.returned = until
        # the input sample from which the next output is made, in whole periods
        periods = max(0, (until * self.old // self.new - self.reach) // self.old) - self.dropped // self.old
        if periods > 0:
            self.buffer = self.buffer[periods * self.old :]
            self.dropped += periods * self.old
        return out


class StreamingFrontEnd:
    """``FrontEnd`` chunk by chunk: a frame as soon as its window is complete."""

    def __init__(self, front_end: FrontEnd):
        self.front_end = front_end
        self.last: Tensor | None = None
        self.buffer = front_end.taper.new_zeros(0)
        self.sums: tuple[Tensor, ...] = ()
        self.frames = 0

    def feed(self, samples: Float[Tensor, "n"]) -> Float[Tensor, "frames mels"]:
        """Return the frames whose windows end within ``samples``."""
        if not len(samples):
            return self._features(self.buffer[:0])
        joined = samples if self.last is None else torch.cat([self.last, samples])
        emphasized = preemphasize(joined, self.front_end.preemphasis)
        self.buffer = torch.cat([self.buffer, emphasized[len(joined) - len(samples) :]])
        self.last = samples[-1:]
        return self._features(self.buffer)

    def finish(self) -> Float[Tensor, "frames mels"]:
        """Return the one frame of an utterance shorter than a window; else nothing is left."""
        if self.frames or not len(self.buffer):
            return self._features(self.buffer[:0])
        return self._features(F.pad(self.buffer, (0, self.front_end.window - len(self.buffer))))

    def _features(self, samples: Tensor) -> Tensor:
        window, hop = self.front_end.window, self.front_end.hop
        if len(samples) < window:
            return self.front_end.filters.new_zeros(0, self.front_end.filters.shape[1])
        frames = samples.unfold(0, window, hop)
        self.buffer = samples[len(frames) * hop :]
        self.frames += len(frames)
        features = self.front_end.log_mels(frames[None])
        if self.front_end.normalize == "running":
            mean, *self.sums = running_mean(features, *self.sums)
            features = features - mean
        return features[0]
