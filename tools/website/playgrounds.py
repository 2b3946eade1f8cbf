"""Playgrounds in the site's pages: they compute in the browser, so they move there as in a notebook."""

from __future__ import annotations

import json

import torch
from nbformat import NotebookNode

import asrlib
from asrlib.errors import InputError
from asrlib.teaching.playgrounds import ctc_options, spectrogram_options, transducer_options
from asrlib.teaching.playgrounds.scripts import bundle
from asrlib.teaching.playgrounds.widget import Playground
from website.cells import value_of
from website.notebooks import WIDGET


def in_page(name: str, options: dict, place: str) -> str:
    """Return the HTML of a playground whose element has the id ``place``; it also works without a server."""
    data = json.dumps(options).replace("<", "\\u003c")  # no text of theirs can end the script
    return (
        f'<div class="playground" id="{place}" data-playground="{name}"></div>\n'
        f'<script type="application/json" id="{place}-options">{data}</script>\n'
        f'<script type="module">\n{bundle(name)}\n'
        f'mount(document.getElementById("{place}"), '
        f'JSON.parse(document.getElementById("{place}-options").textContent));\n</script>'
    )


def page() -> str:
    """Return the Markdown of a page with all playgrounds."""
    recognizer = asrlib.Recognizer.load("lessons-model")
    clip = next(cut for cut in asrlib.clips() if cut.id == "audio/digits-1.flac")
    sound = torch.from_numpy(asrlib.cut_audio(clip)), clip.sampling_rate
    y = [[0.5, 0.4, 0.1], [0.3, 0.5, 0.2], [0.4, 0.2, 0.4], [0.3, 0.1, 0.6]]  # of lesson 06
    parts = {
        "spectrogram": (
            "A sound and its spectrogram",
            "01_sound_to_spectrogram",
            spectrogram_options(*sound),
        ),
        "ctc": ("CTC", "06_ctc", ctc_options("∅ab", "ab", y)),
        "transducer": (
            "The transducer",
            "07_rnnt",
            transducer_options(recognizer, *sound, clip.text, clip.words),
        ),
    }
    text = "# Playgrounds\n\nThey compute in this page. Drag with the mouse, or use Tab and the arrow keys.\n"
    for name, (title, lesson, options) in parts.items():
        html, number = in_page(name, options, f"playground-{name}"), lesson.split("_")[0]
        text += f"\n## {title}\n\n[Lesson {number}](notebooks/{lesson}.ipynb) tells what it shows.\n"
        text += f"\n````{{raw}} html\n{html}\n````\n"
    return text


def found(notebook: NotebookNode) -> dict[str, str]:
    """Return the HTML of each playground that a lesson shows, by the id of its cell.

    The cells that make it are run. Raises ``InputError`` if one of them fails.
    """
    codes = [cell for cell in notebook.cells if cell.cell_type == "code" and not_setup(cell)]
    sources = [cell.source for cell in codes]
    pages = {}
    for n, cell in enumerate(codes):
        if any(is_playground(output) for output in cell.outputs):
            try:
                shown = value_of(n, sources)
            except Exception as error:
                raise InputError(f"cell {cell.id} with a playground fails: {error!r}") from error
            if not isinstance(shown, Playground):
                raise InputError(f"cell {cell.id} shows a playground, but does not end with it")
            pages[cell.id] = in_page(shown.name, shown.options, f"playground-{cell.id}")
    return pages


def not_setup(cell: NotebookNode) -> bool:
    """Return whether a cell is Python, and not IPython's commands for Colab."""
    return "colab" not in cell.metadata.get("tags", [])


def is_playground(output: NotebookNode) -> bool:
    """Return whether a stored output is that of a playground."""
    data = output.get("data", {})
    return WIDGET in data and "Playground:" in data.get("text/plain", "")
