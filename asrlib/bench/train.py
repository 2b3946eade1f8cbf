"""A training step of ContextNet: how long its parts take, and beside the plain way to write it (Lesson 09).

`asrlib bench train` calls `bench_train`. On a CPU three processes take turns, step by step: asrlib, and
twice the same network as one would first write it (`asrlib.models.contextnet_plain`: nn.Conv1d, the whole
lattice of scores), with torchaudio's loss and torch.optim.Adam as it comes; once with denormals flushed as in
asrlib, once without. All start from the same weights and the same features; their first loss and gradients
are held against float64. On CUDA asrlib is measured alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

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

PARTS = ("data", "encoder", "joint + loss", "backward", "optimiser")
ASRLIB, FLUSHED, PLAIN = "asrlib", "plain + torchaudio, flushed", "plain + torchaudio"
# a step's first runs load libraries, choose algorithms and ask for memory
WARM_UP = 2


class Shape(NamedTuple):
    """A batch: utterances, seconds of each, labels of each."""

    utterances: int
    seconds: float
    labels: int


LAPTOP = Shape(4, 10.0, 40)
# TensorFlowASR's batch on LibriSpeech: 12.3 s and some 60 word pieces are its means
GPU = Shape(64, 12.3, 60)
QUICK = Shape(2, 1.0, 4)


@dataclass
class Result:
    """Medians over the steps, in seconds, of each part; memory is the process' (on CUDA: the device's) peak.

    The errors are those of the first loss and gradient against float64: of the gradient, the length of the
    difference over the gradient's length, all parameters together.
    """

    name: str
    parts: dict[str, float]
    megabytes: float | None
    loss_error: float | None = None
    gradient_error: float | None = None

    @property
    def step(self) -> float:
        """Seconds without the data, which is the same for all."""
        return sum(seconds for part, seconds in self.parts.items() if part != "data")


def bench_train(
    config: str = "contextnet-s", repeats: int = 8, device: str | None = None, quick: bool = False
) -> list[Result]:
    """Print a table of the parts of a training step, then speed, memory and errors (Lesson 09).

    config   a shipped configuration, or a file
    repeats  steps of each; the table has medians. The batch is the same each time and is learnt, as in a
             training: asrlib's joint loss gains from knowing where the paths go, the plain one does not
    device   "cpu" or "cuda"; None: a GPU if there is one. On a CPU 4 × 10 s and 40 labels in float32, beside
             the plain network (where the configuration is one of the paper's); on CUDA 64 × 12.3 s in bf16
    quick    a toy shape, to see that all runs

    Raises InputError for a configuration without a transducer.
    """
    device = device or default_device()
    shape = QUICK if quick else GPU if device == "cuda" else LAPTOP
    settings = load_config(config)
    if settings.joint is None or settings.training.ctc_weight:
        raise InputError(f"{config}: bench train is for a transducer without CTC head")
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


# ---- the network as one would first write it -------------------------------------------------------------


def plain_of(model: nn.Module, config: Config) -> PlainTransducer:
    """Return the plain network with the weights of asrlib's."""
    blocks = standard_blocks(config.encoder.kernel)
    encoder = PlainEncoder(config.features.mels, blocks, config.encoder.alpha)
    prediction, vocabulary = config.prediction, config.tokenizer.vocabulary
    plain = PlainTransducer(encoder, vocabulary, prediction.embed_dim, prediction.units, config.joint.dim)
    copy_weights(plain, model)
    return plain


def has_plain_twin(config: Config) -> bool:
    """Whether only its width differs from ContextNet-S."""
    usual = load_config("contextnet-s")
    wide = replace(usual.encoder, alpha=config.encoder.alpha)
    return (config.encoder, config.prediction, config.joint) == (wide, usual.prediction, usual.joint)


# ---- what is measured ------------------------------------------------------------------------------------


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
    """A network with its optimizer, and its two halves as functions: ``encode(features, lengths)`` and
    ``loss(encoded, lengths, targets)``, in nats per utterance.
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
    """Return a function of the step's number, which performs the step and returns the seconds of each part
    and, for number 0 on a CPU, loss and gradient.
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
        with timed(seconds, "optimiser", device):
            optimizer.step()
            optimizer.zero_grad()
        return seconds, first

    return step


def make_model(settings: Config) -> nn.Module:
    torch.manual_seed(0)
    return build_model(settings)


def make_waveforms(settings: Config, shape: Shape) -> Tensor:
    """Noise (B, samples): always the same."""
    samples = round(shape.seconds * settings.features.sample_rate)
    return 0.1 * torch.randn(shape.utterances, samples, generator=torch.Generator().manual_seed(0))


def make_batch(
    settings: Config, shape: Shape, front_end: FrontEnd, waveforms: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Features after SpecAugment (B, T, mels), their lengths, targets (B, U): always the same."""
    generator = torch.Generator().manual_seed(1)
    B, samples = waveforms.shape
    lengths = torch.full((B,), samples, device=waveforms.device)
    with torch.no_grad():
        features, counts = augmented_features(waveforms, lengths, front_end, settings.augment, generator)
    targets = torch.randint(1, settings.tokenizer.vocabulary, (B, shape.labels), generator=generator)
    return features, counts, targets.to(waveforms.device)


# ---- the same in float64 ---------------------------------------------------------------------------------


def exact_step(config: str, shape: Shape) -> tuple[float, Tensor]:
    """Return loss and gradient of the first step by the plain network and asrlib's loss, in float64."""
    settings = load_config(config)
    plain = plain_of(make_model(settings), settings).double().train()
    front_end = FrontEnd(**vars(settings.features))
    features, _, targets = make_batch(settings, shape, front_end, make_waveforms(settings, shape))
    loss = plain.loss(plain.encoder(features.double()), targets, rnnt_loss)
    loss.backward()
    return float(loss.detach()), torch.cat([p.grad.flatten() for p in plain.parameters()])


def relative_errors(found: tuple[float, Any], exact: tuple[float, Tensor]) -> tuple[float, float]:
    (loss, gradient), (true_loss, true_gradient) = found, exact
    difference = torch.from_numpy(gradient).double() - true_gradient
    return abs(loss - true_loss) / abs(true_loss), float(difference.norm() / true_gradient.norm())
