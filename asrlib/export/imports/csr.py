"""Import checkpoints of csr-pytorch (its version of October 2019): "ConvNet2" and "3x LSTM".

``torch.save`` wrote a checkpoint as the network's state dict, alone or in a dictionary. It does not contain
the labels (blank is 0, as in asrlib) or the normalization of the features. The labels are in a separate
file, one per line in the order of their numbers from 1. The features are csr-pytorch's log filter banks.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asrlib.config.decoding import DecodingConfig
from asrlib.config.schema import Config, TokenizerConfig, TrainingConfig, check_vocabulary
from asrlib.errors import InputError, first_line
from asrlib.models.build import build_model
from asrlib.models.conv_lstm import ConvLSTMConfig
from asrlib.signal.features import FeatureConfig
from asrlib.text.tokenizer_files import read_tokenizer
from asrlib.text.tokenizers import Tokenizer

# where a dictionary around the state dict may keep it
_PLACES = ("state_dict", "model_state_dict", "model")
# csr-pytorch's names, as patterns, and asrlib's
_NAMES = {
    r"layer(\d)\.0": lambda n: f"encoder.blocks.{n - 1}.conv",
    r"layer(\d)\.1": lambda n: f"encoder.blocks.{n - 1}.norm",
    r"rnn(\d?)\.0": lambda n: f"encoder.lstms.{n - 1}",
    r"batchNorm\.module": lambda n: "encoder.norm",
    r"fc\.0": lambda n: "ctc_head",
}


def read(path: Path, tokenizer_file: Path | None) -> tuple[Config, nn.Module, Tokenizer]:
    """Return configuration, network and tokenizer of a checkpoint.

    ``tokenizer_file`` lists its phones, one per line. Raises ``InputError`` if it is missing or ``path`` is
    not a csr-pytorch checkpoint.
    """
    weights = _load(path)
    names = csr_names(weights)
    if "fc.0.weight" not in names or "layer1.0.weight" not in names:
        raise InputError(f"{path} is not a csr-pytorch checkpoint: it has no layer1.0 or no fc.0")
    unknown = [name for name in weights if name not in names]
    if unknown:
        raise InputError(f"{path}: its network has {unknown[0]}, which asrlib does not have")
    if tokenizer_file is None:
        count = len(weights["fc.0.weight"]) - 1
        raise InputError(f"{path} does not name its labels: list the {count} of them with --tokenizer FILE")
    tokenizer = read_tokenizer("phones", tokenizer_file)
    config = _configuration(weights)
    config.check(str(path))
    check_vocabulary(config, tokenizer.vocabulary, str(tokenizer_file))
    model = build_model(config)
    try:
        model.load_state_dict({names[name]: weight for name, weight in weights.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: its weights do not fit together: {reason}") from None
    return config, model, tokenizer


def csr_names(theirs: Iterable[str]) -> dict[str, str]:
    """Return asrlib's names of the weights, by their names in csr-pytorch; unknown names are left out."""
    names = {}
    for name in theirs:
        part, _, leaf = name.rpartition(".")
        for pattern, ours in _NAMES.items():
            if found := re.fullmatch(pattern, part):
                number = int(found[1] or 1) if found.groups() else 0
                names[name] = f"{ours(number)}.{leaf}"
    return names


def _load(path: Path) -> dict[str, Tensor]:
    """Return the weights by name, without running code in the file."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise InputError(f"{path} is not a checkpoint that can be read safely: {first_line(error)}") from None
    if isinstance(content, dict):
        content = next((content[place] for place in _PLACES if isinstance(content.get(place), dict)), content)
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path} is not a csr-pytorch checkpoint: it is not a dictionary of weights")
    # torch.nn.DataParallel wraps the network in another module
    return {name.removeprefix("module."): weight for name, weight in content.items()}


def _configuration(weights: dict[str, Tensor]) -> Config:
    layers = sum(bool(re.fullmatch(r"rnn\d?\.0\.weight_hh_l0", name)) for name in weights)
    names = [f"layer{n}.0.weight" for n in range(1, 5)]
    channels = [weights[name].shape[0] for name in names if name in weights]
    return Config(
        name="csr-3x-lstm" if layers > 2 else "csr-convnet2",
        features=FeatureConfig(mels=70, window_ms=20.0, normalize="none"),
        tokenizer=TokenizerConfig(kind="phones", vocabulary=len(weights["fc.0.weight"])),
        encoder=ConvLSTMConfig(
            channels=channels, units=weights["fc.0.weight"].shape[1], layers=layers, lengths="original"
        ),
        prediction=None,
        joint=None,
        training=TrainingConfig(ctc_weight=1.0),
        decoding=DecodingConfig(head="ctc"),
    )
