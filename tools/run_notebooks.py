"""Execute notebooks in place, in order, and say how long each took.

    python tools/run_notebooks.py notebooks/*.ipynb

A notebook that fails keeps its old outputs. Widget state is not stored: with it, GitHub
shows "Invalid Notebook" instead of the lesson.
"""

import base64
import io
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image


def run(path: Path) -> float:
    """Execute one notebook from its own folder; seconds taken."""
    notebook = nbformat.read(path, as_version=4)
    started = time.monotonic()
    client = NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    output.data["image/png"] = with_palette(output.data["image/png"])
    # the interpreter's version and the like differ from machine to machine
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, path)
    return time.monotonic() - started


def joined(outputs: list) -> list:
    """Text printed in several pieces as one output, as a terminal would show it."""
    whole = []
    for output in outputs:
        if output.output_type == "stream" and whole and whole[-1].get("name") == output.name:
            whole[-1].text += output.text
        else:
            whole.append(output)
    for output in whole:
        if output.output_type == "stream":
            output.text = overwritten(output.text)
    return whole


def overwritten(text: str) -> str:
    """What a terminal shows of a progress bar: after a carriage return the line starts again."""
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))


def with_palette(png: str) -> str:
    """A figure (PNG in base64) in 128 colours: a third of its size, and the eye sees no difference."""
    figure = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    buffer = io.BytesIO()
    # maximum coverage: a thin line's rare colour survives beside a picture of many
    few = figure.quantize(128, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    few.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def main() -> int:
    failed = 0
    for name in sys.argv[1:]:
        try:
            print(f"{name}: {run(Path(name)) / 60:.1f} minutes", flush=True)
        except CellExecutionError as error:
            failed += 1
            print(f"{name}: failed\n{error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
