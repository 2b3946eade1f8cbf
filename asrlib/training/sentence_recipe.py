"""The training runs behind ``sentences-model``: a transducer and its CTC head, with several seeds.

`train_sentence_seeds` trains ``pieces-sentences`` on synthetic sentences with several seeds, tests both heads
of each on voices that it has not heard, and saves the network that is best on dev:

    asrlib recipe word-pieces --out runs/pieces        writes runs/pieces/model and runs/pieces/seeds.tsv

A seed has two stages: the CTC head, on an encoder that starts from a model of command words, because pieces
do not take off from random weights in so few steps; then everything with both losses. Between them the
prediction network can be trained on texts of the grammar, as a language model
(`asrlib.training.language_stage`); the one run that did so failed, and docs/results.md shows how.

Lessons 07, 08 and 11.
"""

from __future__ import annotations

import copy
import csv
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from asrlib.config.parse import load_config, override
from asrlib.config.schema import Config
from asrlib.data.corpora import load_corpus
from asrlib.data.grammar import sentence_text
from asrlib.errors import InputError
from asrlib.evaluate import evaluate
from asrlib.files import replacing
from asrlib.model_directory import find_model
from asrlib.models.build import build_model
from asrlib.recognizer import Recognizer
from asrlib.training.checkpoint import last_checkpoint
from asrlib.training.language_stage import train_prediction
from asrlib.training.loop import train
from asrlib.training.setup import choose_tokenizer, initialize_weights

if TYPE_CHECKING:
    from lhotse import CutSet

CONFIG = "pieces-sentences"
INIT = "commands-model"
SEEDS = (0, 1, 2, 3, 4)
# the steps of the first two stages; the configuration has those of the third
CTC_STEPS = 1200
TEXT_STEPS = 0
TEXTS = 40_000
HEADS = ("transducer", "ctc")
TABLE = "seeds.tsv"
COLUMNS = ("seed", "split", "head", "substitutions", "deletions", "insertions", "words", "wer_percent")


def train_sentence_seeds(
    out: str | Path,
    seeds: Sequence[int] = SEEDS,
    config: str = CONFIG,
    init: str | Path | None = INIT,
    ctc_steps: int = CTC_STEPS,
    text_steps: int = TEXT_STEPS,
    settings: Sequence[str] = (),
    show_progress: bool = True,
) -> list[dict[str, Any]]:
    """Train ``config`` with each seed on synthetic sentences, and test both heads on other voices.

    Seed n is trained in ``out/seed-n``: for ``ctc_steps`` steps with CTC alone, for ``text_steps`` steps on
    ``TEXTS`` texts of the grammar, among which those of dev and test are not, and for the steps of ``config``
    with both heads. 0 leaves one of the first two stages out. ``init`` is the model whose encoder the first
    stage starts from, wherever names and shapes agree; None starts from random weights. ``settings`` are
    assignments for ``override``.

    The network with the lowest WER on dev, of its better head, is saved in ``out/model`` with 16-bit weights,
    and all results in ``out/seeds.tsv``. A seed that was tested is not trained again, and a stage that was
    interrupted continues from its last checkpoint.

    Returns one row per seed, split (dev and test) and head. Raises ``InputError`` if there is no seed.
    """
    if not seeds:
        raise InputError("there is no seed to train with: give at least one")
    out, rows = Path(out), []
    begin = None if init is None else find_model(init)
    for seed in seeds:
        settled = override(load_config(config), [*settings, f"training.seed={seed}"])
        tested = out / f"seed-{seed}" / "tested.json"
        if not tested.is_file():
            found = _train_and_test(settled, tested.parent, begin, ctc_steps, text_steps, show_progress)
            tested.write_text(json.dumps(found, indent=1), encoding="utf-8")
        rows += json.loads(tested.read_text(encoding="utf-8"))["rows"]
    dev = [row for row in rows if row["split"] == "dev"]
    best = min(dev, key=lambda row: row["wer_percent"])["seed"]
    scores = [row for row in rows if row["seed"] == best]
    Recognizer.load(out / f"seed-{best}").save(out / "model", {"seed": best, "scores": scores}, half=True)
    with replacing(out) as draft, open(draft / TABLE, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return rows


def _train_and_test(
    config: Config, out: Path, init: Path | None, ctc_steps: int, text_steps: int, show_progress: bool
) -> dict[str, Any]:
    """Train one seed in its stages, each from where it stopped; return its results."""
    splits: dict[str, CutSet] = {name: load_corpus("sentences", name) for name in ("train", "dev", "test")}
    started = time.process_time()
    perplexity = None
    if ctc_steps:
        alone = override(config, ["training.ctc_weight=1", f"training.max_steps={ctc_steps}"])
        resume = last_checkpoint(out / "ctc") is not None
        train(alone, splits["train"], out / "ctc", None, resume, init, show_progress)
        init = out / "ctc"
    if text_steps:
        init, perplexity = _text_stage(config, init, splits, out / "language", text_steps)
    resume = last_checkpoint(out) is not None
    recognizer = train(config, splits["train"], out, splits["dev"], resume, init, show_progress)
    rows = [
        {"seed": config.training.seed, "split": split} | row
        for split in ("dev", "test")
        for row in score_heads(recognizer, splits[split])
    ]
    return {"cpu_seconds": time.process_time() - started, "label_perplexity": perplexity, "rows": rows}


def _text_stage(
    config: Config, init: Path | None, splits: dict[str, CutSet], out: Path, steps: int
) -> tuple[Path, float]:
    """Train the prediction network of ``init``, or a new one, on texts; return its folder and perplexity."""
    settled = copy.deepcopy(config)
    tokenizer = choose_tokenizer(settled, splits["train"], init)
    settled.tokenizer.vocabulary = tokenizer.vocabulary
    torch.manual_seed(config.training.seed)
    model = build_model(settled, tokenizer.vocabulary)
    if init is not None:
        initialize_weights(model, init)
    texts = [tokenizer.encode(text) for text in grammar_texts(splits)]
    perplexity = train_prediction(model, texts, steps, seed=config.training.seed)
    Recognizer(settled, model, tokenizer).save(out, {"label_perplexity": perplexity})
    return out, perplexity


def grammar_texts(splits: dict[str, CutSet]) -> list[str]:
    """Return ``TEXTS`` different sentences of the grammar that are not in the dev and test splits."""
    spoken = {cut.supervisions[0].text for split in ("dev", "test") for cut in splits[split]}
    draw = random.Random("texts")
    texts: dict[str, None] = {}  # in order
    while len(texts) < TEXTS:
        text = sentence_text(draw)
        if text not in spoken:
            texts[text] = None
    return list(texts)


def score_heads(recognizer: Recognizer, cuts: CutSet) -> list[dict[str, Any]]:
    """Return the words that each of ``HEADS`` gets wrong on ``cuts``, by greedy search."""
    usual, rows = recognizer.config.decoding, []
    for head in HEADS:
        recognizer.config.decoding = replace(usual, head=head, beam_width=0)
        words = evaluate(recognizer, cuts).words
        counts = asdict(words)
        counts["words"] = counts.pop("length")
        rows.append({"head": head, **counts, "wer_percent": words.rate})
    recognizer.config.decoding = usual
    return rows
