"""The training of digit recognizers, offline and streaming. Lessons 09, 11 and 12.

``real`` is a folder of folders of recordings, see `training.digit_words`. The sets of speakers are
those of `asrlib.training.digit_sets`. A run that stopped continues with ``resume``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlib.config.parse import load_config, override
from asrlib.config.schema import Config
from asrlib.data.grammar import DIGITS
from asrlib.errors import InputError
from asrlib.evaluate import evaluate
from asrlib.metrics import ErrorRate
from asrlib.recognizer import Recognizer
from asrlib.training.command_recipe import training_cuts as command_cuts
from asrlib.training.digit_sets import (
    EVERYONE,
    folds,
    held_out,
    phone_cuts,
    training_cuts,
    vocabulary,
)
from asrlib.training.digit_words import (
    AN4,
    COMMANDS,
    FSDD,
    READ,
    SPEECHOCEAN,
    folder,
)
from asrlib.training.fewer_labels import keep_labels
from asrlib.training.loop import train

if TYPE_CHECKING:
    from lhotse import CutSet

OFFLINE, STREAMING, PHONES = "contextnet-digits", "contextnet-digits-streaming", "phones-digits"
# where errors are pooled over the groups of `folds`
FOLDS = "folds"
# the folder of the networks that know digits only
MODELS = "digits"
# the steps of each cycle of the learning rate, of an offline and a streaming network
CYCLES, STREAMED_CYCLES = (3500, 3500, 3500), (1800, 2400)
HEADS = ("ctc", "transducer")
# the folders of recordings
SOURCES = (FSDD, COMMANDS, AN4, SPEECHOCEAN, *READ)
# the share of pauses of a second or more that a streaming model is trained with
WAITING = 0.1
# the settings of the second stage of phones, of both kinds of network of digits, and of each
ALL_PHONES = ["training.max_steps=2500", "training.batch_seconds=90", "training.max_lr=0.003"]
BOTH = [
    "training.batch_seconds=60",
    "training.max_lr=0.003",
    "training.warmup_steps=60",
    # digits are often said faster than other words, and recorded in more noise
    "augment.speed=[0.85,1.3]",
    "augment.noise_probability=0.8",
    "augment.noise_snr_db=[3,30]",
    "augment.noise_color=[-0.5,1.5]",
    # some recordings lack weak consonants altogether
    "augment.expander_probability=0.4",
]
# epsilon as in phones-digits: bins that hold nothing but noise stay small
DIGITS_ONLY = [*BOTH, "features.epsilon=2.0"]
# time to hear the last word to its end, too
STREAMED = [*BOTH, "features.tail_ms=400"]


def train_digits(
    real: Path,
    out: Path,
    settings: Sequence[str] = (),
    resume: bool = False,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Train digit recognizers on sets of speakers, and test each on those left out.

    Their encoders start from one that recognizes phones, first of command words and then of all recordings
    of the set ``others``. The sets of the networks of digits are those that lack one of the ``folds``,
    which tell how well speakers never heard are recognized, and ``everyone``: this network is written to
    ``out/model`` with 16-bit weights. A network learns digits among other words, so that a voice that is new
    to it is no reason to hear a digit, in `CYCLES` cycles of the learning rate; then it forgets the other
    words. ``settings`` are assignments for ``override``. ``resume`` continues what an earlier call began in
    ``out``.

    Returns the errors of ``score`` by set of speakers, and for `FOLDS` the sums over the groups.
    ``out/model/metrics.json`` has them too. Raises ``InputError`` for a missing folder, and for an ``out``
    that holds a run without ``resume``.
    """
    out, result = Path(out), {}
    for name in SOURCES:
        folder(real, name)
    words, how = out / "words", {"resume": resume, "show_progress": show_progress}
    config = override(load_config(PHONES), list(settings))
    train(config, command_cuts(real), out / "words-phones", **how)
    config = override(load_config(PHONES), [*ALL_PHONES, *settings])
    train(config, phone_cuts(real), out / "phones", init=out / "words-phones", **how)
    for speakers in (*folds(real), EVERYONE):
        cuts = training_cuts(real, words, speakers)
        labels = f"tokenizer.vocabulary={len(vocabulary(cuts)) + 1}"
        configs = _cycles(OFFLINE, CYCLES, [*DIGITS_ONLY, labels, *settings])
        recognizer = train_in_cycles(configs, cuts, out, speakers, out / "phones", **how)
        recognizer = keep_labels(recognizer, sorted(DIGITS))
        result[speakers] = score(recognizer, held_out(real, speakers))
        recognizer.save(out / MODELS / speakers, {"wer": result[speakers]})
    result[FOLDS] = over_folds(result)
    recognizer.save(out / "model", {"wer": result}, half=True)
    return result


def train_streaming(
    real: Path,
    out: Path,
    init: Path,
    settings: Sequence[str] = (),
    resume: bool = False,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Train digit recognizers that stream on the same sets of speakers as ``train_digits``, and test them.

    Each starts from the offline network of its set in ``init``, the ``out`` of ``train_digits``: causal
    convolutions have the same weights, and the network learns to do without the future, in `STREAMED_CYCLES`
    cycles of the learning rate. It hears the same data, with long pauses in some strings, and forgets the
    other words at last, too. The one that is trained on ``everyone`` is written to ``out/model`` with 16-bit
    weights. Other arguments, the result and errors are those of ``train_digits``. Raises ``InputError`` if
    ``init`` lacks one of these networks.
    """
    out, result = Path(out), {}
    for speakers in (*folds(real), EVERYONE):
        if not (missing := Path(init, MODELS, speakers)).is_dir():  # written last
            raise InputError(f"{missing} is missing: init must be the folder of a finished digits-model run")
    for speakers in (*folds(real), EVERYONE):
        cuts = training_cuts(real, out / "words", speakers, WAITING)
        labels = f"tokenizer.vocabulary={len(vocabulary(cuts)) + 1}"
        configs = _cycles(STREAMING, STREAMED_CYCLES, [*STREAMED, labels, *settings])
        how = {"resume": resume, "show_progress": show_progress}
        recognizer = train_in_cycles(configs, cuts, out, speakers, Path(init, speakers), **how)
        recognizer = keep_labels(recognizer, sorted(DIGITS))
        result[speakers] = score(recognizer, held_out(real, speakers))
        recognizer.save(out / MODELS / speakers, {"wer": result[speakers]})
    result[FOLDS] = over_folds(result)
    recognizer.save(out / "model", {"wer": result}, half=True)
    return result


def train_in_cycles(
    configs: Sequence[Config], cuts: CutSet, out: Path, speakers: str, init: Path, **how: bool
) -> Recognizer:
    """Train in a cycle of the learning rate for each of ``configs``; return the last's result.

    The runs are in ``out/cycle-1/<speakers>`` and so on, the last in ``out/<speakers>``. One cycle leaves the
    network underfitted (docs/results.md, "Digits of all sources").
    """
    runs = [*(out / f"cycle-{number}" / speakers for number in range(1, len(configs))), out / speakers]
    for config, start, run in zip(configs, [init, *runs], runs, strict=False):
        recognizer = train(config, cuts, run, init=start, **how)
    return recognizer


def _cycles(name: str, steps: Sequence[int], settings: Sequence[str]) -> list[Config]:
    """Return a configuration for each cycle: ``steps`` has the steps of each, and each has the next seed."""
    configs = []
    for number, count in enumerate(steps):
        config = override(load_config(name), [f"training.max_steps={count}", *settings])
        configs.append(override(config, [f"training.seed={config.training.seed + number}"]))
    return configs


def over_folds(result: dict[str, Any]) -> dict[str, Any]:
    """Return the errors of ``score`` summed over all sets of speakers, by head."""
    return {
        head: {"pooled": pooled(each[head]["pooled"] for each in result.values() if "pooled" in each[head])}
        for head in HEADS
    }


def score(recognizer: Recognizer, corpora: dict[str, CutSet]) -> dict[str, Any]:
    """Return the errors of both heads on each corpus, and pooled over the ``strung`` and ``spoken`` digits.

    Each entry has ``substitutions``, ``deletions``, ``insertions``, ``length`` and the ``rate`` in percent.
    """
    usual = recognizer.config.decoding
    result = {}
    for head in HEADS:
        recognizer.config.decoding = replace(usual, head=head)
        errors = {name: _rated(evaluate(recognizer, cuts).words) for name, cuts in corpora.items()}
        tested = [each for name, each in errors.items() if name.startswith(("strung", "spoken"))]
        if tested:
            errors["pooled"] = pooled(tested)
        result[head] = errors
    recognizer.config.decoding = usual
    return result


def pooled(errors: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return the sums of the errors and of the lengths, with the rate, from entries of ``score``."""
    counts = [[each[field.name] for field in fields(ErrorRate)] for each in errors]
    return _rated(ErrorRate(*(sum(count) for count in zip(*counts, strict=True))))


def _rated(errors: ErrorRate) -> dict[str, float]:
    return asdict(errors) | {"rate": round(errors.rate, 2)}
