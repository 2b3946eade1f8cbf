"""What a run leaves: points.csv, and a page for whatever nbgrader gives none."""

from __future__ import annotations

import csv
import html
import re
from pathlib import Path

from .submissions import Submission


def write_points(submissions: list[Submission], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["student", "assignment", "points", "of", "status", "tasks", "notes", "file"])
        for s in submissions:
            tasks = "; ".join(f"{name} {points:g}/{most:g}" for name, (points, most) in s.tasks.items())
            # no points where nothing could be graded: a zero would look like a verdict
            points = f"{s.points:g}" if s.status == "graded" else ""
            row = [
                s.student,
                s.assignment,
                points,
                f"{s.most:g}",
                s.status or "not reached",
                tasks,
                "; ".join(s.notes),
                s.path.name,
            ]
            table.writerow(["'" + cell if cell[:1] in "=+-@" and cell else cell for cell in row])


def write_page(submission: Submission, out: Path) -> None:
    """A page for a submission that has none from nbgrader."""
    if submission.status == "graded":
        return
    folder = out / "feedback" / submission.student
    folder.mkdir(parents=True, exist_ok=True)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in submission.notes)
    name = re.sub(r"[^\w.-]", "_", submission.path.name)
    (folder / f"{name}.html").write_text(
        f'<!doctype html><meta charset="utf-8"><title>{name}</title>'
        f"<h1>{html.escape(submission.path.name)}</h1>"
        f"<p>Not graded: {submission.status}.</p><ul>{notes}</ul>",
        encoding="utf-8",
    )
