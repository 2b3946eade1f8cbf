"""Export a recognizer as a web page: it listens to the microphone and writes words, in the browser alone.

The folder has the exported graph ``model.onnx``, what the page must know about it (``model.json``), a small
graph that computes the features for the picture (``features.onnx``), ONNX Runtime Web, and the page itself:
``index.html`` and the ES modules of ``asrlib/export/page``, each one idea. It works from any web server, such
as ``python -m http.server``, and fetches nothing once it is loaded.

Lesson 12.
"""

from __future__ import annotations

import itertools
import json
import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from asrlib.errors import InputError
from asrlib.export.convert import export
from asrlib.export.formats import package, quiet
from asrlib.export.graph import LogMels
from asrlib.export.onnx_file import open_onnx, write_onnx
from asrlib.export.ort_web import runtime_files
from asrlib.export.parts import features_part
from asrlib.files import package_folder, replacing
from asrlib.recognizer import Recognizer
from asrlib.text.tokenizers import Tokenizer

MARK = "model.json"  # it tells a page from another folder


def export_page(
    recognizer: Recognizer,
    folder: str | Path,
    int8: bool = False,
    runtime: str | Path | None = None,
    fetch: bool = True,
) -> dict[str, bytes]:
    """Write the page into ``folder``, whose earlier page is replaced when the new one is complete.

    The words are those of ``Recognizer.transcribe``: the networks and warps of an ensemble are in the graph.
    A model that can stream writes while one speaks, others at the end. What the page leaves out, such as a
    beam search, stands in ``model.json`` under ``notes`` and on the page, and is a warning. ``int8`` is as
    for ``asrlib.export.convert.export``; ``runtime`` is a folder with ONNX Runtime Web;
    without one, ``fetch`` false uses what was fetched before, and no network.

    Returns the contents of the graphs as ``export`` does. Raises ``InputError`` as ``export`` and
    ``runtime_files`` do, for a folder with something else in it, and for a tokenizer whose text the page
    cannot write.
    """
    folder = Path(folder)
    check_folder(folder)
    writing = writing_of(recognizer.tokenizer)
    files = runtime_files(runtime, fetch)
    stream = not recognizer.streaming_obstacles()
    with replacing(folder) as draft:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            contents = export(recognizer, draft / "model.onnx", "onnx", int8, stream=stream)
        notes = [str(warning.message) for warning in caught]
        graph = open_onnx(contents["int8" if int8 else "float32"], 1)
        about = {key: value for key, value in graph.about.items() if key != "tokenizer"}
        states = [
            {"name": name, "type": str(state.dtype), "dims": list(state.shape)}
            for name, state in graph.start.items()
        ]
        about |= {"states": states, "writing": writing, "notes": notes}
        (draft / MARK).write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")
        (draft / "features.onnx").write_bytes(_features(recognizer))
        for name, content in files.items():
            (draft / name).write_bytes(content)
        for file in (package_folder("asrlib") / "export" / "page").iterdir():
            (draft / file.name).write_bytes(file.read_bytes())
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return contents


def check_folder(folder: Path) -> None:
    """Raise ``InputError`` unless ``folder`` is new, empty or an exported page."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: a page is a folder of several")
    # a draft is left over if an export was killed
    others = [file for file in folder.iterdir() if file.name != "draft.partial"] if folder.is_dir() else []
    mark = folder / MARK
    if others and not (
        mark.is_file() and b'"writing"' in mark.read_bytes()
    ):  # other programs have a model.json
        raise InputError(f"{folder} has other files in it: choose a new folder for the page")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"there is no folder {folder.parent} for the page {folder.name}")


def _features(recognizer: Recognizer) -> bytes:
    package("onnx", "onnx")
    part = features_part(LogMels(recognizer.front_end))
    with quiet(), torch.no_grad():
        return write_onnx([part], {"stream": False}, int8=False)["float32"]


def writing_of(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what turns label numbers into text without the tokenizer: ``first``, ``later`` and ``trim``.

    ``first`` and ``later`` have a text for each label, blank included: where there is no text yet, and after
    other text. Joined, these are what ``decode`` returns, after trimming if ``trim`` is true.
    Raises ``InputError`` for a tokenizer whose labels have no texts of their own.
    """
    numbers = range(1, tokenizer.vocabulary)
    draw = random.Random(0)
    samples = [[draw.choice(numbers) for _ in range(count)] for count in [0, 1, 2, 3, 5, 9] * 50]
    for anchor, trim in itertools.product(numbers[:40], (False, True)):
        texts = _texts(tokenizer, anchor)
        if texts is not None and _agree(tokenizer, *texts, trim, samples):
            return {"first": texts[0], "later": texts[1], "trim": trim}
    raise InputError(
        f"a page cannot write the text of this tokenizer ({tokenizer.kind}): what a label stands for depends"
        " on its neighbors"
    )


def _texts(tokenizer: Tokenizer, anchor: int) -> tuple[list[str], list[str]] | None:
    """Return the texts of all labels, read off between and before labels ``anchor``; None if that fails."""
    alone = tokenizer.decode([anchor])
    both = tokenizer.decode([anchor, anchor])
    if not alone.strip() or not both.startswith(alone):
        return None
    again, first, later = both[len(alone) :], [""], [""]
    for number in range(1, tokenizer.vocabulary):
        before, between = tokenizer.decode([number, anchor]), tokenizer.decode([anchor, number, anchor])
        if not (before.endswith(again) and between.startswith(alone) and between.endswith(again)):
            return None
        first.append(before[: len(before) - len(again)])
        later.append(between[len(alone) : len(between) - len(again)])
    return first, later


def _agree(
    tokenizer: Tokenizer, first: list[str], later: list[str], trim: bool, samples: Sequence[list[int]]
) -> bool:
    for numbers in samples:
        text = ""
        for number in numbers:
            text += (later if text else first)[number]
        if (text.strip() if trim else text) != tokenizer.decode(numbers):
            return False
    return True
