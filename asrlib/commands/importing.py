"""``asrlib import``: convert a checkpoint of another system to a model directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint file of another system.")],
    system: Annotated[str, typer.Option("--from", help="The system: lcasr, csr or tensorflowasr.")],
    out: Annotated[Path, typer.Option(help="Model directory to write.")],
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="Labels, if the checkpoint has none: a sentencepiece model, or a list."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Configuration, if the checkpoint has none (tensorflowasr).")
    ] = None,
    generation: Annotated[
        str | None,
        typer.Option(
            help="TensorFlowASR's code behind it: 2020, 2021, 1.0, 2023 or 2.1; else its keys tell."
        ),
    ] = None,
) -> None:
    """Convert a checkpoint of another system to a model directory."""
    from asrlib.export.imports.table import import_checkpoint
    from asrlib.models.parameters import count_parameters

    recognizer = import_checkpoint(checkpoint, system, out, tokenizer, config, generation)
    trainable, _ = count_parameters(recognizer.model)
    print(
        f"{out}: {recognizer.config.name}, {trainable:,} parameters, {recognizer.tokenizer.vocabulary} labels"
    )
