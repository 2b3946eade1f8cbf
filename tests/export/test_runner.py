"""The files transcribe what the model transcribes, each in its own runtime."""

import numpy as np
import pytest
import streams
import tiny
from exports import INSTALLED, assert_same, export, speech, thorough

from asrlib.data.audio import cut_audio
from asrlib.data.corpora import clips
from asrlib.errors import InputError
from asrlib.export.runner import Runner


def test_a_file_transcribes_what_eager_transcribes(exported):
    eager, path, _ = exported
    runner = Runner.load(path)
    for number, text in enumerate(tiny.texts(12, seed=5)):
        samples = tiny.tones(text, seed=number)
        expected = eager.transcribe(samples, tiny.RATE)
        assert expected.text == text  # else the two could agree on nothing
        assert_same(runner.transcribe(samples, tiny.RATE), expected)


@pytest.mark.parametrize("samples", [200, 201, 279, 280, 281, 799, 1480, 7999, 8000, 8001, 24000])
def test_any_number_of_samples(exported, samples):
    eager, path, _ = exported
    signal = np.tile(tiny.tones("low high mid"), 5)[:samples]
    assert_same(Runner.load(path).transcribe(signal, tiny.RATE), eager.transcribe(signal, tiny.RATE))


def test_less_than_a_window_and_other_rates(exported):
    eager, path, _ = exported
    runner = Runner.load(path)
    assert runner.transcribe(np.zeros(1, dtype=np.float32), tiny.RATE).text == ""
    samples = tiny.tones("mid low", 16000)
    assert_same(runner.transcribe(samples, 16000), eager.transcribe(samples, 16000))
    with pytest.raises(InputError, match="sample_rate is missing"):
        runner.transcribe(samples)


def test_longer_than_the_file_takes(exported):
    eager, path, _ = exported
    signal = np.tile(tiny.tones("low high mid"), 30)
    if path.suffix == ".onnx":
        assert_same(Runner.load(path).transcribe(signal, tiny.RATE), eager.transcribe(signal, tiny.RATE))
    else:
        with pytest.raises(InputError, match=r"lasts .* s, but the file accepts at most 3 s"):
            Runner.load(path).transcribe(signal, tiny.RATE)


@thorough
@pytest.mark.parametrize("format", INSTALLED)
def test_a_transducer_that_never_emits_blank_is_stopped(decoded, tmp_path, format):
    eager = decoded(max_symbols=2)
    eager.model.joint.output.bias.data[0] -= 20
    try:
        export(eager, tmp_path / f"m.{format}", format, seconds=[1])
        samples = tiny.tones("low mid")
        expected = eager.transcribe(samples, tiny.RATE)
        assert len(expected.tokens) == 2 * (1 + round(max(expected.times) / eager.frame_seconds))
        assert_same(Runner.load(tmp_path / f"m.{format}").transcribe(samples, tiny.RATE), expected)
    finally:
        eager.model.joint.output.bias.data[0] += 20


@pytest.mark.parametrize("format", INSTALLED)
@pytest.mark.parametrize(
    "head, tail", [pytest.param("ctc", 0, marks=thorough), ("ctc", 130), ("transducer", 0)]
)
def test_a_streaming_file_transcribes_what_the_stream_transcribes(tmp_path, format, head, tail):
    eager = streams.recognizer(decoding={"head": head}, features={"tail_ms": tail})
    export(eager, tmp_path / f"m.{format}", format, stream=True)
    runner = Runner.load(tmp_path / f"m.{format}")
    for cut in clips():
        samples, rate = cut_audio(cut), cut.sampling_rate
        stream, ours = eager.stream(rate), runner.stream(rate)
        for chunk in np.split(samples, [1, 500, 501, 9000, 12345]):
            stream.feed(chunk)
            partial = ours.feed(chunk)
        expected, found = stream.finish(), ours.finish()
        assert len(expected.tokens) > 5 and found.tokens[: len(partial.tokens)] == partial.tokens
        assert found == ours.finish()
        assert_same(found, expected)
        assert_same(runner.transcribe(samples, rate), eager.transcribe(samples, rate))
    with pytest.raises(InputError, match="finished"):
        ours.feed(samples)
    for count in (1, 150, 200, 839, 840, 841):
        samples = speech(count / 8000).numpy()
        if count + eager.front_end.tail >= eager.front_end.window:
            assert_same(runner.transcribe(samples, 8000), eager.transcribe(samples, 8000))
        else:
            runner.transcribe(samples, 8000)


@pytest.mark.parametrize("format", INSTALLED)
def test_files_that_are_no_exported_model(tmp_path, format):
    path = tmp_path / f"m.{format}"
    with pytest.raises(InputError, match="there is no file"):
        Runner.load(path)
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match=f"{path} is not an exported model"):
        Runner.load(path)
