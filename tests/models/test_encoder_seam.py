"""A new kind of encoder is a module, a line in the registry and a YAML; then everything works with it.

The toy stands for what a reader would write: nothing but what `Encoder` and `EncoderConfig` ask for.
"""

from dataclasses import dataclass

import pytest
import tiny
import torch
import yaml
from torch import nn

from asrlib import validate
from asrlib.config.parse import load_config, override, parse_config
from asrlib.config.schema import Config
from asrlib.data.audio import cut_audio
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.evaluate import evaluate
from asrlib.models.build import build_model
from asrlib.models.encoder import Encoder, EncoderConfig
from asrlib.models.layers.conv import output_length
from asrlib.models.layers.mask import frame_mask
from asrlib.models.registry import ENCODERS, register_encoder
from asrlib.recognizer import Recognizer
from asrlib.training.loop import train

KINDS = "contextnet, conformer, conv_lstm"


class Stack(Encoder):
    """Stacks ``reduction`` feature frames, and knows nothing of their neighbors."""

    def __init__(self, mels, width, reduction):
        super().__init__()
        self.dim, self.reduction = width, reduction
        self.linear = nn.Conv1d(mels, width, reduction, stride=reduction)

    def forward(self, features, lengths=None):
        if lengths is not None:
            features = features * frame_mask(lengths, features.shape[1])[..., None]
        x = self.linear(nn.functional.pad(features.mT, (0, self.reduction - 1))).mT.relu()
        if lengths is None:
            return x, torch.full((x.shape[0],), x.shape[1], device=x.device)
        lengths = output_length(lengths, self.reduction)
        return x * frame_mask(lengths, x.shape[1])[..., None], lengths


@dataclass
class StackConfig(EncoderConfig):
    kind: str = "stack"
    width: int = 24
    reduction: int = 4

    def build(self, mels):
        return Stack(mels, self.width, self.reduction)

    def check(self, where):
        validate.positive(where, "encoder", self, "width", "reduction")


@pytest.fixture(scope="module", autouse=True)
def registered():
    register_encoder(StackConfig)
    yield
    del ENCODERS[StackConfig.kind]


def settings(**training):
    return tiny.settings(**training) | {"encoder": {"kind": "stack", "width": 32}}


@pytest.fixture(scope="module")
def trained(tiny_corpus, tmp_path_factory):
    """The directory of a model with the toy encoder, trained for a few steps from a YAML file."""
    folder = tmp_path_factory.mktemp("stack")
    (folder / "stack.yml").write_text(yaml.safe_dump(settings()))
    config = load_config(folder / "stack.yml")
    cuts, dev = (load_corpus(tiny_corpus, split) for split in ("train", "dev"))
    with tiny.one_thread():
        train(config, cuts, folder / "model", dev, show_progress=False)
    return folder / "model"


def test_the_configuration_chooses_by_kind():
    config = parse_config(yaml.safe_dump(settings()), "f.yml")
    assert config.encoder == StackConfig(width=32)
    encoder = build_model(config, 4).encoder
    assert isinstance(encoder, Stack) and (encoder.dim, encoder.reduction) == (32, 4)
    assert parse_config(yaml.safe_dump(config.to_dict()), "saved.yml") == config


def test_an_override_may_choose_another_kind_and_then_its_keys():
    config = override(Config(), ["encoder.kind=stack", "encoder.width=12"])
    assert config.encoder == StackConfig(width=12)
    with pytest.raises(
        InputError,
        match="--set: key encoder.kind is 'lstm'; use one of contextnet, conformer, conv_lstm, stack",
    ):
        override(Config(), ["encoder.kind=lstm"])


@pytest.mark.parametrize(
    "section, message",
    [
        (
            {"kind": "lstm"},
            f"f.yml: key encoder.kind is 'lstm'; use one of {KINDS}, stack",
        ),
        (
            {"kind": ["stack"]},
            f"f.yml: key encoder.kind is .'stack'.; use one of {KINDS}, stack",
        ),
        ({"kind": "stack", "width": 0}, "f.yml: key encoder.width is 0; it must be positive"),
        ({"kind": "stack", "width": "x"}, "f.yml: key encoder.width is 'x'; expected int"),
    ],
)
def test_what_is_wrong_with_its_section_names_the_key(section, message):
    with pytest.raises(InputError, match=message):
        parse_config(yaml.safe_dump({"encoder": section}), "f.yml")


def test_a_contextnets_key_is_unknown_to_it():
    with pytest.raises(InputError, match="f.yml: unknown key encoder.alpha"):
        parse_config("encoder: {kind: stack, alpha: 0.5}", "f.yml")


def test_it_trains_and_is_scored(trained, tiny_corpus):
    recognizer = Recognizer.load(trained)
    assert isinstance(recognizer.model.encoder, Stack)
    wer, _, rows = evaluate(recognizer, load_corpus(tiny_corpus, "test"))
    assert wer.rate >= 0 and len(rows) == 12


def test_it_transcribes_an_utterance_alone_as_among_others(trained, tiny_corpus):
    recognizer = Recognizer.load(trained)
    sounds = [torch.from_numpy(cut_audio(cut)) for cut in list(load_corpus(tiny_corpus, "test"))[:4]]
    together = recognizer.transcribe_batch([(sound, tiny.RATE) for sound in sounds])
    alone = [recognizer.transcribe(sound, tiny.RATE) for sound in sounds]
    assert [one.text for one in alone] == [each.text for each in together]
    assert [one.score for one in alone] == pytest.approx([each.score for each in together], rel=1e-4)
    assert recognizer.frame_seconds == pytest.approx(0.04)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_exports_to_onnx(trained, tiny_corpus, tmp_path, unchecked_shapes):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"exporting and running ONNX files needs {package}")
    from asrlib.export.convert import export
    from asrlib.export.runner import Runner

    recognizer = Recognizer.load(trained)
    runner = Runner.from_bytes(export(recognizer, tmp_path / "stack.onnx", "onnx")["float32"], "onnx")
    for cut in list(load_corpus(tiny_corpus, "test"))[:3]:
        samples = torch.from_numpy(cut_audio(cut))
        expected, found = (way.transcribe(samples, tiny.RATE) for way in (recognizer, runner))
        assert (found.text, found.tokens) == (expected.text, expected.tokens)
        assert found.score == pytest.approx(expected.score, rel=1e-3)


def test_it_says_in_one_line_why_it_does_not_stream(trained):
    with pytest.raises(InputError, match="encoder, a Stack, does not stream .use encoder.kind: c") as error:
        Recognizer.load(trained).stream()
    assert "\n" not in str(error.value)


def test_it_refuses_to_recompute_its_layers():
    with pytest.raises(InputError, match="f.yml: encoder: a Stack cannot recompute its layers"):
        parse_config(yaml.safe_dump(settings(checkpoint_blocks=True)), "f.yml")


def test_what_cannot_be_registered_is_refused(unchecked_shapes):
    class Bare(EncoderConfig):
        kind: str = "bare"

        def build(self, mels):
            return Stack(mels, 4, 4)

    @dataclass
    class Unbuilt(EncoderConfig):
        kind: str = "unbuilt"

    @dataclass
    class Taken(StackConfig):
        kind: str = "contextnet"

    @dataclass
    class Nameless(StackConfig):
        kind: str = ""

    for config, message in (
        (Bare, "is not a @dataclass"),
        (Unbuilt, r"must define build\(mels\)"),
        (Taken, "kind is 'contextnet'; use a name other than contextnet, conformer, conv_lstm"),
        (Nameless, "kind is ''"),
        (StackConfig(), "takes a subclass of EncoderConfig"),
        (Stack, "takes a subclass of EncoderConfig"),
    ):
        with pytest.raises(InputError, match=message):
            register_encoder(config)
    assert set(ENCODERS) == {"contextnet", "conformer", "conv_lstm", "stack"}
