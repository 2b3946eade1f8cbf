"""Change the sample rate of a waveform with windowed sinc filters. Lessons 01 and 12."""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

# zero crossings of the sinc on either side of an output sample
ZERO_CROSSINGS = 6
# the filter's cutoff as a fraction of the lower rate's Nyquist frequency, to leave room for its slope
ROLLOFF = 0.99


def resample(samples: Float[Tensor, "n"], rate: int, new_rate: int) -> Float[Tensor, "m"]:
    """Resample from ``rate`` Hz to ``new_rate`` Hz: m = ceil(n * new_rate / rate).

    The signal is continued by silence. The filter is a sinc with a Hann window (J. O. Smith, Digital Audio
    Resampling, section "Theory of Ideal Bandlimited Interpolation"). Its cutoff and length are the defaults
    of ``torchaudio.functional.resample``.
    """
    if rate == new_rate:
        return samples
    shared = math.gcd(rate, new_rate)
    old, new = rate // shared, new_rate // shared
    reach = filter_reach(old, new)
    padded = F.pad(samples, (reach, reach + old))
    # one filter per output sample of a period, each advancing by a period of ``old`` samples
    filters = _filters(old, new, samples.dtype, samples.device)
    periods = F.conv1d(padded[None, None], filters[:, None], stride=old)[0]
    return periods.T.flatten()[: -(-len(samples) * new // old)]


def filter_reach(old: int, new: int) -> int:
    """Return how many input samples on either side an output sample depends on. The rates are coprime."""
    return math.ceil(ZERO_CROSSINGS * old / (ROLLOFF * min(old, new)))


@functools.lru_cache(maxsize=8)
def _filters(old: int, new: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "new taps"]:
    """Return, for each of the ``new`` output samples of a period, the filter over its input samples."""
    reach, cutoff = filter_reach(old, new), ROLLOFF * min(old, new)
    inputs = torch.arange(-reach, reach + old, dtype=dtype, device=device) / old
    outputs = torch.arange(0, -new, -1, dtype=dtype, device=device) / new
    # time between input and output sample, in zero crossings
    time = ((inputs + outputs[:, None]) * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(time * math.pi / ZERO_CROSSINGS / 2) ** 2
    angle = time * math.pi
    sinc = torch.where(angle == 0, torch.ones_like(angle), angle.sin() / angle)
    return sinc * (window * (cutoff / old))
