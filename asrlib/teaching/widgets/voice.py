"""Your own voice: a recording in, picture, text and sound out. Lesson 00."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING, Any

from asrlib.errors import InputError
from asrlib.extras import extra
from asrlib.teaching import recorder
from asrlib.teaching.widgets.controls import png, wav
from asrlib.teaching.widgets.sound import draw_heard

if TYPE_CHECKING:
    import ipywidgets

    from asrlib.recognizer import Recognizer

_LONGEST = 30.0  # seconds


def voice_explorer(recognizer: Recognizer) -> ipywidgets.VBox:
    """Return a button for a recording; what it shows is ``draw_heard``, a player, and problems. Lesson 00.

    Recordings of ``recorder.recorder`` and of any other recorder will do. On Colab those of the former arrive
    by themselves.
    """
    with extra("lab"):
        import ipywidgets

    upload = ipywidgets.FileUpload(accept="audio/*", multiple=False, description="recording")
    result = ipywidgets.HTML("Nothing recorded yet.")

    def take(audio: bytes) -> None:
        try:
            result.value = _heard(recognizer, audio)
        except InputError as error:
            result.value = html.escape(str(error))

    def uploaded(change: Any) -> None:
        for content in recorder.uploaded_files(change["new"]):
            take(content)

    upload.observe(uploaded, names="value")
    recorder.on_colab(take)
    return ipywidgets.VBox([upload, result])


def _heard(recognizer: Recognizer, audio: bytes) -> str:
    """Return picture, player and problems of a recording as HTML."""
    samples, rate = recorder.decoded(audio)
    if len(samples) > _LONGEST * rate:
        raise InputError(
            f"the recording lasts {len(samples) / rate:.0f} s; say a few digits, {_LONGEST:.0f} s at most"
        )
    problems = recorder.recording_problems(samples, rate)
    picture = base64.b64encode(png(draw_heard(recognizer, samples, rate))).decode()
    sound = base64.b64encode(wav(samples, rate)).decode()
    return (
        f'<img src="data:image/png;base64,{picture}"><br>'
        f'<audio controls src="data:audio/wav;base64,{sound}"></audio> '
        f"{html.escape('; '.join(problems) or 'sounds good')}"
    )
