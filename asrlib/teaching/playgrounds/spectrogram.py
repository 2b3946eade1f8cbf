"""The spectrogram playground: window, hop, mels and pre-emphasis of a sound. Lesson 01."""

from __future__ import annotations

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor

from asrlib.errors import InputError
from asrlib.signal.features import FeatureConfig, FrontEnd
from asrlib.signal.streaming import mono_chunk
from asrlib.teaching.playgrounds.floats import as_text, from_text
from asrlib.teaching.playgrounds.widget import Playground

SETTINGS = ("window_ms", "hop_ms", "mels", "preemphasis")
# what log_mel would compute, but no page can draw
_MOST_MELS = 1000
# seconds; the page takes no more of a recording either
_LONGEST = 10.0


class SpectrogramPlayground(Playground):
    """The playground of lesson 01."""

    @property
    def samples(self) -> Float[Tensor, "samples"]:
        """Return the sound that is shown, which may have been recorded there, in [-1, 1]."""
        return from_text(self.widget.sound["samples"])

    @property
    def sample_rate(self) -> int:
        """Return the samples per second of the sound."""
        return self.widget.sound["rate"]

    @property
    def settings(self) -> dict[str, float]:
        """Return the settings that are shown, as keywords of ``asrlib.log_mel``."""
        return {name: self.value[name] for name in SETTINGS}

    def _shown(self, value: dict[str, Any]) -> dict[str, Any]:
        settings = {name: value[name] for name in SETTINGS}
        spectrogram_options(self.samples, self.sample_rate, **settings)  # an error says what is wrong
        return value


def spectrogram_playground(samples: Any, sample_rate: int, **settings: Any) -> SpectrogramPlayground:
    """Return the playground for a notebook; arguments as of ``spectrogram_options``. Lesson 01."""
    return SpectrogramPlayground("spectrogram", spectrogram_options(samples, sample_rate, **settings))


def spectrogram_options(samples: Any, sample_rate: int, **settings: Any) -> dict[str, Any]:
    """Return the options of the spectrogram playground. Lesson 01.

    ``samples`` are mono in [-1, 1] at ``sample_rate`` Hz, as a tensor or an array. ``settings`` are
    ``window_ms``, ``hop_ms``, ``mels`` and ``preemphasis``, by default those of ``asrlib.log_mel``. Raises
    ``InputError`` for settings that ``log_mel`` does not take, and for a sound that is empty, longer than
    10 s, not mono, or not finite.
    """
    samples = mono_chunk(samples)
    unknown = sorted(settings.keys() - set(SETTINGS))
    if unknown:
        raise InputError(f"there is no setting {unknown[0]}; there are {', '.join(SETTINGS)}")
    value = {name: settings.get(name, getattr(FeatureConfig, name)) for name in SETTINGS}
    _check_settings(value)
    front_end = FrontEnd(sample_rate, **value)
    if not 0 < len(samples) <= _LONGEST * sample_rate:
        raise InputError(f"the sound has {len(samples) / sample_rate:.1f} s; give at most {_LONGEST:.0f} s")
    frames = front_end.frame_count(len(samples))
    return {
        "value": {**value, "frame": frames // 2, "bin": value["mels"] // 2},
        "sound": {"rate": sample_rate, "samples": as_text(samples)},
    }


def _check_settings(value: dict[str, Any]) -> None:
    """Raise ``InputError`` for settings that are no numbers, or give a picture that has no rows."""
    for name, number in value.items():
        if not isinstance(number, (int, float)) or not math.isfinite(number):
            raise InputError(f"{name} is {number!r}; give a finite number")
    if value["mels"] not in range(1, _MOST_MELS + 1):
        raise InputError(f"mels is {value['mels']}; give a whole number from 1 to {_MOST_MELS}")
