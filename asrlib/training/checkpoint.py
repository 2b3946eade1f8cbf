"""Checkpoints of a run: written atomically, and restored so that it continues bit for bit. Lesson 09."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import shutil
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from asrlib.config.parse import load_config
from asrlib.config.schema import Config
from asrlib.data import shar
from asrlib.errors import InputError
from asrlib.reading import damaged, read_json, shown
from asrlib.training.average import WeightAverage

if TYPE_CHECKING:
    from accelerate import Accelerator
    from lhotse import CutSet

# keys that may change when a run is resumed: its length, its reports, and what does not affect results
FREE_KEYS = (
    "training.max_steps",
    "training.epochs",
    "training.log_every",
    "training.evaluate_every",
    "training.checkpoint_every",
    "training.workers",
    "training.checkpoint_blocks",
)


@dataclass
class Progress:
    """The progress of a run, saved with every checkpoint.

    ``step`` counts updates, and ``batch`` the batches within ``epoch``. ``best_wer`` is in percent and
    ``seconds`` is the training time so far. ``history`` has the points that the run has reported. ``data`` is
    the fingerprint of the utterances (see ``fingerprint``); it is empty in checkpoints of earlier versions.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best_wer: float = math.inf
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    data: str = ""


def last_checkpoint(out: Path) -> Path | None:
    """Return the folder of the latest complete checkpoint of the run in ``out``, or None."""
    return max((out / "checkpoints").glob("step-????????"), default=None)


def remove_partial_checkpoints(out: Path) -> None:
    """Remove incomplete checkpoints that killed processes have left in ``out``."""
    for leftover in (out / "checkpoints").glob("*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)


def save_checkpoint(
    accelerator: Accelerator, out: Path, progress: Progress, average: WeightAverage | None
) -> None:
    """Write a checkpoint for ``progress.step``, then remove the previous one.

    All processes must call this function; the main process writes. The checkpoint is written under a
    temporary name and then renamed, so under its own name it is complete or absent. Raises
    ``InputError`` if it cannot be written.
    """
    folder = out / "checkpoints"
    final = folder / f"step-{progress.step:08d}"
    partial = final.with_suffix(".partial")
    main = accelerator.is_main_process
    try:
        if main:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        accelerator.wait_for_everyone()
        # safetensors cannot load into a model on XLA
        options = {"safe_serialization": False} if accelerator.device.type == "xla" else {}
        hook = accelerator.register_save_state_pre_hook(_give_each_its_own_memory)
        try:
            accelerator.save_state(str(partial), **options)
        finally:
            hook.remove()
        accelerator.wait_for_everyone()
        if main:
            if average is not None:
                weights = {name: value.cpu() for name, value in average.weights.items()}
                safetensors.torch.save_file(weights, partial / "average.safetensors")
            (partial / "progress.json").write_text(json.dumps(asdict(progress)))
            os.replace(partial, final)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors raise their own types
        raise InputError(
            f"checkpoint {final} cannot be written, is the disk full? ({_reason(error)}): the previous one,"
            " if any, is intact; free some space and continue with --resume"
        ) from error
    finally:
        if main:
            shutil.rmtree(partial, ignore_errors=True)
    if main:
        for old in folder.iterdir():
            if old != final:
                shutil.rmtree(old, ignore_errors=True)


def _give_each_its_own_memory(models: list, states: list[dict[str, Tensor]], folder: str) -> None:
    """Clone all weights: cuDNN packs an LSTM's weights in one block, of which accelerate saves only one."""
    for state in states:
        state.update({name: value.clone() for name, value in state.items()})


def _load_weights(models: list[nn.Module], folder: str) -> None:
    """Load weights from safetensors, and clear ``models`` so that accelerate does not load them again.

    The loader that accelerate uses refuses a model whose weights share one block of memory.
    """
    file = Path(folder) / "model.safetensors"
    if file.is_file():
        (model,) = models
        model.load_state_dict(safetensors.torch.load_file(file))
        models.clear()


def load_checkpoint(accelerator: Accelerator, folder: Path, average: WeightAverage | None) -> Progress:
    """Restore a checkpoint into the objects that ``accelerator`` has prepared, and into ``average``.

    Returns the saved progress. Raises ``InputError`` if the checkpoint is damaged.
    """
    try:
        hook = accelerator.register_load_state_pre_hook(_load_weights)
        try:
            accelerator.load_state(str(folder))
        finally:
            hook.remove()
        if average is not None:
            saved = safetensors.torch.load_file(folder / "average.safetensors")
            average.weights = {name: value.to(accelerator.device) for name, value in saved.items()}
        return read_progress(folder / "progress.json")
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
        raise InputError(f"checkpoint {folder} cannot be read: {_reason(error)}") from None


def read_progress(path: Path) -> Progress:
    """Return the progress that a checkpoint stores. Raises ``InputError`` if it is missing or damaged."""
    content = read_json(path, remedy="remove this checkpoint", infinite=True)
    with damaged(path, "is not the progress of a run", "remove this checkpoint"):
        progress = Progress(**content)
        counts = progress.step, progress.epoch, progress.batch
        numbers = progress.best_wer, progress.seconds
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError(f"step, epoch and batch are {shown(counts)}")
        if not all(type(number) in (int, float) and number >= 0 for number in numbers):
            raise ValueError(f"best_wer and seconds are {shown(numbers)}")
        points = isinstance(progress.history, list) and all(isinstance(p, dict) for p in progress.history)
        if not points or not isinstance(progress.data, str):
            raise ValueError("history is not a list of points, or data no text")
    return progress


def check_same_run(config: Config, out: Path) -> None:
    """Raise ``InputError`` if ``config`` differs from that of the run in ``out`` outside ``FREE_KEYS``.

    Warns about another length of a run with the one-cycle schedule, whose learning rates depend on it.
    """
    old, new = _flat(load_config(out / "config.yml").to_dict()), _flat(config.to_dict())
    changed = [key for key in new | old if key not in FREE_KEYS and old.get(key) != new.get(key)]
    if changed:
        before, now = old.get(changed[0]), new.get(changed[0])
        raise InputError(
            f"{out} was started with {changed[0]} = {before!r}, but now it is {now!r}:"
            " resume with the original configuration"
        )
    for key in ("training.max_steps", "training.epochs"):
        if config.training.schedule == "one_cycle" and old[key] != new[key]:
            warnings.warn(
                f"{key} was {old[key]} and is now {new[key]}: the learning rate of one_cycle jumps to its"
                " curve over the new length",
                stacklevel=3,
            )


def fingerprint(*splits: CutSet | None) -> str:
    """Return a hash of the splits' texts and lengths, so that a run resumes on the same utterances only.

    Names are left out: a corpus may have been moved.
    """
    digest = hashlib.sha256()
    for cuts in splits:
        for cut in () if cuts is None else shar.without_audio(cuts):
            digest.update(
                f"{cut.duration:.4f}\t{cut.supervisions[0].text}\n".encode("utf-8", "surrogatepass")
            )
        digest.update(b"\0")
    return digest.hexdigest()


def check_same_data(saved: str, data: str, out: Path) -> None:
    """Raise ``InputError`` if the fingerprint ``saved`` with the run in ``out`` is another than ``data``."""
    if saved and saved != data:
        raise InputError(
            f"{out} was started with other utterances or transcripts than those of this --corpus: resume with"
            " the corpora of the run, or choose another --out"
        )


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries into one with keys like ``training.max_lr``."""
    if isinstance(node, dict):
        return {k: v for key, value in node.items() for k, v in _flat(value, f"{prefix}{key}.").items()}
    return {prefix[:-1]: node}


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
