"""nbgrader, with execution in the sandbox and its errors in one line."""

from __future__ import annotations

import logging
import re

from . import sandbox
from .execution import Execution


def preprocessor(server: sandbox.Sandbox, setups: dict[str, str]):
    """The class that takes the place of nbgrader's Execute."""
    from nbgrader import utils
    from nbgrader.preprocessors import NbGraderPreprocessor

    class Sandboxed(NbGraderPreprocessor):
        def preprocess(self, nb, resources):
            run = Execution(server, setups[resources["nbgrader"]["assignment"]])
            number = 0
            try:
                for cell in nb.cells:
                    if cell.cell_type != "code":
                        continue
                    number += 1
                    cell.execution_count = number
                    if utils.is_grade(cell):
                        function = cell.metadata.nbgrader.grade_id.removesuffix("-check").split("-", 1)[1]
                        cell.outputs = run.test(cell.source, function)
                    else:
                        cell.outputs = run.cell(cell.source, f"cell {number}")
            finally:
                run.close()
            return nb, resources

    return Sandboxed


class NbgraderLog(logging.Handler):
    """Keeps what nbgrader says of errors: its exceptions only point to it."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record):
        self.text += self.format(record) + "\n"

    def reason(self, error: BaseException) -> str:
        """The exception behind ``error``, in one line: the last of nbgrader's tracebacks, if it wrote any."""
        raised = re.findall(r"^([\w.]+): (.+)$", self.text, flags=re.M)
        name, text = raised[-1] if raised else (type(error).__name__, " ".join(str(error).split()))
        return f"{name.rsplit('.', 1)[-1]}: {text}"[:300]
