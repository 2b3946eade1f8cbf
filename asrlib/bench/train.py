"""Measure the parts of a ContextNet training step and compare with a plain implementation. Lesson 09.

``asrlib bench train`` calls `bench_train`. On a CPU three processes take turns, step by step: asrlib, and two
with the straightforward implementation of the same network (`asrlib.models.contextnet_plain`: nn.Conv1d and
the whole lattice of scores), torchaudio's loss and torch.optim.Adam with its defaults. One of the two
flushes denormals to zero, as asrlib does. All start from the same weights and features, and their first
losses and gradients are compared with float64. On CUDA only asrlib is measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from asrlib import backend
from asrlib.bench.measure import default_device, describe_machine, timed, torchaudio_rnnt_loss
from asrlib.bench.turns import take_turns
from asrlib.config.parse import load_config
from asrlib.config.schema import Config
from asrlib.errors import InputError
from asrlib.losses.rnnt import rnnt_loss
from asrlib.models.build import build_model
from asrlib.models.contextnet import standard_blocks
from asrlib.models.contextnet_plain import PlainEncoder, PlainTransducer, copy_weights
from asrlib.signal.augment_policy import augmented_features
from asrlib.signal.features import FrontEnd
from asrlib.training.setup import prepare_cpu
from asrlib.training.step import adam

PARTS = ("data", "encoder", "joint + loss", "backward", "optimizer")
ASRLIB, FLUSHED, PLAIN = "asrlib", "plain + torchaudio, flushed", "plain + torchaudio"
# the first steps load libraries, choose algorithms and allocate memory
WARM_UP = 2


class Shape(NamedTuple):
    """The shape of a batch: the number of utterances, and seconds and labels per utterance."""

    utterances: int
    seconds: float
    labels: int


LAPTOP = Shape(4, 10.0, 40)
# TensorFlowASR's batch on LibriSpeech, whose utterances have on average 12.3 s and some 60 word pieces
GPU = Shape(64, 12.3, 60)
QUICK = Shape(2, 1.0, 4)


@dataclass
class Result:
    """The measurements of one implementation.

    ``parts`` has the median seconds of each part of a step. ``megabytes`` is the peak memory in MiB of the
    process, or of the device on CUDA. The errors are those of the first loss and gradient relative to
    float64; that of the gradient is the norm of the difference divided by the norm of the gradient, over
    all parameters.
    """

    name: str
    parts: dict[str, float]
    megabytes: float | None
    loss_error: float | None = None
    gradient_error: float | None = None

    @property
    def step(self) -> float:
        """Return the seconds per step without the data part, which is the same for all."""
        return sum(seconds for part, seconds in self.parts.items() if part != "data")


def bench_train(
    config: str = "contextnet-s", repeats: int = 8, device: str | None = None, quick: bool = False
) -> list[Result]:
    """Print a table of the parts of a training step, and one of speed, memory and errors; return the results.

    config   a shipped configuration, or a file
    repeats  steps per implementation; the table has medians. All steps train on the same batch. As in a
             real training, asrlib's joint loss becomes faster once the model knows where the paths are
    device   "cpu" or "cuda"; None selects a GPU if there is one. On a CPU: 4 × 10 s with 40 labels in
             float32, compared with the plain network if the configuration is one of the paper's. On CUDA:
             64 × 12.3 s in bf16
    quick    use a toy shape, to check that everything runs

    Raises ``InputError`` for a configuration without a transducer or with a CTC head. Lesson 09.
    """
    device = device or default_device()
    backend.usable_device(device)
    shape = QUICK if quick else GPU if device == "cuda" else LAPTOP
    settings = load_config(config)
    if settings.joint is None or settings.training.ctc_weight:
        raise InputError(f"{config}: bench train needs a transducer without CTC head")
    names = [ASRLIB]
    if device == "cpu" and torchaudio_rnnt_loss() is not None and has_plain_twin(settings):
        names += [FLUSHED, PLAIN]
    parameters = sum(p.numel() for p in build_model(settings).parameters())
    print(describe_machine(device))
    precision = "bf16" if device == "cuda" else "float32"
    print(
        f"{config} ({parameters / 1e6:.1f} M parameters), {shape.utterances} × {shape.seconds:g} s,"
        f" U = {shape.labels}, V = {settings.tokenizer.vocabulary}, {precision}, medians of {repeats} steps"
    )
    results = _measure(names, config, shape, repeats, device)
    _print_table(results, shape)
    return results


def _print_table(results: list[Result], shape: Shape) -> None:
    print(f"\n{'seconds':30}" + "".join(f"{part:>14}" for part in PARTS) + f"{'step, no data':>15}")
    for result in results:
        cells = "".join(f"{result.parts[part]:14.4f}" for part in PARTS)
        print(f"{result.name:30}{cells}{result.step:15.4f}")
    columns = f"{'faster':>8}{'utt/s':>8}{'× real time':>13}{'peak MB':>9}{'loss err':>10}{'grad err':>10}"
    print(f"\n{'':30}{columns}")
    for result in results:
        whole = sum(result.parts.values())
        errors = "".join(
            f"{'-' if error is None else f'{error:.0e}':>10}"
            for error in (result.loss_error, result.gradient_error)
        )
        memory = "-" if result.megabytes is None else f"{result.megabytes:.0f}"
        print(
            f"{result.name:30}{results[-1].step / result.step:7.2f}x{shape.utterances / whole:8.1f}"
            f"{shape.utterances * shape.seconds / whole:13.0f}{memory:>9}{errors}"
        )


# ---- the plain network -----------------------------------------------------------------------------------


def plain_of(model: nn.Module, config: Config) -> PlainTransducer:
    """Return the plain network with the weights of ``model``."""
    blocks = standard_blocks(config.encoder.kernel)
    encoder = PlainEncoder(config.features.mels, blocks, config.encoder.alpha)
    prediction, vocabulary = config.prediction, config.tokenizer.vocabulary
    plain = PlainTransducer(encoder, vocabulary, prediction.embed_dim, prediction.units, config.joint.dim)
    copy_weights(plain, model)
    return plain


def has_plain_twin(config: Config) -> bool:
    """Return whether ``config`` differs from ContextNet-S at most in width."""
    usual = load_config("contextnet-s")
    wide = replace(usual.encoder, alpha=config.encoder.alpha)
    return (config.encoder, config.prediction, config.joint) == (wide, usual.prediction, usual.joint)


# ---- measurement -----------------------------------------------------------------------------------------


def _measure(names: list[str], config: str, shape: Shape, repeats: int, device: str) -> list[Result]:
    make_step = partial(timed_step, config=config, shape=shape, device=device)
    found = take_turns(names, make_step, repeats + WARM_UP, device)
    exact = exact_step(config, shape) if device == "cpu" else None
    results = []
    for name, (steps, megabytes) in zip(names, found, strict=True):
        _, first = steps[0]
        parts = {part: statistics.median(seconds[part] for seconds, _ in steps[WARM_UP:]) for part in PARTS}
        errors = (None, None) if exact is None else relative_errors(first, exact)
        results.append(Result(name, parts, megabytes, *errors))
    return results


class Contender(NamedTuple):
    """A network with its optimizer and two functions.

    ``encode(features, lengths)`` runs the encoder; ``loss(encoded, lengths, targets)`` returns the loss in
    nats per utterance.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    encode: Callable[[Tensor, Tensor], Any]
    loss: Callable[[Any, Tensor, Tensor], Tensor]


def _asrlib(settings: Config, device: str) -> Contender:
    model = make_model(settings).to(device)

    def loss(encoded: tuple[Tensor, Tensor], counts: Tensor, targets: Tensor) -> Tensor:
        encoder_out, lengths = encoded
        label_counts = torch.full_like(counts, targets.shape[1])
        prediction_out = model.prediction(targets)
        total = model.joint.loss(encoder_out, prediction_out, targets, lengths, label_counts, 0)
        return total / len(targets)

    return Contender(model, adam(model, settings.training), model.encoder, loss)


def _plain(settings: Config, device: str) -> Contender:
    model = plain_of(make_model(settings), settings).to(device)
    training, rnnt_of_torchaudio = settings.training, torchaudio_rnnt_loss()
    optimizer = torch.optim.Adam(
        model.parameters(), betas=tuple(training.betas), eps=training.eps, weight_decay=training.l2
    )
    return Contender(
        model,
        optimizer,
        lambda features, counts: model.encoder(features),
        lambda encoded, counts, targets: model.loss(encoded, targets, rnnt_of_torchaudio),
    )


def timed_step(name: str, config: str, shape: Shape, device: str) -> Callable[[int], tuple]:
    """Return a function that performs the step of a given number.

    It returns the seconds of each part and, for step 0 on a CPU, loss and gradient (else None).
    """
    if name == ASRLIB:
        prepare_cpu()
    else:
        torch.set_flush_denormal(name == FLUSHED)
    settings = load_config(config)
    model, optimizer, encode, loss_of = (_asrlib if name == ASRLIB else _plain)(settings, device)
    front_end = FrontEnd(**vars(settings.features)).to(device)
    waveforms = make_waveforms(settings, shape).to(device)
    precision = torch.autocast(device, torch.bfloat16, enabled=device == "cuda")
    for group in optimizer.param_groups:
        group["lr"] = 1e-4
    model.train()

    def step(turn: int) -> tuple[dict[str, float], tuple[float, Any] | None]:
        seconds: dict[str, float] = {}
        first = None
        with timed(seconds, "data", device):
            features, counts, targets = make_batch(settings, shape, front_end, waveforms)
        with timed(seconds, "encoder", device), precision:
            encoded = encode(features, counts)
        with timed(seconds, "joint + loss", device), precision:
            loss = loss_of(encoded, counts, targets)
        with timed(seconds, "backward", device):
            loss.backward()
        if turn == 0 and device == "cpu":
            first = float(loss.detach()), torch.cat([p.grad.flatten() for p in model.parameters()]).numpy()
        with timed(seconds, "optimizer", device):
            optimizer.step()
            optimizer.zero_grad()
        return seconds, first

    return step


def make_model(settings: Config) -> nn.Module:
    """Return the network of ``settings``, always with the same initial weights."""
    torch.manual_seed(0)
    return build_model(settings)


def make_waveforms(settings: Config, shape: Shape) -> Tensor:
    """Return noise, (B, samples), which is always the same."""
    samples = round(shape.seconds * settings.features.sample_rate)
    return 0.1 * torch.randn(shape.utterances, samples, generator=torch.Generator().manual_seed(0))


def make_batch(
    settings: Config, shape: Shape, front_end: FrontEnd, waveforms: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return augmented features (B, T, mels), their lengths (B,) and targets (B, U), always the same."""
    generator = torch.Generator().manual_seed(1)
    B, samples = waveforms.shape
    lengths = torch.full((B,), samples, device=waveforms.device)
    with torch.no_grad():
        features, counts = augmented_features(waveforms, lengths, front_end, settings.augment, generator)
    targets = torch.randint(1, settings.tokenizer.vocabulary, (B, shape.labels), generator=generator)
    return features, counts, targets.to(waveforms.device)


# ---- the reference in float64 ----------------------------------------------------------------------------


def exact_step(config: str, shape: Shape) -> tuple[float, Tensor]:
    """Return loss and gradient of the first step with the plain network and asrlib's loss in float64."""
    settings = load_config(config)
    plain = plain_of(make_model(settings), settings).double().train()
    front_end = FrontEnd(**vars(settings.features))
    features, _, targets = make_batch(settings, shape, front_end, make_waveforms(settings, shape))
    loss = plain.loss(plain.encoder(features.double()), targets, rnnt_loss)
    loss.backward()
    return float(loss.detach()), torch.cat([p.grad.flatten() for p in plain.parameters()])


def relative_errors(found: tuple[float, Any], exact: tuple[float, Tensor]) -> tuple[float, float]:
    """Return the errors of loss and gradient relative to the ``exact`` ones."""
    (loss, gradient), (true_loss, true_gradient) = found, exact
    difference = torch.from_numpy(gradient).double() - true_gradient
    return abs(loss - true_loss) / abs(true_loss), float(difference.norm() / true_gradient.norm())
