"""Read and write model directories.

A model directory contains ``config.yml``, ``model.safetensors``, the tokenizer and ``metrics.json``. That of
an ensemble also has the directories of the other networks in ``members``. Lesson 00.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from asrlib.config.parse import load_config
from asrlib.config.schema import Config, check_vocabulary
from asrlib.errors import InputError
from asrlib.files import assets
from asrlib.models.build import build_model
from asrlib.models.transducer import Transducer
from asrlib.text.tokenizer_files import load_tokenizer
from asrlib.text.tokenizers import Tokenizer

DEFAULT = "digits-model"  # what transcribes when no model is named
LANGUAGE_MODEL = "lm.arpa"  # of the beam search, if the folder has one


def shipped_model(name: str = DEFAULT) -> Path:
    """Return the folder of a shipped model, see ``shipped_models``; ``sentences-model`` writes word pieces.

    ``lessons-model`` is a single network whose weights never change, so that the output of the lessons
    stays the same.
    """
    return assets() / name


def shipped_models() -> list[str]:
    """Return the names of the shipped models, sorted."""
    return sorted(config.parent.name for config in assets().glob("*/config.yml"))


def find_model(model_dir: str | Path | None) -> Path:
    """Return the folder of a model, given its path or the name of a shipped model.

    None is the shipped ``digits-model``. An existing folder takes precedence over a shipped model of that
    name. Raises ``InputError`` if there is no such folder or model.
    """
    if model_dir == "":
        raise InputError("the name of the model directory is empty: leave it out for the digit recognizer")
    folder = shipped_model() if model_dir is None else Path(model_dir)
    if not folder.is_dir() and str(model_dir) in shipped_models():
        folder = shipped_model(str(model_dir))
    if not folder.is_dir():
        names = ", ".join(shipped_models()) or "none"
        raise InputError(f"there is no model directory {folder}; shipped models: {names}")
    return folder


def member_folders(folder: Path) -> list[Path]:
    """Return the model directories of the other networks of an ensemble, sorted."""
    return sorted(config.parent for config in folder.glob("members/*/config.yml"))


def read_model(folder: Path) -> tuple[Config, Transducer, Tokenizer]:
    """Read one network with float32 weights, without the members of its ensemble.

    Raises ``InputError``, naming the file, if a file is missing, is damaged, or does not fit the others.
    """
    for name in ("config.yml", "model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing: {folder} is not a complete model directory")
    config = load_config(folder / "config.yml")
    tokenizer = load_tokenizer(folder)
    check_vocabulary(config, tokenizer.vocabulary, str(folder / "config.yml"))
    model = build_model(config, tokenizer.vocabulary)
    weights = read_weights(folder / "model.safetensors")
    try:
        model.load_state_dict(
            {
                name: weight.float() if weight.is_floating_point() else weight
                for name, weight in weights.items()
            }
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{folder / 'model.safetensors'} does not fit {folder / 'config.yml'}: {reason}"
        ) from None
    return config, model, tokenizer


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights in a safetensors file, by name.

    Raises ``InputError`` if the file is missing or damaged, or if a weight is NaN or infinite.
    """
    try:
        weights = safetensors.torch.load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: give a trained model directory") from None
    except SafetensorError as error:
        raise InputError(f"{path} is damaged: {error}") from None
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise InputError(
                f"{path}: the weights of {name} are not all finite: the training diverged, so train again"
            )
    return weights


def write_model(
    folder: Path,
    config: Config,
    model: nn.Module,
    tokenizer: Tokenizer,
    metrics: dict[str, Any],
    half: bool = False,
) -> None:
    """Write the files of one network into the existing ``folder``; ``half`` stores weights in 16 bits."""
    weights = {
        name: (weight.half() if half and weight.is_floating_point() else weight).detach().cpu().contiguous()
        for name, weight in model.state_dict().items()
    }
    tokenizer.save(folder)
    (folder / "model.safetensors").write_bytes(safetensors.torch.save(weights))
    config.save(folder / "config.yml")
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")
