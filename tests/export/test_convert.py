"""asrlib.export: the files hear what the model hears, each in its own runtime.

TFLite's converter lives in an environment of its own: ``make test-export``, which also
compares both formats with eager on the whole test split of ``digits``.
"""

import copy
import dataclasses
import importlib.util
import json
import os
import sys
import zipfile

import jaxtyping
import numpy as np
import pytest
import streams
import tiny
import torch

from asrlib import cli
from asrlib.config.schema import parse_config
from asrlib.data.audio import cut_audio
from asrlib.data.corpora import clips, load_corpus
from asrlib.errors import InputError
from asrlib.export import convert as module
from asrlib.export.convert import FORMATS, Runner, compare, table
from asrlib.export.graph import Predict, SignalToFrames, StreamStep, TracedFrontEnd
from asrlib.models.transducer import JointNetwork, PredictionNetwork, Transducer
from asrlib.recognizer import Recognizer
from asrlib.signal.features import FrontEnd

PACKAGE = {"onnx": "onnxscript", "tflite": "litert_torch"}
INSTALLED = [
    pytest.param(
        format,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(PACKAGE[format]) is None, reason=f"needs {PACKAGE[format]}"
        ),
    )
    for format in FORMATS
]
thorough = pytest.mark.skipif(not os.environ.get("EXPORT_ALL"), reason="make test-export does it: minutes")
HEADS = {
    "transducer": {},
    "warped": {"head": "ctc", "warps": [0.9, 1.0, 1.12]},
    "together": {"head": "ctc", "warps": [0.95, 1.0]},
}


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


def unchecked(function, *arguments, **options):
    """Tracing a loop goes through all that is called, the checker of annotations too: switched off."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        return function(*arguments, **options)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def export(*arguments, **options):
    return unchecked(module.export, *arguments, **options)


def speech(seconds: float, rate: int = tiny.RATE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(int(1000 * seconds))
    return 0.1 * torch.randn(round(seconds * rate), generator=generator)


def decode_with(recognizer: Recognizer, **decoding) -> Recognizer:
    config = dataclasses.replace(
        recognizer.config, decoding=dataclasses.replace(recognizer.config.decoding, **decoding)
    )
    return Recognizer(config, recognizer.model, recognizer.tokenizer)


def unlike(recognizer: Recognizer) -> Recognizer:
    """Another front end, and other weights."""
    features = dataclasses.replace(recognizer.config.features, log_floor=1e-3)
    config = dataclasses.replace(recognizer.config, features=features)
    other = Recognizer(config, copy.deepcopy(recognizer.model), recognizer.tokenizer)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in other.model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    return other


# ---------------------------------------------------------------------------- the graph


@pytest.mark.parametrize("normalize", ["none", "utterance", "bin", "running"])
@pytest.mark.parametrize("peak, preemphasis", [(False, 0.97), (True, 0.0), (True, 0.97)])
def test_the_front_end_of_the_graph_is_the_front_end(normalize, peak, preemphasis):
    usual = FrontEnd(8000, mels=20, normalize=normalize, normalize_signal=peak, preemphasis=preemphasis)
    warps = [0.9, 1.0, 1.2]
    traced, signal = TracedFrontEnd(usual, warps), speech(0.7)
    expected, counts = usual(
        signal.expand(3, -1), torch.tensor([len(signal)] * 3), torch.tensor(warps, dtype=torch.float32)
    )
    torch.testing.assert_close(traced(signal)[0], expected, atol=2e-4, rtol=1e-4)
    # whatever lies behind the length
    longer = torch.cat([signal, 5 * speech(0.33)])
    found, count = traced(longer, torch.tensor([len(signal)], dtype=torch.int32))
    assert count.tolist() == counts[:1].tolist()
    torch.testing.assert_close(found[:, : int(count)], expected, atol=2e-4, rtol=1e-4)
    assert found[:, int(count) :].abs().max() == 0


@pytest.mark.parametrize(
    "encoder",
    [
        {"variant": "paper", "se": "global", "padding": "same"},
        {"variant": "paper", "se": 64, "padding": "same", "activation": "relu"},
        {"variant": "tensorflowasr", "se": "causal", "padding": "causal"},
        {"variant": "tensorflowasr-2021", "se": "none", "padding": "same"},
    ],
)
def test_the_encoder_of_the_graph_is_the_encoder(encoder):
    torch.manual_seed(0)
    settings = parse_config("{name: t}", "t").encoder
    settings = dataclasses.replace(settings, **encoder, alpha=0.04)
    usual = settings.build(20).eval()
    for name, buffer in usual.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.3)
    front_end = FrontEnd(8000, mels=20, normalize="bin")
    signal = speech(1.1)
    with torch.no_grad():
        expected, _ = usual(*front_end(signal[None], torch.tensor([len(signal)])))
        graph = SignalToFrames(front_end, usual, [1.0])
        torch.testing.assert_close(graph(signal)[0], expected, atol=1e-3, rtol=1e-3)
        found, count = graph(torch.cat([signal, speech(0.4)]), torch.tensor([len(signal)]))
        assert int(count) == expected.shape[1]
        torch.testing.assert_close(found[:, : int(count)], expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rnn": "gru"},
        {"layers": 3, "projection": 5, "encoding": "one_hot"},
        {"rnn": "gru", "layers": 2, "layer_norm": False},
    ],
)
def test_the_prediction_network_of_the_graph_is_the_prediction_network(settings):
    torch.manual_seed(0)
    prediction = PredictionNetwork(7, embed_dim=6, units=8, **settings)
    joint = JointNetwork(4, prediction.dim, 9, 7)
    model = Transducer(torch.nn.Identity(), prediction, joint, None).eval()
    graph, state, flat = Predict(model), None, Predict(model).start
    for label in torch.tensor([0, 3, 3, 6, 1]):
        expected, state = prediction.step(label[None], state)
        found, *flat = graph(label[None].int(), *flat)
        torch.testing.assert_close(found, joint.prediction_linear(expected))
        torch.testing.assert_close(tuple(flat), state)


@pytest.mark.parametrize("head", ["ctc", "transducer"])
@pytest.mark.parametrize("normalize", ["none", "running"])
def test_the_step_of_the_graph_is_the_stream(head, normalize):
    eager = streams.recognizer(features={"normalize": normalize}, decoding={"head": head})
    step = StreamStep(eager.front_end, eager.model, eager.uses_ctc, eager.config.decoding.max_symbols)
    signal, state, found, rate = speech(2.0), step.start, [], 8000
    padded = torch.cat([torch.zeros(1), signal, torch.zeros(step.chunk)])
    expected = eager.transcribe(signal, rate)
    with torch.no_grad():
        for first in range(0, 25 * step.chunk, step.chunk):
            tokens, _, score, *state = step(padded[first : first + step.overlap + step.chunk], *state)
            found.append((tokens, score))
    tokens = torch.cat([tokens for tokens, _ in found])
    assert eager.tokenizer.decode(tokens[tokens > 0].tolist()) == expected.text
    assert len(expected.tokens) > 2
    assert float(sum(score for _, score in found)) == pytest.approx(expected.score, abs=1e-2)


# ---------------------------------------------------------------------------- the files


@pytest.fixture(scope="module")
def recognizer(tiny_model):
    return Recognizer.load(tiny_model)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((f.values[0], head), marks=f.marks, id=f"{f.values[0]}-{head}")
        for f in INSTALLED
        for head in HEADS
    ],
)
def exported(request, recognizer, tmp_path_factory):
    """Eager, the path of its float file, and the contents in float32 and int8."""
    format, head = request.param
    eager = decode_with(recognizer, **HEADS[head])
    if head == "together":
        eager.members["other"] = unlike(recognizer)
    path = tmp_path_factory.mktemp("exported") / f"{head}.{format}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SMALLEST", 256)  # the model is tiny
        files = export(eager, path, format, int8=True, seconds=[1, 3])
    assert path.read_bytes() == files["int8"]
    path.write_bytes(files["float32"])
    return eager, path, files


def assert_same(found, expected):
    assert (found.text, found.tokens) == (expected.text, expected.tokens)
    assert found.times == pytest.approx(expected.times, abs=1e-6)
    assert found.score == pytest.approx(expected.score, abs=2e-3)
    assert found.confidences == pytest.approx(expected.confidences, abs=2e-3)


def test_a_file_hears_what_eager_hears(exported):
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
        with pytest.raises(InputError, match=r"lasts .* s, and the file takes at most 3 s"):
            Runner.load(path).transcribe(signal, tiny.RATE)


def test_a_file_describes_itself_and_names_no_folder_of_this_machine(exported):
    eager, path, _ = exported
    if path.suffix == ".onnx":
        import onnx

        (entry,) = onnx.load(path).metadata_props
        about = json.loads(entry.value)
    else:
        about = json.loads(zipfile.ZipFile(path).read("asrlib.json"))
    assert about["labels"] == ["", *eager.tokenizer.labels] and about["sample_rate"] == tiny.RATE
    assert about["frame_seconds"] == eager.frame_seconds
    for folder in (module.__file__, torch.__file__):
        assert os.path.dirname(folder).encode() not in path.read_bytes()


@thorough
@pytest.mark.parametrize("format", INSTALLED)
def test_a_transducer_that_never_says_blank_is_stopped(recognizer, tmp_path, format):
    eager = decode_with(recognizer, max_symbols=2)
    eager.model.joint.output.bias.data[0] -= 20
    try:
        export(eager, tmp_path / f"m.{format}", format, seconds=[1])
        samples = tiny.tones("low mid")
        expected = eager.transcribe(samples, tiny.RATE)
        assert len(expected.tokens) == 2 * (1 + round(max(expected.times) / eager.frame_seconds))
        assert_same(Runner.load(tmp_path / f"m.{format}").transcribe(samples, tiny.RATE), expected)
    finally:
        eager.model.joint.output.bias.data[0] += 20


def test_int8_is_smaller_and_hears_the_same(exported, tiny_corpus):
    eager, path, files = exported
    weights = sum(p.numel() for p in eager.model.encoder.parameters() if p.dim() > 1 and p.numel() >= 256)
    if path.suffix == ".onnx":  # in TFLite what describes so few weights takes it all back
        # each of them saves 3 bytes, and scales take some back
        assert len(files["float32"]) - len(files["int8"]) > 1.5 * weights > 3000
    rows = compare(eager, 1, files, path.suffix[1:], load_corpus(tiny_corpus, "test"))
    assert [row.name for row in rows] == ["eager", *(f"{path.suffix[1:]} {name}" for name in files)]
    assert [(row.same, row.utterances) for row in rows] == [(12, 12)] * 3
    assert all(row.wer.rate == 0 and 0 < row.factor < 1 for row in rows)
    assert "12/12" in table(rows) and "WER 0.00 %" in table(rows)


def test_int8_weights_are_within_half_a_step(exported):
    _, path, files = exported
    if path.suffix != ".onnx":
        pytest.skip("the TFLite weights are ai-edge-quantizer's")
    import onnx

    usual, small = (onnx.load_from_string(files[name]).graph for name in ("float32", "int8"))
    floats = {w.name: onnx.numpy_helper.to_array(w) for w in usual.initializer}
    numbers = {w.name: onnx.numpy_helper.to_array(w) for w in small.initializer}
    nodes = [node for node in small.node if node.op_type == "DequantizeLinear"]
    assert len(nodes) > 4
    for node in nodes:
        weight, values = floats[node.output[0]], numbers[node.input[0]].astype(np.float32)
        shape = [1] * weight.ndim
        shape[node.attribute[0].i] = -1
        scale = numbers[node.input[1]].reshape(shape)
        assert (np.abs(weight - values * scale) <= 0.5001 * scale).all()
        assert np.abs(values).max() == 127 and not node.output[0].startswith("frames.front_end")


@pytest.mark.parametrize("format", INSTALLED)
@pytest.mark.parametrize("head", [pytest.param("ctc", marks=thorough), "transducer"])
def test_a_streaming_file_hears_what_the_stream_hears(tmp_path, format, head):
    eager = streams.recognizer(decoding={"head": head})
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
        if count >= eager.front_end.window:
            assert_same(runner.transcribe(samples, 8000), eager.transcribe(samples, 8000))
        else:
            runner.transcribe(samples, 8000)


def test_what_cannot_stream(recognizer, exported, tmp_path):
    _, path, _ = exported
    with pytest.raises(InputError, match="cannot stream, it needs the whole utterance: .*normalize"):
        export(recognizer, tmp_path / f"m{path.suffix}", path.suffix[1:], stream=True)
    with pytest.raises(InputError, match="export the model with --stream"):
        Runner.load(path).stream()
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------- what is wrong


def test_an_unknown_format(recognizer, tmp_path):
    with pytest.raises(InputError, match="format is 'coreml'; use one of onnx, tflite"):
        export(recognizer, tmp_path / "m.coreml", "coreml")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format, extra", [("onnx", "export"), ("tflite", "tflite")])
def test_a_package_that_is_not_installed(recognizer, tmp_path, monkeypatch, format, extra):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("asrlib.export.runner.importlib.import_module", missing)
    with pytest.raises(InputError, match=rf'is not installed: pip install "asrlib\[{extra}\]"'):
        export(recognizer, tmp_path / f"m.{format}", format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", INSTALLED)
def test_files_that_are_no_exported_model(tmp_path, format):
    path = tmp_path / f"m.{format}"
    with pytest.raises(InputError, match="there is no file"):
        Runner.load(path)
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match=f"{path} is not an exported model"):
        Runner.load(path)


@pytest.mark.parametrize("format", INSTALLED)
def test_a_failed_write_leaves_the_old_file(recognizer, tmp_path, monkeypatch, format):
    path = tmp_path / f"m.{format}"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, f"_{format}_files", lambda *_: {"float32": b"new"})
    monkeypatch.setattr("asrlib.recognizer.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        export(recognizer, path, format, seconds=[1])
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------------------- the command


@pytest.fixture
def asrlib(monkeypatch, capsys):
    """``asrlib("export", ...)`` in this process: exit code, standard output, standard error."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["asrlib", *map(str, words)])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        return exit.value.code or 0, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    "words, naming",
    [
        (["--format", "coreml"], "format is 'coreml'; use one of onnx, tflite"),
        (["--format", "onnx", "--output", "nowhere/m.onnx"], "--output nowhere/m.onnx: there is no folder"),
        (["--format", "onnx", "--stream"], "this model cannot stream"),
        (["--format", "onnx", "--corpus", "no-such-corpus"], "no-such-corpus"),
        (["--format", "onnx", "--seconds", "0"], "seconds is [0]"),
    ],
)
def test_one_line_for_what_is_wrong(asrlib, tiny_model, words, naming):
    pytest.importorskip("onnxscript", reason="needs onnxscript")
    code, _, err = asrlib("export", tiny_model, *words)
    assert code == 2 and err.startswith("asrlib: error: ") and err.count("\n") == 1 and naming in err
    assert not list(tiny_model.glob("model*.onnx*"))


@thorough
@pytest.mark.parametrize("format", INSTALLED)
def test_the_command_prints_a_table(asrlib, tiny_model, tiny_corpus, tmp_path, monkeypatch, format):
    monkeypatch.setattr(module, "export", lambda *a, export=module.export: unchecked(export, *a))
    out = tmp_path / f"m.{format}"
    words = ["--format", format, "--output", out, "--int8", "--seconds", 3, "--corpus", tiny_corpus]
    code, printed, err = asrlib("export", tiny_model, *words)
    assert code == 0 and not err
    for name in ("eager", f"{format} float32", f"{format} int8"):
        (line,) = (line for line in printed.splitlines() if line.startswith(name + " "))
        assert "12/12" in line and "WER 0.00 %" in line
    assert f"{out}: int8, {out.stat().st_size:,} bytes" in printed


# ---------------------------------------------------------------------------- the whole of it


@thorough
@pytest.mark.parametrize("format", INSTALLED)
def test_the_shipped_model_on_the_digits_test_split(tmp_path, format):
    """Word for word what eager hears, in 400 utterances."""
    eager, cuts = Recognizer.load(), load_corpus("digits", "test")
    files = export(eager, tmp_path / f"m.{format}", format, int8=True, seconds=[3, 10])
    rows = compare(eager, 1_200_000, files, format, cuts)
    print(table(rows))
    assert (rows[1].same, rows[1].utterances) == (400, 400)
    assert rows[1].wer == rows[0].wer
    assert rows[2].size < 0.65 * rows[1].size
    assert rows[2].wer.rate == pytest.approx(rows[0].wer.rate, abs=0.3)
