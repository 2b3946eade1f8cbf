"""The training runs behind the figures in the README, as functions that can be run again.

``real`` is a folder that contains folders of recordings with a ``manifest.tsv``: ``fsdd`` (isolated
digits), ``speechocean-train`` (sentences and some digit strings), ``librispeech-251`` and
``ljspeech-385`` (sentences). Lessons 09 and 11.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from asrlib.config.parse import load_config, override
from asrlib.data.connected import connected_digits
from asrlib.data.corpora import load_corpus
from asrlib.data.grammar import DIGITS
from asrlib.errors import InputError
from asrlib.evaluate import evaluate
from asrlib.recognizer import Recognizer
from asrlib.training.loop import train

if TYPE_CHECKING:
    from lhotse import CutSet

# the folders of recordings that ``train_sentences`` splits by speaker
SENTENCES = ("librispeech-251", "ljspeech-385", "speechocean-train", "fsdd")
# number of test utterances concatenated from isolated digits of the tested speaker
TEST_STRINGS = 200
# frequency warps at which `score_heads` tests a CTC head
WARPS = [0.88, 0.94, 1.0, 1.06, 1.13]


def isolated_digits(real: Path) -> CutSet:
    """Return the recordings of FSDD, one digit per utterance."""
    return load_corpus(_folder(real, "fsdd"))


def digit_strings(real: Path) -> CutSet:
    """Return the utterances of speechocean762 that consist of digits only."""
    cuts = load_corpus(_folder(real, "speechocean-train"))
    return cuts.filter(lambda cut: set(_words(cut)) <= set(DIGITS)).to_eager()


def folds(real: Path) -> dict[str, list[str]]:
    """Return the folds of the cross-validation.

    Maps each FSDD speaker to the speakers of digit strings that are left out together with them. Every
    speaker of real digits is left out once.
    """
    left_out = sorted(_speakers(isolated_digits(real)))
    others = sorted(_speakers(digit_strings(real)))
    return {speaker: others[index :: len(left_out)] for index, speaker in enumerate(left_out)}


def train_digits(
    real: Path,
    out: Path,
    leave_out: str | None = None,
    init: Path | None = None,
    strings: int = 4000,
    repeats: int = 10,
    settings: Sequence[str] = (),
    show_progress: bool = True,
) -> dict[str, float]:
    """Train ``contextnet-digits`` on real and synthetic digits, and test it on the speakers left out.

    Isolated digits are concatenated into ``strings`` utterances. Each recorded digit string is used
    ``repeats`` times per epoch. ``settings`` are assignments for ``override``; ``init`` is as in ``train``.

    ``leave_out`` is an FSDD speaker whose fold is excluded from training. Returns the training time in
    ``seconds`` and the WERs in percent of ``score_heads`` on that fold: ``strung`` (concatenated digits of
    the FSDD speaker) and ``spoken`` (digit strings of the other speakers of the fold). None trains on all
    speakers and tests on none. Raises ``InputError`` for an unknown speaker or a missing folder.
    """
    spoken, isolated, pieces = digit_strings(real), isolated_digits(real), folds(real)
    hidden = _hidden(pieces, leave_out)
    speakers = [speaker for speaker in pieces if speaker not in hidden]
    seen = spoken.filter(lambda cut: cut.supervisions[0].speaker not in hidden).to_eager()
    started = time.monotonic()
    cuts = connected_digits(isolated, speakers, strings, seed=0)
    cuts = cuts + seen.repeat(repeats) + load_corpus("digits", "train")
    config = override(load_config("contextnet-digits"), list(settings))
    recognizer = train(config, cuts, out, init=init, show_progress=show_progress)
    result = {"seconds": time.monotonic() - started}
    if leave_out is not None:
        result |= score_heads(recognizer, left_out(real, leave_out))
        Path(out, "left_out.json").write_text(json.dumps(result | {"left_out": sorted(hidden)}, indent=1))
    return result


def left_out(real: Path, speaker: str) -> dict[str, CutSet]:
    """Return the test sets of an FSDD speaker's fold: ``strung`` and ``spoken`` digits.

    Raises ``InputError`` for an unknown speaker.
    """
    hidden, spoken = _hidden(folds(real), speaker), digit_strings(real)
    return {
        "strung": connected_digits(isolated_digits(real), [speaker], TEST_STRINGS, seed=1),
        "spoken": spoken.filter(lambda cut: cut.supervisions[0].speaker in hidden).to_eager(),
    }


def _hidden(pieces: dict[str, list[str]], leave_out: str | None) -> set[str]:
    if leave_out is not None and leave_out not in pieces:
        raise InputError(f"there is no FSDD speaker {leave_out!r}; choose from {', '.join(pieces)}")
    return set() if leave_out is None else {leave_out, *pieces[leave_out]}


def score_heads(recognizer: Recognizer, corpora: dict[str, CutSet]) -> dict[str, float]:
    """Return the WER in percent on each corpus with the transducer, the CTC head, and CTC at ``WARPS``.

    Keys are "corpus, way", such as "spoken, ctc warped".
    """
    usual = recognizer.config.decoding
    ways = {
        "transducer": replace(usual, head="transducer", warps=None),
        "ctc": replace(usual, head="ctc", warps=None),
        "ctc warped": replace(usual, head="ctc", warps=WARPS),
    }
    rates = {}
    for way, recognizer.config.decoding in ways.items():
        for name, cuts in corpora.items():
            rates[f"{name}, {way}"] = evaluate(recognizer, cuts).words.rate
    recognizer.config.decoding = usual
    return rates


def train_sentences(
    real: Path,
    out: Path,
    init: Path | None = None,
    repeats: int = 1,
    settings: Sequence[str] = (),
    show_progress: bool = True,
) -> dict[str, float]:
    """Train ``contextnet-sentences`` on the training splits of all recordings and of synthetic sentences.

    The weights with the lowest WER on the dev splits are kept. A recording is used ``repeats`` times per
    epoch, a synthetic sentence once. ``settings`` are assignments for ``override``; ``init`` is as in
    ``train``.

    Returns WER and CER in percent of both heads on the test split of each corpus, and writes them with
    their counts to ``out/tested.json``. The speakers of the test splits are not in the training data,
    except in ``ljspeech-385``, which has one speaker: there only the sentences are new. Raises
    ``InputError`` for a missing folder.
    """
    split = {part: _sentences(real, part) for part in ("train", "dev", "test")}
    config = override(load_config("contextnet-sentences"), list(settings))
    repeated = {
        name: cuts if name == "sentences" else cuts.repeat(repeats) for name, cuts in split["train"].items()
    }
    train_cuts, dev_cuts = _together(repeated.values()), _together(split["dev"].values())
    recognizer = train(config, train_cuts, out, dev_cuts, init=init, show_progress=show_progress)
    rates, rows = {}, []
    for head in ("transducer", "ctc"):
        recognizer.config.decoding = replace(recognizer.config.decoding, head=head)
        for name, cuts in split["test"].items():
            words, characters, _ = evaluate(recognizer, cuts)
            rows.append({"head": head, "corpus": name, "wer": vars(words), "cer": vars(characters)})
            rates |= {f"{name}, {head}, WER": words.rate, f"{name}, {head}, CER": characters.rate}
    Path(out, "tested.json").write_text(json.dumps(rows, indent=1))
    return rates


def _sentences(real: Path, split: str) -> dict[str, CutSet]:
    corpora = {name: load_corpus(_folder(real, name), split).filter(_spelled_out) for name in SENTENCES}
    spoken = {name: cuts.to_eager() for name, cuts in corpora.items()}
    return spoken | {"sentences": load_corpus("sentences", split)}


def _spelled_out(cut) -> bool:
    """Return whether the transcript has words and no figures, as "1455" can be read in several ways."""
    return bool(_words(cut)) and not re.search("[0-9]", cut.supervisions[0].text)


def _together(corpora: Iterable[CutSet]) -> CutSet:
    first, *rest = corpora
    return sum(rest, first).to_eager()


def _folder(real: Path, name: str) -> Path:
    folder = Path(real, name)
    if not folder.is_dir():
        raise InputError(f"{folder} is missing; this recipe needs it")
    return folder


def _speakers(cuts: CutSet) -> set[str]:
    return {cut.supervisions[0].speaker for cut in cuts}


def _words(cut) -> list[str]:
    return re.findall("[a-z']+", cut.supervisions[0].text.lower())
