"""Repeat the trainings in the lessons with seeds 0 to 4, and write data/five-seeds.tsv.

    python tools/measure_seeds.py [08 10 ...]       # these lessons; half an hour for all of them

The code cells of a lesson are executed up to the one tagged ``seeds``, which stores what to compare in
``measured``, {measure: {name: number}}. ``SEED = 0`` in one of the cells is replaced by each seed in turn.
The rows of other lessons stay unchanged.
"""

import csv
import os
import re
import sys
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import nbformat

from asrlib.teaching import seeds

ROOT = Path(__file__).resolve().parent.parent
SEEDS = range(5)
TAG = "seeds"
SEED = re.compile(r"^SEED = \d+", re.MULTILINE)
COLUMNS = ("lesson", "measure", "name", "seed", "value")


def lessons() -> list[Path]:
    """Return the lessons with a cell tagged ``seeds``."""
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    return [path for path in paths if any(map(_tagged, nbformat.read(path, as_version=4).cells))]


def cells(path: Path) -> list[str]:
    """Return the sources of the code cells up to the last one tagged ``seeds``, without Colab's cell."""
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    last = max(number for number, cell in enumerate(code) if _tagged(cell))
    found = [cell.source for cell in code[: last + 1] if "colab" not in cell.metadata.get("tags", [])]
    if sum(len(SEED.findall(source)) for source in found) != 1:
        raise SystemExit(f"{path}: there must be one line SEED = 0 before the cell tagged {TAG}")
    return found


def measure(path: Path, sources: list[str], seed: int) -> dict[str, dict[str, float]]:
    """Execute a lesson with a seed and return its measures."""
    names: dict = {"__name__": "__main__"}
    os.chdir(path.parent)
    seeds.five_seeds = lambda lesson: {}  # there may be none yet
    for source in sources:
        exec(compile(SEED.sub(f"SEED = {seed}", source), str(path), "exec"), names)
        plt.close("all")
    return names["measured"]


def _tagged(cell: nbformat.NotebookNode) -> bool:
    return TAG in cell.metadata.get("tags", [])


def main() -> None:
    """Measure the chosen lessons and write the table."""
    matplotlib.use("Agg")
    table = ROOT / "data" / seeds.TABLE
    for path in lessons():
        lesson = path.stem[:2]
        if sys.argv[1:] and lesson not in sys.argv[1:]:
            continue
        started = time.monotonic()
        sources = cells(path)  # now, as a lesson may be edited meanwhile
        found = {seed: measure(path, sources, seed) for seed in SEEDS}
        print(f"lesson {lesson}: {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
        new = [
            (lesson, kind, name, str(seed), f"{found[seed][kind][name]:.4g}")
            for kind, names in found[0].items()
            for name in names
            for seed in SEEDS
        ]
        rows = []
        if table.exists():  # read now: another lesson may have been measured meanwhile
            with open(table, encoding="utf-8") as file:
                rows = [tuple(row) for row in csv.reader(file, delimiter="\t")][1:]
        rows = sorted([row for row in rows if row[0] != lesson] + new, key=lambda row: row[0])
        table.write_text("\n".join("\t".join(row) for row in [COLUMNS, *rows]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
