"""The spectrogram playground computes asrlib's log-mel features."""

import json
import math

import pytest
import torch
from javascript import ENGINES, NODE, evaluate

import asrlib
from asrlib.errors import InputError
from asrlib.signal.features import FrontEnd
from asrlib.signal.mel import mel_filters
from asrlib.teaching.playgrounds import spectrogram_options, spectrogram_playground

SETTINGS = [
    {"window_ms": 25, "hop_ms": 10, "mels": 80, "preemphasis": 0.97},
    {"window_ms": 5, "hop_ms": 2, "mels": 4, "preemphasis": 0},
    {"window_ms": 100, "hop_ms": 40, "mels": 128, "preemphasis": 1},
    {"window_ms": 33, "hop_ms": 33, "mels": 17, "preemphasis": 0.5},
]


def sounds():
    yield torch.randn(5000, generator=torch.Generator().manual_seed(0)) / 4, 16000
    yield torch.randn(3001, generator=torch.Generator().manual_seed(1)) / 4, 11025
    yield torch.zeros(2000), 8000
    yield torch.ones(7), 8000  # less than a window
    [clip] = [cut for cut in asrlib.clips() if cut.id == "audio/digits-1.flac"]
    yield torch.from_numpy(clip.audio), clip.sampling_rate


@pytest.mark.parametrize("engine", ENGINES)
def test_features_are_those_of_asrlib(engine, tmp_path):
    given = [(spectrogram_options(samples, rate)["sound"], settings)
             for samples, rate in sounds() for settings in SETTINGS]  # fmt: skip
    expression = "given.map(([sound, settings]) => logMel(floatsFrom(sound.samples), sound.rate, settings))"
    found = evaluate(engine, "spectrogram", expression, given, tmp_path)
    pairs = [(samples, rate, settings) for samples, rate in sounds() for settings in SETTINGS]
    for (samples, rate, settings), features in zip(pairs, found, strict=True):
        features = torch.tensor(features, dtype=torch.float64)
        # the page computes in 64 bits, log_mel in the waveform's 32
        front_end = FrontEnd(rate, **settings).double()
        wanted = front_end(samples[None].double(), torch.tensor([len(samples)]))[0][0]
        torch.testing.assert_close(features, wanted, rtol=0, atol=1e-6)
        torch.testing.assert_close(
            features.float(), asrlib.log_mel(samples, rate, **settings), rtol=0, atol=0.01
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_filters_lengths_and_samples_are_those_of_asrlib(engine, tmp_path):
    samples = torch.tensor([0.0, -1.0, 0.1, 2.5e-8])
    given = {"sound": spectrogram_options(samples, 16000)["sound"]["samples"]}
    expression = (
        "[melFilters(16000, 512, 23), Array.from(floatsFrom(given.sound)),"
        " floatsAsText(floatsFrom(given.sound)), lengths(11025, 10, 2)]"
    )
    filters, floats, text, length = evaluate(engine, "spectrogram", expression, given, tmp_path)
    table = torch.zeros(257, 23)
    for m, column in enumerate(filters):
        start = column["from"]
        table[start : start + len(column["weights"]), m] = torch.tensor(column["weights"])
    torch.testing.assert_close(table, mel_filters(16000, 512, 23), rtol=0, atol=1e-6)
    assert torch.tensor(floats).equal(samples) and text == given["sound"]
    assert length == {"window": 110, "hop": 22, "size": 128}


# a page with a button and a microphone, as far as soundSource needs them
MICROPHONE = """(async () => {
  const buttons = [], asked = [];
  let on = 0;
  globalThis.document = { createElement: (name) => {
    const element = { name, listeners: {}, append() {}, setAttribute() {} };
    element.addEventListener = (event, listener) => { element.listeners[event] = listener; };
    if (name === "button") buttons.push(element);
    return element;
  } };
  const track = () => { on += 1; return { stop() { on -= 1; } }; };
  const stream = () => { const tracks = [track()]; return { getTracks: () => tracks }; };
  const getUserMedia = () => new Promise((grant) => { asked.push(() => grant(stream())); });
  Object.defineProperty(globalThis, "navigator", { value: { mediaDevices: { getUserMedia } } });
  globalThis.MediaRecorder = class { start() {} stop() { this.onstop(); } };
  const source = soundSource(8000, 10, () => {}, () => {}), click = buttons[0].listeners.click;
  const settled = () => new Promise((done) => setTimeout(done, 10));
  const grant = async () => { asked.splice(0).forEach((one) => one()); await settled(); };
  const counts = [];
  click(); click();
  await grant();
  counts.push(on);
  await click();
  counts.push(on);
  click();
  source.end();
  await grant();
  counts.push(on);
  return counts;
})()"""


def test_the_microphone_is_off_after_two_clicks_and_after_the_end(tmp_path):
    """The browser asks whether the page may listen; until the answer, one may click again or leave."""
    if not NODE:
        pytest.skip("needs node")
    assert evaluate("node", "spectrogram", f"await {MICROPHONE}", None, tmp_path) == [1, 0, 0]


def test_the_options_are_plain():
    options = spectrogram_options(torch.rand(1600) - 0.5, 16000, mels=40)
    assert json.loads(json.dumps(options)) == options
    assert options["value"] == {
        "window_ms": 25.0, "hop_ms": 10.0, "mels": 40, "preemphasis": 0.97, "frame": 4, "bin": 20,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "settings", "words"),
    [
        (torch.zeros(0), {}, "0.0 s"),
        (torch.zeros(161_000), {}, "10.1 s; give at most 10 s"),
        (torch.zeros(100), {"window_ms": 5.0}, "at least as long as the hop"),
        (torch.zeros(2, 100), {}, "shape (2, 100); expected one row of mono samples"),
        (torch.zeros(100, 2), {}, "shape (100, 2); expected one row of mono samples"),
        (torch.full((100,), math.nan), {}, "NaN or infinite"),
        (torch.zeros(100), {"mels": 0}, "mels is 0; give a whole number from 1"),
        (torch.zeros(100), {"mels": 40.5}, "mels is 40.5; give a whole number from 1"),
        (torch.zeros(100), {"hop_ms": math.nan}, "hop_ms is nan; give a finite number"),
        (torch.zeros(100), {"preemphasis": "0.9"}, "preemphasis is '0.9'; give a finite number"),
        (torch.zeros(100), {"window": 25.0}, "no setting window; there are window_ms"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(samples, settings, words):
    with pytest.raises(InputError) as error:
        spectrogram_options(samples, 16000, **settings)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_samples_may_be_an_array():
    samples = torch.rand(1600) - 0.5
    assert spectrogram_options(samples.numpy(), 16000) == spectrogram_options(samples, 16000)


def test_a_cell_reads_settings_and_sound():
    pytest.importorskip("anywidget", reason="needs anywidget")
    samples = torch.rand(1600) - 0.5
    play = spectrogram_playground(samples, 16000)
    assert play.samples.equal(samples) and play.sample_rate == 16000
    play.value = {"mels": 23}
    assert asrlib.log_mel(play.samples, play.sample_rate, **play.settings).shape == (8, 23)
    assert repr(play) == "SpectrogramPlayground: run this cell to move it"
    with pytest.raises(InputError, match="mels is -5; give a whole number"):
        play.value = {"mels": -5}
    assert play.value["mels"] == 23
