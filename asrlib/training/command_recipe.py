"""The training runs behind the figures of the phoneme lab: command words by their phones. Lesson 14.

``real`` is a folder that contains ``commands`` (recordings of one word each, by many speakers) and ``an4``
(spellings, numbers, commands), each with a ``manifest.tsv``. The splits are by speaker, as in `load_corpus`,
so the speakers of dev and test are not in the training data.

Words that are in no training data are recognized if the phones are learned from many *other* words. These
are sentences read by people, from the folders ``SENTENCES`` of ``real``, and words of the CMU dictionary in
synthetic voices.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlib.config.parse import load_config, override
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.evaluate import WordTable, evaluate_words
from asrlib.extras import extra
from asrlib.recognizer import Recognizer
from asrlib.text.labels import normalize_text
from asrlib.text.lexicon import cmu_words, homophones
from asrlib.training.loop import train

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

# a word with fewer training recordings is rare: it is repeated in training and reported separately
FREQUENT = 50
REPEATS = 10
# size of the dev split that selects the weights
DEV_UTTERANCES = 600
# folders of read sentences, with all their speakers: none of them is tested here
SENTENCES = ("librispeech-251", "mini-librispeech", "ljspeech-385", "speechocean-train")


def train_commands(
    real: Path,
    out: Path,
    config: str = "phones-commands",
    hold_out: Sequence[str] = (),
    everyone: bool = False,
    others: bool = False,
    init: Path | None = None,
    settings: Sequence[str] = (),
    show_progress: bool = True,
) -> dict[str, Any]:
    """Train ``config`` on recorded commands, an4 and synthetic commands; test on other speakers.

    ``hold_out`` are words that are excluded from all training data, with the words that sound like them.
    ``everyone`` also trains on the speakers of dev and test, for a model to ship; it is then not tested, and
    the last weights are kept. ``others`` also trains on sentences and on words of the CMU dictionary.

    Returns the test results (see `summarize`) with the ``cpu_seconds`` of the training, and writes them to
    ``out/tested.json``. Raises ``InputError`` for a missing folder.
    """
    hold_out = [normalize_text(word) for word in hold_out]
    settled = override(load_config(config), list(settings))
    cuts = training_cuts(real, hold_out, everyone, others)
    dev = None
    if not everyone and (known := _frequent(_commands(real, "train")) - {*hold_out}):
        dev = _commands(real, "dev").filter(lambda cut: _word(cut) in known).to_eager()
        dev = dev.subset(first=min(DEV_UTTERANCES, len(dev)))
    started = time.process_time()
    recognizer = train(settled, cuts, out, dev, init=init, show_progress=show_progress)
    result: dict[str, Any] = {"cpu_seconds": time.process_time() - started, "utterances": len(cuts)}
    if not everyone:
        result |= score_commands(recognizer, real, hold_out)
    Path(out, "tested.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result


def training_cuts(
    real: Path, hold_out: Sequence[str] = (), everyone: bool = False, others: bool = False
) -> CutSet:
    """Return the data of `train_commands`: recordings, with rare words repeated, and synthetic ones."""
    with extra("train"):
        from lhotse import CutSet

    splits = ("train", "dev", "test") if everyone else ("train",)
    recorded = [cut for split in splits for cut in _commands(real, split)]
    frequent = _frequent(recorded)
    cuts = list(recorded)
    for cut in recorded:
        if _word(cut) not in frequent:
            cuts += [cut.with_id(f"{cut.id} {again}") for again in range(2, REPEATS + 1)]
    for name, source in (("an4", _folder(real, "an4")), ("synthetic", "commands")):
        cuts += _named(name, (cut for split in splits for cut in load_corpus(source, split)))
    if others:
        cuts += _other_words(real)
    held = homophones(hold_out) if hold_out else set()
    return CutSet.from_cuts(cut for cut in cuts if not held & {*_word(cut).split()}).to_eager()


def _other_words(real: Path) -> list[Cut]:
    """Return sentences that the CMU dictionary can pronounce, and synthetic words of that dictionary."""
    pronounced = {*cmu_words()}
    cuts = _named("dictionary", load_corpus("dictionary", "train"))
    for name in SENTENCES:
        cuts += _named(name, load_corpus(_folder(real, name)))
    return [cut for cut in cuts if pronounced.issuperset(_word(cut).split())]


def _named(name: str, cuts: Iterable[Cut]) -> list[Cut]:
    """Return cuts whose ids differ from those of other sources."""
    return [cut.with_id(f"{name}/{cut.id}") for cut in cuts]


def score_commands(recognizer: Recognizer, real: Path, hold_out: Sequence[str] = ()) -> dict[str, Any]:
    """Score a recognizer on the commands of the test speakers; ``hold_out`` are words not in training."""
    table = evaluate_words(recognizer, _commands(real, "test"))
    return summarize(table, _frequent(_commands(real, "train")), hold_out)


def summarize(table: WordTable, frequent: Iterable[str], hold_out: Sequence[str] = ()) -> dict[str, Any]:
    """Return rates in percent of the frequent words, of the rare and of those held out, and all rows."""
    held, known = {*hold_out}, {*frequent}
    groups = {
        "frequent": known - held,
        "rare": {row.word for row in table.rows} - known - held,
        "held_out": held,
    }
    result: dict[str, Any] = {}
    for name, words in groups.items():
        part = table.select(words)
        if part.rows:
            result[name] = {
                "words": len(part.rows),
                "utterances": sum(row.utterances for row in part.rows),
                "macro_word_error": part.macro_word_error,
                "pooled_word_error": part.pooled_word_error,
                "macro_phone_error": part.macro_phone_error,
                "pooled_phone_error": part.pooled_phone_error,
            }
    result["by_word"] = {
        row.word: {
            "utterances": row.utterances,
            "wrong": row.wrong,
            "phone_error": row.phones and row.phones.rate,
            "taken_for": {heard: n for (said, heard), n in table.confusions.items() if said == row.word},
        }
        for row in table.rows
    }
    return result


def _commands(real: Path, split: str) -> CutSet:
    return load_corpus(_folder(real, "commands"), split)


def _frequent(cuts: Iterable[Cut]) -> set[str]:
    counts = Counter(map(_word, cuts))
    return {word for word, count in counts.items() if count >= FREQUENT}


def _word(cut: Cut) -> str:
    """Return the text of a cut, which is a single word in the folder ``commands``."""
    return normalize_text(cut.supervisions[0].text)


def _folder(real: Path, name: str) -> Path:
    folder = Path(real, name)
    if not folder.is_dir():
        raise InputError(f"{folder} is missing; this recipe needs it")
    return folder
