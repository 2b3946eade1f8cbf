"""The weights of TensorFlowASR's ContextNet in Keras: their names, shapes and layouts beside asrlib's.

Keras's convolutions have their channels last, its dense layers are transposed, its LSTM has one bias where
PyTorch has two, and its GRU's gates have another order. Names are paths through the layers. In the code of
2021 each part of a path repeats all parts before it; ``plain_name`` drops the repetitions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asrlib.models.contextnet_blocks import Block
from asrlib.models.layers.conv import SeparableConv
from asrlib.models.transducer import Transducer

_PARTS = ("encoder", "prediction", "joint")
_NORM = {"gamma": "weight", "beta": "bias"}
_RUNNING = {"moving_mean": "running_mean", "moving_variance": "running_var"}


@dataclass(frozen=True)
class KerasWeight:
    """One weight of the checkpoint: its shape there, and the tensors of the state dict that it becomes."""

    shape: tuple[int, ...]
    convert: Callable[[Tensor], dict[str, Tensor]]


def plain_name(name: str) -> str:
    """Return a weight's path without the model's name, repetitions, and what Keras appends to be unique.

    ``contextnet/contextnet_encoder/contextnet_encoder_block_0/…_block_0_se/…_se_fc1/kernel:0`` and
    ``contextnet/encoder/block_0/se/fc1/kernel:0`` both become ``encoder/block_0/se/fc1/kernel``.
    """
    parts, before = [], ""
    for part in name.partition(":")[0].split("/"):
        parts.append(part.removeprefix(f"{before}_") if before else part)
        before = part
    if parts[0] not in _PARTS:
        parts = parts[1:]
    return "/".join(re.sub(r"^((?:lstm|gru)_cell)_\d+$", r"\1", part) for part in parts)


def expected_weights(model: Transducer) -> dict[str, KerasWeight]:
    """Return the weights that a checkpoint of this network has, by their plain names."""
    assert model.prediction is not None and model.joint is not None
    found: dict[str, KerasWeight] = {}
    for number, block in enumerate(model.encoder.blocks):
        for theirs, layer, norm in _convolutions(block):
            ours = f"encoder.blocks.{number}."
            names = {id(module): name for name, module in block.named_modules()}
            found |= _separable(f"encoder/block_{number}/{theirs}/conv", layer, ours + names[id(layer)])
            found |= _normed(f"encoder/block_{number}/{theirs}/bn", norm, ours + names[id(norm)])
        if block.se is not None:
            for theirs, ours in (("fc1", "down"), ("fc2", "up")):
                dense = getattr(block.se, ours)
                found |= _dense(
                    f"encoder/block_{number}/se/{theirs}", dense, f"encoder.blocks.{number}.se.{ours}"
                )
    found |= _prediction(model.prediction)
    for theirs, ours in (
        ("enc", "encoder_linear"),
        ("pred", "prediction_linear"),
        ("ffn", "post_linear"),
        ("vocab", "output"),
    ):
        layer = getattr(model.joint, ours)
        if isinstance(layer, nn.Linear):
            found |= _dense(f"joint/{theirs}", layer, f"joint.{ours}")
    return found


def _convolutions(block: Block) -> Iterator[tuple[str, SeparableConv, nn.Module]]:
    """Yield the name of each convolution within its block, the convolution, and the norm after it."""
    *usual, last = block.layers
    for number, layer in enumerate(usual):
        yield f"conv_module_{number}", layer.conv, layer.norm
    yield "se/conv_module", last.conv, last.norm
    if block.shortcut is not None:
        yield "residual", block.shortcut, block.shortcut_norm


def _prediction(network: nn.Module) -> dict[str, KerasWeight]:
    found: dict[str, KerasWeight] = {}
    if isinstance(network.embedding, nn.Embedding):
        found["prediction/embedding/embeddings"] = _same(
            network.embedding.weight, "prediction.embedding.weight"
        )
    first = (network.rnn, network.norm, network.projection)
    for number, (rnn, norm, projection) in enumerate([first, *network.deeper]):
        ours = [
            f"prediction.deeper.{number - 1}.{place}" if number else f"prediction.{name}"
            for place, name in enumerate(("rnn", "norm", "projection"))
        ]
        found |= _recurrent(number, rnn, ours[0])
        if isinstance(norm, nn.LayerNorm):
            for theirs, leaf in _NORM.items():
                found[f"prediction/ln_{number}/{theirs}"] = _same(getattr(norm, leaf), f"{ours[1]}.{leaf}")
        if isinstance(projection, nn.Linear):
            found |= _dense(f"prediction/projection_{number}", projection, ours[2])
    return found


def _recurrent(number: int, rnn: nn.Module, ours: str) -> dict[str, KerasWeight]:
    width, units = rnn.input_size, rnn.hidden_size
    kind, gates = ("lstm", 4) if isinstance(rnn, nn.LSTM) else ("gru", 3)

    def ordered(x: Tensor) -> Tensor:
        """Put the gates of the last dimension in PyTorch's order: Keras's GRU has z, r, n, not r, z, n."""
        if kind == "lstm":
            return x
        z, r, n = x.split(units, dim=-1)
        return torch.cat([r, z, n], dim=-1)

    def biases(x: Tensor) -> dict[str, Tensor]:
        # an LSTM of Keras has one bias; PyTorch adds two
        first, second = (x, torch.zeros_like(x)) if kind == "lstm" else ordered(x)
        return {f"{ours}.bias_ih_l0": first, f"{ours}.bias_hh_l0": second}

    cell = f"prediction/{kind}_{number}/{kind}_cell"
    return {
        f"{cell}/kernel": KerasWeight(
            (width, gates * units), lambda x: {f"{ours}.weight_ih_l0": ordered(x).T.contiguous()}
        ),
        f"{cell}/recurrent_kernel": KerasWeight(
            (units, gates * units), lambda x: {f"{ours}.weight_hh_l0": ordered(x).T.contiguous()}
        ),
        f"{cell}/bias": KerasWeight((gates * units,) if kind == "lstm" else (2, gates * units), biases),
    }


def _separable(theirs: str, conv: SeparableConv, ours: str) -> dict[str, KerasWeight]:
    channels, kernel = conv.depthwise.shape
    shape = (1, channels, conv.pointwise.out_features)
    return {
        f"{theirs}/depthwise_kernel": KerasWeight(
            (kernel, channels, 1), lambda x: {f"{ours}.depthwise": x[:, :, 0].T.contiguous()}
        ),
        f"{theirs}/pointwise_kernel": KerasWeight(
            shape, lambda x: {f"{ours}.pointwise.weight": x[0].T.contiguous()}
        ),
        f"{theirs}/bias": _same(conv.pointwise.bias, f"{ours}.pointwise.bias"),
    }


def _normed(theirs: str, norm: nn.Module, ours: str) -> dict[str, KerasWeight]:
    leaves = _NORM | _RUNNING
    return {f"{theirs}/{k}": _same(getattr(norm, leaf), f"{ours}.{leaf}") for k, leaf in leaves.items()}


def _dense(theirs: str, layer: nn.Linear, ours: str) -> dict[str, KerasWeight]:
    shape = (layer.in_features, layer.out_features)
    found = {f"{theirs}/kernel": KerasWeight(shape, lambda x: {f"{ours}.weight": x.T.contiguous()})}
    if layer.bias is not None:
        found[f"{theirs}/bias"] = _same(layer.bias, f"{ours}.bias")
    return found


def _same(weight: Tensor, ours: str) -> KerasWeight:
    return KerasWeight(tuple(weight.shape), lambda x: {ours: x})
