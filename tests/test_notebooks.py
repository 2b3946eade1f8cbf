"""House rules for lessons, so that nbval has something to compare and GitHub something to show."""

import re
from pathlib import Path

import colab  # tools is no package
import nbformat
import pytest
import trained

LESSONS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
SKIPPED = "nbval-ignore-output"


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def lesson(request):
    return request.param, nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def own_cells(notebook):
    """The code cells but Colab's, which a tool writes."""
    return [cell for cell in code_cells(notebook) if colab.TAG not in cell.metadata.get("tags", [])]


def test_there_are_lessons():
    assert LESSONS


def test_every_cell_was_executed_in_order(lesson):
    _, notebook = lesson
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_cell_failed(lesson):
    _, notebook = lesson
    assert not [o for cell in code_cells(notebook) for o in cell.outputs if o.output_type == "error"]


def test_header_says_goals_needs_and_minutes(lesson):
    path, notebook = lesson
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {path.stem.split('_')[0]} · ")
    for part in ("**Goals.**", "**Needs.**", "**Minutes.**"):
        assert part in first.source


def test_enough_outputs_are_compared(lesson):
    """A companion (07b and the like) is shorter; those of times and of synthesized speech differ a little."""
    path, notebook = lesson
    compared = [c for c in code_cells(notebook) if c.outputs and SKIPPED not in c.metadata.get("tags", [])]
    assert len(compared) >= (3 if path.stem[2] == "b" else 10)


def test_github_can_show_it(lesson):
    path, notebook = lesson
    assert "widgets" not in notebook.metadata
    assert path.stat().st_size < 3_000_000
    mimes = {mime for cell in code_cells(notebook) for o in cell.outputs for mime in o.get("data", {})}
    assert "image/svg+xml" not in mimes
    assert "image/png" in mimes


def test_a_figure_stands_before_every_widget(lesson):
    _, notebook = lesson
    drawn = False
    for cell in code_cells(notebook):
        mimes = {mime for o in cell.outputs for mime in o.get("data", {})}
        if "application/vnd.jupyter.widget-view+json" in mimes:
            assert drawn, f"no static figure in the cell before: {cell.source}"
        drawn = "image/png" in mimes


def test_cells_are_short(lesson):
    _, notebook = lesson
    assert not [cell.source for cell in code_cells(notebook) if len(cell.source.splitlines()) > 22]


def test_lines_of_code_are_short(lesson):
    _, notebook = lesson
    lines = [line for cell in own_cells(notebook) for line in cell.source.splitlines()]
    assert not [line for line in lines if len(line) > 95]


def test_the_set_up_is_folded(lesson):
    """A lesson opens with itself: what Colab needs takes three lines."""
    _, notebook = lesson
    assert len(code_cells(notebook)[0].source.splitlines()) <= 3
    assert colab.TAG in code_cells(notebook)[0].metadata.tags


def test_no_assert_about_a_trained_number(lesson):
    """A threshold on a training, on a model's errors or on a time would stop students: see trained.py."""
    _, notebook = lesson
    assert not trained.bad_asserts(cell.source for cell in own_cells(notebook))


@pytest.mark.parametrize(
    "source",
    [
        "loss = train(config, cuts)\nassert loss < 1",
        "def fit(m):\n    m.backward()\n    o.step()\n    return 1\nby_rate = {r: fit(r) for r in (1, 2)}\n"
        "(a, b) = by_rate.values()\nassert a < b / 2",
        "r = asrlib.Recognizer.load()\ndef wer(x):\n    return r.transcribe(x).text\nrates = [wer(1)]\n"
        "for x in rates:\n    y = x\nassert y <= 3",
        "start = time.perf_counter()\ntook = time.perf_counter() - start\nassert took < 3",
        "late = []\nlate.append(evaluate(model))\nassert late[0] > 2",
    ],
)
def test_asserts_about_trained_numbers_are_found(source):
    assert len(trained.bad_asserts([source])) == 1


@pytest.mark.parametrize(
    "source",
    [
        "found = recognizer.transcribe(x)\nassert found.text == said",
        "peak = max(schedule(s) for s in range(9))\nassert abs(peak - 3e-4) < 1e-6",
        "a, b = train(1), train(2)\nassert torch.equal(a, b)",
    ],
)
def test_other_asserts_are_left_alone(source):
    assert not trained.bad_asserts([source])


def test_short_names_for_what_a_clip_holds(lesson):
    """clip.text, clip.words, clip.audio: nobody meets ``supervisions`` on the first page."""
    _, notebook = lesson
    assert not [cell.source for cell in own_cells(notebook) if "supervisions[" in cell.source]


def test_the_model_that_a_lesson_loads_is_the_one_it_names(lesson):
    """``lessons-model`` is one network; the recognizer that ships, and that lesson 00 uses, is two."""
    _, notebook = lesson
    loaded = "\n".join(cell.source for cell in own_cells(notebook))
    if "Recognizer.load()" not in loaded and '"lessons-model"' in loaded:
        text = "\n".join(cell.source for cell in notebook.cells)
        assert not re.findall(r"shipped(?!_model)|recognizer of lesson 00", text)


# what one finds in a lesson, and what stands there instead
ENGLISH = {
    r"\w*(?:ognis|ormalis|ynthesis(?=[ei])|ptimis|uantis|emoris|mphasis(?=e)|qualis)\w*": "-iz-",
    r"\b(?:[Cc]olour|[Gg]rey\b|[Cc]entre|[Nn]eighbour|[Bb]ehaviour|[Ll]abelled|[Aa]nalyse)\w*": "American",
    r"\bper cent\b": "percent",
    r"\b(?:nats|samples|frames|labels|words|multiplications|steps|bits|ms) an? "
    r"(?:second|nanosecond|utterance|label|word|frame|step|weight)\b": "per",
    r"\bin the place of\b": "instead of",
}


@pytest.mark.parametrize("pattern", ENGLISH, ids=ENGLISH.values())
def test_american_spelling_and_plain_words(lesson, pattern):
    _, notebook = lesson
    sources = [cell.source for cell in notebook.cells]
    assert not [match.group() for source in sources for match in re.finditer(pattern, source)]


def test_links_to_other_lessons_exist():
    readme = (LESSONS[0].parent.parent / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", readme):
        assert (LESSONS[0].parent.parent / target).exists(), target
