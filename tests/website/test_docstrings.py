"""asrlib's docstrings as reStructuredText."""

import ast
from pathlib import Path

import pytest
from website.docstrings import restructured

docutils = pytest.importorskip("docutils.core", reason="needs the extra site")

ROOT = Path(__file__).parents[2]
LESSONS = {"06": "/notebooks/06_ctc", "06b": "/notebooks/06b_ctc_gradient", "07": "/notebooks/07_rnnt"}


def written(text):
    return "\n".join(restructured(text.split("\n"), LESSONS)).rstrip()


@pytest.mark.parametrize(
    "plain, restructured",
    [
        ("Return `x` and ``y``.", "Return ``x`` and ``y``."),
        ("Of *args, a|b and name_.", r"Of \*args, a\|b and name\_."),
        ("`blank`s and log`x`", r"``blank``\ s and log\ ``x``"),
        ("The loss (Lesson 06).", "The loss (Lesson :doc:`06 </notebooks/06_ctc>`)."),
        ("Lesson 06b.", "Lesson :doc:`06b </notebooks/06b_ctc_gradient>`."),
        ("Lessons 06 and 99.", "Lessons :doc:`06 </notebooks/06_ctc>` and 99."),
        ("The gradient (Lesson 06b).", "The gradient (Lesson :doc:`06b </notebooks/06b_ctc_gradient>`)."),
        ("In 06 frames.", "In 06 frames."),
        ("x   (T,) frames\ny   labels", ".. code-block:: text\n\n    x   (T,) frames\n    y   labels"),
        ("So:\n\n    f(1)\n\n    g(2)", "So:\n\n.. code-block:: python\n\n    f(1)\n\n    g(2)"),
        ("    asrlib train NAME", ".. code-block:: text\n\n    asrlib train NAME"),
        ("- one `a`\n  goes on\n- two", "- one ``a``\n  goes on\n- two"),
        ("End.  Two spaces after a stop are no table.", "End.  Two spaces after a stop are no table."),
    ],
)
def test_what_is_aligned_stays_and_the_rest_is_escaped(plain, restructured):
    assert written(plain) == restructured


def docstrings():
    for path in sorted((ROOT / "asrlib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                yield f"{path.stem}:{getattr(node, 'name', '')}", ast.get_docstring(node)


def test_all_docstrings_are_valid():
    """docutils, as strict as it can be, finds no fault in any of them."""
    texts = dict(docstrings())
    assert len(texts) > 1000
    strict = {"report_level": 1, "halt_level": 5, "warning_stream": False, "syntax_highlight": "none"}
    for name, text in texts.items():
        document = docutils.publish_doctree(
            "\n".join(restructured(text.split("\n"), {})), settings_overrides=strict
        )
        messages = [node.astext() for node in document.findall(lambda node: node.tagname == "system_message")]
        assert not messages, (name, messages)
