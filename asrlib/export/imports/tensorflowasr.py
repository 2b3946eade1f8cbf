"""Import checkpoints of TensorFlowASR's ContextNet: HDF5 files that Keras's ``save_weights`` wrote.

A checkpoint holds the weights alone. Its configuration (``--config``) describes the network, the features,
the padding and the search; the vocabulary is the file that the configuration names, or ``--tokenizer``.
`asrlib.export.imports.keras_names` says which weight is which. Every name and shape is checked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asrlib.config.parse import load_config
from asrlib.config.schema import Config, check_vocabulary
from asrlib.errors import InputError, first_line
from asrlib.export.imports.keras_names import expected_weights, plain_name
from asrlib.extras import extra
from asrlib.models.build import build_model
from asrlib.models.contextnet import ContextNetConfig
from asrlib.models.transducer import Transducer
from asrlib.text.labels import Tokenizer
from asrlib.text.listed_pieces import LISTS, TokenList
from asrlib.text.tokenizer_files import read_tokenizer

# the labels of its characters if a configuration names no file
_ENGLISH = " abcdefghijklmnopqrstuvwxyz'"
# the weight whose size is the number of labels
_LAST = "joint/vocab/bias"


def read(
    path: Path, tokenizer_file: Path | None, config_file: Path, generation: str | None = None
) -> tuple[Config, Transducer, Tokenizer]:
    """Return configuration, network and tokenizer of a checkpoint.

    ``config_file`` is its configuration, TensorFlowASR's or asrlib's own; ``tokenizer_file``, if given, has
    its vocabulary. ``generation`` is as for ``load_config``. Raises ``InputError`` if ``path`` is not a Keras
    checkpoint, and for a weight that is missing, unknown, or has another shape than the configuration says.
    """
    config = load_config(config_file, generation)
    _check(config, str(config_file))
    weights = _load(path)
    config.tokenizer.vocabulary = len(weights[_LAST]) if _LAST in weights else config.tokenizer.vocabulary
    tokenizer = _tokenizer(config, tokenizer_file, config_file)
    origin = tokenizer_file or config.tokenizer.file or config_file
    check_vocabulary(config, tokenizer.vocabulary, str(origin))
    config.tokenizer.kind = tokenizer.kind
    model = build_model(config)
    model.load_state_dict(_translated(weights, model, path))
    return config, model, tokenizer


def _check(config: Config, where: str) -> None:
    """Raise ``InputError`` unless the network can be one of TensorFlowASR's."""
    encoder = config.encoder
    if not isinstance(encoder, ContextNetConfig) or config.joint is None:
        raise InputError(f"{where}: only ContextNet transducers can be imported from TensorFlowASR")
    if encoder.variant == "paper":
        raise InputError(f"{where}: key encoder.variant is 'paper'; use tensorflowasr or tensorflowasr-2021")
    if config.training.ctc_weight:
        raise InputError(
            f"{where}: key training.ctc_weight is {config.training.ctc_weight}; use 0: a checkpoint of"
            " TensorFlowASR has no CTC head"
        )


def _load(path: Path) -> dict[str, Tensor]:
    """Return the weights of a Keras file by their plain names (`plain_name`)."""
    with extra("phones"):
        import h5py

    weights: dict[str, Tensor] = {}
    try:
        with h5py.File(path, "r") as file:
            root = file["model_weights"] if "model_weights" in file else file  # written by ``save``
            for layer in _names(root, "layer_names"):
                for name in _names(root[layer], "weight_names"):
                    plain = plain_name(name)
                    if plain in weights:
                        raise InputError(f"{path}: it has two weights {plain}")
                    weights[plain] = torch.from_numpy(np.asarray(root[layer][name], dtype=np.float32))
            if not weights:
                hint = "Keras 3 wrote it" if "layers" in file else "it has no layer_names"
                raise InputError(f"{path}: {hint}; use a file that save_weights of Keras 2 wrote")
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a checkpoint of Keras: {first_line(error)}") from None
    return weights


def _names(group: Any, attribute: str) -> Iterator[str]:
    """Yield the strings of an attribute. Keras splits a long one into ``attribute0``, ``attribute1``, …"""
    parts = [attribute]
    if attribute not in group.attrs:
        numbered = (f"{attribute}{number}" for number in itertools.count())
        parts = list(itertools.takewhile(lambda part: part in group.attrs, numbered))
    for part in parts:
        for name in group.attrs[part]:
            yield name.decode("utf-8") if isinstance(name, bytes) else str(name)


def _translated(weights: dict[str, Tensor], model: Transducer, path: Path) -> dict[str, Tensor]:
    """Return the state dict, or raise ``InputError`` with the first weight that does not fit."""
    expected = expected_weights(model)
    for name in expected:
        if name not in weights:
            raise InputError(f"{path}: it has no weight {name}, which the configuration asks for")
    ours = {key: value for key, value in model.state_dict().items() if key.endswith("num_batches_tracked")}
    for name, weight in weights.items():
        if name not in expected:
            raise InputError(f"{path}: it has a weight {name}, which the configuration does not ask for")
        if tuple(weight.shape) != expected[name].shape:
            raise InputError(
                f"{path}: its weight {name} is {_shape(weight.shape)}, but the configuration asks for"
                f" {_shape(expected[name].shape)}"
            )
        if not weight.isfinite().all():
            raise InputError(f"{path}: its weight {name} is not finite")
        ours |= expected[name].convert(weight)
    return ours


def _shape(sizes: Iterable[int]) -> str:
    return " x ".join(map(str, sizes)) or "a number"


def _tokenizer(config: Config, given: Path | None, config_file: Path) -> Tokenizer:
    kind, file = config.tokenizer.kind, given or config.tokenizer.file
    if given is not None and kind == "wordpieces" and given.suffix not in (".model", *LISTS):
        kind = "characters"  # until 2021, configurations do not say which kind it is
    if file is not None:
        tokenizer = read_tokenizer(kind, file, config.tokenizer.normalize)
        unused = config.tokenizer.vocabulary - tokenizer.vocabulary
        if isinstance(tokenizer, TokenList) and unused > 0:
            # its network has the number of labels that the trainer was asked for, found or not
            labels = [*tokenizer.labels, *(f"<unused {number}>" for number in range(unused))]
            return TokenList(labels, tokenizer.normalize)
        return tokenizer
    if kind == "characters" and config.tokenizer.vocabulary == len(_ENGLISH) + 1:
        return Tokenizer(kind, list(_ENGLISH), config.tokenizer.normalize)
    raise InputError(
        f"{config_file} names no file with the {config.tokenizer.vocabulary} labels of its vocabulary that is"
        " there: give it with --tokenizer FILE"
    )
