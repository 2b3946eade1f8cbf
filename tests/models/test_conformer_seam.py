"""The Conformer behind the encoder's seam: it trains, transcribes and exports; what it cannot, it says."""

import conformers
import numpy as np
import pytest
import tiny
import torch

from asrlib.data.audio import cut_audio
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.evaluate import evaluate
from asrlib.models.conformer import ConformerEncoder
from asrlib.recognizer import Recognizer
from asrlib.teaching import widgets
from asrlib.training.loop import train


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@pytest.fixture(scope="module")
def trained(tiny_corpus, tmp_path_factory):
    """The directory of a Conformer, trained for a few steps with all that training has."""
    config = conformers.config(training={"intermediate_weight": 0.5, "checkpoint_blocks": True})
    cuts, dev = (load_corpus(tiny_corpus, split) for split in ("train", "dev"))
    folder = tmp_path_factory.mktemp("conformer") / "model"
    with tiny.one_thread():
        train(config, cuts, folder, dev, show_progress=False)
    return folder


@pytest.fixture(scope="module")
def sounds(tiny_corpus):
    return [torch.from_numpy(cut_audio(cut)) for cut in list(load_corpus(tiny_corpus, "test"))[:4]]


def test_it_trains_and_is_scored(trained, tiny_corpus):
    recognizer = Recognizer.load(trained)
    assert isinstance(recognizer.model.encoder, ConformerEncoder)
    wer, _, rows = evaluate(recognizer, load_corpus(tiny_corpus, "test"))
    assert wer.rate >= 0 and len(rows) == 12


def test_it_transcribes_an_utterance_alone_as_among_others(trained, sounds):
    recognizer = Recognizer.load(trained)
    together = recognizer.transcribe_batch([(sound, tiny.RATE) for sound in sounds])
    alone = [recognizer.transcribe(sound, tiny.RATE) for sound in sounds]
    assert [one.text for one in alone] == [each.text for each in together]
    assert [one.score for one in alone] == pytest.approx([each.score for each in together], rel=1e-4)
    assert recognizer.frame_seconds == pytest.approx(0.08)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"encoder": {"attention_window": 2, "positions": "none"}},
        {"encoder": {"positions": "fourier"}, "features": {"normalize": "recording", "logarithm": False}},
        {"features": {"centered": True}},
    ],
    ids=["rotary", "window", "fourier", "centered"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_exports_to_onnx_for_signals_of_any_length(sections, sounds, tmp_path, unchecked_shapes):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"exporting and running ONNX files needs {package}")
    from asrlib.export.convert import export
    from asrlib.export.runner import Runner
    from asrlib.models.build import build_model
    from asrlib.text.tokenizers import Tokenizer

    torch.manual_seed(0)
    config = conformers.config(**sections)
    recognizer = Recognizer(config, build_model(config, 4), Tokenizer("words", ["low", "mid", "high"]))
    runner = Runner.from_bytes(export(recognizer, tmp_path / "c.onnx", "onnx")["float32"], "onnx")
    for sound in [*sounds, torch.cat(sounds * 3)]:
        expected, found = (way.transcribe(sound, tiny.RATE) for way in (recognizer, runner))
        assert (found.text, found.tokens) == (expected.text, expected.tokens)
        assert found.score == pytest.approx(expected.score, rel=1e-3)


def test_it_says_in_one_line_why_it_does_not_stream(trained):
    with pytest.raises(InputError, match="a ConformerEncoder, does not stream .use encoder.kind: c") as error:
        Recognizer.load(trained).stream()
    assert "\n" not in str(error.value)
    # so with nothing else in the way
    recognizer = Recognizer.load(trained)
    recognizer.config.features.normalize = "none"
    assert recognizer.streaming_obstacles() == recognizer.model.encoder.streaming_obstacles()
    with pytest.raises(InputError, match="does not stream"):
        recognizer.model.encoder.step(torch.zeros(1, 8, 20), [])


def test_it_exports_no_step_of_a_stream(trained, tmp_path):
    from asrlib.export.convert import export

    pytest.importorskip("onnxscript")
    with pytest.raises(InputError, match="a ConformerEncoder, does not stream"):
        export(Recognizer.load(trained), tmp_path / "c.onnx", "onnx", stream=True)
    assert not list(tmp_path.iterdir())


def test_the_widget_of_gates_says_that_it_has_none(trained, sounds):
    with pytest.raises(InputError, match="a ConformerEncoder has no squeeze-and-excitation gates"):
        widgets.se_gates(Recognizer.load(trained), np.asarray(sounds[0]), tiny.RATE)


def test_other_encoders_have_no_attention_and_write_nothing_between_layers():
    from asrlib.config.parse import load_config

    encoder = load_config("contextnet-digits").encoder.build(40)
    with pytest.raises(InputError, match="a ContextNetEncoder has no attention window to set"):
        encoder.set_attention_window(3)
    out, lengths, between = encoder.forward_with_intermediate(torch.randn(2, 40, 40))
    assert between == [] and out.shape[0] == len(lengths) == 2
