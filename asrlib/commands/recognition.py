"""``asrlib test`` scores a model on a corpus."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrlib.commands.options import (
    BeamOption,
    BonusOption,
    CorpusOption,
    LMOption,
    LMWeightOption,
    PhonesOption,
    SplitOption,
    check_output,
)
from asrlib.errors import InputError

if TYPE_CHECKING:
    from asrlib.recognizer import Recognizer


def test(
    model_dir: Annotated[Path, typer.Argument(help="A model directory.")],
    corpus: CorpusOption,
    output: Annotated[Path, typer.Option(help="TSV file to write, one row per utterance.")],
    split: SplitOption = "test",
    beam: BeamOption = None,
    lm: LMOption = None,
    lm_weight: LMWeightOption = None,
    label_bonus: BonusOption = None,
    phones: PhonesOption = False,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help="Also print the WER of each speaker, accent, or value of another column of manifest.tsv,"
            " with its 95 % interval over speakers; repeatable.",
        ),
    ] = None,
) -> None:
    """Transcribe a split; print WER and CER (of phones, PER) in percent and write one row per utterance."""
    from asrlib.data.corpora import load_corpora
    from asrlib.evaluate import evaluate
    from asrlib.files import write_atomically
    from asrlib.groups import format_groups, group_of, rates_by_group
    from asrlib.recognizer import Recognizer

    check_output(output)
    recognizer = Recognizer.load(model_dir)
    configure_search(recognizer, beam, lm, lm_weight, label_bonus, phones)
    cuts = load_corpora(corpus, None if split == "all" else split)
    people = {column: group_of(cuts, column) for column in by or ()}  # before the work, not after
    words, characters, rows = evaluate(recognizer, cuts)
    table = ["id\treference\thypothesis\tscore"]
    table += [
        f"{name}\t{reference}\t{hypothesis.text}\t{hypothesis.score:.4f}"
        for name, reference, hypothesis in rows
    ]
    write_atomically(output, ("\n".join(table) + "\n").encode(errors="surrogateescape"))
    by_phones = recognizer.tokenizer.kind == "phones" and recognizer.config.decoding.words is None
    print(f"PER {words}" if by_phones else f"WER {words}\nCER {characters}")
    print(f"{len(rows)} utterances in {output}")
    for column, groups in people.items():
        pairs = {name: (reference, hypothesis.text) for name, reference, hypothesis in rows}
        print(f"\n{format_groups(column, rates_by_group(cuts, pairs, groups))}")


def configure_search(
    recognizer: Recognizer,
    beam: int | None,
    lm: Path | None,
    lm_weight: float | None,
    bonus: float | None,
    phones: bool = False,
) -> None:
    """Apply the options of the command line to the recognizer's ``decoding`` settings."""
    from asrlib.text.ngram import load_arpa

    decoding = recognizer.config.decoding
    if phones:
        if recognizer.tokenizer.kind != "phones":
            raise InputError(
                f"--phones: the labels of this model are {recognizer.tokenizer.kind}, not phones"
            )
        decoding.words = None
    if beam and decoding.words is not None:
        raise InputError("--beam: this model scores every word of its list; add --phones, or omit --beam")
    given = {"beam_width": beam, "lm_weight": lm_weight, "label_bonus": bonus}
    for key, value in given.items():
        if value is not None:
            if not math.isfinite(value):
                option = {"beam_width": "beam"}.get(key, key.replace("_", "-"))
                raise InputError(f"--{option} is {value}: give a finite number")
            setattr(decoding, key, value)
    if beam == 0:
        decoding.rescore_weight = None  # greedy search finds one text
    decoding.check("--beam, --lm-weight and --label-bonus")
    if lm is not None and not decoding.beam_width:
        raise InputError("--lm needs beam search: add, for instance, --beam 5")
    if lm is not None:
        recognizer.lm = load_arpa(lm, recognizer.tokenizer.labels)
