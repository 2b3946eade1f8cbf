"""The training loop, based on accelerate: one loop for CPUs, GPUs and TPUs, in one process or several.

The directory of a run is a model directory with the best weights so far by dev WER. It also has
``checkpoints/`` and ``tensorboard/``. The random numbers of a batch depend only on the seed, the epoch,
the batch and the process, so a run that is killed and resumed gives the same result as an uninterrupted
one. Lesson 09.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from asrlib.config.schema import Config
from asrlib.data.ahead import one_ahead
from asrlib.data.audio_cache import MAX_BYTES, AudioCache
from asrlib.data.batches import Batch, collate, encode_corpus
from asrlib.data.chunks import ChunkSampler, chunks
from asrlib.errors import InputError
from asrlib.evaluate import check_references, evaluate
from asrlib.extras import require
from asrlib.files import replacing
from asrlib.models.build import build_model
from asrlib.models.transducer import Transducer
from asrlib.recognizer import Recognizer
from asrlib.signal.augment_policy import draw_speed
from asrlib.text.tokenizer_files import load_tokenizer
from asrlib.text.tokenizers import Tokenizer
from asrlib.training import xla
from asrlib.training.average import WeightAverage
from asrlib.training.capture import CapturedOutcome, CapturedStep, captures
from asrlib.training.checkpoint import (
    Progress,
    check_same_data,
    check_same_run,
    fingerprint,
    last_checkpoint,
    load_checkpoint,
    remove_partial_checkpoints,
    save_checkpoint,
)
from asrlib.training.log import RunLog
from asrlib.training.processes import (
    check_same_checkpoint,
    make_accelerator,
    only_run_in,
    reporting_lost_processes,
)
from asrlib.training.setup import (
    Sampler,
    choose_tokenizer,
    encode_transcripts,
    initialize_weights,
    make_sampler,
    prepare_cpu,
    warn_of_short_recordings,
)
from asrlib.training.step import Outcome, TrainingStep, adam, batch_seed

if TYPE_CHECKING:
    from accelerate import Accelerator
    from lhotse import CutSet

MAX_BAD_STEPS = 5


def train(
    config: Config,
    cuts: CutSet,
    out: str | Path,
    dev_cuts: CutSet | None = None,
    resume: bool = False,
    init: str | Path | None = None,
    show_progress: bool = True,
) -> Recognizer:
    """Train ``config`` on ``cuts``, save the best model in ``out`` and return it.

    The best weights are those with the lowest WER on ``dev_cuts``; without ``dev_cuts``, they are the
    last. ``resume`` continues the run in ``out`` from its last checkpoint. ``init`` is a model directory
    whose weights are the initial values wherever name and shape agree. ``config`` is not modified.

    Warns about utterances too short for CTC, and if there is no run to resume. Raises ``InputError`` for a
    transcript that the tokenizer cannot encode, an ``out`` that already holds a run without ``resume`` or
    that another process trains in, a run on other data, a checkpoint that cannot be read or written, and a
    loss or gradient that is not finite ``MAX_BAD_STEPS`` times in a row.
    """
    require("train")
    prepare_cpu()
    config, out = copy.deepcopy(config), Path(out)
    accelerator = make_accelerator(config.training)
    last = _checkpoint_to_resume(accelerator, out, resume)
    # check the data before anything is written
    tokenizer = load_tokenizer(out) if last is not None else choose_tokenizer(config, cuts, init)
    config.tokenizer.vocabulary = tokenizer.vocabulary
    if last is not None or (resume and (out / "config.yml").is_file()):
        check_same_run(config, out)
    if accelerator.device.type == "xla":
        xla.check_supported(config.training, cuts)
    chunk_seconds = config.training.chunk_seconds
    labels = encode_transcripts(cuts, tokenizer, chunked=chunk_seconds is not None)
    if dev_cuts is not None and chunk_seconds is not None:
        dev_cuts = chunks(dev_cuts, chunk_seconds)
    if dev_cuts is not None:
        check_references(tokenizer, dev_cuts)

    torch.manual_seed(config.training.seed)
    model = _initial_model(config, init if last is None else None)
    model.to(accelerator.device)
    model, optimizer = accelerator.prepare(model, adam(model, config.training))
    decay = config.training.average
    average = WeightAverage(accelerator.unwrap_model(model), decay) if decay else None
    data = fingerprint(cuts, dev_cuts)
    progress = Progress(data=data) if last is None else load_checkpoint(accelerator, last, average)
    check_same_data(progress.data, data, out)
    if accelerator.is_main_process:
        if labels is not None:
            warn_of_short_recordings(config, accelerator.unwrap_model(model).encoder, cuts, labels)
        remove_partial_checkpoints(out)
        if last is None:
            with replacing(out) as draft:
                tokenizer.save(draft)
                config.save(draft / "config.yml")

    with only_run_in(out, accelerator.is_main_process), reporting_lost_processes(accelerator):
        kind = step_for(config, accelerator, varying=labels is None)
        sampler = make_sampler(config, cuts, labels, accelerator, kind.few_shapes)
        total_steps = _total_steps(config, sampler)
        step = kind(config, accelerator, model, optimizer, average, total_steps)
        run = _Run(config, accelerator, step, average, tokenizer, progress, out, dev_cuts)
        run.train(sampler, labels, show_progress)
    return Recognizer.load(out, device=step.eager_device)


def step_for(config: Config, accelerator: Accelerator, varying: bool) -> type[TrainingStep]:
    """Return the class of training step for the device and the corpus.

    ``varying`` says that batches have many shapes: those of shards and of chunks.
    """
    if accelerator.device.type == "xla":
        return xla.XlaStep
    return CapturedStep if captures(config, accelerator, varying) else TrainingStep


def _checkpoint_to_resume(accelerator: Accelerator, out: Path, resume: bool) -> Path | None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: give --out a folder, there or not")
    last = last_checkpoint(out)
    check_same_checkpoint(accelerator, last, out)
    if not resume and (last is not None or (out / "model.safetensors").exists()):
        raise InputError(f"{out} already holds a run: continue it with --resume, or choose another --out")
    if resume and last is None and accelerator.is_main_process:
        warnings.warn(f"{out} has no checkpoint to resume from: a new run starts there", stacklevel=3)
    return last


def _initial_model(config: Config, init: str | Path | None) -> Transducer:
    model = build_model(config)
    if init is not None:
        initialize_weights(model, Path(init))
    if config.training.ctc_weight >= 1:  # processes would wait for their gradients forever
        for unused in filter(None, (model.prediction, model.joint)):
            unused.requires_grad_(False)
    return model


def _total_steps(config: Config, sampler: Sampler) -> int:
    settings = config.training
    if settings.max_steps is None and isinstance(sampler, ChunkSampler):  # epochs differ while chunks grow
        return max(1, sum(map(sampler.count, range(settings.epochs))) // settings.accumulate)
    return settings.max_steps or max(1, settings.epochs * sampler.count(0) // settings.accumulate)


class _Run:
    """The steps of one run, with the reports, evaluations and checkpoints between them."""

    def __init__(
        self,
        config: Config,
        accelerator: Accelerator,
        step: TrainingStep,
        average: WeightAverage | None,
        tokenizer: Tokenizer,
        progress: Progress,
        out: Path,
        dev_cuts: CutSet | None,
    ):
        self.config, self.settings, self.accelerator = config, config.training, accelerator
        self.step, self.average, self.tokenizer = step, average, tokenizer
        self.progress, self.out, self.dev_cuts = progress, out, dev_cuts
        self.total_steps = step.total_steps
        self.bad_steps = 0
        self.unexamined: deque[tuple[int, list[str], Outcome | CapturedOutcome]] = deque()
        self.losses: list[Tensor] = []

    def train(self, sampler: Sampler, labels: dict[str, list[int]] | None, show_progress: bool) -> None:
        """Train from the current progress to the last step; ``labels`` None encodes texts batch by batch."""
        rate, workers = self.config.features.sample_rate, self.settings.workers
        if isinstance(sampler, ChunkSampler):
            audio = AudioCache.of_recordings(rate, sampler.seconds, workers)
        else:
            # shards: keep no audio either
            audio = AudioCache(rate, MAX_BYTES if labels is not None else 0, workers)
        log = RunLog(
            self.out / "tensorboard",
            self.progress.step,
            self.total_steps,
            self.accelerator.is_main_process,
            show_progress,
        )
        with log, audio:
            self._loop(sampler, labels, audio, log)

    def _loop(
        self, sampler: Sampler, labels: dict[str, list[int]] | None, audio: AudioCache, log: RunLog
    ) -> None:
        settings, progress = self.settings, self.progress
        started = time.monotonic() - progress.seconds
        utterances, since = 0, time.monotonic()
        while progress.step < self.total_steps:
            for batch, generator in self._batches(sampler, labels, audio):
                completed = self._train_on(batch, generator)
                progress.batch += 1
                utterances += len(batch.ids)
                if not completed:
                    continue
                progress.step += 1
                progress.seconds = time.monotonic() - started
                log.advance()
                if self._due(settings.log_every, settings.evaluate_every, settings.checkpoint_every):
                    self._examine()
                if self.losses and self._due(settings.log_every):
                    self._report(self.losses, utterances / (time.monotonic() - since), log)
                    self.losses, utterances, since = [], 0, time.monotonic()
                if self._due(settings.evaluate_every):
                    self._evaluate(log)
                if self._due(settings.checkpoint_every):
                    save_checkpoint(self.accelerator, self.out, progress, self.average)
                if progress.step == self.total_steps:
                    return
            progress.epoch, progress.batch = progress.epoch + 1, 0

    def _due(self, *every: int) -> bool:
        """Return whether the step count is a multiple of one of ``every``, or the run is complete."""
        step = self.progress.step
        return any(step % each == 0 for each in every) or step == self.total_steps

    def _batches(
        self, sampler: Sampler, labels: dict[str, list[int]] | None, audio: AudioCache
    ) -> Iterator[tuple[Batch, torch.Generator]]:
        """Yield the remaining batches of the epoch, each with the generator of its random numbers.

        If outcomes are examined with a lag, a batch is prepared while the previous one is trained on.
        """
        epoch, first = self.progress.epoch, self.progress.batch

        def made() -> Iterator[tuple[Batch, torch.Generator]]:
            for number, cuts in enumerate(audio.batches(sampler.epoch(epoch, first)), first):
                seed = batch_seed(self.settings.seed, epoch, number, self.accelerator.process_index)
                generator = torch.Generator().manual_seed(seed)
                known = encode_corpus(cuts, self.tokenizer) if labels is None else labels
                speed = draw_speed(self.config.augment, len(cuts), generator)
                pin = self.accelerator.device.type == "cuda"
                yield collate(cuts, audio, known, speed, sampler.padding(cuts), pin), generator

        return one_ahead(made()) if self.step.lag else made()

    def _train_on(self, batch: Batch, generator: torch.Generator) -> bool:
        """Train on ``batch``; return whether it completed a step."""
        outcome = self.step(batch, generator, self.progress.step)
        self.unexamined.append((self.progress.step, batch.ids, outcome))
        self._examine(leave=self.step.lag)
        return outcome.completed

    def _examine(self, leave: int = 0) -> None:
        """Examine all outcomes except the last ``leave``.

        Keep their losses, warn about skipped batches, and end the run after ``MAX_BAD_STEPS`` in a row.
        """
        while len(self.unexamined) > leave:
            number, ids, outcome = self.unexamined.popleft()
            if outcome.problem is not None:
                self._skip(number, outcome.problem, ids)
                continue
            loss = outcome.loss
            assert loss is not None  # it is where there is no problem
            self.bad_steps = 0
            self.losses.append(loss)

    def _skip(self, step: int, problem: str, ids: list[str]) -> None:
        self.bad_steps += 1
        utterances = ", ".join(ids[:3]) + (", …" if ids[3:] else "")
        if self.bad_steps >= MAX_BAD_STEPS:
            raise InputError(
                f"step {step}: {problem}, the {MAX_BAD_STEPS}th time in a row (utterances {utterances}):"
                f" lower training.max_lr (now {self.settings.max_lr}), raise training.warmup_steps, or train"
                " with training.precision=no; the last checkpoint is untouched"
            )
        warnings.warn(f"step {step}: {problem}; step skipped (utterances {utterances})", stacklevel=2)

    def _report(self, losses: list[Tensor], rate: float, log: RunLog) -> None:
        """Report the mean of ``losses`` over all processes; ``rate`` is utterances per second per process."""
        point = {
            "step": self.progress.step,
            "loss": float(self.accelerator.reduce(torch.stack(losses).mean(), "mean")),
            "lr": self.step.optimizer.param_groups[0]["lr"],
            "seconds": self.progress.seconds,
            "utterances_per_second": rate * self.accelerator.num_processes,
        }
        self.progress.history.append(point)
        log.point(point)

    def _evaluate(self, log: RunLog) -> None:
        """Evaluate the averaged weights on the dev split, and save them in ``out`` if they are the best."""
        if not self.accelerator.is_main_process:
            return
        progress, network = self.progress, self.step.network_to_decode()
        with self.average.applied(network) if self.average else contextlib.nullcontext():
            recognizer = Recognizer(self.config, network, self.tokenizer, self.step.eager_device)
            wer, metrics = None, {}
            if self.dev_cuts is not None:
                words, characters, _ = evaluate(recognizer, self.dev_cuts)
                wer = words.rate
                metrics = {"dev_wer": wer, "dev_cer": characters.rate}
                point = {"step": progress.step, "dev_wer": wer, "seconds": progress.seconds}
                progress.history.append(point)
                log.dev_wer(wer, progress.step)
            if wer is None or wer <= progress.best_wer:
                progress.best_wer = math.inf if wer is None else wer
                recognizer.save(self.out, metrics | {"step": progress.step, "history": progress.history})
