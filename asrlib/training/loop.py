"""The training loop, on accelerate: the same on a CPU, on GPUs, in several processes.

A run lives in one directory, which is a model directory (the best weights so far by
dev WER) with ``checkpoints/`` and ``tensorboard/`` beside them. Every number drawn at
step n comes from (seed, n), so a run that was killed and resumed ends where an
uninterrupted one ends. Lesson 09.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import json
import math
import os
import pickle
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from asrlib.config.schema import Config, TrainingConfig, build_model, check_vocabulary
from asrlib.data import shar
from asrlib.data.audio_cache import AudioCache
from asrlib.data.batches import collate, encode_corpus
from asrlib.data.samplers import BatchSampler, StaticBatchSampler
from asrlib.data.shard_sampler import ShardBatchSampler
from asrlib.errors import InputError
from asrlib.losses import xla
from asrlib.losses.ctc import values_unchecked
from asrlib.metrics import ErrorRate, char_error_rate, word_error_rate
from asrlib.recognizer import Recognizer, replacing
from asrlib.signal.augment_policy import augmented_features, draw_speed
from asrlib.signal.features import FrontEnd
from asrlib.text.tokenizers import Tokenizer, load_tokenizer, read_tokenizer, train_tokenizer
from asrlib.training.schedules import learning_rate

if TYPE_CHECKING:
    from accelerate import Accelerator
    from lhotse import CutSet

MAX_BAD_STEPS = 5


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint. ``batch`` counts within ``epoch``."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best_wer: float = math.inf
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def train(
    config: Config,
    cuts: CutSet,
    out: str | Path,
    dev_cuts: CutSet | None = None,
    resume: bool = False,
    init: str | Path | None = None,
    show_progress: bool = True,
) -> Recognizer:
    """Train ``config`` on ``cuts``; returns the recogniser with the best weights, which
    ``out`` holds too.

    ``dev_cuts`` choose the best weights (without them, the last are kept). ``init`` is a
    model directory whose weights to start from, wherever name and shape agree.
    Raises ``InputError`` for data the tokenizer cannot encode, for a used ``out``
    without ``resume``, for a checkpoint that cannot be written, and when the loss is not
    finite several times in a row.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()  # a notebook may train twice, with different precision
    prepare_cpu()
    config = copy.deepcopy(config)
    settings = config.training
    accelerator = Accelerator(
        mixed_precision=settings.precision,
        gradient_accumulation_steps=settings.accumulate,
        # one of several processes without a GPU: accelerate wants to be told
        cpu="LOCAL_RANK" in os.environ and not torch.cuda.is_available(),
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=timedelta(hours=6)),  # for which one of them decodes the dev split
            DistributedDataParallelKwargs(broadcast_buffers=False),  # batch norm's are all processes' already
        ],
    )
    out = Path(out)
    last = _last_checkpoint(out)
    _check_same_checkpoint(accelerator, last, out)
    if not resume and (last is not None or (out / "model.safetensors").exists()):
        raise InputError(f"{out} already holds a run: continue it with --resume, or choose another --out")
    tokenizer = load_tokenizer(out) if last is not None else _tokenizer(config, cuts, init)
    config.tokenizer.vocabulary = tokenizer.vocabulary
    if last is not None or (resume and (out / "config.yml").is_file()):
        _check_same_run(config, out)
    # whatever is wrong with the data is found before anything is written
    if shar.shards_of(cuts) is None:
        labels = encode_corpus(cuts, tokenizer)
    elif accelerator.device.type == "xla":
        raise InputError("Shar shards cannot be trained on XLA, whose buckets need the whole corpus")
    else:
        labels = None  # too many to keep: they are made again, batch by batch
        for part in shar.parts(shar.without_audio(cuts)):
            encode_corpus(part, tokenizer)
    if dev_cuts is not None:
        _check_references(tokenizer, dev_cuts)

    torch.manual_seed(settings.seed)
    model = build_model(config, tokenizer.vocabulary)
    if init is not None and last is None:
        _initialise(model, Path(init))
    on_xla = accelerator.device.type == "xla"
    if on_xla and settings.checkpoint_blocks:
        raise InputError("training.checkpoint_blocks cannot be had on XLA: set it to false")
    if settings.ctc_weight >= 1:  # processes would wait for gradients that never come
        for unused in filter(None, (model.prediction, model.joint)):
            unused.requires_grad_(False)
    model.to(accelerator.device)
    optimizer = adam(model, settings)
    model, optimizer = accelerator.prepare(model, optimizer)
    average = WeightAverage(accelerator.unwrap_model(model), settings.average) if settings.average else None
    progress = Progress()
    if accelerator.is_main_process:
        for leftover in (out / "checkpoints").glob("*.partial"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
    if last is not None:
        progress = _load_checkpoint(accelerator, last, average)
    elif accelerator.is_main_process:
        with replacing(out) as draft:
            tokenizer.save(draft)
            config.save(draft / "config.yml")

    if on_xla:
        xla.settle(model, optimizer)
        xla.finish()  # or all this would be part of the first step's program
    run = _Run(config, accelerator, model, optimizer, average, tokenizer, progress, out, dev_cuts)
    with _other_processes(accelerator):
        run.train(cuts, labels, show_progress)
    # what is decoded has no fixed shape: not for XLA
    return Recognizer.load(out, device=torch.device("cpu") if on_xla else accelerator.device)


def _check_same_checkpoint(accelerator: Accelerator, last: Path | None, out: Path) -> None:
    from accelerate.utils import gather_object

    if accelerator.num_processes == 1 or accelerator.device.type == "xla":  # where it cannot be asked
        return
    if len(set(gather_object([last and last.name]))) > 1:
        raise InputError(
            f"{out}: not every process finds the same checkpoint there; put --out on a disk that all share"
        )


@contextlib.contextmanager
def _other_processes(accelerator: Accelerator) -> Iterator[None]:
    """Says in one line that another process has ended, and leaves the others in order."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        lost = isinstance(error, torch.distributed.DistError) or "gloo" in reason
        if accelerator.num_processes == 1 or not lost:
            raise
        raise InputError(
            f"process {accelerator.process_index} of {accelerator.num_processes} has lost the others, one has"
            f" ended or cannot be reached ({reason[:120]}): the last checkpoint is intact, continue with"
            " --resume"
        ) from None
    if accelerator.num_processes > 1:
        accelerator.end_training()


def prepare_cpu() -> None:
    """What makes steps on a CPU faster: denormal numbers are zero, and memory stays with the process."""
    torch.set_flush_denormal(True)  # without it a step slows down 2 to 3 times as weights decay
    with contextlib.suppress(OSError, AttributeError):  # not glibc, or not Linux
        libc = ctypes.CDLL("libc.so.6")
        # from malloc.h: what is below 32 MB (no more is allowed) comes from the heap, which never shrinks
        trim_threshold, mmap_threshold = -1, -3
        libc.mallopt(mmap_threshold, 32 << 20)
        libc.mallopt(trim_threshold, 2**31 - 1)


def adam(model: nn.Module, settings: TrainingConfig) -> torch.optim.Adam:
    """The optimiser as ``settings`` have it; its learning rate comes with each step."""
    on_xla = next(model.parameters()).device.type == "xla"
    return torch.optim.Adam(
        model.parameters(),
        lr=0.0,
        betas=tuple(settings.betas),
        eps=settings.eps,
        weight_decay=settings.l2,
        fused=not on_xla,
        capturable=on_xla,  # the step count is a number on the device, and not part of the program
    )


class _Run:
    """What the steps of one run share."""

    def __init__(
        self,
        config: Config,
        accelerator: Accelerator,
        model: nn.Module,
        optimizer: Any,
        average: WeightAverage | None,
        tokenizer: Tokenizer,
        progress: Progress,
        out: Path,
        dev_cuts: CutSet | None,
    ):
        self.config, self.settings, self.accelerator = config, config.training, accelerator
        self.model, self.optimizer, self.average, self.tokenizer = model, optimizer, average, tokenizer
        self.progress, self.out, self.dev_cuts = progress, out, dev_cuts
        self.on_xla = accelerator.device.type == "xla"
        # a TPU's features are made on its host, while it computes
        self.features_on = torch.device("cpu") if self.on_xla else accelerator.device
        self.front_end = FrontEnd(**vars(config.features)).to(self.features_on)
        self.bad_steps = 0

    def train(self, cuts: CutSet, labels: dict[str, list[int]] | None, show_progress: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from tqdm import tqdm

        settings, progress, accelerator = self.settings, self.progress, self.accelerator
        audio = AudioCache(self.config.features.sample_rate, workers=settings.workers)
        sharing = (
            settings.batch_seconds,
            settings.seed,
            accelerator.process_index,
            accelerator.num_processes,
            settings.batch_utterances,
        )
        if labels is None:
            audio = AudioCache(self.config.features.sample_rate, max_bytes=0, workers=settings.workers)
            sampler = ShardBatchSampler(cuts, *sharing)
        elif self.on_xla:
            rate, speed = self.config.features.sample_rate, self.config.augment.speed
            sampler = StaticBatchSampler(cuts, labels, rate, *sharing, slowest=speed and speed[0])
        else:
            sampler = BatchSampler(cuts.to_eager(), *sharing)
        self.total_steps = settings.max_steps or max(
            1, settings.epochs * sampler.count(0) // settings.accumulate
        )
        main = accelerator.is_main_process
        # hides what a killed run logged past its checkpoint
        purge = progress.step + 1 if progress.step else None
        writer = SummaryWriter(str(self.out / "tensorboard"), purge_step=purge) if main else None
        bar = tqdm(
            total=self.total_steps,
            initial=progress.step,
            unit="step",
            mininterval=1.0,
            file=sys.stdout,  # standard error is for what went wrong
            disable=not (show_progress and main),
        )
        try:
            with audio:
                self._loop(sampler, labels, audio, bar, writer)
        finally:
            bar.close()
            if writer is not None:
                with contextlib.suppress(OSError):  # a full disk is reported by whoever noticed it first
                    writer.close()

    def _loop(
        self,
        sampler: BatchSampler | StaticBatchSampler | ShardBatchSampler,
        labels: dict[str, list[int]] | None,
        audio: AudioCache,
        bar: Any,
        writer: Any,
    ) -> None:
        settings, progress = self.settings, self.progress
        started, spent = time.monotonic(), progress.seconds
        losses, utterances, since = [], 0, time.monotonic()
        while progress.step < self.total_steps:
            for batch_cuts in audio.batches(sampler.epoch(progress.epoch, progress.batch)):
                known = encode_corpus(batch_cuts, self.tokenizer) if labels is None else labels
                loss, stepped = self.step(batch_cuts, known, audio, sampler.padding(batch_cuts))
                progress.batch += 1
                if loss is not None:
                    losses.append(loss)
                utterances += len(batch_cuts)
                if not stepped:
                    continue
                progress.step += 1
                progress.seconds = spent + time.monotonic() - started
                last = progress.step == self.total_steps
                bar.update()
                if losses and (progress.step % settings.log_every == 0 or last):
                    self._log(losses, utterances / (time.monotonic() - since), bar, writer)
                    losses, utterances, since = [], 0, time.monotonic()
                if progress.step % settings.evaluate_every == 0 or last:
                    wer = self.evaluate()
                    if writer is not None and wer is not None:
                        writer.add_scalar("dev_wer", wer, progress.step)
                if progress.step % settings.checkpoint_every == 0 or last:
                    self.save_checkpoint()
                if last:
                    return
            progress.epoch, progress.batch = progress.epoch + 1, 0

    def _log(self, losses: list[Tensor], rate: float, bar: Any, writer: Any) -> None:
        """The mean of ``losses`` over all processes; ``rate`` is one's, in utterances a second."""
        rate = rate * self.accelerator.num_processes
        point = {
            "step": self.progress.step,
            "loss": float(self.accelerator.reduce(torch.stack(losses).mean(), "mean")),
            "lr": self.optimizer.param_groups[0]["lr"],
            "seconds": self.progress.seconds,
            "utterances_per_second": rate,
        }
        self.progress.history.append(point)
        bar.set_postfix(loss=f"{point['loss']:.3f}", lr=f"{point['lr']:.2e}", utt_s=f"{rate:.0f}")
        if writer is not None:
            for key in ("loss", "lr", "utterances_per_second"):
                writer.add_scalar(key, point[key], self.progress.step)

    def step(
        self,
        batch_cuts: list,
        labels: dict[str, list[int]],
        audio: AudioCache,
        padding: tuple[int, int] | None = None,
    ) -> tuple[Tensor | None, bool]:
        """One batch: its loss (None: it was skipped), and whether it completed an optimiser step
        (it does not while gradients accumulate). ``padding``: see ``collate``.
        """
        settings, accelerator, progress = self.settings, self.accelerator, self.progress
        seed = hash((settings.seed, progress.epoch, progress.batch, accelerator.process_index)) % 2**63
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # dropout and weight noise
        if self.on_xla:
            xla.manual_seed(seed)
        batch = collate(
            batch_cuts, audio, labels, draw_speed(self.config.augment, len(batch_cuts), generator), padding
        )
        with torch.no_grad():
            device = accelerator.device
            features, counts = augmented_features(
                batch.waveforms.to(self.features_on),
                batch.lengths.to(self.features_on),
                self.front_end,
                self.config.augment,
                generator,
            )
            features, counts = features.to(device), counts.to(device)
        self.model.train()
        rate = learning_rate(settings, progress.step, self.total_steps, self._width())
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        running = [buffer.clone() for buffer in self.model.buffers()]
        with accelerator.accumulate(self.model), self._weight_noise():
            with values_unchecked():  # the loss says it
                loss = self.model(features, counts, batch.targets.to(device), batch.target_lengths.to(device))
            loss = loss * self._share(len(batch.ids))
            # XLA is not asked before backward: the program would end here
            finite = self.on_xla or bool(accelerator.gather(torch.isfinite(loss.detach()).reshape(1)).all())
            if finite:
                accelerator.backward(loss)
        problem = None if finite else f"the loss is {float(loss.detach())}"
        norm = None
        if finite and accelerator.sync_gradients:
            norm = accelerator.clip_grad_norm_(self.model.parameters(), settings.clip_norm)
        if self.on_xla:
            loss, norm = xla.finish(loss.detach(), norm)
            if not torch.isfinite(loss):
                problem = f"the loss is {float(loss)}"
        # in fp16 the scaler skips such a step by itself, and lowers its scale
        if problem is None and norm is not None and accelerator.scaler is None and not torch.isfinite(norm):
            problem = f"the gradient's norm is {float(norm)}"
        if problem is not None:
            for buffer, value in zip(self.model.buffers(), running, strict=True):
                buffer.copy_(value)
            self.optimizer.zero_grad()
            if self.on_xla:
                xla.finish()
            self._skip(problem, batch.ids)
            return None, accelerator.sync_gradients
        self.bad_steps = 0
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None and accelerator.sync_gradients:
            self.average.update(accelerator.unwrap_model(self.model), progress.step)
        if self.on_xla:
            xla.finish()
        return loss.detach(), accelerator.sync_gradients

    def _share(self, utterances: int) -> Tensor | float:
        """What this process' mean over its utterances counts in the mean over all processes'."""
        if self.accelerator.num_processes == 1:
            return 1.0
        mine = torch.tensor([utterances], dtype=torch.float32, device=self.accelerator.device)
        return (mine / self.accelerator.reduce(mine, "mean"))[0]

    def _width(self) -> int:
        if self.config.prediction:
            return self.config.prediction.units
        return self.accelerator.unwrap_model(self.model).encoder.dim

    def _skip(self, problem: str, ids: list[str]) -> None:
        self.bad_steps += 1
        step, utterances = self.progress.step, ", ".join(ids[:3]) + (", …" if ids[3:] else "")
        if self.bad_steps >= MAX_BAD_STEPS:
            raise InputError(
                f"step {step}: {problem}, the {MAX_BAD_STEPS}th time in a row (utterances {utterances}):"
                f" lower training.max_lr (now {self.settings.max_lr}), raise training.warmup_steps, or train"
                " with training.precision=no; the last checkpoint is untouched"
            )
        warnings.warn(f"step {step}: {problem}; step skipped (utterances {utterances})", stacklevel=3)

    @contextlib.contextmanager
    def _weight_noise(self) -> Iterator[None]:
        """Variational noise on the prediction network (ContextNet, section 3.1): weights are
        moved for forward and backward, and moved back before the update.
        """
        settings, network = self.settings, self.accelerator.unwrap_model(self.model).prediction
        amount = settings.weight_noise if self.progress.step >= settings.weight_noise_start else 0.0
        # XLA adds none until it starts, or each bucket's program would be compiled again then
        if network is None or not (amount or (settings.weight_noise and self.on_xla)):
            yield
            return
        amount = torch.tensor([amount]).to(self.accelerator.device)  # as a mere number, 0 would be a constant
        clean = [parameter.detach().clone() for parameter in network.parameters()]
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter) * amount)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(network.parameters(), clean, strict=True):
                    parameter.copy_(value)

    def evaluate(self) -> float | None:
        """Dev WER in per cent of the averaged weights; keeps them in ``out`` if they are the best."""
        if not self.accelerator.is_main_process:
            return None
        model = self.accelerator.unwrap_model(self.model)
        if self.on_xla:  # what is decoded has no fixed shape: a copy on the CPU does it
            model = self._copy_on_cpu(model)
        with self.average.applied(model) if self.average else contextlib.nullcontext():
            recognizer = Recognizer(self.config, model, self.tokenizer, self.features_on)
            wer, metrics = None, {}
            if self.dev_cuts is not None:
                words, characters, _ = test(recognizer, self.dev_cuts)
                wer = words.rate
                metrics = {"dev_wer": wer, "dev_cer": characters.rate}
                self.progress.history.append(
                    {"step": self.progress.step, "dev_wer": wer, "seconds": self.progress.seconds}
                )
            if wer is None or wer <= self.progress.best_wer:
                self.progress.best_wer = math.inf if wer is None else wer
                metrics |= {"step": self.progress.step, "history": self.progress.history}
                recognizer.save(self.out, metrics)
        return wer

    def _copy_on_cpu(self, model: nn.Module) -> nn.Module:
        copied = build_model(self.config, self.tokenizer.vocabulary)
        copied.load_state_dict(_on_cpu(model.state_dict()))
        return copied

    def save_checkpoint(self) -> None:
        """Complete under its name or absent: written beside, then renamed; the previous one
        is removed only afterwards.
        """
        folder = self.out / "checkpoints"
        final = folder / f"step-{self.progress.step:08d}"
        partial = final.with_suffix(".partial")
        main = self.accelerator.is_main_process
        try:
            if main:
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
            self.accelerator.wait_for_everyone()
            # safetensors cannot load into a model on XLA
            options = {"safe_serialization": False} if self.on_xla else {}
            self.accelerator.save_state(str(partial), **options)
            self.accelerator.wait_for_everyone()
            if main:
                if self.average is not None:
                    safetensors.torch.save_file(
                        _on_cpu(self.average.weights), partial / "average.safetensors"
                    )
                (partial / "progress.json").write_text(json.dumps(asdict(self.progress)))
                os.replace(partial, final)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have their own
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"checkpoint {final} cannot be written, is the disk full? ({reason}): the one before it, if"
                " any, is intact; free some space and continue with --resume"
            ) from error
        finally:
            if main:
                shutil.rmtree(partial, ignore_errors=True)
        if main:
            for old in folder.iterdir():
                if old != final:
                    shutil.rmtree(old, ignore_errors=True)


class WeightAverage:
    """Exponential moving average of all weights and running statistics: what is evaluated and kept."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))  # young averages forget their random start quickly
        state = model.state_dict()
        moving = [name for name, value in state.items() if value.is_floating_point()]
        # one call for all: on a GPU, a thousand small ones take longer than their arithmetic
        averages, values = ([held[name] for name in moving] for held in (self.weights, state))
        torch._foreach_lerp_(averages, values, 1 - decay)
        for name in state.keys() - moving:
            # as a copy it would share the model's memory on XLA, which then compiles for that
            self.weights[name].copy_(state[name] + 0)

    @contextlib.contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.weights)
        try:
            yield
        finally:
            model.load_state_dict(own)


def test(recognizer: Recognizer, cuts: CutSet) -> tuple[ErrorRate, ErrorRate, list[tuple[str, str, Any]]]:
    """(WER, CER, rows of (id, reference, hypothesis)) in the order of ``cuts``; references in the
    tokenizer's normalised form. Raises ``InputError`` for a reference without words.
    """
    _check_references(recognizer.tokenizer, cuts)
    found = {name: each for part in shar.parts(cuts) for name, each in recognizer.transcribe_cuts(part)}
    rows = [
        (cut.id, recognizer.tokenizer.prepare(cut.supervisions[0].text), found[cut.id])
        for cut in shar.without_audio(cuts)
    ]
    references, hypotheses = [row[1] for row in rows], [row[2].text for row in rows]
    return word_error_rate(references, hypotheses), char_error_rate(references, hypotheses), rows


def _tokenizer(config: Config, cuts: CutSet, init: str | Path | None) -> Tokenizer:
    settings = config.tokenizer
    if init is not None and Path(init, "tokenizer.json").is_file():
        tokenizer = load_tokenizer(init)
        if tokenizer.kind == settings.kind:
            if tokenizer.kind == "wordpieces":  # of words and characters there are as many as there are
                check_vocabulary(config, tokenizer.vocabulary, f"tokenizer of {init}")
            return tokenizer
    if settings.file is not None:
        tokenizer = read_tokenizer(settings.kind, settings.file, settings.normalize)
        check_vocabulary(config, tokenizer.vocabulary, settings.file)
        return tokenizer
    return train_tokenizer(
        settings.kind,
        (cut.supervisions[0].text for cut in shar.without_audio(cuts)),
        settings.vocabulary,
        settings.model_type,
        settings.normalize,
        settings.max_piece_length,
        settings.reserved,
    )


def _check_references(tokenizer: Tokenizer, cuts: CutSet) -> None:
    ids = set()
    for cut in shar.without_audio(cuts):
        text = cut.supervisions[0].text
        if not tokenizer.prepare(text):
            raise InputError(f"utterance {cut.id}: its transcript {text!r} has no words to score against")
        if cut.id in ids:
            raise InputError(f"two utterances have the id {cut.id}: give each its own (cut.with_id)")
        ids.add(cut.id)


def _initialise(model: nn.Module, folder: Path) -> None:
    path = folder / "model.safetensors"
    if not path.is_file():
        raise InputError(f"{path} is missing: there are no weights to start from")
    try:
        weights = safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged: {error}") from None
    own = model.state_dict()
    fitting = {
        name: weight.to(own[name].dtype)
        for name, weight in weights.items()
        if name in own and own[name].shape == weight.shape
    }
    if not any(name.startswith("encoder.") for name in fitting):
        raise InputError(f"{path} has no encoder weights of this configuration's shapes")
    model.load_state_dict(own | fitting)


def _last_checkpoint(out: Path) -> Path | None:
    return max((out / "checkpoints").glob("step-????????"), default=None)


def _load_checkpoint(accelerator: Accelerator, folder: Path, average: WeightAverage | None) -> Progress:
    try:
        accelerator.load_state(str(folder))
        if average is not None:
            saved = safetensors.torch.load_file(folder / "average.safetensors")
            average.weights = {name: value.to(accelerator.device) for name, value in saved.items()}
        return Progress(**json.loads((folder / "progress.json").read_text()))
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        TypeError,
        KeyError,
        SafetensorError,
        pickle.UnpicklingError,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"checkpoint {folder} cannot be read: {reason}") from None


def _check_same_run(config: Config, out: Path) -> None:
    from asrlib.config.schema import load_config

    def flat(node: Any, prefix: str = "") -> dict[str, Any]:
        if isinstance(node, dict):
            return {k: v for key, value in node.items() for k, v in flat(value, f"{prefix}{key}.").items()}
        return {prefix[:-1]: node}

    old, new = flat(load_config(out / "config.yml").to_dict()), flat(config.to_dict())
    free = (
        "training.max_steps",
        "training.epochs",
        "training.log_every",
        "training.evaluate_every",
        "training.checkpoint_every",
        # neither changes a number
        "training.workers",
        "training.checkpoint_blocks",
    )
    changed = [key for key in new | old if key not in free and old.get(key) != new.get(key)]
    if changed:
        was, is_now = old.get(changed[0]), new.get(changed[0])
        raise InputError(
            f"{out} was started with {changed[0]} = {was!r}, and now it is {is_now!r}:"
            " resume with the configuration it was started with"
        )


def _on_cpu(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in weights.items()}
