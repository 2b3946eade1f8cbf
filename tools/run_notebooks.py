"""Execute notebooks in place, in order, and print how long each took.

    python tools/run_notebooks.py notebooks/*.ipynb

A notebook that fails keeps its old outputs. Widget state is not stored, because with it GitHub shows
"Invalid Notebook" instead of the lesson.
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
    """Execute one notebook in its own folder, write it back, and return the seconds it took."""
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
    """Join text that was printed in several pieces into one output, as a terminal would show it."""
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
    """Return what a terminal shows: after a carriage return, a line is overwritten."""
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))


def with_palette(png: str) -> str:
    """Reduce a figure (PNG in base64) to 128 colors: a third of the size without a visible difference."""
    figure = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    buffer = io.BytesIO()
    # maximum coverage keeps the rare color of a thin line next to an image with many colors
    few = figure.quantize(128, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    few.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def main() -> int:
    """Execute the notebooks named on the command line; return 1 if one fails."""
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
