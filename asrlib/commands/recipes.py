"""``asrlib recipe``: the training runs behind the figures in docs/results.md and docs/digits.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrlib.commands.options import SetOption

RealOption = Annotated[
    Path, typer.Option("--real", help="Folder that contains fsdd, speechocean-train, etc.")
]


def digits(
    real: RealOption,
    out: Annotated[Path, typer.Option(help="The run's directory.")],
    leave_out: Annotated[
        str | None, typer.Option(help="FSDD speaker to exclude from training and test on.")
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Start from this model's weights.")] = None,
    strings: Annotated[
        int, typer.Option(help="Number of utterances to concatenate from isolated digits.")
    ] = 4000,
    repeats: Annotated[int, typer.Option(help="Repetitions of each recorded digit string per epoch.")] = 10,
    set_: SetOption = None,
) -> None:
    """Train on real and synthetic digits; test on the speakers left out."""
    from asrlib.training.recipes import train_digits

    for name, value in train_digits(real, out, leave_out, init, strings, repeats, set_ or []).items():
        print(f"{name}: {value:.2f}")


def digits_model(
    real: RealOption,
    out: Annotated[Path, typer.Option(help="The run's directory; the model is written to its folder model.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
    set_: SetOption = None,
) -> None:
    """Train digit recognizers that know phones first; test on speakers left out, group by group."""
    from asrlib.training.digit_recipe import train_digits

    _print_errors(train_digits(real, out, set_ or [], resume))


def digits_streaming_model(
    real: RealOption,
    out: Annotated[Path, typer.Option(help="The run's directory; the model is written to its folder model.")],
    init: Annotated[Path, typer.Option(help="The directory of a run of digits-model, to start from.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
    set_: SetOption = None,
) -> None:
    """Train the digit recognizer that streams; test on speakers left out, group by group."""
    from asrlib.training.digit_recipe import train_streaming

    _print_errors(train_streaming(real, out, init, set_ or [], resume))


def _print_errors(stages: dict) -> None:
    for stage, heads in stages.items():
        for head, corpora in heads.items():
            for name, errors in corpora.items():
                print(f"{stage}, {head}, {name}: {errors['rate']:.2f} % of {errors['length']} words")


def sentences(
    real: RealOption,
    out: Annotated[Path, typer.Option(help="The run's directory.")],
    init: Annotated[Path | None, typer.Option(help="Start from this model's weights.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Repetitions of each recording per epoch.")] = 1,
    set_: SetOption = None,
) -> None:
    """Train on all recordings and synthetic sentences; test on other speakers (docs/results.md)."""
    from asrlib.training.recipes import train_sentences

    for name, value in train_sentences(real, out, init, repeats, set_ or []).items():
        print(f"{name}: {value:.2f}")


def word_pieces(
    out: Annotated[
        Path, typer.Option(help="The runs' directory; the best model is written to its folder model.")
    ],
    seed: Annotated[list[int] | None, typer.Option(min=0, help="A seed; repeat. Default: 0 to 4.")] = None,
    config: Annotated[str, typer.Option(help="A configuration's name or file.")] = "pieces-sentences",
    init: Annotated[
        str, typer.Option(help="Start from this model's encoder, or from random weights if it is empty.")
    ] = "commands-model",
    ctc_steps: Annotated[int, typer.Option(min=0, help="Steps of the first stage, CTC alone.")] = 1200,
    text_steps: Annotated[int, typer.Option(min=0, help="Steps of the second stage, texts alone.")] = 0,
    set_: SetOption = None,
) -> None:
    """Train sentences-model: a transducer on synthetic sentences, with several seeds (docs/results.md)."""
    from asrlib.training.sentence_recipe import SEEDS, train_sentence_seeds

    stages = init or None, ctc_steps, text_steps
    for row in train_sentence_seeds(out, seed or SEEDS, config, *stages, set_ or []):
        print(f"seed {row['seed']}, {row['split']}, {row['head']}: WER {row['wer_percent']:.2f} %")


def english(
    real: RealOption,
    out: Annotated[Path, typer.Option(help="The runs' directory; a run that was interrupted continues.")],
    hours: Annotated[
        float | None, typer.Option(help="Train on this many hours of read books only. Default: on all.")
    ] = None,
    init: Annotated[
        str, typer.Option(help="Start from this model's weights, or with `none` from random ones.")
    ] = "commands-model",
    config: Annotated[str, typer.Option(help="A configuration's name or file.")] = "english",
    first_steps: Annotated[
        int, typer.Option(min=1, help="Steps of the first stage, short utterances.")
    ] = 400,
    text: Annotated[
        list[Path] | None,
        typer.Option(
            help="A book as plain text for the language model, besides the transcripts; repeatable."
        ),
    ] = None,
    set_: SetOption = None,
) -> None:
    """Train on read sentences of people; test on four other readers (docs/results.md)."""
    from asrlib.training.english_recipe import train_english

    result = train_english(
        real, out, hours, None if init == "none" else init, config, first_steps, set_ or [], text or []
    )
    print(f"{result['cpu_seconds']:.0f} s of CPU time, {result['training_hours']:.2f} hours of speech")
    for search in ("greedy", "beam", "beam, lm"):
        rates = result[search]
        print(f"{search}: WER {rates['wer']['percent']:.2f} %, CER {rates['cer']['percent']:.2f} %")


def commands(
    real: RealOption,
    out: Annotated[Path, typer.Option(help="The run's directory.")],
    config: Annotated[str, typer.Option(help="A configuration's name or file.")] = "phones-commands",
    hold_out: Annotated[
        str,
        typer.Option(help="Words to exclude from training, separated by commas."),
    ] = "",
    everyone: Annotated[
        bool, typer.Option("--everyone", help="Also train on the speakers of dev and test; skip the test.")
    ] = False,
    others: Annotated[
        bool,
        typer.Option("--others", help="Also train on sentences and on words of the CMU dictionary."),
    ] = False,
    init: Annotated[Path | None, typer.Option(help="Start from this model's weights.")] = None,
    set_: SetOption = None,
) -> None:
    """Train on command words by their phones; test on other speakers (docs/results.md)."""
    from asrlib.training.command_recipe import train_commands

    words = [word for word in hold_out.split(",") if word.strip()]
    result = train_commands(real, out, config, words, everyone, others, init, set_ or [])
    print(f"{result['cpu_seconds']:.0f} s of CPU time, {result['utterances']:,} training utterances")
    for name in ("frequent", "rare", "held_out"):
        if name in result:
            rates = {key: value for key, value in result[name].items() if key.endswith("error")}
            shown = ", ".join(f"{k.replace('_', ' ')} {v:.2f} %" for k, v in rates.items() if v is not None)
            print(f"{name.replace('_', ' ')} words ({result[name]['utterances']} utterances): {shown}")


def long_context(
    out: Annotated[Path, typer.Option(help="The experiment's directory; the table is written to it.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="A configuration; repeat for several. Default: both of lesson 15."),
    ] = None,
    context: Annotated[
        list[float] | None,
        typer.Option(min=2.0, max=128.0, help="Seconds of a chunk in training; repeat. Default: 2, 128."),
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="A seed; repeat. Default: 0, 1, 2.")] = None,
    set_: SetOption = None,
) -> None:
    """Train on whistled recordings with several lengths of context, and test (lesson 15)."""
    from asrlib.training.context_recipe import CONTEXTS, MODELS, SEEDS, train_contexts

    table = train_contexts(out, model or MODELS, context or CONTEXTS, seed or SEEDS, settings=set_ or [])
    print(f"wrote {table}")
