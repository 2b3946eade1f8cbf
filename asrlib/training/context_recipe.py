"""How much context does recognition need? The experiment of lesson 15, on whistled recordings.

`train_contexts` trains a small Conformer and a small ContextNet on chunks of several lengths, with several
seeds each, tests them on whistlers never heard, and changes what comes before the words that are tested:

    asrlib recipe long-context --out runs/contexts        writes runs/contexts/long-context.tsv

The table that ships is data/long-context.tsv.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from asrlib.config.parse import load_config, override
from asrlib.data.corpora import load_corpus
from asrlib.data.whistles import NAMES, PASTS, SAMPLE_RATE, past_and_tail, write_whistles
from asrlib.extras import extra
from asrlib.files import replacing
from asrlib.recognizer import Recognizer
from asrlib.training.loop import train

if TYPE_CHECKING:
    from lhotse.cut import Cut

MODELS = ("conformer-whistles", "contextnet-whistles")
CONTEXTS = (128.0, 2.0)  # seconds, of chunks in training
SEEDS = (0, 1, 2)
WINDOWS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)  # seconds, of windows in recognition
RECORDING = 128.0  # seconds
PAST, TAIL = 112.0, 16.0  # seconds: what is changed, and what is tested
OVERLAP = 0.75
TABLE = "long-context.tsv"
COLUMNS = ("model", "trained_s", "seed", "window_s", "past", "part", "errors", "words")


class Score(NamedTuple):
    """Errors and words of a part of the text: ``all``, or the ``words`` or ``names`` of the reference.

    Insertions belong to no word of the reference, so only ``all`` counts them.
    """

    part: str
    errors: int
    words: int


def train_contexts(
    out: str | Path,
    models: Sequence[str] = MODELS,
    contexts: Sequence[float] = CONTEXTS,
    seeds: Sequence[int] = SEEDS,
    recordings: tuple[int, int] = (120, 24),
    settings: Sequence[str] = (),
    show_progress: bool = True,
) -> Path:
    """Train and test each model for each context and seed, and return the file of the table.

    ``contexts`` are lengths of chunks in seconds. A model is tested in windows of that length; one that was
    trained on whole recordings also in shorter ones, and with other pasts. ``recordings`` is the number of
    recordings in training and in the test. ``settings`` are assignments for ``override``. A run that was
    tested is not repeated, so an interrupted experiment continues.

    Raises ``InputError`` for an unknown model or setting.
    """
    out = Path(out)
    corpus = out / "corpus"
    if not corpus.exists():
        write_whistles(corpus, *recordings, RECORDING)
    cuts, test = load_corpus(corpus, "train"), list(load_corpus(corpus, "test"))
    for seed in seeds:
        for model in models:
            for context in contexts:
                folder = out / f"{model}-{context:g}-{seed}"
                if not (folder / "tested.json").is_file():
                    chunks = [f"training.chunk_seconds={context}", f"training.seed={seed}"]
                    config = override(load_config(model), [*chunks, *settings])
                    started = time.process_time()
                    recognizer = train(config, cuts, folder, resume=True, show_progress=show_progress)
                    spent = time.process_time() - started
                    if context == RECORDING:
                        rows = window_rows(recognizer, test, WINDOWS) + past_rows(recognizer, len(test))
                    else:
                        rows = window_rows(recognizer, test, [context])
                    run = {"model": model, "trained_s": context, "seed": seed}
                    found = {"cpu_seconds": spent, "rows": [run | row for row in rows]}
                    (folder / "tested.json").write_text(json.dumps(found), encoding="utf-8")
    return write_table(out)


def write_table(out: Path) -> Path:
    """Write what all tested runs in ``out`` found into one table, and return its path."""
    with replacing(out) as draft, open(draft / TABLE, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for tested in sorted(out.glob("*/tested.json")):
            writer.writerows(json.loads(tested.read_text(encoding="utf-8"))["rows"])
    return out / TABLE


def window_rows(
    recognizer: Recognizer, test: Iterable[Cut], windows: Iterable[float]
) -> list[dict[str, Any]]:
    """Return the scores on whole recordings, for each length of window in seconds."""
    texts = [(cut, cut.supervisions[0].text) for cut in test]
    rows = []
    for window in windows:
        pairs = [
            (text, recognizer.transcribe_long(cut.load_audio()[0], cut.sampling_rate, window, OVERLAP).text)
            for cut, text in texts
        ]
        rows += [{"window_s": window, "past": "intact", **score._asdict()} for score in scores(pairs)]
    return rows


def past_rows(recognizer: Recognizer, count: int) -> list[dict[str, Any]]:
    """Return the scores of the last ``TAIL`` seconds of recordings, for each of ``PASTS`` before them."""
    rows = []
    for past in PASTS:
        pairs = []
        for number in range(count):
            samples, text, start = past_and_tail(number, past, PAST, TAIL)
            found = recognizer.transcribe(samples.astype(np.float32), SAMPLE_RATE)
            words = zip(found.text.split(), found.times, strict=True)
            pairs.append((text, " ".join(word for word, at in words if at >= start)))
        rows += [{"window_s": PAST + TAIL, "past": f"tail, {past}", **s._asdict()} for s in scores(pairs)]
    return rows


def scores(pairs: Iterable[tuple[str, str]]) -> list[Score]:
    """Return the errors of (reference, hypothesis) pairs: of all words, and of words and names apart."""
    with extra("train"):
        import jiwer

    errors, words = dict.fromkeys(("all", "words", "names"), 0), dict.fromkeys(("all", "words", "names"), 0)
    for reference, hypothesis in pairs:
        said = reference.split()
        parts = ["names" if word in NAMES else "words" for word in said]
        for part in parts:
            words[part] += 1
        words["all"] += len(said)
        found = jiwer.process_words(reference, hypothesis)
        errors["all"] += found.substitutions + found.deletions + found.insertions
        for piece in found.alignments[0]:
            if piece.type in ("substitute", "delete"):
                for place in range(piece.ref_start_idx, piece.ref_end_idx):
                    errors[parts[place]] += 1
    return [Score(part, errors[part], words[part]) for part in errors]
