"""How soon a playground follows the mouse, measured in chromium."""

import pytest
from chromium import CHROMIUM

from asrlib.bench import playgrounds as bench
from asrlib.errors import InputError


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="needs chromium")
def test_every_playground_is_timed(asrlib):
    code, out, _ = asrlib("bench", "playgrounds", "--moves", 4)
    title, head, *rows = out.splitlines()
    assert code == 0 and "4 moves each" in title and "pointer to frame" in head
    assert [row.split(":")[0] for row in rows] == ["ctc", "transducer", "spectrogram"]
    for row in rows:
        handled, shown, late = map(float, row.split()[-3:])
        assert 0 <= handled <= shown <= late


def test_without_chromium_one_line_says_so(monkeypatch):
    monkeypatch.setattr(bench.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="needs chromium"):
        bench.bench_playgrounds(lambda name, script: "")


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="needs chromium")
def test_a_page_that_does_not_answer_is_an_error_in_one_line(monkeypatch):
    monkeypatch.setattr(bench, "_PATIENCE", 2.0)
    with pytest.raises(InputError, match="the page ctc did not answer within 2 s"):
        bench.bench_playgrounds(lambda name, script: "<p>no playground</p>")
