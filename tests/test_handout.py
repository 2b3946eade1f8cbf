"""`make handout` gives lessons and exercises, and no solution."""

import subprocess
import sys
import zipfile

import assignments
import handout
import pytest

from asrlib.errors import InputError


def run(*arguments):
    command = [sys.executable, assignments.ROOT / "tools" / "handout.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_zip_holds_every_lesson_and_exercise_and_nothing_else(tmp_path):
    assert handout.write(tmp_path / "course.zip") == handout.write(tmp_path / "again" / "course")
    with zipfile.ZipFile(tmp_path / "course.zip") as archive:
        names = {name.removeprefix("course/") for name in archive.namelist()}
        text = b"".join(archive.read(name) for name in archive.namelist())
    wanted = [*handout.LESSONS.glob("*.ipynb"), *assignments.EXERCISES.glob("*/*.ipynb")]
    assert names == {path.relative_to(assignments.ROOT).as_posix() for path in wanted}
    assert b"BEGIN SOLUTION" not in text and b"strict=True" not in text
    written = {
        p.relative_to(tmp_path / "again" / "course").as_posix() for p in tmp_path.glob("again/**/*.ipynb")
    }
    assert written == names


def test_it_is_the_same_file_each_time(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        handout.write(tmp_path / name / "course.zip")
    assert (tmp_path / "a" / "course.zip").read_bytes() == (tmp_path / "b" / "course.zip").read_bytes()


def test_a_solution_among_the_exercises_is_refused(tmp_path, monkeypatch):
    (tmp_path / "exercises" / "06").mkdir(parents=True)
    (tmp_path / "exercises" / "06" / "06.ipynb").write_text("### BEGIN SOLUTION")
    monkeypatch.setattr(assignments, "EXERCISES", tmp_path / "exercises")
    monkeypatch.setattr(assignments, "ROOT", tmp_path)
    monkeypatch.setattr(handout, "LESSONS", tmp_path / "notebooks")
    with pytest.raises(InputError, match="contains a solution: run make exercises"):
        handout.contents()


@pytest.mark.parametrize("target, says", [("full", "not an empty folder"), ("file/x", "cannot be written")])
def test_what_cannot_be_written_is_one_line(tmp_path, target, says):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").touch()
    done = run(tmp_path / target)
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_tab_tells_a_lesson_from_its_exercise():
    lessons = {path.name for path in handout.LESSONS.glob("*.ipynb")}
    exercises = {path.name for path in assignments.EXERCISES.glob("*/*.ipynb")}
    assert lessons and exercises and not lessons & exercises
