"""A training step of ContextNet: how long its parts take, and beside the plain way to write it (Lesson 09).

`asrlib bench train` calls `bench_train`. On a CPU three processes take turns, step by step: asrlib, and
twice the same network as one would first write it, `PlainContextNet`: nn.Conv1d, the whole lattice of scores,
torchaudio's loss, torch.optim.Adam as it comes; once with denormals flushed as in asrlib, once without. All
start from the same weights and hear the same features; their first loss and gradients are held against
float64. On CUDA asrlib is measured alone.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrlib.bench.losses import _machine, _peak_megabytes, _torchaudio_loss
from asrlib.config.parse import load_config
from asrlib.config.schema import Config
from asrlib.errors import InputError
from asrlib.losses.rnnt import rnnt_loss
from asrlib.models.build import build_model
from asrlib.models.contextnet import BlockConfig, standard_blocks
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
    """Prints a table of the parts of a training step, then speed, memory and errors (Lesson 09).

    config   a shipped configuration, or a file
    repeats  steps of each; the table has medians. The batch is the same each time and is learnt, as in a
             training: asrlib's joint loss gains from knowing where the paths go, the plain one does not
    device   "cpu" or "cuda"; None: a GPU if there is one. On a CPU 4 × 10 s and 40 labels in float32, beside
             the plain network (where the configuration is one of the paper's); on CUDA 64 × 12.3 s in bf16
    quick    a toy shape, to see that all runs

    Raises InputError for a configuration without a transducer.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    shape = QUICK if quick else GPU if device == "cuda" else LAPTOP
    settings = load_config(config)
    if settings.joint is None or settings.training.ctc_weight:
        raise InputError(f"{config}: bench train is for a transducer without CTC head")
    names = [ASRLIB]
    if device == "cpu" and _torchaudio_loss() is not None and _can_be_plain(settings):
        names += [FLUSHED, PLAIN]
    parameters = sum(p.numel() for p in build_model(settings).parameters())
    print(_machine(device))
    precision = "bf16" if device == "cuda" else "float32"
    print(
        f"{config} ({parameters / 1e6:.1f} M parameters), {shape.utterances} × {shape.seconds:g} s,"
        f" U = {shape.labels}, V = {settings.tokenizer.vocabulary}, {precision}, medians of {repeats} steps"
    )
    results = _take_turns(names, config, shape, repeats, device)
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
    return results


# ---- the network as one would first write it -------------------------------------------------------------


class PlainContextNet(nn.Module):
    """ContextNet (variant paper) and its transducer on (batch, channels, frames), without padding.

    Parameters come in the order of asrlib's, so that two lists of them can be compared.
    """

    def __init__(self, config: Config):
        super().__init__()
        settings, vocabulary = config.prediction, config.tokenizer.vocabulary
        channels, blocks = config.features.mels, []
        for block in standard_blocks(config.encoder.kernel):
            blocks.append(PlainBlock(channels, block, config.encoder.alpha))
            channels = blocks[-1].channels
        self.encoder = nn.Sequential(*blocks)
        self.embedding = nn.Embedding(vocabulary, settings.embed_dim)
        self.rnn = nn.LSTM(settings.embed_dim, settings.units, batch_first=True)
        self.norm = nn.LayerNorm(settings.units, eps=1e-3)
        self.encoder_linear = nn.Linear(channels, config.joint.dim)
        self.prediction_linear = nn.Linear(settings.units, config.joint.dim, bias=False)
        self.output = nn.Linear(config.joint.dim, vocabulary)

    def encode(self, features: Tensor) -> Tensor:
        return self.encoder(features.transpose(1, 2)).transpose(1, 2)

    def loss(self, encoder_out: Tensor, targets: Tensor, loss: Callable) -> Tensor:
        """``loss`` is torchaudio's rnnt_loss or another of its arguments. Summed, over the batch."""
        batch, frames, _ = encoder_out.shape
        prediction_out = self.norm(self.rnn(self.embedding(F.pad(targets, (1, 0))))[0])
        heard, said = self.encoder_linear(encoder_out), self.prediction_linear(prediction_out)
        logits = self.output(torch.tanh(heard[:, :, None] + said[:, None]))
        lengths = (torch.full((batch,), n, dtype=torch.int32) for n in (frames, targets.shape[1]))
        return loss(logits, targets.int(), *lengths, blank=0, reduction="sum") / batch


class PlainBlock(nn.Module):
    def __init__(self, channels_in: int, block: BlockConfig, alpha: float):
        super().__init__()
        self.channels = channels = int(block.filters * alpha)
        layers = []
        for number in range(block.layers):
            stride = block.stride if number == block.layers - 1 else 1
            wide = channels if number else channels_in
            padding = block.kernel // 2
            layers += [
                nn.Conv1d(wide, wide, block.kernel, stride, padding, groups=wide, bias=False),
                nn.Conv1d(wide, channels, 1),
                nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01),
                nn.SiLU(),
            ]
        self.layers = nn.Sequential(*layers)
        self.excite = nn.Sequential(
            nn.Conv1d(channels, channels // 8, 1),
            nn.SiLU(),
            nn.Conv1d(channels // 8, channels, 1),
            nn.Sigmoid(),
        )
        self.shortcut = None
        if block.residual:
            self.shortcut = nn.Sequential(
                nn.Conv1d(channels_in, channels, 1, block.stride),
                nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        y = y * self.excite(y.mean(2, keepdim=True))
        return y if self.shortcut is None else F.silu(y + self.shortcut(x))


def plain_of(model: nn.Module, config: Config) -> PlainContextNet:
    """The plain network with the weights of asrlib's."""
    plain = PlainContextNet(config)
    with torch.no_grad():
        for theirs, ours in zip(plain.parameters(), model.parameters(), strict=True):
            theirs.copy_(ours.reshape(theirs.shape))
    return plain


def _can_be_plain(config: Config) -> bool:
    """Whether only its width differs from ContextNet-S."""
    usual = load_config("contextnet-s")
    wide = replace(usual.encoder, alpha=config.encoder.alpha)
    return (config.encoder, config.prediction, config.joint) == (wide, usual.prediction, usual.joint)


# ---- taking turns ----------------------------------------------------------------------------------------


def _take_turns(names: list[str], config: str, shape: Shape, repeats: int, device: str) -> list[Result]:
    """Each implementation in a process of its own, so that memory and settings are its own too."""
    context = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for name in names:
        here, there = context.Pipe()
        workers.append(context.Process(target=_work, args=(there, name, config, shape, device), daemon=True))
        workers[-1].start()
        there.close()
        pipes.append(here)
    try:
        exact, firsts, parts = None, [], [[] for _ in names]
        for turn in range(repeats + WARM_UP):
            for number, pipe in enumerate(pipes):
                pipe.send(turn)
                seconds, first = pipe.recv()
                if first is not None:
                    firsts.append(first)
                if turn >= WARM_UP:
                    parts[number].append(seconds)
        if device == "cpu":
            exact = _exact(config, shape)
        results = []
        for number, (name, pipe) in enumerate(zip(names, pipes, strict=True)):
            pipe.send("memory")
            medians = {part: statistics.median(step[part] for step in parts[number]) for part in PARTS}
            errors = _errors(firsts[number], exact) if exact else (None, None)
            results.append(Result(name, medians, pipe.recv(), *errors))
            pipe.send(None)
        return results
    except EOFError:
        raise InputError("a process of bench train has ended: is there too little memory?") from None
    finally:
        for pipe in pipes:
            pipe.close()
        for worker in workers:
            worker.join(timeout=10)
            worker.kill()


def _work(pipe: Any, name: str, config: str, shape: Shape, device: str) -> None:
    """A process: for each number that comes, what that step says; for "memory" the peak."""
    step = _steps(name, config, shape, device)
    while (asked := pipe.recv()) is not None:
        if asked == "memory":
            pipe.send(_peak_megabytes(device))
        else:
            pipe.send(step(asked))


def _steps(name: str, config: str, shape: Shape, device: str) -> Callable[[int], tuple]:
    """A function of the step's number: seconds of each part and, for number 0 on a CPU, loss and gradient."""
    if name == ASRLIB:
        prepare_cpu()
    else:
        torch.set_flush_denormal(name == FLUSHED)
    settings = load_config(config)
    model = _model(settings).to(device)
    front_end = FrontEnd(**vars(settings.features)).to(device)
    cuda = device == "cuda"
    precision = torch.autocast(device, torch.bfloat16, enabled=cuda)
    if name == ASRLIB:
        optimizer = adam(model, settings.training)
    else:
        model = plain_of(model, settings)
        training = settings.training
        optimizer = torch.optim.Adam(
            model.parameters(), betas=tuple(training.betas), eps=training.eps, weight_decay=training.l2
        )
    theirs = _torchaudio_loss()
    for group in optimizer.param_groups:
        group["lr"] = 1e-4
    model.train()

    waveforms = _waveforms(settings, shape).to(device)

    def step(turn: int) -> tuple[dict[str, float], tuple[float, Any] | None]:
        seconds: dict[str, float] = {}
        first = None
        with _timed(seconds, "data", cuda):
            features, counts, targets = _batch(settings, shape, front_end, waveforms)
        with _timed(seconds, "encoder", cuda), precision:
            encoded = model.encoder(features, counts) if name == ASRLIB else model.encode(features)
        with _timed(seconds, "joint + loss", cuda), precision:
            if name == ASRLIB:
                said, lengths = model.prediction(targets), torch.full_like(counts, shape.labels)
                loss = model.joint.loss(encoded[0], said, targets, encoded[1], lengths, 0) / len(targets)
            else:
                loss = model.loss(encoded, targets, theirs)
        with _timed(seconds, "backward", cuda):
            loss.backward()
        if turn == 0 and not cuda:
            first = float(loss.detach()), torch.cat([p.grad.flatten() for p in model.parameters()]).numpy()
        with _timed(seconds, "optimiser", cuda):
            optimizer.step()
            optimizer.zero_grad()
        return seconds, first

    return step


class _timed:
    """Adds to ``seconds[part]`` what the block takes; waits for the device before and after."""

    def __init__(self, seconds: dict[str, float], part: str, cuda: bool):
        self.seconds, self.part = seconds, part
        self.wait = torch.cuda.synchronize if cuda else lambda: None

    def __enter__(self) -> None:
        self.wait()
        self.start = time.perf_counter()

    def __exit__(self, *_: Any) -> None:
        self.wait()
        self.seconds[self.part] = time.perf_counter() - self.start


def _model(settings: Config) -> nn.Module:
    torch.manual_seed(0)
    return build_model(settings)


def _waveforms(settings: Config, shape: Shape) -> Tensor:
    """Noise (B, samples): always the same."""
    samples = round(shape.seconds * settings.features.sample_rate)
    return 0.1 * torch.randn(shape.utterances, samples, generator=torch.Generator().manual_seed(0))


def _batch(
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


def _exact(config: str, shape: Shape) -> tuple[float, Tensor]:
    """Loss and gradient of the first step: the plain network in float64, with asrlib's loss in float64."""
    settings = load_config(config)
    plain = plain_of(_model(settings), settings).double().train()
    front_end = FrontEnd(**vars(settings.features))
    features, _, targets = _batch(settings, shape, front_end, _waveforms(settings, shape))
    loss = plain.loss(plain.encode(features.double()), targets, rnnt_loss)
    loss.backward()
    return float(loss.detach()), torch.cat([p.grad.flatten() for p in plain.parameters()])


def _errors(found: tuple[float, Any], exact: tuple[float, Tensor]) -> tuple[float, float]:
    (loss, gradient), (true_loss, true_gradient) = found, exact
    difference = torch.from_numpy(gradient).double() - true_gradient
    return abs(loss - true_loss) / abs(true_loss), float(difference.norm() / true_gradient.norm())
