"""Files as they come: copies, byte order marks, and names with spaces and parentheses."""

import os
import re
import subprocess
import unicodedata

import nbformat
import pytest
from grading.assembly import added_cells
from grading.course import alone
from grading.errors import CannotGrade
from grading.submissions import Submission, choose_among_copies, collect, read, student_ids
from handed_in import ALL, NAME, ROOT, exercise, grade
from nbformat.v4 import new_code_cell


def chosen(folder, *names, times=()):
    """The name of the file that counts, and the notes of all."""
    found = []
    for number, name in enumerate(names):
        path = folder / name
        path.touch()
        os.utime(path, (number, times[number]) if times else (1e9, 1e9))
        found.append(Submission("anna", path, NAME))
    choose_among_copies(found)
    (best,) = [submission for submission in found if not submission.status]
    assert all(s.status == "second file" for s in found if s is not best)
    assert all(s is best or f"{best.path.name} counts" in s.notes[0] for s in found)
    return best.path.name, [submission.notes[0] for submission in found]


@pytest.mark.parametrize("copy", ["-1", "-Copy1", " (1)", "(2)", " copy", " - copy 2", "_copy"])
@pytest.mark.parametrize("stem", [NAME, "my tokens-3"])
def test_the_file_without_a_suffix_counts(tmp_path, stem, copy):
    names = f"{stem}{copy}.ipynb", f"{stem}.ipynb"
    best, notes = chosen(tmp_path, *names, times=(2e9, 1e9))
    assert best == names[1]
    assert "this one counts, the only one without a copy's suffix" in notes[1]


def test_among_copies_alone_the_newest_counts(tmp_path):
    names = f"{NAME}-Copy1.ipynb", f"{NAME}-Copy2.ipynb", f"{NAME} (1).ipynb"
    best, notes = chosen(tmp_path, *names, times=(1e9, 3e9, 2e9))
    assert best == names[1] and "the newest" in notes[1]


def test_among_files_of_the_same_time_the_first_by_name_counts(tmp_path):
    assert chosen(tmp_path, "b.ipynb", "a.ipynb")[0] == "a.ipynb"


def test_a_copy_of_a_loose_file_is_the_same_students(tmp_path):
    for name in ("carla.ipynb", "carla (1).ipynb", "carla-Copy1.ipynb", "group-1.ipynb", "group-2.ipynb"):
        (tmp_path / name).touch()
    assert [s.student for s in collect(tmp_path)] == ["carla"] * 3 + ["group-1", "group-2"]


def test_different_names_stay_different_students():
    ids = student_ids(["a b", "a_b", "a?b", "...", "=1"])
    assert len(set(ids.values())) == 5 and ids["=1"] == "_1"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-8"])
def test_a_byte_order_mark_is_read(tmp_path, encoding):
    path = tmp_path / "anna.ipynb"
    path.write_text(nbformat.writes(exercise()), encoding=encoding)
    submission = Submission("anna", path)
    found = [(c.cell_type, c.id, c.source) for c in read(submission).cells]
    # nbgrader's own marks are made harmless
    assert found == [
        (c.cell_type, c.id, re.sub(r"\b(BEGIN|END) SOLUTION", r"\1-SOLUTION", c.source))
        for c in exercise().cells
    ]
    assert not submission.notes


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("My Homework (1) [a] 100%")
    submitted = folder / "submitted"
    for student in ("Anna (1)", "Ben B", "carla"):
        (submitted / student / "my answers (2)").mkdir(parents=True)
        nbformat.write(exercise(), submitted / student / "my answers (2)" / f"{NAME} (3).ipynb")
    bytes_of = (submitted / "carla" / "my answers (2)" / f"{NAME} (3).ipynb").read_bytes()
    (submitted / "carla" / "my answers (2)" / f"{NAME} (3).ipynb").write_bytes(b"\xef\xbb\xbf" + bytes_of)
    return grade(folder), folder / "graded"


def test_spaces_and_parentheses_cost_no_points(rows):
    assert [row["student"] for row in rows[0]] == ["Anna__1_", "Ben_B", "carla"]
    assert [float(row["points"]) for row in rows[0]] == [ALL] * 3
    for kind in ("feedback", "autograded"):
        assert len(list((rows[1] / kind).rglob(f"{NAME}.*"))) == 3
    assert (rows[1] / "gradebook.db").exists() and ",carla," in (rows[1] / "grades.csv").read_text()


@pytest.mark.parametrize("submitted", ["My Homework (1)", 'it\'s "mine"; $HOME & more', ""])
def test_make_grade_hands_the_folder_on_as_it_is(tmp_path, submitted):
    """With a Python that only prints what it is given."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "venv" / ".ready").touch()
    escaped = submitted.replace("$", "$$")  # as everywhere in make
    command = ["make", "-s", "-o", f"{tmp_path}/venv/.ready", "grade", f"VENV={tmp_path}/venv"]
    command += [f"SUBMITTED={escaped}", "GRADED=out (2)"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if submitted:
        assert done.stdout.splitlines() == ["tools/grade.py", "--out=out (2)", "--", submitted], done.stderr
    else:
        assert done.returncode and "SUBMITTED=folder" in done.stderr


def test_the_note_does_not_call_one_the_newest_of_files_of_one_time(tmp_path):
    notes = chosen(tmp_path, "b.ipynb", "a.ipynb")[1]
    assert all("the first by name of the newest" in note for note in notes)


def test_an_umlaut_in_two_characters_is_the_same_student(tmp_path):
    for form in ("NFC", "NFD"):
        (tmp_path / unicodedata.normalize(form, "Zoë") / "x").mkdir(parents=True)
        (tmp_path / unicodedata.normalize(form, "Zoë") / f"{form}.ipynb").touch()
    assert {s.student for s in collect(tmp_path)} == {"Zoë"}


def test_helpers_that_raise_or_follow_a_check_are_kept():
    code = [
        new_code_cell("def act(x):\n    if x:\n        return x\n    raise NotImplementedError"),
        new_code_cell("def encode(text):\n    return act(inner(text))"),
        new_code_cell('check("05.encode", encode)\n\ndef inner(c):\n    return c'),
        new_code_cell("def decode(labels):\n    raise NotImplementedError"),
    ]
    added = added_cells(code, {"05.encode": 1}, {'check("05.encode", encode)'}, {"encode", "decode"})
    assert [cell.source for cells in added.values() for cell in cells] == [code[0].source, code[2].source]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotGrade, match="--out .*file cannot be written: .*; choose another folder"):
        with alone(tmp_path / "file"):
            pass
