"""Training steps as two CUDA graphs: from waveforms to gradients, and the update. Lesson 09.

Batches are padded to a few shapes, and the first graph is recorded once per shape. Lengths and random
numbers are in tensors that are filled before a replay. The device decides whether loss and gradient are
finite. If they are not, it leaves weights, running statistics and averages unchanged. The host reads the
outcome only after it has launched the next step.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from asrlib.backend import asking_nothing
from asrlib.config.schema import Config
from asrlib.data.batches import Batch
from asrlib.models.build import build_model
from asrlib.models.transducer import Transducer
from asrlib.signal.augment import hide
from asrlib.signal.augment_policy import augment_waveforms, draw_spec_masks, draw_warp
from asrlib.training.graphs import Packed, Recorder, aligned_views
from asrlib.training.noise import noisy_weights
from asrlib.training.step import Outcome, TrainingStep

if TYPE_CHECKING:
    from accelerate import Accelerator


def captures(config: Config, accelerator: Accelerator, varying: bool) -> bool:
    """Return whether training steps are captured as CUDA graphs.

    They are on one CUDA device, in float32 or bfloat16, for batches of few shapes. The shapes of batches from
    shards and of chunks (``varying``) are not known in advance, several processes wait for each other within
    a step, and in fp16 the loss scale depends on the previous step.
    """
    return (
        config.training.capture == "auto"
        and accelerator.device.type == "cuda"
        and accelerator.num_processes == 1
        and accelerator.scaler is None
        and not varying
    )


class CapturedOutcome:
    """An ``Outcome`` whose values are read from the device on first use.

    ``status`` holds loss and gradient norm on the device, shape (2,). ``completed`` is as in ``Outcome``.
    """

    def __init__(self, status: Tensor, completed: bool):
        self.completed = completed
        self.event = None
        if status.device.type == "cuda":
            self.status = torch.empty(status.shape, pin_memory=True)
            self.status.copy_(status, non_blocking=True)
            self.event = torch.cuda.Event()
            self.event.record()
        else:
            self.status = status.clone()

    def _read(self) -> Tensor:
        if self.event is not None:
            self.event.synchronize()
        self.status = self.status.cpu()
        return self.status

    @property
    def problem(self) -> str | None:
        """Return why the batch was skipped, or None if it was not."""
        loss, norm = self._read()
        if not torch.isfinite(loss):
            return f"the loss is {float(loss)}"
        return None if torch.isfinite(norm) else f"the gradient's norm is {float(norm)}"

    @property
    def loss(self) -> Tensor | None:
        """Return the loss, a scalar on the CPU, or None if the batch was skipped."""
        return self._read()[0] if self.problem is None else None


class _Inputs(NamedTuple):
    """Inputs of the first graph: a batch on the device, and the random draws for it."""

    waveforms: Float[Tensor, "batch samples"]
    lengths: Int[Tensor, "batch"]
    warp: Float[Tensor, "batch"] | None
    hidden_times: Bool[Tensor, "batch frames"]
    hidden_bins: Bool[Tensor, "batch mels"]
    targets: Int[Tensor, "batch U"]
    target_lengths: Int[Tensor, "batch"]


class CapturedStep(TrainingStep):
    """Training steps on one GPU by replaying CUDA graphs; other devices run the same operations eagerly.

    If a step cannot be recorded, a warning gives the reason, and steps run as in ``TrainingStep``.
    """

    few_shapes, lag = True, 1

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.adam = getattr(self.optimizer, "optimizer", self.optimizer)
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.gradient, self.gradients = aligned_views(self.parameters)
        self.statistics = Packed(list(self.network.buffers()))
        self.statistics_before = self.statistics.copy()
        zero = self.gradient.new_zeros(())
        self.loss_and_norm, self.sound = torch.stack([zero, zero]), zero.bool()
        # learning rate, weight of the new weights in the average, standard deviation of the weight noise
        self.numbers = self.gradient.new_zeros(3)
        self.recorder: Recorder | None = Recorder(self.accelerator.device)
        self.batch_graphs: dict[Any, tuple[_Inputs, Callable[[], None]]] = {}
        self.update_graph: Callable[[], None] | None = None

    def __call__(self, batch: Batch, generator: torch.Generator, number: int) -> Outcome | CapturedOutcome:
        if self.recorder is None:
            return super().__call__(batch, generator, number)
        drawn = generator.get_state()
        self.set_learning_rate(number)
        self.model.train()
        try:
            with asking_nothing():
                replay = self._replay_for(self._inputs(batch, generator), number)
        except RuntimeError as error:
            if self.batch_graphs:
                raise
            self._give_up(error)
            return super().__call__(batch, generator.set_state(drawn), number)
        self.seed(generator.initial_seed())
        with asking_nothing():
            replay()
            with self.accelerator.accumulate(self.model):  # counts the batches of a step
                completed = self.accelerator.sync_gradients
            if completed:
                self.update_graph()
        return CapturedOutcome(self.loss_and_norm, completed)

    def network_to_decode(self) -> Transducer:
        """Return a copy of the network on ``eager_device``.

        ``Recognizer`` moves the network, which gives an LSTM's weights new memory. The graphs would
        continue to use the old memory.
        """
        copied = build_model(self.config).to(self.eager_device)
        copied.load_state_dict(self.network.state_dict())
        return copied

    def _give_up(self, error: RuntimeError) -> None:
        reason = " ".join(str(error).split())[:200]
        warnings.warn(f"training steps cannot be captured ({reason}): they run slower", stacklevel=4)
        self.recorder, self.gradients = None, []
        self.optimizer.zero_grad()

    def _set_numbers(self, number: int) -> None:
        settings = self.settings
        weight = self.average.weight_of(number) if self.average else 0.0
        deviation = settings.weight_noise if number >= settings.weight_noise_start else 0.0
        _put(self.numbers, torch.tensor([self.adam.param_groups[0]["lr"], weight, deviation]))

    @torch.no_grad()
    def _inputs(self, batch: Batch, generator: torch.Generator) -> _Inputs:
        """Draw all random numbers in the order of ``augmented_features``; most of them stay on the CPU."""
        augment, front_end = self.config.augment, self.front_end
        waveforms, lengths = (
            _put(torch.empty_like(x, device=self.accelerator.device), x)
            for x in (batch.waveforms, batch.lengths)
        )
        waveforms = augment_waveforms(waveforms, lengths, front_end.sample_rate, augment, generator)
        warp = draw_warp(augment, len(waveforms), generator)
        counts, frames = (front_end.frame_count(n) for n in (batch.lengths, waveforms.shape[1]))
        masks = draw_spec_masks(augment, counts, frames, self.config.features.mels, generator)
        return _Inputs(waveforms, batch.lengths, warp, *masks, batch.targets, batch.target_lengths)

    def _replay_for(self, values: _Inputs, number: int) -> Callable[[], None]:
        """Return the first graph for the shapes of ``values``, with its inputs set to ``values``."""
        self._set_numbers(number)
        shape = values.waveforms.shape, values.targets.shape
        if shape not in self.batch_graphs:
            device = self.accelerator.device
            inputs = _Inputs(*(None if x is None else torch.empty_like(x, device=device) for x in values))
            self._fill(inputs, values)
            changed = [*self.network.buffers(), self.gradient]
            replay = self.recorder.record(functools.partial(self._add_gradient, inputs), changed)
            if self.update_graph is None:
                self.sound.zero_()  # so that the warm-up runs change nothing
                self.update_graph = self.recorder.record(self._update, changed)
            self.batch_graphs[shape] = inputs, replay
        inputs, replay = self.batch_graphs[shape]
        self._fill(inputs, values)
        return replay

    def _fill(self, inputs: _Inputs, values: _Inputs) -> None:
        for static, value in zip(inputs, values, strict=True):
            if static is not None:
                _put(static, value)

    # ---- recorded functions ----

    def _add_gradient(self, inputs: _Inputs) -> None:
        """Compute the gradient from waveforms, and add it to those accumulated before.

        A loss that is not finite clears all of them, and restores the running statistics.
        """
        for before, now in zip(self.statistics_before, self.statistics.copy(), strict=True):
            before.copy_(now)
        with torch.no_grad():
            features, counts = self.front_end(inputs.waveforms, inputs.lengths, inputs.warp)
            features = hide(features, inputs.hidden_times, inputs.hidden_bins)
        batch = Batch([], inputs.waveforms, inputs.lengths, inputs.targets, inputs.target_lengths)
        with self._noise():
            loss = self.loss(features, counts, batch)
            scaled = loss / self.settings.accumulate
            found = torch.autograd.grad(scaled, self.parameters, allow_unused=True)
        with torch.no_grad():
            used = [(total, g) for total, g in zip(self.gradients, found, strict=True) if g is not None]
            torch._foreach_add_(*map(list, zip(*used, strict=True)))
            for parameter, total, g in zip(self.parameters, self.gradients, found, strict=True):
                parameter.grad = None if g is None else total
            self.sound.copy_(loss.isfinite())
            self.gradient.copy_(torch.where(self.sound, self.gradient, 0.0))
            self.statistics.restore_unless(self.sound, self.statistics_before)
            self.loss_and_norm.copy_(torch.stack([loss.detach(), torch.zeros_like(loss)]))

    def _noise(self) -> contextlib.AbstractContextManager[None]:
        if self.network.prediction is None or not self.settings.weight_noise:
            return contextlib.nullcontext()
        return noisy_weights(self.network.prediction, self.numbers[2:])

    @torch.no_grad()
    def _update(self) -> None:
        """Clip the gradient, and update weights and average unless loss or gradient is not finite."""
        rate, weight, _ = self.numbers.unbind()
        norm = self.gradient.norm()
        good = self.sound & norm.isfinite()
        self.gradient.mul_((self.settings.clip_norm / (norm + 1e-6)).clamp(max=1.0))
        with _reading(self.adam, rate, skip=~good):
            self.adam.step()
        self.gradient.zero_()
        self.statistics.restore_unless(good, self.statistics_before)
        if self.average is not None:
            self.average.move(self.network, weight * good)
        self.loss_and_norm[1].copy_(norm)


@contextlib.contextmanager
def _reading(adam: torch.optim.Adam, rate: Tensor, skip: Tensor) -> Iterator[None]:
    """Make ``adam`` read its learning rate, and whether to skip a step, from the device within the block."""
    own = [(group["lr"], group["capturable"]) for group in adam.param_groups]
    adam.found_inf = skip.float()
    for group in adam.param_groups:
        group["lr"], group["capturable"] = rate, True
    try:
        with warnings.catch_warnings():
            # raised by the warm-up runs
            warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
            yield
    finally:
        del adam.found_inf
        for group, (rate, capturable) in zip(adam.param_groups, own, strict=True):
            group["lr"], group["capturable"] = rate, capturable


def _put(static: Tensor, value: Tensor) -> Tensor:
    """Copy ``value`` into ``static`` without waiting for the device, and return ``static``."""
    if static.is_cuda and not value.is_cuda:
        value = value.pin_memory()
    return static.copy_(value, non_blocking=True)
