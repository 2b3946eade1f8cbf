import base64
import datetime
import io
import re

import numpy as np
import pytest
import soundfile

import asrlib
from asrlib.teaching import recorder, widgets


def file_of(samples, rate):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


@pytest.fixture
def given(recognizer, monkeypatch):
    """The widget, and a function that gives it a recording: by the button, or as Colab does."""
    registered = []
    monkeypatch.setattr(recorder, "on_colab", registered.append)
    upload, result = widgets.voice_explorer(recognizer).children
    return upload, result, registered[0]


def test_a_recording_is_drawn_played_and_judged(given, cut):
    upload, result, _ = given
    assert "Nothing recorded" in result.value
    samples = asrlib.cut_audio(cut)
    file = {"name": "me.wav", "type": "audio/wav", "size": 1, "last_modified": datetime.datetime.now()}
    upload.value = (file | {"content": memoryview(file_of(samples, cut.sampling_rate))},)
    picture, sound = re.findall(r"base64,([^\"]+)", result.value)
    assert base64.b64decode(picture).startswith(b"\x89PNG")
    played, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)))
    assert rate == cut.sampling_rate and len(played) == len(samples)
    assert result.value.endswith("sounds good")


def test_problems_of_a_recording_are_named(given):
    _, result, take = given
    take(file_of(np.full(16000, 1e-3), 16000))
    assert "very quiet" in result.value


def test_what_is_no_recording_or_too_long_is_said_in_a_line(given):
    _, result, take = given
    take(b"<no sound>")
    assert "<no" not in result.value and "<img" not in result.value and result.value
    take(file_of(np.zeros(31 * 8000), 8000))
    assert "lasts 31 s; say a few digits, 30 s at most" in result.value


def test_what_is_heard_stands_in_the_title(recognizer, cut):
    figure = widgets.draw_heard(recognizer, asrlib.cut_audio(cut), cut.sampling_rate)
    assert f"heard: {cut.text}" in {ax.get_title(loc="left") for ax in figure.axes}
