"""Import checkpoints of Flynn and Ragni's long-context Conformers ("lcasr", arXiv 2310.15672).

``torch.save`` wrote a checkpoint as a dictionary with ``model``, the weights, and ``config``. Its conventions
differ from asrlib's:

- blank is the last label and the word pieces begin at 0; in asrlib blank is 0;
- queries, keys and values alternate channel by channel; in asrlib they are three blocks;
- features are mel powers without a logarithm, in centered windows, normalized over the recording;
- the norm before the CTC head is applied twice at the end (``encoder.norm_twice``).

The word pieces are in a separate sentencepiece model.
"""

from __future__ import annotations

import collections
import json
import pickle
import re
import typing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asrlib.config.parse import parse_config
from asrlib.config.schema import Config, check_vocabulary
from asrlib.errors import InputError, first_line
from asrlib.models.build import build_model
from asrlib.models.conformer import ConformerConfig
from asrlib.text.tokenizer_files import read_tokenizer
from asrlib.text.tokenizers import Tokenizer

# settings for which asrlib's network has only these values; a checkpoint may also omit the key
_ONLY = {
    "subsampling": ("dw_striding",),
    "subsampling_factor": (8,),
    "subsampling_act": ("silu",),
    "subsampling_norm_out": (False,),
    "self_condition_subsampling": (False,),
    "expansion_factor": (4,),
    "conv_expansion_factor": (1,),
    "conv_norm": ("batch_renorm",),
    "encoder_mode": ("conformer",),
    "default_norm": ("layer_norm",),
    "decoder_norm": (True,),
    "qk_rms_norm": (False,),
    "shift_kvs": (False,),
    "gated_sc": (False,),
    "sandwich_norm": (False,),
    "bias_in_ff": (False,),
    "learned_rotary": (False,),
    "transformer": (False,),
}
FEATURES = {"preemphasis": 0.0, "normalize": "recording", "logarithm": False, "centered": True}
# lcasr's names within a layer, as patterns, and asrlib's; below, the names outside of layers
_IN_LAYER = {
    r"ff([12])\.fn\.norm": r"feed_forward\1.norm",
    r"ff([12])\.fn\.fn\.fc1": r"feed_forward\1.widen",
    r"ff([12])\.fn\.fn\.fc2": r"feed_forward\1.narrow",
    r"attend\.norm": "attention_norm",
    r"attend\.fn\.qkv_proj": "attention.queries_keys_values",
    r"attend\.fn\.out_proj": "attention.output",
    r"conv\.norm": "convolution.norm",
    r"conv\.fn\.pointwise_conv1": "convolution.gated",
    r"conv\.fn\.pointwise_conv2": "convolution.output",
    r"conv\.fn\.batch_norm": "convolution.batch_norm",
    r"norm_out": "norm",
}
_OUTSIDE = {
    "decoder.ff": "ctc_head.linear",
    "decoder.norm": "ctc_head.norm",
    "decoder.reprojection": "encoder.way_back",
    "subsampling.out": "encoder.subsampling.linear",
    "subsampling.conv.0": "encoder.subsampling.first",
    "subsampling.conv.2": "encoder.subsampling.depthwise.0",
    "subsampling.conv.3": "encoder.subsampling.pointwise.0",
    "subsampling.conv.5": "encoder.subsampling.depthwise.1",
    "subsampling.conv.6": "encoder.subsampling.pointwise.1",
}
# weights that are recomputed, or belong to a mode that is not used
_UNUSED = ("rotary_pos_emb.", "overlap_interp_factor")


def read(path: Path, tokenizer_file: Path | None) -> tuple[Config, nn.Module, Tokenizer]:
    """Return configuration, network and tokenizer of a checkpoint.

    ``tokenizer_file`` is the sentencepiece model of its word pieces. Raises ``InputError`` if it is missing,
    if ``path`` is not an lcasr checkpoint, and if asrlib cannot build its network.
    """
    weights, settings = _load(path)
    if tokenizer_file is None:
        raise InputError(f"{path} has no word pieces: give their sentencepiece model with --tokenizer FILE")
    config = _configuration(weights, settings, path)
    tokenizer = read_tokenizer("wordpieces", tokenizer_file)
    check_vocabulary(config, tokenizer.vocabulary, str(tokenizer_file))
    model = build_model(config)
    ours = _translated(weights, config.encoder, path)
    try:
        model.load_state_dict(ours)
    except RuntimeError as error:
        raise InputError(f"{path}: its weights do not fit its configuration: {_reason(error)}") from None
    return config, model, tokenizer


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights and the ``model`` section of the configuration, without running code in the file."""
    try:
        with torch.serialization.safe_globals(_CONTAINERS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise InputError(f"{path} is not a checkpoint that can be read safely: {_reason(error)}") from None
    weights = content.get("model") if isinstance(content, dict) else None
    settings = _plain(content.get("config")) if isinstance(content, dict) else None
    settings = settings.get("model") if isinstance(settings, dict) else None
    if not (isinstance(weights, dict) and isinstance(settings, dict)):
        raise InputError(f"{path} is not an lcasr checkpoint: it has no weights or no configuration")
    return weights, settings


class _Node:
    """A stand-in for the OmegaConf classes in a saved configuration, which keeps their attributes."""


_CONTAINERS: list[Any] = [
    *((_Node, f"omegaconf.base.{name}") for name in ("Metadata", "ContainerMetadata", "SCMode")),
    *((_Node, f"omegaconf.nodes.{kind}Node") for kind in ("Any", "String", "Integer", "Float", "Boolean")),
    (_Node, "omegaconf.dictconfig.DictConfig"),
    (_Node, "omegaconf.listconfig.ListConfig"),
    (typing.Any, "typing.Any"),
    (collections.defaultdict, "collections.defaultdict"),
    *((kind, f"builtins.{kind.__name__}") for kind in (dict, list, int, float, str, bool)),
]


def _plain(value: Any) -> Any:
    """Convert a saved configuration to dictionaries and lists."""
    if isinstance(value, _Node):
        state = vars(value)
        value = state["_content"] if "_content" in state else state.get("_val")
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _configuration(weights: dict[str, Tensor], settings: dict[str, Any], path: Path) -> Config:
    for key, allowed in _ONLY.items():
        if settings.get(key, allowed[0]) not in allowed:
            raise InputError(f"{path}: its network has {key} {settings[key]!r}, which asrlib cannot build")
    if settings.get("use_rotary") and settings.get("fourier_pos_enc"):
        raise InputError(f"{path}: its network has rotary and Fourier positions; asrlib builds one of them")
    positions = "rotary" if settings.get("use_rotary") else "none"
    try:
        layers, dim, mels = settings["n_layers"], settings["d_model"], settings["feat_in"]
        channels = settings["subsampling_conv_channels"]
        encoder = {
            "kind": "conformer",
            "layers": layers,
            "dim": dim,
            "heads": settings["n_heads"],
            "head_dim": settings["head_dim"],
            "kernel": settings["conv_kernel_size"],
            "subsampling_channels": dim if channels == -1 else channels,
            "positions": "fourier" if settings.get("fourier_pos_enc") else positions,
            "rotary_base": settings.get("rotary_base_freq", 10000),
            "rotary_interpolation": float(weights.get("rotary_pos_emb.rotary_interpolation_factor", 1.0)),
            "self_conditioning": settings.get("self_conditioning", True),
            "norm_twice": settings.get("legasee_double_norm", True),
            "dropout": settings.get("dropout_ff", 0.0),
        }
        vocabulary = weights["decoder.ff.weight"].shape[0]
    except KeyError as error:
        raise InputError(f"{path} is not an lcasr checkpoint: it lacks {error.args[0]}") from None
    content = {
        "name": f"long-context-{layers}l-{dim}d",
        "features": FEATURES | {"mels": mels},
        "tokenizer": {"kind": "wordpieces", "vocabulary": vocabulary},
        "encoder": encoder,
        "prediction": None,
        "joint": None,
        "training": {"ctc_weight": 1.0},
        "decoding": {"head": "ctc"},
    }
    return parse_config(json.dumps(content, default=repr), str(path))


def _translated(weights: dict[str, Tensor], encoder: ConformerConfig, path: Path) -> dict[str, Tensor]:
    """Return the weights with asrlib's names and its order of labels and of queries, keys and values."""
    ours = {}
    for name, weight in weights.items():
        if name.startswith(_UNUSED) or (name.startswith("decoder.repro") and not encoder.self_conditioning):
            continue
        new = _our_name(name)
        if new is None:
            raise InputError(f"{path}: its network has {name}, which asrlib does not have")
        if name == "decoder.reprojection.weight":
            weight = weight.roll(1, dims=1)
        elif name.startswith("decoder.ff."):
            weight = weight.roll(1, dims=0)  # the last label, blank, becomes the first
        elif name.endswith("qkv_proj.weight"):
            weight = weight.unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1)
        elif ".conv.fn." in name and weight.dim() == 3:
            weight = weight.squeeze(1 if "depthwise" in name else 2)
        elif name == "fourier_pos_enc.w_r":
            weight = weight[0]
        ours[new] = weight.float() if weight.is_floating_point() else weight
    return ours


def _our_name(name: str) -> str | None:
    if name == "fourier_pos_enc.w_r":
        return "encoder.positions.frequencies"
    stem, _, kind = name.rpartition(".")
    if stem in _OUTSIDE:
        return f"{_OUTSIDE[stem]}.{kind}"
    layer = re.fullmatch(r"layers\.(\d+)\.(.+)", stem)
    if layer is None:
        return None
    number, rest = layer.groups()
    if rest == "conv.fn.depthwise_conv":
        return f"encoder.layers.{number}.convolution.depthwise{'_bias' if kind == 'bias' else ''}"
    for theirs, mine in _IN_LAYER.items():
        if found := re.fullmatch(theirs, rest):
            return f"encoder.layers.{number}.{found.expand(mine)}.{kind}"
    return None


def _reason(error: Exception) -> str:
    return first_line(error)[:200]
