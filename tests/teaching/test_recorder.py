"""asrlib.teaching.recorder: recordings that arrive from a browser, and what is said about them."""

import base64
import datetime
import functools
import http.server
import io
import shutil
import sys
import threading
import time
import types

import numpy as np
import pytest
import soundfile

import asrlib
from asrlib.teaching import recorder

RATE = 16000


def speech(peak=0.3, noise=1e-4, silence=0.3, seconds=1.0):
    """A tone that stands for speech, between two stretches of silence."""
    rng = np.random.default_rng(0)
    pause = np.zeros(int(silence * RATE))
    tone = peak * np.sin(2 * np.pi * 220 * np.arange(int(seconds * RATE)) / RATE)
    samples = np.concatenate([pause, tone, pause])
    return (samples + noise * rng.standard_normal(len(samples))).clip(-1, 1).astype(np.float32)


def wav(samples, rate=RATE):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def test_a_good_recording_has_no_problems():
    assert recorder.recording_problems(speech(), RATE) == []
    for cut in asrlib.clips():
        assert recorder.recording_problems(asrlib.cut_audio(cut), cut.sampling_rate) == []


@pytest.mark.parametrize(
    "samples, rate, problem",
    [
        (speech(), 4000, "only 4000 samples per second"),
        (speech()[:2000], RATE, "only 0.12 s long"),
        (speech(peak=0.01), RATE, "very quiet, its peak is 0.010"),
        (speech(peak=2.0), RATE, "clipped, 41.7% of its samples"),
        (speech()[int(0.4 * RATE) :], RATE, "it begins in the middle of speech"),
        (speech()[: int(1.2 * RATE)], RATE, "it ends in the middle of speech"),
        (speech(noise=0.05), RATE, "noisy, speech is only 13 dB above"),
    ],
)
def test_each_problem_is_named(samples, rate, problem):
    assert any(found.startswith(problem) for found in recorder.recording_problems(samples, rate))


def test_noise_at_the_edges_is_not_taken_for_speech():
    (problem,) = recorder.recording_problems(speech(noise=0.05), RATE)
    assert problem.startswith("noisy")


def test_recordings_become_a_corpus(tmp_path):
    folder = tmp_path / "mine"
    (tmp_path / "two.flac").write_bytes(b"")
    soundfile.write(tmp_path / "two.flac", np.stack([speech(), speech()], axis=1), RATE)
    recorder.add_recording(folder, wav(speech()), "one two")
    recorder.add_recording(folder, tmp_path / "two.flac", " three ", speaker="you")
    recorder.add_recording(folder, wav(speech(), 44100), "four")
    recorder.add_recording(folder, wav(speech()), "five", split="dev")
    cuts = {cut.id: cut for cut in asrlib.load_corpus(folder)}
    assert {name: cut.supervisions[0].text for name, cut in cuts.items()} == {
        "audio/001.wav": "one two",
        "audio/002.wav": "three",
        "audio/003.wav": "four",
        "audio/004.wav": "five",
    }
    assert [cut.custom["split"] for cut in cuts.values()] == ["train", "train", "test", "dev"]
    assert [cut.supervisions[0].speaker for cut in cuts.values()] == ["me", "you", "me", "me"]
    assert cuts["audio/003.wav"].sampling_rate == 44100
    assert np.allclose(asrlib.cut_audio(cuts["audio/002.wav"]), speech(), atol=1e-4)


@pytest.mark.parametrize("text", ["", "  ", "one\ttwo", "one\ntwo"])
def test_a_text_that_does_not_fit_a_line_is_refused(tmp_path, text):
    with pytest.raises(asrlib.InputError, match="must be one line"):
        recorder.add_recording(tmp_path, wav(speech()), text)
    assert not list(tmp_path.iterdir())


def test_what_is_no_audio_leaves_nothing_behind(tmp_path):
    with pytest.raises(asrlib.InputError, match="cannot be read as audio"):
        recorder.add_recording(tmp_path / "mine", b"webm", "one")
    assert not (tmp_path / "mine").exists()


def test_a_manifest_of_other_columns_is_not_touched(tmp_path):
    (tmp_path / "manifest.tsv").write_text("path\ttext\n")
    with pytest.raises(asrlib.InputError, match="its columns are not path, speaker"):
        recorder.add_recording(tmp_path, wav(speech()), "one")
    assert (tmp_path / "manifest.tsv").read_text() == "path\ttext\n"


def upload(desk, content):
    file = {"name": "a.wav", "type": "audio/wav", "size": len(content), "content": memoryview(content)}
    desk.children[1].value = (file | {"last_modified": datetime.datetime.now(datetime.timezone.utc)},)


def test_uploads_of_both_generations_of_ipywidgets():
    assert recorder.uploaded_files(({"name": "a.wav", "content": memoryview(b"RIFF")},)) == [b"RIFF"]
    assert recorder.uploaded_files({"a.wav": {"metadata": {}, "content": b"RIFF"}}) == [b"RIFF"]


def test_the_desk_goes_from_prompt_to_prompt(tmp_path):
    desk = recorder.recording_desk(["one two", "three"], tmp_path / "mine", "you")
    prompt, _, message = desk.children
    upload(desk, b"webm")
    assert "cannot be read as audio" in message.value and prompt.value == "one two"
    upload(desk, wav(speech()))
    assert message.value == "001.wav: sounds good" and prompt.value == "three"
    upload(desk, wav(speech(peak=2.0)))
    assert "clipped" in message.value and prompt.value == "three"
    texts = [cut.supervisions[0].text for cut in asrlib.load_corpus(tmp_path / "mine")]
    assert texts == ["one two", "three"]


def test_on_colab_recordings_arrive_by_themselves(tmp_path, monkeypatch):
    callbacks = {}
    colab = types.ModuleType("google.colab")
    colab.output = types.SimpleNamespace(register_callback=callbacks.__setitem__)
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    desk = recorder.recording_desk(["one"], tmp_path / "mine")
    callbacks["asrlib.recording"](base64.b64encode(wav(speech())).decode())
    assert desk.children[2].value == "001.wav: sounds good"


# ---- in a real browser ---------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path):
    """Address of a page with the recorder alone, on this machine, where browsers allow a microphone."""
    (tmp_path / "index.html").write_text("<!doctype html><body>" + recorder.recorder().data)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}/index.html"
        server.shutdown()


@pytest.mark.browser
@pytest.mark.parametrize("microphone", [True, False])
def test_the_recorder_gives_a_wav_file(page, microphone):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium or not shutil.which("chromedriver"):
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    if microphone:  # one that beeps
        flags += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    for flag in flags:
        options.add_argument(flag)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as browser:
        browser.set_script_timeout(30)
        browser.get(page)
        received = "window.google = {colab: {kernel: {invokeFunction: (...a) => { window.received = a; }}}}"
        browser.execute_script(received)
        button, message = (browser.find_element("css selector", f"div > {tag}") for tag in ("button", "span"))
        button.click()
        wait_for(lambda: message.text)
        if not microphone:
            assert message.text.startswith("no microphone")
            return
        assert message.text == "recording" and button.text == "stop"
        time.sleep(2)
        button.click()
        wait_for(lambda: message.text.endswith(" s"))
        fetch = """
            const done = arguments[0], link = document.querySelector("a");
            fetch(link.href).then(r => r.blob()).then(blob => {
                const reader = new FileReader();
                reader.onload = () => done([link.download, reader.result.split(",")[1]]);
                reader.readAsDataURL(blob);
            });"""
        name, content = browser.execute_async_script(fetch)
        assert browser.execute_script("return window.received") == ["asrlib.recording", [content], {}]
        seconds = float(message.text.removesuffix(" s"))
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
    assert name == "recording.wav" and samples.ndim == 1
    assert len(samples) / rate == pytest.approx(seconds, abs=0.06) and 1 < seconds < 10
    assert np.abs(samples).max() > 0.05


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
