"""The training runs behind the figures that the README reports, as functions one can run again.

``real`` is a folder that holds folders of recordings with ``manifest.tsv``: ``fsdd``
(isolated digits), ``speechocean-train`` (sentences and some digit strings),
``librispeech-251`` and ``ljspeech-385`` (sentences). Lessons 09 and 11.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

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
# utterances strung from the isolated digits of the speaker tested
TEST_STRINGS = 200
# frequency warps at which the shipped model's CTC head transcribes
WARPS = [0.88, 0.94, 1.0, 1.06, 1.13]
# the two networks of the shipped model, as arguments of `train_digits`: the second trains on more noise
CLEAN = {"settings": ["training.max_steps=2500"]}
NOISY = {
    "strings": 12000,
    "repeats": 20,
    "settings": [
        "training.max_steps=2000",
        "training.ctc_weight=0.5",
        "features.log_floor=0.001",
        "augment.noise_probability=0.8",
        "augment.noise_snr_db=[5,35]",
        "augment.gate_probability=0.25",
    ],
}
# nats taken from blank's score at every frame: networks agree on it most, so that their mean deletes words
BLANK_PENALTY = 1.0


def isolated_digits(real: Path) -> CutSet:
    """Return FSDD: one digit per utterance."""
    return load_corpus(_folder(real, "fsdd"))


def digit_strings(real: Path) -> CutSet:
    """Return the utterances of speechocean762 that are nothing but digits."""
    cuts = load_corpus(_folder(real, "speechocean-train"))
    return cuts.filter(lambda cut: set(_words(cut)) <= set(DIGITS)).to_eager()


def folds(real: Path) -> dict[str, list[str]]:
    """Return for each FSDD speaker the speakers of digit strings that are left out beside them.

    Every speaker of real digits is left out once.
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
    """Train ``contextnet-digits`` on real and synthetic digits; test it on the speakers left out.

    The isolated digits are strung into ``strings`` utterances; a digit string that was spoken
    as one comes ``repeats`` times per epoch.

    ``leave_out`` is an FSDD speaker; their fold of ``folds`` is never trained on, and the
    WERs of both heads on it are returned in per cent: ``strung`` (the FSDD speaker's
    digits in sequence) and ``spoken`` (digit strings of the fold's other speakers), with
    the ``seconds`` spent. None trains on everyone and tests nobody.
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


def train_shipped(
    real: Path, out: Path, leave_out: str | None = None, show_progress: bool = True
) -> dict[str, float]:
    """Train the digit recognizer that ships: two networks of ``train_digits`` in one model directory.

    That is ``out/model``, with 16-bit weights. ``leave_out`` and the result are those of ``train_digits``.
    """
    out = Path(out)
    started = time.monotonic()
    for name, arguments in (("clean", CLEAN), ("noisy", NOISY)):
        train_digits(real, out / name, leave_out, **arguments, show_progress=show_progress)
    recognizer = join(out / "clean", out / "noisy")
    result = {"seconds": time.monotonic() - started}
    if leave_out is not None:
        result |= score_heads(recognizer, left_out(real, leave_out))
    recognizer.save(out / "model", result, half=True)
    return result


def join(first: Path, second: Path) -> Recognizer:
    """Return two trained networks as one recognizer, which averages their CTC heads at ``WARPS``."""
    recognizer = Recognizer.load(first)
    recognizer.members[second.name] = Recognizer.load(second)
    for listener in recognizer.ensemble:
        listener.config.decoding = replace(listener.config.decoding, head="ctc", warps=WARPS)
        with torch.no_grad():
            listener.model.ctc_head.bias[0] -= BLANK_PENALTY
    return recognizer


def left_out(real: Path, speaker: str) -> dict[str, CutSet]:
    """Return the test sets of an FSDD speaker's fold: ``strung`` and ``spoken`` digits."""
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
    """Return WER in per cent of the transducer, of the CTC head, and of the CTC head at ``WARPS``."""
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
    """Train ``contextnet-sentences`` on the training splits of all recordings and of the synthetic sentences.

    The best weights by WER on their dev splits are kept. A recording comes ``repeats`` times per
    epoch, a synthetic sentence once.

    Returns WER and CER in per cent of both heads on the test split of each corpus, whose
    speakers were never trained on (``ljspeech-385`` has one speaker: there, only the
    sentences are new), and writes them with their counts to ``out/tested.json``.
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
    """Whether the transcript has words and no figures: how "1455" was read, it does not say."""
    return bool(_words(cut)) and not re.search("[0-9]", cut.supervisions[0].text)


def _together(corpora: Iterable[CutSet]) -> CutSet:
    first, *rest = corpora
    return sum(rest, first).to_eager()


def _folder(real: Path, name: str) -> Path:
    folder = Path(real, name)
    if not folder.is_dir():
        raise InputError(f"{folder} is missing: this recipe needs it")
    return folder


def _speakers(cuts: CutSet) -> set[str]:
    return {cut.supervisions[0].speaker for cut in cuts}


def _words(cut) -> list[str]:
    return re.findall("[a-z']+", cut.supervisions[0].text.lower())
