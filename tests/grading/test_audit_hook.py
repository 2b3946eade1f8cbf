"""Grading where there are no namespaces: the audit hook alone."""

import subprocess
import sys

import assignments
import nbformat
import pytest
from handed_in import ALL, NAME, REST, ROOT, exercise, first_answer, grade, page

SECRET = ROOT / "solutions" / NAME / f"{NAME}.ipynb"
DELETED = assignments.exercise(NAME)
HOOKED = {
    "perfect": (exercise, ALL, ""),
    "loop": (lambda: first_answer("while True: pass"), REST, "had computed for"),
    "bomb": (
        lambda: first_answer("import torch; hoard = [torch.empty(1 << 26) for _ in range(99)]"),
        REST,
        "memory",
    ),
    "peeks": (lambda: first_answer(f"open({str(SECRET)!r}).read()"), REST, "not for answers"),
    "network": (
        lambda: first_answer("import socket; socket.create_connection(('192.0.2.1', 80), 2)"),
        REST,
        "not allowed in an answer",
    ),
    "runs": (lambda: first_answer("import os; os.system('true')"), REST, "not allowed in an answer"),
    "deletes": (lambda: first_answer(f"import os; os.remove({str(DELETED)!r})"), REST, "scratch folder"),
    "writes": (lambda: first_answer(f"open({str(DELETED)!r}, 'a')"), REST, "scratch folder"),
}


@pytest.fixture(scope="module")
def hooked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hooked")
    for student, (make, *_) in HOOKED.items():
        (folder / "submitted" / student).mkdir(parents=True)
        nbformat.write(make(), folder / "submitted" / student / f"{NAME}.ipynb")
    return {row["student"]: row for row in grade(folder, "--without-namespaces")}, folder / "graded"


@pytest.mark.parametrize("student", HOOKED)
def test_the_fallback_grades_and_refuses(hooked, student):
    _, points, says = HOOKED[student]
    row = hooked[0][student]
    assert (row["status"], float(row["points"]), float(row["of"])) == ("graded", points, ALL)
    assert says in page(hooked[1], student)
    assert DELETED.exists()


def test_the_fallback_refuses_too(tmp_path):
    """The audit hook in a process of its own, for it cannot be taken off again."""
    secret = str(ROOT / "solutions" / "x")
    sources = [
        f"open({secret!r})",
        "import socket; socket.socket().connect(('192.0.2.1', 80))",
        "import os; os.fork()",
        "import subprocess; subprocess.run(['ls'])",
        "import ctypes; ctypes.CDLL(None)",
    ]
    script = f"""
import sys; sys.path.insert(0, {str(ROOT / "tools")!r})
from grading.sandbox.audit_hook import install_audit_hook
install_audit_hook({{"root": {str(tmp_path)!r}, "hidden": [{str(ROOT / "solutions")!r}], "empty": []}})
for source in {sources!r}:
    try:
        exec(source)
        print("done", source)
    except PermissionError as error:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["refused"] * 5, done.stdout + done.stderr
