"""Five seeds of every training that a lesson tells as a story: data/five-seeds.tsv, drawn as dots.

    table = five_seeds("08")                              {measure: {name: [one value per seed]}}
    viz.plot_seeds(table, measured, "test WER (%)")       five dots per name, this run over them

One training is an anecdote: with another seed the story may turn around. ``python tools/measure_seeds.py``
runs the lessons' own cells with seeds 0 to 4 and writes the table. Lessons 04, 08, 09, 10, 12 and 13.
"""

from __future__ import annotations

import csv

from asrlib.files import assets

TABLE = "five-seeds.tsv"  # columns lesson, measure, name, seed, value


def five_seeds(lesson: str) -> dict[str, dict[str, list[float]]]:
    """Return ``{measure: {name: [value of seed 0, of seed 1, ...]}}`` of a lesson given by its two digits.

    A lesson that was not measured has none: ``python tools/measure_seeds.py LESSON`` measures it.
    """
    found: dict[str, dict[str, list[float]]] = {}
    with open(assets() / TABLE, encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["lesson"] == lesson:
                found.setdefault(row["measure"], {}).setdefault(row["name"], []).append(float(row["value"]))
    return found
