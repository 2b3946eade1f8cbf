"""``asrlib export``: write a file or a web page that runs without PyTorch, and compare it with its model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from asrlib.commands.options import SplitOption, check_output
from asrlib.errors import InputError


def export(
    model_dir: Annotated[Path, typer.Argument(help="A model directory.")],
    format: Annotated[str, typer.Option(help="onnx, tflite or web.")],
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write (default: model.FORMAT in the model directory), or the page's folder (web)."
        ),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Store large weights in 8 bits.")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Export one step of a causal model, for streams.")
    ] = False,
    seconds: Annotated[
        list[int] | None, typer.Option(help="A length in seconds that the TFLite file accepts; repeatable.")
    ] = None,
    corpus: Annotated[
        list[str] | None, typer.Option(help="Compare on this corpus, with WER (default: the shipped clips).")
    ] = None,
    split: SplitOption = "test",
    runtime: Annotated[
        Path | None,
        typer.Option(help="Folder with ONNX Runtime Web, for web (default: fetched once, then cached)."),
    ] = None,
) -> None:
    """Write one file from signal to labels that runs without PyTorch; compare it with the eager model.

    web writes a folder with a page that listens to the microphone.
    """
    from asrlib.data.corpora import clips, load_corpora
    from asrlib.export import convert
    from asrlib.export.comparison import compare, table
    from asrlib.export.formats import FORMATS, check_format
    from asrlib.export.web import check_folder, export_page
    from asrlib.model_directory import find_model
    from asrlib.recognizer import Recognizer

    web = format == "web"
    if format not in (*FORMATS, "web"):
        raise InputError(f"format is {format!r}; use one of {', '.join(FORMATS)}, web")
    check_format("onnx" if web else format)
    if output is None and find_model(model_dir) != model_dir:
        raise InputError(f"{model_dir} ships with the kit: say with --output where to write")
    path = output or model_dir / ("web" if web else f"model{'-stream' * stream}{'-int8' * int8}.{format}")
    (check_folder if web else check_output)(path)
    recognizer = Recognizer.load(model_dir)
    if web and stream:
        recognizer.check_streaming()
    cuts = load_corpora(corpus, None if split == "all" else split) if corpus else clips()
    lengths, longest = seconds or convert.SECONDS, max(cut.duration for cut in cuts)
    if format == "tflite" and not stream and longest > max(lengths):
        raise InputError(
            f"the longest utterance to compare lasts {longest:.1f} s, but --seconds ends at {max(lengths)}:"
            " add a longer one"
        )
    size = (find_model(model_dir) / "model.safetensors").stat().st_size
    if web:
        files = export_page(recognizer, path, int8, runtime)
    else:
        files = convert.export(recognizer, path, format, int8, lengths, stream)
    rows = compare(recognizer, size, files, "onnx" if web else format, cuts, score=bool(corpus))
    written = sum(file.stat().st_size for file in (path.iterdir() if web else [path]))
    print(f"{table(rows)}\n{path}: {'int8' if int8 else 'float32'}, {written:,} bytes")
    if web:
        print(
            f"talk to it: python -m http.server -d {shlex.quote(str(path))}, then open http://localhost:8000"
        )
