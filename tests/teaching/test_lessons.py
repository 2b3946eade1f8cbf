"""What every lesson gives a reader: where they are, sound, questions with answers, a time that is true."""

import re
from pathlib import Path

import colab  # tools is no package
import nbformat
import pytest

LESSONS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
ANSWER = "<details><summary>Answer</summary>"
PREDICT = "**Predict.**"
MOST_CELLS = 66
SILENT = {"04b"}  # counts parameters; nothing in it is heard


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def lesson(request):
    return request.param.stem.split("_")[0], nbformat.read(request.param, as_version=4).cells


def html_of(cells):
    outputs = (output for cell in cells if cell.cell_type == "code" for output in cell.outputs)
    return ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]


def test_a_picture_near_the_top_says_where_the_reader_is(lesson):
    _, cells = lesson
    found = [n for n, cell in enumerate(cells) if cell.source.startswith("viz.pipeline(here=")]
    assert found and found[0] < 10
    assert any("image/png" in output.get("data", {}) for output in cells[found[0]].outputs)


def test_there_is_something_to_hear(lesson):
    number, cells = lesson
    players = sum(html.count("<audio") for html in html_of(cells))
    assert players >= 1 or number in SILENT


def test_stored_sounds_are_small(lesson):
    """What a notebook stores, git keeps for good: some 6 s of 16-bit samples at 16,000 Hz per player."""
    _, cells = lesson
    sounds = [
        sound for html in html_of(cells) for sound in re.findall(r"base64,([A-Za-z0-9+/=]{100,})", html)
    ]
    assert max(map(len, sounds), default=0) * 3 / 4 < 200_000


def test_there_are_five_questions_with_folded_answers(lesson):
    _, cells = lesson
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert prose.count(ANSWER) >= 5
    assert prose.count("<details>") == prose.count("</details>")


def test_no_question_is_left_without_an_answer(lesson):
    _, cells = lesson
    for cell in cells:
        for asked in re.split(r"(?=> \*\*Question\.\*\*)", cell.source)[1:]:
            assert ANSWER in asked, asked[:80]


def test_readers_predict_before_they_see(lesson):
    """A prediction is a cell of its own, has its answer, and code comes after it."""
    _, cells = lesson
    at = [n for n, cell in enumerate(cells) if cell.source.startswith(PREDICT)]
    assert len(at) >= 2
    for n in at:
        assert ANSWER in cells[n].source, cells[n].source[:80]
        assert any(cell.cell_type == "code" for cell in cells[n + 1 : n + 4]), cells[n].source[:80]


def test_a_lesson_is_not_longer_than_one_sitting(lesson):
    _, cells = lesson
    assert len(cells) <= MOST_CELLS


def test_the_opening_names_a_path_of_45_minutes(lesson):
    _, cells = lesson
    assert "**45-minute path:**" in cells[0].source


def minutes_to_read(cells):
    """Some 60 words, or 13 lines of code, per minute: what careful readers of these lessons took."""
    words = sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    own = [c for c in cells if c.cell_type == "code" and colab.TAG not in c.metadata.get("tags", [])]
    return words / 60 + sum(len(cell.source.splitlines()) for cell in own) / 13


def test_the_stated_minutes_are_true(lesson):
    _, cells = lesson
    stated = int(re.search(r"\*\*Minutes\.\*\* (\d+)", cells[0].source).group(1))
    assert 0.75 * minutes_to_read(cells) <= stated <= 1.5 * minutes_to_read(cells)
