"""docs/front.png shows what the model finds."""

import json
import re
from pathlib import Path

import make_picture  # of tools
import pytest

import asrlib

Image = pytest.importorskip("PIL.Image", reason="needs pillow, which comes with matplotlib")

ROOT = Path(__file__).parent.parent


def about(path):
    with Image.open(path) as picture:
        return json.loads(picture.info["Description"]), picture.size


def test_the_picture_shows_the_words_that_the_model_finds_when_it_finds_them():
    stored, (width, height) = about(make_picture.PICTURE)
    *_, probabilities, recognizer = make_picture.listened()
    found = make_picture.words_found(probabilities, recognizer)
    assert (stored["model"], stored["clip"]) == (make_picture.MODEL, make_picture.CLIP)
    assert [word for word, _ in stored["words"]] == [word for word, _ in found], "run tools/make_picture.py"
    for (_, shown), (word, time) in zip(stored["words"], found, strict=True):
        # another machine's rounding may make the next frame the most probable one
        assert abs(shown - time) <= recognizer.frame_seconds + 1e-6, word
    assert width >= 1400 and height >= 700 and make_picture.PICTURE.stat().st_size < 300_000


def test_the_words_are_those_that_were_said_and_that_the_recognizer_writes():
    stored, _ = about(make_picture.PICTURE)
    (clip,) = (cut for cut in asrlib.clips() if cut.id == stored["clip"])
    words = [word for word, _ in stored["words"]]
    assert words == clip.text.split()
    for (_, time), (_, start, end) in zip(stored["words"], clip.words, strict=True):
        assert start <= time <= end + 0.1  # a hill of CTC may stand behind its word


def test_it_is_drawn_again(tmp_path):
    found = make_picture.draw(tmp_path / "again.png")
    (again, size), (stored, size_stored) = about(tmp_path / "again.png"), about(make_picture.PICTURE)
    assert again["words"] == [[word, round(time, 3)] for word, time in found] and size == size_stored
    assert [word for word, _ in again["words"]] == [word for word, _ in stored["words"]]


def test_the_readme_says_what_the_picture_shows():
    stored, _ = about(make_picture.PICTURE)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    ((described, address),) = re.findall(r"^!\[(.*)\]\((.*)\)$", text, re.MULTILINE)
    assert described.endswith(" ".join(word for word, _ in stored["words"]))
    assert address == make_picture.PICTURE.relative_to(ROOT).as_posix()
    assert text.index("![") < text.index("\n## ")
