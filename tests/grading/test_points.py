"""Points and feedback for everything that may be handed in, through the whole command."""

import os
import re
import subprocess

import nbformat
import pytest
from handed_in import (
    ALL,
    FIRST,
    NAME,
    REST,
    ROOT,
    TASKS,
    exercise,
    first_answer,
    grade,
    page,
    reordered,
    stripped,
    without_checks,
)

HALF = [task.name for task in TASKS[: len(TASKS) // 2]]
PEEK = f"""import glob, os
    found = glob.glob({str(ROOT)!r} + '/solutions/*/*') + glob.glob({str(ROOT)!r} + '/tests/*')
    raise RuntimeError('found ' + (open(found[0]).read() if found else 'nothing'))"""
SUBMISSIONS = {
    "perfect": (exercise, ALL),
    "empty": (lambda: exercise("none"), 0),
    "half": (lambda: exercise(*HALF), sum(task.points for task in TASKS[: len(TASKS) // 2])),
    "loop": (lambda: first_answer("while True: pass"), REST),
    "exits": (lambda: first_answer("import sys; sys.exit(0)"), REST),
    "bomb": (lambda: first_answer("hoard = bytearray(1 << 40)"), REST),
    "peeks": (lambda: first_answer(PEEK), REST),
    "no-checks": (without_checks, ALL),
    "stripped": (stripped, ALL),
    "reordered": (reordered, ALL),
    "syntax": (lambda: first_answer("return [1 for"), REST),
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The rows of points.csv by student, and the folder."""
    folder = tmp_path_factory.mktemp("grading")
    for student, (make, _) in SUBMISSIONS.items():
        (folder / "submitted" / student).mkdir(parents=True)
        nbformat.write(make(), folder / "submitted" / student / f"{NAME}.ipynb")
    (folder / "submitted" / "no-notebook").mkdir()
    (folder / "submitted" / "no-notebook" / f"{NAME}.ipynb").write_text("Dear teacher, my dog ate it.")
    (folder / "submitted" / "twice").mkdir()
    nbformat.write(exercise(), folder / "submitted" / "twice" / "answers.ipynb")
    nbformat.write(exercise("none"), folder / "submitted" / "twice" / "before.ipynb")
    os.utime(folder / "submitted" / "twice" / "before.ipynb", (1e9, 1e9))
    rows = grade(folder)
    return {row["student"]: row for row in reversed(rows)}, folder / "graded", rows


@pytest.mark.parametrize("student", SUBMISSIONS)
def test_points_are_what_was_earned(graded, student):
    row = graded[0][student]
    assert row["status"] == "graded"
    assert (float(row["points"]), float(row["of"])) == (SUBMISSIONS[student][1], ALL)


def test_what_is_no_notebook_gets_no_silent_zero(graded):
    row = graded[0]["no-notebook"]
    assert (row["points"], row["status"]) == ("", "unreadable") and "not a notebook" in row["notes"]
    assert "not a notebook" in page(graded[1], "no-notebook")


def test_of_two_files_the_newest_counts_and_the_other_is_listed(graded):
    first, second = [row for row in graded[2] if row["student"] == "twice"]
    assert (first["file"], float(first["points"]), first["status"]) == ("answers.ipynb", ALL, "graded")
    assert (second["file"], second["points"], second["status"]) == ("before.ipynb", "", "second file")
    assert "this one counts, the newest; not: twice/before.ipynb" in first["notes"]
    assert "not this one but twice/answers.ipynb counts, the newest" in second["notes"]
    assert "second file" in (graded[1] / "feedback" / "twice" / "before.ipynb.html").read_text()


def test_nothing_is_lost(graded):
    assert set(graded[0]) == {*SUBMISSIONS, "no-notebook", "twice"}
    assert len(graded[2]) == len(SUBMISSIONS) + 3
    export = (graded[1] / "grades.csv").read_text()
    assert all(f",{student}," in export for student in SUBMISSIONS)


@pytest.mark.parametrize(
    "student, says",
    [
        ("loop", "had computed for"),
        ("exits", "it calls exit"),
        ("bomb", "more memory than there is"),
        ("peeks", "found nothing"),
        ("syntax", "SyntaxError"),
        ("empty", "not done yet"),
        ("stripped", "metadata is lost"),
        ("no-checks", "the original ones were used"),
    ],
)
def test_the_feedback_says_why(graded, student, says):
    assert says in page(graded[1], student)


def test_lost_metadata_and_lost_checks_are_noted(graded):
    assert "matched by the name" in graded[0]["stripped"]["notes"]
    assert FIRST.name in graded[0]["no-checks"]["notes"]
    assert graded[0]["perfect"]["notes"] == graded[0]["half"]["notes"] == ""


def test_hidden_tests_stay_hidden(graded):
    for student in SUBMISSIONS:
        text = re.sub("<[^>]+>", "", page(graded[1], student))
        assert "HIDDEN TESTS" not in text and "strict" not in text, student


def test_grading_leaves_no_process(graded):
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "sandbox-" not in listed or str(ROOT) not in listed
