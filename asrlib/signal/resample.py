"""Change the sample rate of a waveform with windowed sinc filters. Lessons 01 and 12.

Rates with a large common divisor, such as 44,100 and 16,000 Hz, have few different filters, which a table
holds. For other rates, the filter of each output sample is computed where it is used.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from asrlib.errors import InputError

# zero crossings of the sinc on either side of an output sample
ZERO_CROSSINGS = 6
# the filter's cutoff as a fraction of the lower rate's Nyquist frequency, to leave room for its slope
ROLLOFF = 0.99


# rates of sound, in Hz, that are converted
MIN_RATE, MAX_RATE = 4_000, 400_000
# entries of the table of all filters of a period, if it is used
_TABLE = 1 << 20
# entries of the filters that are computed at once, if it is not
_AT_ONCE = 1 << 17


def resample(samples: Float[Tensor, "n"], rate: int, new_rate: int) -> Float[Tensor, "m"]:
    """Resample from ``rate`` Hz to ``new_rate`` Hz: m = ceil(n * new_rate / rate).

    The signal is continued by silence. The filter is a sinc with a Hann window (J. O. Smith, Digital Audio
    Resampling, section "Theory of Ideal Bandlimited Interpolation"). Its cutoff and length are the defaults
    of ``torchaudio.functional.resample``. Time and memory grow in proportion to the samples, for all rates.
    """
    if rate == new_rate:
        return samples
    shared = math.gcd(rate, new_rate)
    old, new = rate // shared, new_rate // shared
    count = -(-len(samples) * new // old)
    if not has_table(old, new):
        return interpolate(samples, old, new, 0, count)
    reach = filter_reach(old, new)
    padded = F.pad(samples, (reach, reach + old))
    # one filter per output sample of a period, each advancing by a period of ``old`` samples
    filters = _filters(old, new, samples.dtype, samples.device)
    periods = F.conv1d(padded[None, None], filters[:, None], stride=old)[0]
    return periods.T.flatten()[:count]


def check_rate(rate: Any, what: str = "sample_rate") -> int:
    """Return a sample rate in Hz as an int. Raises ``InputError``, naming ``what``, unless it can be one."""
    try:
        number = operator.index(rate) if not isinstance(rate, float) else int(rate)
    except (TypeError, ValueError, OverflowError):  # NaN and infinity, too
        number = 0
    if isinstance(rate, bool) or number != rate or not MIN_RATE <= number <= MAX_RATE:
        raise InputError(f"{what} is {rate!r:.50}; give whole Hz, {MIN_RATE:,} to {MAX_RATE:,}")
    return number


def has_table(old: int, new: int) -> bool:
    """Return whether the filters of a period are few enough for a table.

    From 44,100 to 16,000 Hz, a period has 160 output samples; from 44,101 Hz, it has 16,000. Each of their
    filters covers the input of the whole period, almost all of it with zeros.
    """
    return new * (2 * filter_reach(old, new) + old) <= _TABLE


def interpolate(
    samples: Float[Tensor, "n"], old: int, new: int, first: int, until: int, dropped: int = 0
) -> Float[Tensor, "m"]:
    """Return the output samples from ``first`` to ``until``, exclusive, of ``resample``, one filter for each.

    The rates ``old`` and ``new`` are coprime. ``samples`` lacks the first ``dropped`` samples of the signal.
    """
    reach = filter_reach(old, new)
    taps = torch.arange(-reach, reach + 2, device=samples.device)
    pieces = [samples[:0]]
    step = max(1, _AT_ONCE // len(taps))  # output samples at once
    for start in range(first, until, step):
        place = torch.arange(start, min(start + step, until), device=samples.device) * old
        before, after = place.div(new, rounding_mode="floor"), place.remainder(new)
        # input sample k - dropped is left out where there is none: silence
        index = before[:, None] + taps - dropped
        inside = (index >= 0) & (index < len(samples))
        values = samples[index.clamp(0, max(0, len(samples) - 1))] * inside
        # both in units of the input's period; the fraction is exact, however late the sample
        time = taps.to(samples.dtype) - (after.to(samples.dtype) / new)[:, None]
        pieces.append((values * _windowed_sinc(time, old, new)).sum(dim=1))
    return torch.cat(pieces)


def filter_reach(old: int, new: int) -> int:
    """Return how many input samples on either side an output sample depends on. The rates are coprime."""
    return math.ceil(ZERO_CROSSINGS * old / (ROLLOFF * min(old, new)))


@functools.lru_cache(maxsize=8)
def _filters(old: int, new: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "new taps"]:
    """Return, for each of the ``new`` output samples of a period, the filter over its input samples."""
    reach, cutoff = filter_reach(old, new), ROLLOFF * min(old, new)
    inputs = torch.arange(-reach, reach + old, dtype=dtype, device=device) / old
    outputs = torch.arange(0, -new, -1, dtype=dtype, device=device) / new
    return _taps((inputs + outputs[:, None]) * cutoff, cutoff / old)


def _windowed_sinc(time: Tensor, old: int, new: int) -> Tensor:
    """Return the taps at ``time``, in input samples from the output sample. The rates are coprime."""
    cutoff = ROLLOFF * min(old, new) / old
    return _taps(time * cutoff, cutoff)


def _taps(time: Tensor, scale: float) -> Tensor:
    """Return ``scale`` times the windowed sinc at ``time``, in zero crossings from its middle."""
    time = time.clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(time * math.pi / ZERO_CROSSINGS / 2) ** 2
    angle = time * math.pi
    sinc = torch.where(angle == 0, torch.ones_like(angle), angle.sin() / angle)
    return sinc * (window * scale)
