"""The course's own sentences, as real English text whose vocabulary never closes. Lesson 05.

``data/course-text.txt`` is a snapshot of the prose of lessons, pages and docstrings, under the kit's license,
normalized as transcripts are; ``tools/make_course_text.py`` writes it.
"""

from asrlib.files import assets

TEXT = "course-text.txt"


def course_text() -> list[str]:
    """Return the sentences: lower case, words and apostrophes between single spaces."""
    return (assets() / TEXT).read_text(encoding="utf-8").splitlines()
