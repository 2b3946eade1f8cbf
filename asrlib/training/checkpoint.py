"""Checkpoints of a run: written whole or not at all, and read back to continue bit for bit. Lesson 09."""

from __future__ import annotations

import json
import math
import os
import pickle
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from asrlib.config.parse import load_config
from asrlib.config.schema import Config
from asrlib.errors import InputError
from asrlib.training.average import WeightAverage

if TYPE_CHECKING:
    from accelerate import Accelerator

# keys that may differ when a run is resumed: how long it lasts, what it reports, what changes no number
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
    """Where a run stands; saved with every checkpoint. ``batch`` counts within ``epoch``."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best_wer: float = math.inf
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def last_checkpoint(out: Path) -> Path | None:
    """Return the folder of the latest complete checkpoint of the run in ``out``."""
    return max((out / "checkpoints").glob("step-????????"), default=None)


def remove_partial_checkpoints(out: Path) -> None:
    """Remove what processes that were killed have left behind."""
    for leftover in (out / "checkpoints").glob("*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)


def save_checkpoint(
    accelerator: Accelerator, out: Path, progress: Progress, average: WeightAverage | None
) -> None:
    """Write a checkpoint of ``progress.step``, and only then remove the one before.

    All processes call it; the main one writes. The checkpoint is complete under its name or absent: it is
    written beside, then renamed. Raises ``InputError`` if it cannot be written.
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
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have their own
        raise InputError(
            f"checkpoint {final} cannot be written, is the disk full? ({_reason(error)}): the one before it,"
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
    """cuDNN lays the weights of an LSTM in one block, and accelerate leaves out all but one of a block."""
    for state in states:
        state.update({name: value.clone() for name, value in state.items()})


def _load_weights(models: list[nn.Module], folder: str) -> None:
    """Load what is in safetensors, whose own loader refuses a model with weights in one block; accelerate
    loads what then is left in ``models``.
    """
    file = Path(folder) / "model.safetensors"
    if file.is_file():
        (model,) = models
        model.load_state_dict(safetensors.torch.load_file(file))
        models.clear()


def load_checkpoint(accelerator: Accelerator, folder: Path, average: WeightAverage | None) -> Progress:
    """Read a checkpoint into what ``accelerator`` has prepared and into ``average``.

    Raises ``InputError`` for a damaged one.
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
        raise InputError(f"checkpoint {folder} cannot be read: {_reason(error)}") from None


def check_same_run(config: Config, out: Path) -> None:
    """Raise ``InputError`` if ``config`` is not that of the run in ``out``, but for ``FREE_KEYS``."""
    old, new = _flat(load_config(out / "config.yml").to_dict()), _flat(config.to_dict())
    changed = [key for key in new | old if key not in FREE_KEYS and old.get(key) != new.get(key)]
    if changed:
        before, now = old.get(changed[0]), new.get(changed[0])
        raise InputError(
            f"{out} was started with {changed[0]} = {before!r}, and now it is {now!r}:"
            " resume with the configuration it was started with"
        )


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one, with keys like ``training.max_lr``."""
    if isinstance(node, dict):
        return {k: v for key, value in node.items() for k, v in _flat(value, f"{prefix}{key}.").items()}
    return {prefix[:-1]: node}


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
