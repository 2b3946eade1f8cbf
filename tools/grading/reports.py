"""Write points.csv, and feedback pages for submissions without one from nbgrader."""

from __future__ import annotations

import csv
import html
import io
import re
from pathlib import Path

from asrlib.files import write_atomically

from .submissions import Submission, printable

LONGEST_FILE_NAME = 100


def write_points(submissions: list[Submission], path: Path) -> None:
    """Write a row per submission; the file is written completely or not at all."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["student", "assignment", "points", "of", "status", "tasks", "notes", "file"])
    for s in submissions:
        tasks = "; ".join(f"{name} {points:g}/{most:g}" for name, (points, most) in s.tasks.items())
        # leave the points empty if nothing could be graded, as a zero would look like a verdict
        points = f"{s.points:g}" if s.status == "graded" else ""
        row = [s.student, s.assignment, points, f"{s.most:g}", s.status or "not reached"]
        table.writerow(map(cell, [*row, tasks, "; ".join(s.notes), s.path.name]))
    write_atomically(path, text.getvalue().encode("utf-8"))


def cell(text: str) -> str:
    """Return text that spreadsheets do not interpret as a formula, whatever separator they use."""
    text = re.sub(r"[\x00-\x1f\x7f]", " ", printable(text))
    return re.sub(r"(^|[;,|])(\s*)(?=[=+@-])", r"\1\2'", text)


def write_page(submission: Submission, out: Path) -> None:
    """Write a page for a submission that has none from nbgrader."""
    if submission.status == "graded":
        return
    folder = out / "feedback" / submission.student
    folder.mkdir(parents=True, exist_ok=True)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in submission.notes)
    name = re.sub(r"[^\w.-]", "_", printable(submission.path.name))
    number, short = 1, name[:LONGEST_FILE_NAME]
    while (folder / f"{short}.html").exists():
        number += 1
        short = f"{name[:LONGEST_FILE_NAME]}-{number}"
    (folder / f"{short}.html").write_text(
        f'<!doctype html><meta charset="utf-8"><title>{html.escape(name)}</title>'
        f"<h1>{html.escape(printable(submission.path.name))}</h1>"
        f"<p>Not graded: {submission.status or 'not reached'}.</p><ul>{notes}</ul>",
        encoding="utf-8",
    )
