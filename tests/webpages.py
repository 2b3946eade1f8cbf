"""Exported pages: how tests write them, open them in chromium, talk to them, and read what they show."""

import base64
import io
import time

import numpy as np
import pytest
import soundfile
from browsers import chromium, served, wait
from exports import unchecked
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from asrlib.errors import InputError
from asrlib.export import ort_web
from asrlib.export.web import export_page

# the sound of a fake microphone, before and after the words
BEFORE, AFTER = 0.5, 0.7
UI, DEVICE = "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"


def needs_runtime():
    """Skip the test if ONNX Runtime Web is neither in the cache nor to be fetched."""
    try:
        ort_web.runtime_files()
    except InputError as error:
        pytest.skip(f"needs ONNX Runtime Web: {error}")


def written(recognizer, folder, **options):
    """Write the page of a recognizer into a folder, and return the folder."""
    needs_runtime()
    unchecked(export_page, recognizer, folder, **options)
    return folder


class Page:
    """An exported page that is open in a browser."""

    def __init__(self, browser, address):
        self.browser = browser
        browser.get(address)
        wait(
            browser, lambda: self.message() not in ("", None) and "Loading" not in self.message(), "the page"
        )

    def part(self, name):
        return self.browser.find_element(By.ID, name)

    def message(self):
        return self.part("message").text

    def state(self, name):
        return self.browser.execute_script(f"return window.page.{name}")

    def hear(self, path):
        """Give the page a sound file; return what it found, as `window.page.last` has it."""
        before = self.state("utterances")
        self.part("file").send_keys(str(path))
        return self._next(before)

    def talk(self, seconds):
        """Press the button by keyboard, wait, press it again; return what was found."""
        before = self.state("utterances")
        self.part("talk").send_keys(Keys.ENTER)
        wait(self.browser, lambda: self.part("talk").text == "Stop", "the microphone")
        time.sleep(seconds)
        self.part("talk").send_keys(Keys.ENTER)
        return self._next(before)

    def hold(self, seconds):
        """Hold the button with the mouse while the microphone plays; return what was found."""
        before, mouse = self.state("utterances"), ActionChains(self.browser)
        mouse.click_and_hold(self.part("talk")).perform()
        wait(self.browser, lambda: self.part("talk").text == "Stop", "the microphone")
        time.sleep(seconds)
        ActionChains(self.browser).release().perform()
        return self._next(before)

    def refused(self):
        """Press the button; return the line that says why there is no sound."""
        self.part("talk").send_keys(Keys.ENTER)
        wait(self.browser, lambda: self.message() not in ("", "Ready."), "a line")
        assert self.part("talk").text == "Talk" and self.part("talk").is_enabled()
        return self.message()

    def kept(self):
        """Return the samples that the page offers as a file, and their rate."""
        text = self.browser.execute_async_script("""
            const done = arguments[0];
            fetch(document.getElementById("keep").href).then((answer) => answer.arrayBuffer()).then((bytes) =>
                done(btoa(Array.from(new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join(""))));
        """)
        return soundfile.read(io.BytesIO(base64.b64decode(text)), dtype="float32")

    def _next(self, before):
        wait(self.browser, lambda: self.state("utterances") == before + 1, f"words, not {self.message()}")
        assert self.part("words").text == self.state("last")["text"].strip()
        return self.state("last")


def say(file, samples, rate):
    """Let the fake microphone that plays ``file`` say samples next time it is opened."""
    before, after = (np.zeros(round(seconds * rate), dtype=np.float32) for seconds in (BEFORE, AFTER))
    soundfile.write(file, np.concatenate([before, samples, after]), rate, subtype="PCM_16")
    return BEFORE + len(samples) / rate + AFTER


def microphone(file):
    """Return chromium's flags for a microphone that plays a WAV file once, each time it is opened."""
    return (UI, DEVICE, f"--use-file-for-fake-audio-capture={file}%noloop")


__all__ = ["DEVICE", "UI", "Page", "chromium", "microphone", "needs_runtime", "say", "served", "written"]
