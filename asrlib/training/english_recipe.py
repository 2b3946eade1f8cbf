"""The training runs behind the English of docs/results.md: read sentences, from short to long ones.

`train_english` starts from the encoder of a model of short words, trains a CTC head over characters first on
short utterances and then on read books, and searches with an n-gram model of the training transcripts and of
books as text:

    asrlib recipe english --real FOLDER --out runs/english --text BOOK.txt ...      continues where it stopped

``real`` is a folder that contains the folders ``CORPORA``, each with a ``manifest.tsv``. Four readers of
``mini-librispeech`` are tested, and heard in no training data. Lessons 09 and 11.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlib.config.parse import load_config, override
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.evaluate import evaluate
from asrlib.extras import extra
from asrlib.files import write_atomically
from asrlib.model_directory import find_model
from asrlib.recognizer import Recognizer
from asrlib.text.labels import normalize_text
from asrlib.text.ngram import NGram, load_arpa, train_ngram
from asrlib.text.prose import encode_books
from asrlib.text.tokenizers import train_tokenizer
from asrlib.training.checkpoint import last_checkpoint
from asrlib.training.loop import train

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

CONFIG = "english"
# the first in the order by which `load_corpus` splits: the readers that are tested, and those of dev
TEST_READERS = ("ls460", "ls163", "ls5789", "ls4640")
DEV_READERS = ("ls1867", "ls6848")
# folders of read books, of which hours are chosen, and folders of shorter sentences of other people
BOOKS = ("mini-librispeech", "librispeech-251", "ljspeech-385")
SHORT = ("speechocean-train", "an4")
CORPORA = (*BOOKS, *SHORT)
SHORT_SECONDS = 4.5  # the longest utterance of the first stage
# of the language model over characters, (order, lowest count) of its n-grams: of transcripts alone, and with
# books. These are best on the transcripts of the dev readers; the short sentences make those less probable.
TRANSCRIPTS_ALONE, WITH_BOOKS = (5, 1), (7, 6)
BEAM = 16
LM_WEIGHTS = (0.4, 0.7, 1.0)
LABEL_BONUSES = (0.0, 0.7, 1.4, 2.1)  # nats per character


def train_english(
    real: Path,
    out: Path,
    hours: float | None = None,
    init: str | Path | None = "commands-model",
    config: str = CONFIG,
    first_steps: int = 400,
    settings: Sequence[str] = (),
    texts: Sequence[str | Path] = (),
    show_progress: bool = True,
) -> dict[str, Any]:
    """Train ``config`` on recorded sentences, and test it on ``TEST_READERS``, without and with a LM.

    The first stage, in ``out/short``, takes ``first_steps`` steps on utterances of at most ``SHORT_SECONDS``,
    of books, of other people's sentences, and of synthetic ones. The second, in ``out/books``, hears books
    only, which is what the tested readers read. ``hours`` keeps that many hours of read books, for a learning
    curve; None keeps all. ``init`` is as in ``train``, for the first stage; None starts from random weights.
    ``settings`` are assignments for ``override`` in the second stage. ``texts`` are plain text files, such as
    books, that the language model reads as well as the transcripts; `text.prose` says how.

    A stage continues from its last checkpoint. The weight of the language model and the bonus per label are
    those that are best on ``DEV_READERS``. Returns the results, and writes them to ``out/tested.json``; the
    recognizer with its language model is in ``out/model``. Raises ``InputError`` for a missing folder.
    """
    out = Path(out)
    books, short = choose_hours(books_without(real, (*TEST_READERS, *DEV_READERS)), hours), short_cuts(real)
    dev, test = (readers(real, names) for names in (DEV_READERS, TEST_READERS))
    started = time.process_time()
    easy = [cut for cut in (*short, *books) if cut.duration <= SHORT_SECONDS]
    both = [*settings, *characters_of([*short, *books], out / "characters.txt")]
    steps = [f"training.max_steps={first_steps}", f"training.evaluate_every={first_steps}"]
    begin = None if init is None else find_model(init)
    first = override(load_config(config), [*both, *steps])
    _stage(first, _cut_set(easy), out / "short", None, begin, show_progress)
    second = override(load_config(config), both)
    recognizer = _stage(second, _cut_set(books), out / "books", dev, out / "short", show_progress)
    result: dict[str, Any] = {
        "cpu_seconds": time.process_time() - started,
        "book_hours": _hours(books),
        "training_hours": _hours([*short, *books]),
        "parameters": sum(p.numel() for p in recognizer.model.parameters()),
    }
    recognizer.lm = language_model(recognizer, books, out / "lm.arpa", texts)
    result |= score_english(recognizer, dev, test)
    recognizer.save(out / "model", result, half=True)
    write_atomically(out / "tested.json", json.dumps(result, indent=1).encode())
    return result


def _stage(
    config: Any, cuts: CutSet, out: Path, dev: CutSet | None, init: Path | None, show_progress: bool
) -> Recognizer:
    """Train one stage, from its last checkpoint if it has one."""
    resume = last_checkpoint(out) is not None
    return train(config, cuts, out, dev, resume=resume, init=init, show_progress=show_progress)


def readers(real: Path, names: Collection[str]) -> CutSet:
    """Return the utterances of some readers of ``mini-librispeech``.

    Raises ``InputError`` if the folder is missing or has none of them.
    """
    cuts = [cut for cut in _load(real, "mini-librispeech") if cut.supervisions[0].speaker in names]
    if not cuts:
        raise InputError(f"{Path(real, 'mini-librispeech')} has no utterance of {', '.join(names)}")
    return _cut_set(cuts)


def books_without(real: Path, names: Collection[str]) -> list[Cut]:
    """Return the utterances of read books, except those of some readers, who may be in several folders."""
    return [
        cut.with_id(f"{folder}/{cut.id}")
        for folder in BOOKS
        for cut in _load(real, folder)
        if cut.supervisions[0].speaker not in names
    ]


def short_cuts(real: Path) -> list[Cut]:
    """Return the training utterances of other people's short sentences, and of synthetic sentences."""
    sources = [*((name, Path(real, name)) for name in SHORT), ("sentences", "sentences")]
    return [
        cut.with_id(f"{name}/{cut.id}") for name, source in sources for cut in _load_split(source, "train")
    ]


def choose_hours(cuts: Sequence[Cut], hours: float | None) -> list[Cut]:
    """Return utterances of at most ``hours`` hours, always the same ones; None returns all.

    The utterances of fewer hours are part of those of more hours. They come from all readers. Raises
    ``InputError`` if ``hours`` is not positive.
    """
    if hours is None:
        return list(cuts)
    if hours <= 0:
        raise InputError(f"the hours of read books are {hours}; give more than 0")
    mixed = sorted(cuts, key=lambda cut: cut.id)
    random.Random("hours").shuffle(mixed)
    chosen: list[Cut] = []
    left = 3600 * hours
    for cut in mixed:
        left -= cut.duration
        if left < 0:
            break
        chosen.append(cut)
    return chosen


def characters_of(cuts: Iterable[Cut], path: Path) -> list[str]:
    """Write the characters of the transcripts to ``path``; return the settings by which both stages use them.

    The short utterances of the first stage may lack a rare one.
    """
    labels = train_tokenizer("characters", (cut.supervisions[0].text for cut in cuts)).labels
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "\n".join(labels).encode())
    return [f"tokenizer.file={path}", f"tokenizer.vocabulary={len(labels) + 1}"]


def language_model(
    recognizer: Recognizer, cuts: Iterable[Cut], path: Path, texts: Sequence[str | Path] = ()
) -> NGram:
    """Train an n-gram model over the recognizer's labels on the transcripts of ``cuts`` and on books.

    ``path`` is the ARPA file to write.
    """
    tokenizer = recognizer.tokenizer
    transcripts = {normalize_text(cut.supervisions[0].text) for cut in cuts}
    encoded = [tokenizer.encode(text) for text in sorted(transcripts)] + encode_books(tokenizer, texts)
    order, min_count = WITH_BOOKS if texts else TRANSCRIPTS_ALONE
    model = train_ngram(encoded, tokenizer.labels, order, min_count)
    write_atomically(path, model.arpa().encode())
    return load_arpa(path, tokenizer.labels)


def score_english(recognizer: Recognizer, dev: CutSet, test: CutSet) -> dict[str, Any]:
    """Return the scores on the test readers: greedy, beam, and beam with the LM as is best on ``dev``.

    The last of these searches remains set in ``recognizer.config.decoding``.
    """
    greedy = replace(recognizer.config.decoding, beam_width=0)
    beam = replace(greedy, beam_width=BEAM, norm_score=False)
    tried = []
    for weight in LM_WEIGHTS:
        for bonus in LABEL_BONUSES:
            fused = replace(beam, lm_weight=weight, label_bonus=bonus)
            tried.append((_scores(recognizer, dev, fused)["wer"]["percent"], weight, bonus))
    best, weight, bonus = min(tried)
    fused = replace(beam, lm_weight=weight, label_bonus=bonus)
    return {
        "lm": {"order": recognizer.lm.order, "weight": weight, "bonus": bonus, "dev_wer": best},
        "greedy": _scores(recognizer, test, greedy),
        "beam": _scores(recognizer, test, replace(beam, lm_weight=0.0)),
        "beam, lm": _scores(recognizer, test, fused),
    }


def _scores(recognizer: Recognizer, cuts: CutSet, decoding: Any) -> dict[str, Any]:
    recognizer.config.decoding = decoding
    words, characters, _ = evaluate(recognizer, cuts)
    return {
        name: {**asdict(rate), "percent": rate.rate} for name, rate in (("wer", words), ("cer", characters))
    }


def _load(real: Path, name: str) -> list[Cut]:
    return _spelled_out(_corpus(real, name))


def _load_split(source: str | Path, split: str) -> list[Cut]:
    if isinstance(source, Path):
        return _spelled_out(_corpus(source.parent, source.name, split))
    return list(load_corpus(source, split))


def _corpus(real: Path, name: str, split: str | None = None) -> CutSet:
    folder = Path(real, name)
    if not folder.is_dir():
        raise InputError(f"{folder} is missing; this recipe needs it")
    return load_corpus(folder, split)


def _spelled_out(cuts: Iterable[Cut]) -> list[Cut]:
    """Return the cuts whose transcripts have words and no figures, as "1455" can be read in several ways."""
    texts = [(cut, normalize_text(cut.supervisions[0].text)) for cut in cuts]
    return [cut for cut, text in texts if text and not any(c.isdigit() for c in text)]


def _hours(cuts: Iterable[Cut]) -> float:
    return sum(cut.duration for cut in cuts) / 3600


def _cut_set(cuts: Iterable[Cut]) -> CutSet:
    with extra("train"):
        from lhotse import CutSet

    return CutSet.from_cuts(cuts).to_eager()
