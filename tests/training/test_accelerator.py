"""What a GPU does otherwise than a CPU, on a device that is not there and refuses tensors of the CPU."""

import json
from dataclasses import replace

import pytest
import tiny
import torch
from accelerate import Accelerator
from lattices import draw, draw_ctc, feasible, joint_parts
from streams import assert_same, streamed
from streams import recognizer as streaming_recognizer

from asrlib.config.parse import override
from asrlib.data.audio import cut_audio
from asrlib.data.corpora import clips, load_corpus
from asrlib.losses.ctc import ctc_loss
from asrlib.losses.joint import joint_rnnt_loss
from asrlib.losses.rnnt import rnnt_loss, rnnt_posteriors
from asrlib.recognizer import Recognizer
from asrlib.training.loop import train
from asrlib.training.step import TrainingStep

pretended = pytest.importorskip("pretended", reason="here no device can be pretended", exc_type=ImportError)
DEVICE, pretending = pretended.DEVICE, pretended.pretending


def test_devices_do_not_mix():
    with pretending() as waits:
        x = torch.ones(3, device=DEVICE)
        assert x.device == DEVICE and (x + 1).device == DEVICE and (x + torch.tensor(1)).device == DEVICE
        assert not waits
        with pytest.raises(RuntimeError, match="tensors on two devices"):
            x + torch.ones(3)
        with pytest.raises(RuntimeError, match="generator is the CPU's"):
            torch.rand(3, device=DEVICE, generator=torch.Generator())
        assert x.sum().item() == 3 and x.cpu().device.type == "cpu" and sum(waits.values()) == 2


AUGMENTED = [
    "augment.noise_probability=1",
    "augment.room_probability=0.5",
    "augment.channel_db=4",
    "augment.expander_probability=0.5",
    "augment.gate_probability=0.5",
    "augment.warp=[0.9,1.1]",
]


def run(corpus, out, device, settings=(), **arguments):
    """A short training; its recogniser, and the losses it logs step by step."""
    config = tiny.config(
        max_steps=6, warmup_steps=2, batch_seconds=6, evaluate_every=6, checkpoint_every=3, log_every=1
    )
    config = override(config, [*AUGMENTED, *settings])
    cuts, dev = (load_corpus(corpus, part) for part in ("train", "dev"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Accelerator, "device", property(lambda self: device))
        recognizer = train(config, cuts, out, dev, show_progress=False, **arguments)
    last = max((out / "checkpoints").glob("step-*"))
    history = json.loads((last / "progress.json").read_text())["history"]
    return recognizer, torch.tensor([point["loss"] for point in history if "loss" in point])


@pytest.mark.parametrize(
    "settings",
    [
        ["training.weight_noise=0.01", "training.weight_noise_start=0", "training.checkpoint_blocks=true"],
        ["training.ctc_weight=1.0", "training.average=0"],
        ["training.ctc_weight=0", "training.accumulate=2", "encoder.variant=tensorflowasr"],
    ],
    ids=" ".join,
)
def test_training_there_has_the_losses_of_training_here(tiny_corpus, tmp_path, settings):
    with pretending():
        recognizer, there = run(tiny_corpus, tmp_path / "there", DEVICE, settings)
        assert {p.device for p in recognizer.model.parameters()} == {DEVICE}
    _, here = run(tiny_corpus, tmp_path / "here", torch.device("cpu"), settings)
    assert len(there) == 6
    torch.testing.assert_close(there, here, rtol=1e-4, atol=0)


def test_training_there_resumes(tiny_corpus, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    perform = TrainingStep.__call__

    def stop(self, batch, generator, number):
        if number == 4:
            raise Killed
        return perform(self, batch, generator, number)

    with pretending():
        _, whole = run(tiny_corpus, tmp_path / "whole", DEVICE)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(TrainingStep, "__call__", stop)
            run(tiny_corpus, tmp_path / "cut", DEVICE)
        assert [path.name for path in (tmp_path / "cut/checkpoints").iterdir()] == ["step-00000003"]
        _, resumed = run(tiny_corpus, tmp_path / "cut", DEVICE, resume=True)
    torch.testing.assert_close(resumed, whole, rtol=0, atol=0)


def test_how_often_a_step_waits_for_the_device(tiny_corpus, tmp_path):
    """A GPU has nothing to do until its host has seen the number and gone on."""
    once = [f"training.{key}_every=99" for key in ("evaluate", "checkpoint", "log")]
    counts = {}
    with pretending() as waits:
        for steps in (4, 7):
            waits.clear()
            run(tiny_corpus, tmp_path / f"{steps}", DEVICE, [*once, f"training.max_steps={steps}"])
            counts[steps] = sum(waits.values())
    # SpecAugment wants lengths, batch norm the valid frames at three rates, CTC and transducer the lengths
    # and whether labels exist, the transducer where paths go; training looks at loss and gradient
    assert (counts[7] - counts[4]) / 3 == 1 + 3 + 1 + 4 + 2


@pytest.mark.parametrize("head", ["transducer", "ctc"])
@pytest.mark.parametrize("beam", [0, 4])
def test_recognition_there_writes_what_it_writes_here(tiny_corpus, tiny_model, head, beam):
    cuts = load_corpus(tiny_corpus, "test")

    def texts(device):
        recognizer = Recognizer.load(tiny_model, device=device)
        warps = [0.95, 1.0] if head == "ctc" else None
        usual = recognizer.config.decoding
        recognizer.config.decoding = replace(usual, head=head, beam_width=beam, warps=warps)
        return {key: hypothesis.text for key, hypothesis in recognizer.transcribe_cuts(cuts)}

    with pretending():
        there = texts(DEVICE)
    assert there == texts("cpu") and any(there.values())


@pytest.mark.parametrize("head", ["transducer", "ctc"])
def test_streaming_there_writes_what_it_writes_here(tmp_path, head):
    here, (cut, *_) = streaming_recognizer(decoding={"head": head}), clips()
    here.save(tmp_path, {})
    with pretending():
        there = Recognizer.load(tmp_path, device=DEVICE)
        found = streamed(there, cut_audio(cut), cut.sampling_rate, [1600])
    assert_same(found, here.transcribe(cut_audio(cut), cut.sampling_rate))


def test_losses_there_are_the_losses_here():
    logits, *rest = draw(B=3, T=9, U=4, V=6)
    parts, *others = joint_parts(B=3, T=9, U=4, V=6)
    log_probs, targets, T_b, U_b = draw_ctc(B=3, T=12, U=4, V=6)
    T_b = feasible(targets, T_b, U_b).clamp(max=12)

    def results(device):
        def put(*tensors):
            return [x.detach().to(device).requires_grad_(x.is_floating_point()) for x in tensors]

        def with_gradients(loss, inputs):
            return [x.detach().cpu() for x in (loss, *torch.autograd.grad(loss, inputs))]

        x, *given = put(logits, *rest)
        y, *labels = put(log_probs, targets, T_b, U_b)
        placed = put(*parts)
        return [
            *with_gradients(rnnt_loss(x, *given, blank=0), [x]),
            *with_gradients(ctc_loss(y.log_softmax(-1), *labels), [y]),
            *with_gradients(joint_rnnt_loss(*placed, *put(*others)), placed),
            *(part.cpu() for part in rnnt_posteriors(x, *given, blank=0)),
        ]

    with pretending():
        there = results(DEVICE)
    torch.testing.assert_close(there, results("cpu"))
