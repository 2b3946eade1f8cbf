"""One training step: features, loss, backward pass, clipping, check, optimizer, average. Lesson 09.

A step is an object that is called with one batch after another, so that devices can differ.
``TrainingStep`` is for CPUs and GPUs, ``training.capture.CapturedStep`` for CUDA graphs, and
``training.xla.XlaStep`` for TPUs.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from asrlib.config.schema import Config, TrainingConfig
from asrlib.data.batches import Batch
from asrlib.losses.arguments import values_unchecked
from asrlib.models.transducer import Transducer
from asrlib.signal.augment_policy import augmented_features
from asrlib.signal.features import FrontEnd
from asrlib.training.average import WeightAverage
from asrlib.training.noise import noisy_weights
from asrlib.training.processes import share_of_mean
from asrlib.training.schedules import learning_rate

if TYPE_CHECKING:
    from accelerate import Accelerator


class Outcome(NamedTuple):
    """The outcome of one batch.

    ``loss`` is a detached scalar in nats per utterance, or None if the batch was skipped; ``problem`` then
    gives the reason. ``completed`` is false while gradients accumulate, and true when the batch ends a step.
    """

    loss: Float[Tensor, ""] | None
    problem: str | None
    completed: bool


class TrainingStep:
    """Training steps on a CPU or a GPU, in one process or several.

    ``model`` and ``optimizer`` are those that ``accelerator.prepare`` returned. ``average`` is updated with
    the weights. ``total_steps`` is the length of the learning-rate schedule. Subclasses for other devices
    override the methods below ``__call__``.
    """

    # whether batches must have one of a few shapes
    few_shapes = False
    # number of outcomes left unexamined, so that the device computes while the host prepares a batch
    lag = 0

    def __init__(
        self,
        config: Config,
        accelerator: Accelerator,
        model: nn.Module,
        optimizer: Any,
        average: WeightAverage | None,
        total_steps: int,
    ):
        self.config, self.settings, self.accelerator = config, config.training, accelerator
        self.model, self.optimizer, self.average = model, optimizer, average
        self.total_steps = total_steps
        self.network = accelerator.unwrap_model(model)
        self.width = config.prediction.units if config.prediction else self.network.encoder.dim
        self.front_end = FrontEnd(**vars(config.features)).to(self.eager_device)

    def __call__(self, batch: Batch, generator: torch.Generator, number: int) -> Outcome:
        """Train on one batch as part of step ``number``, which counts from 0.

        ``generator`` draws the augmentation, and its seed also seeds dropout and weight noise. A batch whose
        loss or gradient is not finite leaves the model unchanged and discards the accumulated gradient.
        """
        self.seed(generator.initial_seed())
        features, lengths = self.features(batch, generator)
        self.set_learning_rate(number)
        self.model.train()
        statistics = [buffer.clone() for buffer in self.model.buffers()]
        with self.accelerator.accumulate(self.model), self.weight_noise(number):
            loss = self.loss(features, lengths, batch)
            problem = self.problem_before_backward(loss)
            if problem is None:
                self.accelerator.backward(loss)
        norm = self.clip() if problem is None else None
        loss, norm = self.end_program(loss.detach(), norm)
        problem = problem or self.problem_after_backward(loss, norm)
        if problem is None:
            self.update(number)
        else:
            self.discard(statistics)
        self.end_program()
        return Outcome(loss if problem is None else None, problem, self.accelerator.sync_gradients)

    @property
    def eager_device(self) -> torch.device:
        """Return the device for feature extraction and decoding, whose shapes vary."""
        return self.accelerator.device

    def seed(self, seed: int) -> None:
        """Seed dropout and weight noise."""
        torch.manual_seed(seed)

    @torch.no_grad()
    def features(
        self, batch: Batch, generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch frames mels"], Int[Tensor, "batch"]]:
        """Return the augmented features of ``batch`` and their lengths in frames, on the model's device."""
        waveforms, lengths = batch.waveforms.to(self.eager_device), batch.lengths.to(self.eager_device)
        found = augmented_features(waveforms, lengths, self.front_end, self.config.augment, generator)
        features, counts = (x.to(self.accelerator.device) for x in found)
        return features, counts

    def set_learning_rate(self, number: int) -> None:
        """Set the learning rate of step ``number``."""
        rate = learning_rate(self.settings, number, self.total_steps, self.width)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def weight_noise(self, number: int) -> contextlib.AbstractContextManager[None]:
        """Return a context manager within which the prediction network's weights are noisy."""
        started = number >= self.settings.weight_noise_start
        amount = self.settings.weight_noise if started else 0.0
        if self.network.prediction is None or not self.adds_noise(amount):
            return contextlib.nullcontext()
        return noisy_weights(self.network.prediction, torch.tensor([amount]).to(self.accelerator.device))

    def adds_noise(self, amount: float) -> bool:
        """Return whether noise of standard deviation ``amount`` is added at all."""
        return amount != 0

    def loss(self, features: Tensor, lengths: Tensor, batch: Batch) -> Float[Tensor, ""]:
        """Return the loss in nats per utterance, weighted by this process' share of the utterances.

        ``features`` has shape (batch, frames, mels); ``lengths`` are in frames.
        """
        device = self.accelerator.device
        with values_unchecked():  # finite values are checked afterwards
            loss = self.model(features, lengths, batch.targets.to(device), batch.target_lengths.to(device))
        return loss * share_of_mean(self.accelerator, len(batch.ids))

    def problem_before_backward(self, loss: Tensor) -> str | None:
        """Return the problem if the loss of any process is not finite, else None."""
        finite = self.accelerator.gather(torch.isfinite(loss.detach()).reshape(1)).all()
        return None if finite else f"the loss is {float(loss.detach())}"

    def clip(self) -> Tensor | None:
        """Clip the gradient to ``clip_norm`` and return its norm before; None while gradients accumulate."""
        if not self.accelerator.sync_gradients:
            return None
        return self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)

    def end_program(self, *results: Tensor | None) -> tuple[Tensor | None, ...]:
        """End the device's current program and return ``results`` ready to be read; here, unchanged."""
        return results

    def problem_after_backward(self, loss: Tensor, norm: Tensor | None) -> str | None:
        """Return the problem if the norm of the gradient is not finite, else None."""
        # in fp16 the scaler itself skips such a step and lowers its scale
        if norm is None or self.accelerator.scaler is not None or torch.isfinite(norm):
            return None
        return f"the gradient's norm is {float(norm)}"

    def update(self, number: int) -> None:
        """Update the weights and their average, unless gradients still accumulate."""
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None and self.accelerator.sync_gradients:
            self.average.update(self.network, number)

    def discard(self, statistics: list[Tensor]) -> None:
        """Discard the gradient, and restore the running ``statistics`` from before the batch."""
        for buffer, value in zip(self.model.buffers(), statistics, strict=True):
            buffer.copy_(value)
        self.optimizer.zero_grad()

    def network_to_decode(self) -> Transducer:
        """Return the network on ``eager_device``, for use until the next step."""
        return self.network


def batch_seed(seed: int, epoch: int, batch: int, process: int) -> int:
    """Return the 63-bit seed of the random numbers that ``process`` draws for one batch of a run."""
    # the two's complement of a negative seed, which numpy does not accept
    sequence = np.random.SeedSequence(seed % 2**64, spawn_key=(epoch, batch, process))
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def adam(model: nn.Module, settings: TrainingConfig) -> torch.optim.Adam:
    """Return the Adam optimizer of ``settings``; each step sets its learning rate."""
    on_xla = next(model.parameters()).device.type == "xla"
    return torch.optim.Adam(
        model.parameters(),
        lr=0.0,
        betas=tuple(settings.betas),
        eps=settings.eps,
        weight_decay=settings.l2,
        fused=not on_xla,
        capturable=on_xla,  # the step count stays on the device and is not compiled in
    )
