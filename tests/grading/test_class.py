"""A class: honest, half done, renamed, from Colab, and every attack, in one run.

CLASS_SIZE is the number of students; `make test-class` takes 200 and prints time and memory. Without it these
tests are skipped: they take long, and nothing else may write to /tmp meanwhile.
"""

import collections
import csv
import hashlib
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import assignments
import attacks
import nbformat
import pytest
from handed_in import ALL, NAME, ROOT, TASKS, exercise, stripped

SIZE = int(os.environ.get("CLASS_SIZE", "0"))
GIGABYTE = 1 << 30
LIMITS = ["--call-seconds", "3", "--task-seconds", "6", "--cell-seconds", "3", "--added-seconds", "5"]
HALF = TASKS[: len(TASKS) // 2]


def other(path):
    """Another assignment's exercise with every right answer."""
    notebook = nbformat.read(assignments.exercise(path.stem), as_version=4)
    marked = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell for cell in notebook.cells}
    for task in assignments.tasks(path):
        marked[task.name.replace(".", "-", 1)].source = task.solution
    return notebook


def hand_in(folder):
    """Everybody's files; the points each honest student has by name and assignment."""
    attacks.write(folder)
    due = {}

    def add(student, name, notebook, points, assignment=NAME):
        (folder / student).mkdir(exist_ok=True)
        nbformat.write(notebook, folder / student / name)
        due[student, assignment] = points

    for path in assignments.notebooks():
        total = sum(task.points for task in assignments.tasks(path))
        add("everything", f"exercise_{path.stem}.ipynb", other(path), total, path.stem)
    kinds = (
        (f"exercise_{NAME}.ipynb", exercise, ALL),
        (f"exercise_{NAME}.ipynb", lambda: exercise(*(t.name for t in HALF)), sum(t.points for t in HALF)),
        ("my homework (final).ipynb", exercise, ALL),
        (f"Copy of {NAME}.ipynb", stripped, ALL),
    )
    already = len(list(folder.iterdir()))
    for number in range(SIZE - already):
        name, make, points = kinds[(0, 1, 0, 2, 0, 3)[number % 6]]
        add(f"student-{number:03d}", name, make(), points)
    return due


def state(folder):
    """What lies in a folder, files by their content."""
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts and not path.is_symlink()
    }


class Memory(threading.Thread):
    """The largest sum of what the grader's processes hold, sessions of students' code apart, in bytes."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most, self.over = pid, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.5):
            there = self.processes()
            bytes_held = sum(map(held, there))
            # the pages of a process that ends meanwhile would be counted twice, for it and for the others
            if there == self.processes():
                self.most = max(self.most, bytes_held)

    def processes(self):
        workers = children(self.pid)
        return [self.pid, *workers, *(pid for worker in workers for pid in children(worker))]


def children(pid):
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []


def held(pid):
    """Bytes of a process's memory; of what it shares, its part."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    if not SIZE:
        pytest.skip("CLASS_SIZE is not set: make test-class")
    folder = tmp_path_factory.mktemp("class")
    (folder / "submitted").mkdir()
    due = hand_in(folder / "submitted")
    before = state(folder / "submitted"), set(Path("/tmp").iterdir()), state(ROOT / "asrlib")
    command = [sys.executable, ROOT / "tools" / "grade.py", folder / "submitted", "--out", folder / "graded"]
    command += ["--jobs", "2", "--notebook-seconds", "60", "--trust", *LIMITS]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        memory = Memory(run.pid)
        memory.start()
        said = run.stdout.read()
    memory.over.set()
    seconds = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    left = processes(folder)
    after = state(folder / "submitted"), set(Path("/tmp").iterdir()), state(ROOT / "asrlib")
    with (folder / "graded" / "points.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    print(f"""
    students               {len({row["student"] for row in rows})}
    submissions            {len(rows)}
    minutes                {seconds / 60:.1f}
    seconds per submission {seconds / len(rows):.1f}, two at a time
    of the grader's own    {(used.ru_utime + used.ru_stime) / len(rows):.1f} s of CPU per submission
    memory of the grader   {memory.most / GIGABYTE:.2f} GB at most
    processes left         {len(left)}""")
    return run.returncode, said, rows, due, memory.most, before, after, left


def processes(folder):
    """The command lines of the processes that still name the folder."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


@pytest.mark.slow
def test_it_finishes_and_fails_on_nobody(graded):
    code, said, rows, *_ = graded
    assert code == 0, said[-3000:]
    assert {row["status"] for row in rows} <= {"graded", "unreadable"}
    assert len({row["student"] for row in rows}) >= SIZE


@pytest.mark.slow
def test_the_honest_have_exactly_their_points(graded):
    _, _, rows, due, *_ = graded
    points = {(row["student"], row["assignment"]): float(row["points"] or -1) for row in rows}
    assert {who: points.get(who) for who in due} == due


@pytest.mark.slow
def test_no_attack_has_points_that_it_should_not(graded):
    rows = collections.defaultdict(list)
    for row in graded[2]:
        rows[row["student"]].append(row)
    for name, (_, status, points, _) in attacks.ATTACKS.items():
        (row,) = rows[name]
        assert row["status"] == status, row
        if status == "graded" and points is not None:
            assert float(row["points"]) == points, row


@pytest.mark.slow
def test_nothing_else_is_changed_and_no_process_is_left(graded):
    *_, before, after, left = graded
    assert before[0] == after[0] and before[2] == after[2]
    assert not [path for path in after[1] - before[1] if path.name.startswith(("grading-", "sandbox-"))]
    assert not left


@pytest.mark.slow
def test_the_grader_stays_below_a_gigabyte(graded):
    assert graded[4] < GIGABYTE
