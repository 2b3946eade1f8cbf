"""Who digit recognizers are trained on, and who they are tested on. Lessons 09, 11 and 12.

``real`` is a folder of folders of recordings, see `training.digit_words`. There are these sets of speakers:

``others``    everyone but all of FSDD and the speakers of speechocean762's digit strings. Phones are learned
              from them.
``george``,   everyone but this speaker of FSDD and a share of the speakers of the digit strings, its group
etc.          of ``folds``. A network that is trained on them is tested on those left out.
``everyone``  with these speakers too, for a model to ship.

The speakers of the dev and test splits of AN4 and Speech Commands are in none, and every network is tested
on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asrlib.data.connected import connected_digits
from asrlib.data.corpora import load_corpus
from asrlib.data.digit_strings import Piece, mixed_digits
from asrlib.data.grammar import DIGITS
from asrlib.errors import InputError
from asrlib.extras import extra
from asrlib.text.labels import normalize_text
from asrlib.training.command_recipe import training_cuts as command_cuts
from asrlib.training.digit_words import (
    AN4,
    COMMANDS,
    FSDD,
    RATE,
    READ,
    SPEECHOCEAN,
    accented_digits,
    as_digits,
    cut_words,
    folder,
    single_words,
    speaker_of,
    stored_runs,
    synthetic_words,
)

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

OTHERS, EVERYONE = "others", "everyone"
# seconds of the longest utterances whose phones are learned
LONGEST = 17.0
# number of training utterances joined from FSDD's digits, and from pieces of many speakers
STRUNG, MIXED = 4000, 6000
# the share of FSDD's digits that are cut closely in the utterances joined from them
CLOSELY = 0.7
# how often an utterance that was spoken as a string of digits is used per epoch, and a single digit of FSDD
REPEATS = {SPEECHOCEAN: 10, AN4: 3}
SINGLE = 2
# how many utterances of each digit alone are kept of the data of `train_commands`, repeats and synthetic
# ones included
MOST = 180
# the share of words that are no digits in the strings of pieces
OTHER_WORDS = 0.2
# number of test utterances joined from the digits of each speaker of FSDD
TEST_STRINGS = 200


def phone_cuts(real: Path) -> CutSet:
    """Return the recordings of `OTHERS` whose phones are learned; FSDD is not among them."""
    tested = {speaker for group in groups_left_out(real, OTHERS).values() for speaker in group}
    kept = command_cuts(real, others=True).filter(
        lambda cut: cut.supervisions[0].speaker not in tested and cut.duration < LONGEST
    )
    return kept.to_eager()


def training_cuts(real: Path, words: Path, speakers: str, waiting: float = 0.0) -> CutSet:
    """Return the training data of a set of speakers: its ``digit_cuts`` among other words.

    Other words are in the training data of `train_commands`, of whose digits only `MOST` of each are used,
    and in the strings of ``pieces``. ``words`` is the folder for the digits that are found in longer
    utterances (``stored_runs``). ``waiting`` is the share of the pauses in these strings that last a second
    or more.
    """
    with extra("train"):
        from lhotse import CutSet

    mixed = mixed_digits(pieces(real, words, speakers), RATE, MIXED, waiting=waiting, others=OTHER_WORDS)
    digits = [cut.with_id(f"digits/{cut.id}") for cut in digit_cuts(real, speakers)]
    return CutSet.from_cuts([*digits, *mixed, *fewer_digits(command_cuts(real))]).to_eager()


def fewer_digits(cuts: Iterable[Cut], most: int = MOST) -> list[Cut]:
    """Return the cuts, but of those of each digit alone only ``most``, evenly chosen.

    Nearly all single digits of Speech Commands at hand are *zero, one, five* and *eight*, by hundreds of
    people: a network would take a new voice as a reason to hear one of these.
    """
    alone: dict[str, list[Cut]] = {word: [] for word in DIGITS}
    rest: list[Cut] = []
    for cut in cuts:
        alone.get(normalize_text(cut.supervisions[0].text), rest).append(cut)
    for each in alone.values():
        if len(each) > most:
            each = [each[place * len(each) // most] for place in range(most)]
        rest += each
    return rest


def digit_cuts(real: Path, speakers: str) -> CutSet:
    """Return digits of FSDD, single and joined, and spoken and synthetic strings of a set of speakers."""
    with extra("train"):
        from lhotse import CutSet

    cuts: list[Cut] = []
    if heard := people(real, FSDD, speakers):
        isolated = load_corpus(folder(real, FSDD))
        cuts += connected_digits(isolated, sorted(heard), STRUNG, closely=CLOSELY)
        cuts += _again([cut for cut in isolated if speaker_of(cut) in heard], SINGLE)
    for name, repeats in REPEATS.items():
        heard = people(real, name, speakers)
        cuts += _again([cut for cut in strings(real, name) if speaker_of(cut) in heard], repeats)
    return CutSet.from_cuts([*cuts, *load_corpus("digits", "train")]).to_eager()


def pieces(real: Path, words: Path, speakers: str) -> list[Piece]:
    """Return the digits that a set of speakers says, in longer utterances or alone, and synthetic words."""
    found = [*synthetic_words(), *accented_digits()]
    for name in (AN4, SPEECHOCEAN, *READ):
        runs = stored_runs(real, name, words / f"{name}.json")
        found += cut_words(real, name, runs, people(real, name, speakers))
    return [*found, *single_words(real, people(real, FSDD, speakers))]


def vocabulary(cuts: Iterable[Cut]) -> list[str]:
    """Return the words of utterances, sorted."""
    return sorted({word for cut in cuts for word in normalize_text(cut.supervisions[0].text).split()})


def _again(cuts: Sequence[Cut], repeats: int) -> list[Cut]:
    """Return utterances several times, each with an id of its own."""
    return [cut.with_id(f"{cut.id} {again}") for again in range(repeats) for cut in cuts]


def people(real: Path, name: str, speakers: str) -> set[str]:
    """Return the speakers of the folder ``name`` who belong to a set of speakers."""
    if name in (AN4, COMMANDS):
        return {speaker_of(cut) for cut in load_corpus(folder(real, name), "train")}
    left_out: set[str] = set()
    if speakers != EVERYONE and name in (FSDD, SPEECHOCEAN):
        for speaker, group in groups_left_out(real, speakers).items():
            left_out |= {speaker, *group}
    return {speaker_of(cut) for cut in load_corpus(folder(real, name))} - left_out


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
    strung = sorted({speaker_of(cut) for cut in load_corpus(folder(real, FSDD))})
    spoken = sorted({speaker_of(cut) for cut in strings(real, SPEECHOCEAN)})
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
        found[f"spoken {speaker}"] = [cut for cut in spoken if speaker_of(cut) in group]
    for name in (AN4, COMMANDS):
        found[name] = strings(real, name, "dev") + strings(real, name, "test")
    return {name: CutSet.from_cuts(cuts).to_eager() for name, cuts in found.items() if cuts}
