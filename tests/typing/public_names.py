"""What a type checker and an editor see of every public name.

`make lint` checks it, tests/test_typing.py runs it.
"""

import torch
from torch import Tensor, nn
from typing_extensions import assert_type

import asrlib
from asrlib.losses.alignment import Alignment
from asrlib.losses.objective import LossConfig
from asrlib.metrics import ErrorRate
from asrlib.models.encoder import Encoder, EncoderConfig
from asrlib.models.joint import JointNetwork
from asrlib.models.prediction import PredictionNetwork
from asrlib.models.transducer import Transducer


def configurations_and_models() -> None:
    config = asrlib.load_config("contextnet-digits")
    assert_type(config, asrlib.Config)
    assert_type(config.encoder, EncoderConfig)
    assert_type(config.loss, LossConfig)
    assert_type(config.training.max_lr, float)
    assert_type(config.training.max_steps, int | None)

    model = asrlib.build_model(config)
    assert_type(model, Transducer)
    module: nn.Module = model
    assert_type(model.encoder, Encoder)
    assert_type(model.encoder.dim, int)
    assert_type(model.prediction, PredictionNetwork | None)
    assert_type(model.joint, JointNetwork | None)
    assert_type(asrlib.count_parameters(module), tuple[int, int])


def sound() -> None:
    cuts = asrlib.clips()
    cut = next(iter(cuts))
    samples = torch.from_numpy(asrlib.cut_audio(cut))
    assert_type(samples, Tensor)
    assert_type(asrlib.log_mel(samples, 16000, normalize="bin"), Tensor)

    front_end = asrlib.FrontEnd(sample_rate=16000, mels=40)
    assert_type(front_end.hop, int)
    assert_type(front_end.filters, Tensor)


def corpora(folder: str, speech: str) -> None:
    read, rate = asrlib.read_audio(speech)
    assert_type(rate, int)
    assert_type(read.ndim, int)
    cuts = asrlib.load_corpus(folder, "train", download=False)
    strings = asrlib.connected_digits(cuts, speakers=None, n=3)
    people = asrlib.human_clips(download=False)
    print(len(cuts), len(strings), len(people))
    try:
        asrlib.load_corpus("nowhere")
    except asrlib.InputError as error:
        assert_type(str(error), str)


def losses() -> None:
    log_probs = torch.randn(6, 2, 5).log_softmax(-1)
    logits = torch.randn(2, 6, 3, 5)
    targets, frames, labels = torch.tensor([[1, 2], [3, 1]]), torch.tensor([6, 6]), torch.tensor([2, 2])
    assert_type(asrlib.ctc_loss(log_probs, targets, frames, labels), Tensor)
    assert_type(asrlib.ctc_loss(log_probs, targets, (6, 6), [2, 2], zero_infinity=True), Tensor)
    assert_type(asrlib.rnnt_loss(logits, targets, frames, labels, blank=0), Tensor)
    encoder_out, prediction_out = torch.randn(2, 6, 8), torch.randn(2, 3, 8)
    weight, bias = torch.randn(5, 8), torch.zeros(5)
    sides = encoder_out, prediction_out
    assert_type(asrlib.joint_rnnt_loss(*sides, weight, bias, targets, frames, labels), Tensor)
    assert_type(asrlib.joint_rnnt_loss(*sides, weight, None, targets, frames, labels), Tensor)
    assert_type(asrlib.ctc_align(log_probs, targets), list[Alignment] | Alignment)
    paths = asrlib.rnnt_align(logits, targets)
    assert_type(paths, list[Alignment])
    assert_type(paths[0].starts, Tensor)
    assert_type(paths[0].score, float)


def recognition() -> None:
    recognizer = asrlib.Recognizer.load("lessons-model")
    assert_type(recognizer, asrlib.Recognizer)
    assert_type(recognizer.config, asrlib.Config)
    assert_type(recognizer.model, Transducer)
    assert_type(recognizer.frame_seconds, float)
    found = recognizer.transcribe(torch.randn(16000), 16000)
    assert_type(found, asrlib.Hypothesis)
    assert_type((found.text, found.score), tuple[str, float])
    assert_type((found.tokens, found.times), tuple[list[str], list[float]])


def scores() -> None:
    for measure in (asrlib.word_error_rate, asrlib.char_error_rate, asrlib.phone_error_rate):
        found = measure(["seven three"], ["seven tree"])
        assert_type(found, ErrorRate)
        assert_type(found.rate, float)
        assert_type((found.substitutions, found.length), tuple[int, int])
