"""The training of digit recognizers, offline and streaming. Lessons 09, 11 and 12.

``real`` is a folder of folders of recordings, see `training.digit_words`. There are these sets of speakers:

``others``    everyone but all of FSDD and the speakers of speechocean762's digit strings. A network that is
              trained on them is tested on those left out.
``george``,   everyone but this speaker of FSDD and a share of the speakers of the digit strings, its group
etc.          of ``folds``. A network that is trained on them is tested on those left out.
``everyone``  with these speakers too, for a model to ship.

The speakers of the dev and test splits of AN4 and Speech Commands are in none, and every network is tested
on them. A run that stopped continues with ``resume``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlib.config.parse import load_config, override
from asrlib.data.connected import connected_digits
from asrlib.data.corpora import load_corpus
from asrlib.data.digit_strings import mixed_digits
from asrlib.errors import InputError
from asrlib.evaluate import evaluate
from asrlib.extras import extra
from asrlib.metrics import ErrorRate
from asrlib.model_directory import shipped_model
from asrlib.recognizer import Recognizer
from asrlib.training.command_recipe import training_cuts as command_cuts
from asrlib.training.digit_words import (
    AN4,
    COMMANDS,
    FSDD,
    RATE,
    READ,
    SPEECHOCEAN,
    as_digits,
    cut_words,
    folder,
    single_words,
    stored_runs,
)
from asrlib.training.loop import train

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

OFFLINE, STREAMING, PHONES = "contextnet-digits", "contextnet-digits-streaming", "phones-digits"
OTHERS, EVERYONE = "others", "everyone"
# where errors are pooled over the groups of `folds`
FOLDS = "folds"
HEADS = ("ctc", "transducer")
# the folders of recordings
SOURCES = (FSDD, COMMANDS, AN4, SPEECHOCEAN, *READ)
# number of training utterances joined from FSDD's digits, and, for streaming, from pieces of all speakers
STRUNG, MIXED = 4000, 7000
# how often an utterance that was spoken as a string of digits is used per epoch
REPEATS = {SPEECHOCEAN: 10, AN4: 3}
# number of test utterances joined from the digits of each speaker of FSDD
TEST_STRINGS = 200
# the share of pauses of a second or more that a streaming model is trained with
WAITING = 0.1
# frequency warps at which the offline model's CTC head transcribes
WARPS = [0.88, 0.94, 1.0, 1.06, 1.13]
# the settings of the two kinds of network
WHOLE = ["training.max_steps=1500", "training.batch_seconds=60", "training.warmup_steps=60"]
STREAMED = [
    "training.max_steps=600",
    "training.batch_seconds=60",
    "training.max_lr=0.003",
    "training.warmup_steps=60",
]


def train_digits(
    real: Path,
    out: Path,
    settings: Sequence[str] = (),
    resume: bool = False,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Train digit recognizers on sets of speakers, and test each on those left out.

    Their encoders start from one that recognizes the phones of command words, whose speakers are many. The
    sets are those that lack one of the ``folds``, which tell how well speakers never heard are recognized,
    and ``everyone``: this network is written to ``out/model`` with 16-bit weights. ``settings`` are
    assignments for ``override``. ``resume`` continues what an earlier call began in ``out``.

    Returns the errors of ``score`` by set of speakers, and for `FOLDS` the sums over the groups.
    ``out/model/metrics.json`` has them too. Raises ``InputError`` for a missing folder, and for an ``out``
    that holds a run without ``resume``.
    """
    out, result = Path(out), {}
    for name in SOURCES:
        folder(real, name)
    config = override(load_config(PHONES), list(settings))
    train(config, command_cuts(real), out / "phones", resume=resume, show_progress=show_progress)
    for speakers in (*folds(real), EVERYONE):
        config = override(load_config(OFFLINE), [*WHOLE, *settings])
        cuts, init = training_cuts(real, speakers), out / "phones"
        recognizer = train(
            config, cuts, out / speakers, resume=resume, init=init, show_progress=show_progress
        )
        recognizer.config.decoding = replace(recognizer.config.decoding, head="ctc", warps=WARPS)
        result[speakers] = score(recognizer, held_out(real, speakers))
    result[FOLDS] = {
        head: {"pooled": pooled(result[fold][head]["pooled"] for fold in folds(real))} for head in HEADS
    }
    recognizer.save(out / "model", {"wer": result}, half=True)
    return result


def train_streaming(
    real: Path,
    out: Path,
    init: Path | None = None,
    speakers: str = EVERYONE,
    settings: Sequence[str] = (),
    resume: bool = False,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Train a digit recognizer that streams, and write it to ``out/model`` with 16-bit weights.

    It starts from the offline network in ``init``, by default the one that ships: causal convolutions have
    the same weights, and the network learns to do without the future. ``init`` must not have heard the
    speakers whom ``speakers`` leaves out. Other arguments and errors are those of ``train_digits``.
    """
    out, init = Path(out), init or shipped_model("digits-model")
    config = override(load_config(STREAMING), [*STREAMED, *settings])
    cuts = streaming_cuts(real, out / "words", speakers)
    recognizer = train(config, cuts, out / speakers, resume=resume, init=init, show_progress=show_progress)
    result = {speakers: score(recognizer, held_out(real, speakers))}
    recognizer.save(out / "model", {"wer": result}, half=True)
    return result


def training_cuts(real: Path, speakers: str) -> CutSet:
    """Return the training data of a set of speakers: joined digits of FSDD, spoken and synthetic strings."""
    with extra("train"):
        from lhotse import CutSet

    cuts: list[Cut] = []
    if heard := people(real, FSDD, speakers):
        cuts += connected_digits(load_corpus(folder(real, FSDD)), sorted(heard), STRUNG)
    for name, repeats in REPEATS.items():
        heard = people(real, name, speakers)
        spoken = [cut for cut in strings(real, name) if _speaker(cut) in heard]
        cuts += [cut.with_id(f"{cut.id} {again}") for again in range(repeats) for cut in spoken]
    return CutSet.from_cuts([*cuts, *load_corpus("digits", "train")]).to_eager()


def streaming_cuts(real: Path, words: Path, speakers: str) -> CutSet:
    """Return the ``training_cuts`` and strings that mix the speakers of all sources, with long pauses.

    ``words`` is the folder for the digits that are found in longer utterances (``stored_runs``).
    """
    with extra("train"):
        from lhotse import CutSet

    heard = {name: people(real, name, speakers) for name in SOURCES}
    pieces = [piece for name in (FSDD, COMMANDS) for piece in single_words(real, name, heard[name])]
    for name in (AN4, SPEECHOCEAN, *READ):
        pieces += cut_words(real, name, stored_runs(real, name, words / f"{name}.json"), heard[name])
    mixed = mixed_digits(pieces, RATE, MIXED, waiting=WAITING)
    return CutSet.from_cuts([*mixed, *training_cuts(real, speakers)]).to_eager()


def people(real: Path, name: str, speakers: str) -> set[str]:
    """Return the speakers of the folder ``name`` who belong to a set of speakers."""
    if name in (AN4, COMMANDS):
        return {_speaker(cut) for cut in load_corpus(folder(real, name), "train")}
    left_out: set[str] = set()
    if speakers != EVERYONE and name in (FSDD, SPEECHOCEAN):
        for speaker, group in groups_left_out(real, speakers).items():
            left_out |= {speaker, *group}
    return {_speaker(cut) for cut in load_corpus(folder(real, name))} - left_out


def groups_left_out(real: Path, speakers: str) -> dict[str, list[str]]:
    """Return the groups of ``folds`` that a set of speakers lacks.

    Raises ``InputError`` for an unknown set.
    """
    groups = folds(real)
    if speakers not in (OTHERS, EVERYONE, *groups):
        raise InputError(
            f"there is no set of speakers {speakers!r}; choose {OTHERS}, {EVERYONE}, {', '.join(groups)}"
        )
    return {name: group for name, group in groups.items() if speakers in (OTHERS, name)}


def strings(real: Path, name: str, split: str | None = None) -> list[Cut]:
    """Return the utterances of the folder ``name`` that hold nothing but digits, written as digit words."""
    found = []
    for cut in load_corpus(folder(real, name), split):
        digits = as_digits(cut.supervisions[0].text, name)
        if digits is not None:
            cut.supervisions[0].text = " ".join(digits)
            found.append(cut)
    return found


def folds(real: Path) -> dict[str, list[str]]:
    """Return the speakers of FSDD, each with a share of the speakers of speechocean762's digit strings.

    Results are reported by these groups.
    """
    strung = sorted({_speaker(cut) for cut in load_corpus(folder(real, FSDD))})
    spoken = sorted({_speaker(cut) for cut in strings(real, SPEECHOCEAN)})
    return {speaker: spoken[index :: len(strung)] for index, speaker in enumerate(strung)}


def held_out(real: Path, speakers: str) -> dict[str, CutSet]:
    """Return the test sets for a network that was trained on a set of speakers, by name.

    These are the digits of AN4 and of Speech Commands by their dev and test speakers. For each of the
    ``folds`` left out, there are besides 200 utterances joined from the digits of the speaker of FSDD, and
    the digit strings spoken by its group.
    """
    with extra("train"):
        from lhotse import CutSet

    found: dict[str, list[Cut] | CutSet] = {}
    isolated, spoken = load_corpus(folder(real, FSDD)), strings(real, SPEECHOCEAN)
    for speaker, group in groups_left_out(real, speakers).items():
        found[f"strung {speaker}"] = connected_digits(isolated, [speaker], TEST_STRINGS, seed=1)
        found[f"spoken {speaker}"] = [cut for cut in spoken if _speaker(cut) in group]
    for name in (AN4, COMMANDS):
        found[name] = strings(real, name, "dev") + strings(real, name, "test")
    return {name: CutSet.from_cuts(cuts).to_eager() for name, cuts in found.items() if cuts}


def score(recognizer: Recognizer, corpora: dict[str, CutSet]) -> dict[str, Any]:
    """Return the errors of both heads on each corpus, and pooled over the ``strung`` and ``spoken`` digits.

    Each entry has ``substitutions``, ``deletions``, ``insertions``, ``length`` and the ``rate`` in percent.
    """
    usual = recognizer.config.decoding
    result = {}
    for head in HEADS:
        recognizer.config.decoding = replace(usual, head=head, warps=usual.warps if head == "ctc" else None)
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


def _speaker(cut: Cut) -> str:
    return str(cut.supervisions[0].speaker)
