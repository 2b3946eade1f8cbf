"""Hostile submissions, as the review of the grader found them; none changes anything where it succeeds.

Each is a kind of attack (A4: stop the grader or the submissions after; A5, A6: points for nothing; A8, A9:
its memory and time; A10: the status "failed"; A11, A12: names and cells of the table) and what must become of
it.
"""

import json
import os
import re

import nbformat
from handed_in import ALL, FIRST, NAME, REST, TASKS, exercise, set_answer

# what a row must say: its status, its points and a word in the notes
GRADED = "graded"


def head(task):
    return re.search(r"def \w+\(.*\):", task.solution).group(0)


def body(*lines, task=FIRST, before=()):
    """All right but one task, whose answer has these lines, behind cells of the student's own."""
    notebook = set_answer(exercise(), task, "\n    ".join([head(task), *lines]))
    for number, source in enumerate(before):
        notebook.cells.insert(2 + number, nbformat.v4.new_code_cell(source))
    return notebook


def edited(**changes):
    """The right notebook as JSON, with its first task's cell changed."""
    data = json.loads(nbformat.writes(exercise()))
    cell = next(c for c in data["cells"] if c.get("id") == FIRST.name.replace(".", "-", 1))
    cell.update(changes)
    return json.dumps(data)


def forged(reply):
    """An answer that finds the socket and writes its own reply."""
    return body(
        "import gc, socket, struct",
        "for s in [o for o in gc.get_objects() if isinstance(o, socket.socket)]:",
        f"    s.send(struct.pack('!Q', {len(reply)}) + {reply!r})",
        "return 1",
    )


KILL = "import os; os.kill(0, 0)"  # signal 0 asks for leave and does nothing


def reference_of(task):
    """An answer that calls the checker's own reference."""
    return (
        f"def {task.function}(*arguments):\n    import asrlib.teaching.check as c\n"
        f"    return c.tasks()[{task.name!r}].reference(*arguments)"
    )


def references():
    notebook = exercise()
    for task in TASKS:
        set_answer(notebook, task, reference_of(task))
    return notebook


def many_cells():
    notebook = exercise()
    loop = [nbformat.v4.new_code_cell(f"while {number} == {number}: pass") for number in range(60)]
    notebook.cells = [*notebook.cells, *loop]
    return notebook


# name: (notebook, its text or bytes, or a function that makes files in a folder; status, points, a word)
ATTACKS = {
    "a1-kills": (lambda: body(KILL, "return []"), GRADED, REST, ""),
    "a2-outlives": (
        lambda: body("import ctypes, os", "ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)", "os.fork()", "return []"),
        GRADED,
        REST,
        "ctypes",
    ),
    "a4-surrogate-in-format": (
        '{"nbformat": "\\ud800", "nbformat_minor": 5, "cells": []}', "unreadable", 0, "",
    ),
    "a4-nested-lists": ("[" * 100_000, "unreadable", 0, "not a notebook"),
    "a4-many-lists": (b'{"cells": [' + b"[]," * 2_000_000 + b"[]]}", "unreadable", 0, "more than"),
    "a4-many-cells": (
        json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": "", "id": f"c{n}"} for n in range(5000)
        ]}),
        "unreadable", 0, "5,000 cells",
    ),
    "a4-hashes": (
        lambda: body(
            "class Colliding(set):",
            "    def __iter__(self):",
            "        return iter([n * ((1 << 61) - 1) for n in range(1, 50_000)])",
            "return Colliding()",
        ),
        GRADED, REST, "keys of one hash",
    ),
    "a4-wide-and-empty": (
        lambda: body("import torch", "return torch.empty(1 << 20, 1 << 11, 0)"),
        GRADED, REST, "too many entries",
    ),
    "a5-references": (references, GRADED, 0, "asrlib.teaching.check"),
    "a5-own-function": (
        lambda: body(
            "return tok.Tokenizer('characters', labels).encode(text)",
            before=["import asrlib.text.tokenizers as tok"],
        ),
        GRADED, None, "asrlib.text.tokenizers.Tokenizer",
    ),
    "a8-lists": (lambda: body("return [[] for _ in range(450_000)]"), GRADED, REST, "more than"),
    "a8-page": (
        lambda: body(
            "import io, sys", "type(sys.stdout).write = io.StringIO.write", "print('x' * 30_000_000)",
            "return []",
        ),
        GRADED, REST, "",
    ),
    "a8-page-of-a-cell": (
        lambda: body("return []", before=[
            "import io, sys\ntype(sys.stdout).write = io.StringIO.write\nprint('x' * 3_000_000)"
        ]),
        GRADED, REST, "",
    ),
    "a9-cells": (many_cells, GRADED, ALL, "was not executed"),
    "a10-hidden-tests": (lambda: body("### BEGIN HIDDEN TESTS", "return []"), GRADED, REST, ""),
    "a10-solution": (lambda: body("### END SOLUTION", "return []"), GRADED, REST, ""),
    "a10-surrogate-printed": (lambda: body("return []", before=["print('\\ud800')"]), GRADED, REST, ""),
    "a10-surrogate-raised": (lambda: body("raise ValueError('\\ud800')"), GRADED, REST, ""),
    "a10-surrogate-in-source": (edited(source='"\ud800"'), GRADED, REST, ""),
    "a10-forged-printed": (lambda: forged(b'{"printed": [[1]]}'), GRADED, REST, "look at it by hand"),
    "a10-no-json": (lambda: forged(b"{a}"), GRADED, REST, "look at it by hand"),
    "a10-fault": (lambda: forged(b'{"fault": "the grader"}'), GRADED, REST, "look at it by hand"),
    "a10-metadata": (edited(metadata="text"), "unreadable", 0, "not a notebook"),
    "a10-source": (edited(source=7), "unreadable", 0, "not a notebook"),
}  # fmt: skip


def write(folder):
    """All of them below ``folder``, a student each, and files that only their kind or name makes hostile."""
    for name, (content, *_) in ATTACKS.items():
        content = content() if callable(content) else content
        if isinstance(content, nbformat.NotebookNode):
            content = nbformat.writes(content)
        content = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        (folder / name).mkdir(parents=True)
        (folder / name / f"{NAME}.ipynb").write_bytes(content)
    right = nbformat.writes(exercise()).encode()
    for student in NAMES:
        (folder / student).mkdir()
        (folder / student / f"{NAME}.ipynb").write_bytes(right)
    os.mkfifo(folder / "pipe.ipynb")
    os.symlink("/etc/hostname", folder / "link.ipynb")
    os.symlink(folder, folder / "circle")
    with open(os.fsencode(folder) + b"/\xff\xfe.ipynb", "wb") as file:
        file.write(right)
    (folder / "long").mkdir()
    (folder / "long" / ("n" * 246 + ".ipynb")).write_bytes(right)
    (folder / "formula").mkdir()
    (folder / "formula" / "\t=1+1;=2+2.ipynb").write_bytes(b"no notebook")
    (folder / "deep" / "/".join("d" * 400)).mkdir(parents=True)
    (folder / "deep" / f"{NAME}.ipynb").write_bytes(right)


# students whose work is right, and whose names are their own
NAMES = ["a b", "a_b", "a?b", "...", ".anna", "=cmd", "\tx", "n" * 200]
