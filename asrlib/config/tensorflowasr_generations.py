"""What TensorFlowASR's code does where its configurations say nothing, by generation.

The code was rewritten often, and its features, padding and search changed. A network works only
with those that it was trained with. docs/configuration.md has the same as a table. Lesson 01b shows what the
wrong features do to a trained network.

=======  ==========================================================================================
2020     until January 2021
2021     the first months of 2021 (v0.7): zeros after the end of a signal
1.0      until the rewrite of 2022 (v1.0): centered windows, the signal mirrored at its ends
2023     the rewrite, until 2023
2.1      v2.0 and later
=======  ==========================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Generation:
    """Keys of asrlib's sections, with the values that the code of one generation uses by default."""

    features: dict[str, Any]
    encoder: dict[str, Any]
    decoding: dict[str, Any]


# in all generations: slopes linear in mel, the larger of a power and a small floor
_SHARED = {"mel_slopes": "mel", "floor": "max", "log_floor": 1e-10, "epsilon": 1e-9}
_2020 = _SHARED | {
    "preemphasis": 0.0,
    "normalize_signal": True,
    "normalize": "utterance",
    "log_unit": "db",
    "top_db": 80.0,
}

GENERATIONS = {
    "2020": Generation(
        features=_2020,
        encoder={"variant": "tensorflowasr-2021", "padding": "keras-same"},
        decoding={"max_symbols": 1},
    ),
    "2021": Generation(
        features=_2020 | {"pad_end": True},
        encoder={"variant": "tensorflowasr-2021", "padding": "keras-same"},
        decoding={"max_symbols": 1},
    ),
    "1.0": Generation(
        features=_2020 | {"centered": True, "epsilon_in": "variance"},
        encoder={"variant": "tensorflowasr-2021", "padding": "keras-same"},
        decoding={"max_symbols": 1},
    ),
    "2023": Generation(
        features=_SHARED
        | {
            "preemphasis": 0.97,
            "normalize_signal": False,
            "normalize": "bin",
            "epsilon_in": "variance",
            "fft_size": 1024,
            "spectrum": "magnitude",
            "low_hz": 125.0,
        },
        encoder={"variant": "tensorflowasr", "padding": "causal"},
        decoding={"max_symbols": 16},
    ),
    "2.1": Generation(
        features=_SHARED
        | {
            "preemphasis": 0.97,
            "normalize_signal": False,
            "normalize": "none",
            "epsilon_in": "variance",
            "fft_size": 400,
            "pad_end": True,
        },
        encoder={"variant": "tensorflowasr", "padding": "causal"},
        decoding={"max_symbols": 3},
    ),
}
