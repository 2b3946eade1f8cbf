"""``asrlib train`` trains a network; ``asrlib lm`` trains an n-gram language model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from asrlib.commands.options import CorpusOption, SetOption


def train(
    config: Annotated[str, typer.Argument(help="A shipped configuration's name, or a YAML file.")],
    corpus: CorpusOption,
    out: Annotated[Path, typer.Option(help="The run's directory; a model directory when done.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")] = False,
    init: Annotated[
        Path | None, typer.Option(help="Model directory with initial weights, used where they fit.")
    ] = None,
    set_: SetOption = None,
) -> None:
    """Train on the train splits of the corpora; keep the best weights by dev WER."""
    from asrlib.config.parse import load_config, override
    from asrlib.data.corpora import load_corpora
    from asrlib.extras import require
    from asrlib.training import loop

    require("train")
    settings = override(load_config(config), set_ or [])
    recognizer = loop.train(
        settings,
        load_corpora(corpus, "train"),
        out,
        load_corpora(corpus, "dev", optional=True),
        resume,
        init,
    )
    if os.environ.get("RANK", "0") == "0":  # the first of several processes
        parameters = sum(p.numel() for p in recognizer.model.parameters())
        print(f"model directory: {out} ({parameters:,} parameters)")


def language_model(
    model_dir: Annotated[
        str, typer.Argument(help="The model directory, or name of a shipped model, whose labels to use.")
    ],
    corpus: CorpusOption,
    output: Annotated[Path, typer.Option(help="ARPA file to write.")],
    order: Annotated[int, typer.Option(help="Labels per n-gram: 3 is a trigram model.")] = 3,
    min_count: Annotated[int, typer.Option(help="Leave out n-grams that occur less often.")] = 1,
    text: Annotated[
        list[Path] | None, typer.Option(help="A plain text file to read as well, such as a book; repeatable.")
    ] = None,
) -> None:
    """Train an n-gram language model for --lm on the train transcripts of the corpora, and on books."""
    from asrlib.data.corpora import load_corpora
    from asrlib.files import write_atomically
    from asrlib.model_directory import find_model
    from asrlib.text.ngram import train_ngram
    from asrlib.text.prose import encode_books
    from asrlib.text.tokenizer_files import load_tokenizer

    tokenizer = load_tokenizer(find_model(model_dir))
    splits = [load_corpora(corpus, "train"), load_corpora(corpus, "dev", optional=True)]
    texts, unseen = ([tokenizer.encode(c.supervisions[0].text) for c in cuts or []] for cuts in splits)
    texts += encode_books(tokenizer, text or [])
    model = train_ngram(texts, tokenizer.labels, order, min_count)
    write_atomically(output, model.arpa().encode())
    count = sum(map(len, model.table.values()))
    print(f"{output}: order {model.order}, {count:,} n-grams of {len(texts)} texts")
    print(f"perplexity of these texts: {model.perplexity(texts):.2f}")
    if unseen:
        print(f"perplexity of the dev texts: {model.perplexity(unseen):.2f}")
