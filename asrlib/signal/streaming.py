"""From samples to features chunk by chunk: every stage continues where the last chunk ended.

Resampling keeps the few input samples that the next outputs need. Pre-emphasis keeps the last sample, framing
the samples of unfinished windows, the running mean a sum and a number of frames. The result equals that of
the whole signal at once. Lesson 12.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from asrlib.errors import InputError, first_line
from asrlib.signal.features import FrontEnd
from asrlib.signal.framing import preemphasize
from asrlib.signal.resample import filter_reach, has_table, interpolate, resample
from asrlib.signal.running import running_mean


def mono_chunk(samples: Any) -> Float[Tensor, "n"]:
    """Convert a chunk of mono samples, an array, a tensor or a list, to a float32 tensor.

    Raises ``InputError`` for what is not numbers, for more than one channel, and for NaN or infinite samples.
    """
    try:
        chunk = torch.as_tensor(samples if isinstance(samples, Tensor) else np.asarray(samples, np.float32))
    except (TypeError, ValueError) as error:
        raise InputError(f"audio is no array of samples ({first_line(error)})") from None
    if chunk.dim() != 1:
        raise InputError(f"audio has shape {tuple(chunk.shape)}; expected one row of mono samples")
    if not chunk.isfinite().all():
        raise InputError("audio has samples that are NaN or infinite; look where they come from")
    return chunk.detach().float()


class StreamingResampler:
    """Apply ``asrlib.signal.resample.resample`` chunk by chunk. Rates are in Hz."""

    def __init__(self, rate: int, new_rate: int):
        shared = math.gcd(rate, new_rate)
        self.rate, self.new_rate = rate, new_rate
        self.old, self.new = rate // shared, new_rate // shared
        # how many input samples on either side an output sample depends on
        self.reach = 0 if rate == new_rate else filter_reach(self.old, self.new)
        self.buffer = torch.zeros(0)
        self.dropped = 0  # number of input samples that no later output needs
        self.returned = 0  # number of output samples

    @property
    def delay_seconds(self) -> float:
        """The delay, in seconds, between an output sample's own time and the input that completes it."""
        return self.reach / self.rate

    def feed(self, samples: Float[Tensor, "n"]) -> Float[Tensor, "m"]:
        """Take input samples; return the new output samples that do not depend on future input."""
        if not self.reach:
            return samples
        self.buffer = torch.cat([self.buffer.to(samples.device), samples])
        known = self.dropped + len(self.buffer) - self.reach  # input samples whose right context is there
        return self._resample(max(0, (known - 1) * self.new // self.old + 1 if known > 0 else 0))

    def finish(self) -> Float[Tensor, "m"]:
        """Return the remaining output samples, as if silence followed the input."""
        return self._resample(-(-(self.dropped + len(self.buffer)) * self.new // self.old))

    def _resample(self, until: int) -> Tensor:
        """Return the output samples that were not returned yet, up to index ``until``, exclusive."""
        if until <= self.returned:
            return self.buffer[:0]
        if has_table(self.old, self.new):
            start = self.dropped // self.old * self.new
            resampled = resample(self.buffer, self.old, self.new)
            out, unit = resampled[self.returned - start : until - start], self.old
        else:
            out, unit = interpolate(self.buffer, self.old, self.new, self.returned, until, self.dropped), 1
        self.returned = until
        # drop input before the first sample that the next output depends on: whole periods for the table
        drop = max(0, until * self.old // self.new - self.reach) // unit * unit - self.dropped
        if drop > 0:
            self.buffer = self.buffer[drop:]
            self.dropped += drop
        return out


class StreamingFrontEnd:
    """Apply a ``FrontEnd`` chunk by chunk: return a frame as soon as its window is complete."""

    def __init__(self, front_end: FrontEnd):
        self.front_end = front_end
        self.last: Tensor | None = None
        self.buffer = front_end.taper.new_zeros(0)
        self.sums: tuple[Tensor, ...] = ()
        self.frames = 0

    def feed(self, samples: Float[Tensor, "n"]) -> Float[Tensor, "frames mels"]:
        """Take samples; return the frames whose windows end within them."""
        if not len(samples):
            return self._features(self.buffer[:0])
        joined = samples if self.last is None else torch.cat([self.last, samples])
        emphasized = preemphasize(joined, self.front_end.preemphasis)
        self.buffer = torch.cat([self.buffer, emphasized[len(joined) - len(samples) :]])
        self.last = samples[-1:]
        return self._features(self.buffer)

    def finish(self) -> Float[Tensor, "frames mels"]:
        """Return the frames of the tail, and those that the end completes.

        The end completes the only frame of an utterance shorter than a window and, with ``pad_end``, the
        windows that zeros fill up.
        """
        if self.last is None:  # there were no samples
            return self._features(self.buffer)
        tail = self.feed(self.last.new_zeros(self.front_end.tail))
        if self.front_end.pad_end and len(self.buffer):
            return torch.cat([tail, self._features(self.front_end.padded(self.buffer))])
        if self.frames or not len(self.buffer):
            return tail
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
            mean, *self.sums = running_mean(features, *self.sums, memory=self.front_end.running_memory)
            features = features - mean
        return features[0]
