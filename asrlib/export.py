"""A trained model as one file that runs without PyTorch: ONNX or TFLite (LiteRT).

Signal in, labels out: framing, spectrum, mel filters and normalisation are in the graph, and
so is the search. From float32 mono samples in [-1, 1] at the model's rate come

    tokens     (frames, symbols) int32    labels emitted at each encoder frame, 0 where none
    log_probs  (frames, symbols) float32  natural log of each one's probability
    score      (1,)              float32  natural log of the whole path's probability

so that ``tokens[tokens > 0]`` is what was said. What one needs to write it as text (labels,
sample rate, seconds a frame) travels in the file as JSON: in ONNX under the metadata key
``asrlib``, in TFLite as an associated file, which ``unzip model.tflite asrlib.json`` gets out.

The formats differ in two ways:

- ONNX takes a ``signal`` of any length of at least one window, and holds the transducer's
  search as a loop.
- TFLite has tensors of fixed sizes: a signature ``seconds_N`` for each of the lengths asked
  for takes ``signal``, padded to N seconds, and ``length`` in samples. Of a transducer these
  signatures give ``hidden`` (the frames' part of the joint network) and ``frames``, their
  number; the signatures ``predict`` and ``join`` are the rest of it, and the loop is ``Runner``'s.

Lesson 12.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import importlib
import io
import json
import logging
import os
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio.functional
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from asrlib.conv import frame_mask, output_length
from asrlib.errors import InputError
from asrlib.features import FrontEnd, frame_count, preemphasize, warp_filters
from asrlib.metrics import ErrorRate, word_error_rate
from asrlib.recognizer import Hypothesis, Recognizer, write_atomically
from asrlib.text import Tokenizer, load_tokenizer
from asrlib.transducer import Transducer

if TYPE_CHECKING:
    from lhotse import CutSet

FORMATS = ("onnx", "tflite")
SECONDS = (2, 6, 20)
# smaller weights stay as they are: their scales and the node would eat what 8 bits save
SMALLEST = 1024
_NEEDED = {
    "onnx": ("export", ("onnx", "onnxscript", "onnxruntime")),
    "tflite": ("tflite", ("litert_torch", "ai_edge_quantizer", "ai_edge_litert")),
}


def export(
    recognizer: Recognizer,
    path: str | Path,
    format: str,
    int8: bool = False,
    seconds: Sequence[int] = SECONDS,
) -> dict[str, bytes]:
    """Write the model's file; an old one stays until the new one is complete.

    ``int8`` stores large weights in 8 bits, one scale an output channel, and computes in
    float32; the front end keeps its precision. ``seconds``: the lengths of TFLite's
    signatures. Returns what was written under ``int8`` or ``float32``; with ``int8`` also the
    float file it was made from. Raises ``InputError`` for an unknown format and for packages
    that are not installed.
    """
    check_format(format)
    if not seconds or min(seconds) < 1:
        raise InputError(f"seconds is {list(seconds)}; expected whole numbers from 1")
    model = copy.deepcopy(recognizer.model).cpu().eval()
    front_end = copy.deepcopy(recognizer.front_end).cpu()
    decoding = recognizer.config.decoding
    ctc = model.joint is None or decoding.head == "ctc"
    about = {
        "format": 1,
        "name": recognizer.config.name,
        "head": "ctc" if ctc else "transducer",
        "sample_rate": front_end.sample_rate,
        "shortest": front_end.window,
        "frame_seconds": recognizer.frame_seconds,
        "max_symbols": 1 if ctc else decoding.max_symbols,
        "labels": ["", *recognizer.tokenizer.labels],
        "tokenizer": _tokenizer_files(recognizer.tokenizer),
    }
    frames = SignalToFrames(front_end, model.encoder, (decoding.warps if ctc else None) or [1.0])
    with _quiet(), torch.no_grad():
        if format == "onnx":
            contents = _onnx_files(frames, model, about, int8)
        else:
            contents = _tflite_files(frames, model, about, int8, sorted(set(seconds)))
    write_atomically(Path(path), contents["int8" if int8 else "float32"])
    return contents


def check_format(format: str) -> None:
    """``InputError`` if there is no such format, or if its packages are not installed."""
    if format not in FORMATS:
        raise InputError(f"format is {format!r}; use one of {', '.join(FORMATS)}")
    for name in _NEEDED[format][1]:
        _package(name, format)


def _package(name: str, format: str) -> ModuleType:
    with _quiet():
        try:
            return importlib.import_module(name)
        except ImportError:
            extra, names = _NEEDED[format]
            raise InputError(
                f"{format} needs {', '.join(names).replace('_', '-')}, and {name.replace('_', '-')} is not"
                f' installed: pip install "asrlib[{extra}]"'
            ) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The converters narrate; what goes wrong they raise."""
    os.environ["LITERT_TORCH_SHOW_PROGRESS"] = "n"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), _nothing_printed():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _nothing_printed() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


# -------------------------------------------------------------------------------- the graph


class TracedFrontEnd(nn.Module):
    """``FrontEnd`` as plain operations on tensors that both formats know, for one utterance.

    The taper and the Fourier transform are one convolution, whose kernels are tapered
    cosines and sines and which moves by a hop. ``length``, (1,), None: all of the signal.
    """

    def __init__(self, front_end: FrontEnd, warps: Sequence[float]):
        super().__init__()
        self.settings = front_end
        sample = torch.arange(front_end.window, dtype=torch.float64)
        bin = torch.arange(front_end.fft_size // 2 + 1, dtype=torch.float64)
        angle = 2 * torch.pi * bin[:, None] * sample / front_end.fft_size
        waves = torch.cat([angle.cos(), -angle.sin()]) * front_end.taper.double()
        self.register_buffer("waves", waves.float()[:, None])
        filters = [
            front_end.filters if warp == 1 else warp_filters(front_end.filters, torch.tensor([warp]))[0]
            for warp in warps
        ]
        self.register_buffer("filters", torch.stack(filters))

    def forward(self, signal: Tensor, length: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(samples,) to features (warps, frames, mels), and the number of frames within ``length``."""
        settings, signal = self.settings, signal[None]
        inside = 1 if length is None else frame_mask(length, signal.shape[1])
        if settings.normalize_signal:
            signal = signal / (signal * inside).abs().amax(1, keepdim=True).clamp(min=1e-9)
        signal = preemphasize(signal, settings.preemphasis) * inside
        real, imaginary = F.conv1d(signal[:, None], self.waves, stride=settings.hop).chunk(2, dim=1)
        power = (real.square() + imaginary.square()).transpose(1, 2)
        features = torch.log(power @ self.filters + settings.log_floor)
        count = mask = None
        if length is not None:
            count = frame_count(length, settings.window, settings.hop)
            mask = frame_mask(count, features.shape[1])[..., None].float()
        if settings.normalize != "none":
            dims = (1,) if settings.normalize == "bin" else (1, 2)
            mean = _mean(features, mask, dims)
            variance = _mean((features - mean).square(), mask, dims)
            features = (features - mean) / (variance.sqrt() + 1e-3)
        return features if mask is None else features * mask, count


class SignalToFrames(nn.Module):
    """Front end and encoder: (samples,) to (warps, T, D), and how many of the T frames lie
    within ``length`` (None: all of them).
    """

    def __init__(self, front_end: FrontEnd, encoder: nn.Module, warps: Sequence[float]):
        super().__init__()
        self.front_end, self.encoder = TracedFrontEnd(front_end, warps), encoder

    def forward(self, signal: Tensor, length: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        # ContextNetEncoder.forward looks at the lengths to see if there is anything to mask
        x, count = self.front_end(signal, length)
        mask = None if count is None else frame_mask(count, x.shape[1])
        for block in self.encoder.blocks:
            mask_out = mask
            if count is not None and block.stride > 1:
                count = output_length(count, block.stride)
                mask_out = frame_mask(count, output_length(x.shape[1], block.stride))
            x = block(x, mask, mask_out)
            mask = mask_out
        return x, count


def _mean(x: Tensor, mask: Tensor | None, dims: tuple[int, ...]) -> Tensor:
    if mask is None:
        return x.mean(dims, keepdim=True)
    count = mask.sum(1, keepdim=True) * (1 if dims == (1,) else x.shape[2])
    return (x * mask).sum(dims, keepdim=True) / count


class GreedyCTC(nn.Module):
    """Signal to labels by the CTC head, its log-probabilities averaged over the warps."""

    def __init__(self, frames: SignalToFrames, head: nn.Module):
        super().__init__()
        self.frames, self.head = frames, head

    def forward(self, signal: Tensor, length: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        encoder_out, count = self.frames(signal, length)
        log_probs = self.head(encoder_out).log_softmax(-1).mean(0).log_softmax(-1)
        best, label = log_probs.max(-1)
        if count is not None:
            inside = frame_mask(count, label.shape[0])[0]
            best, label = best * inside, label * inside
        before = F.pad(label[:-1], (1, 0))
        emits = ((label != before) & (label != 0)).to(best.dtype)
        return (label * emits)[:, None].int(), (best * emits)[:, None], best.sum(0, keepdim=True)


class TransducerFrames(nn.Module):
    """Signal to the frames' part of the joint network, (T, D)."""

    def __init__(self, frames: SignalToFrames, joint: nn.Module):
        super().__init__()
        self.frames, self.linear = frames, joint.encoder_linear

    def forward(self, signal: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        encoder_out, count = self.frames(signal, length)
        return self.linear(encoder_out[0]), count.int()


class StepLSTM(nn.LSTM):
    """One label, (1, 1, D), as matrix products, which every runtime has and 8 bits fit."""

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None):  # type: ignore[override]
        h, c = (_start(self, x), _start(self, x)) if state is None else state
        i, f, g, o = (_heard(self, x) + _remembered(self, h)).chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)


class StepGRU(nn.GRU):
    """One label, (1, 1, D), as matrix products."""

    def forward(self, x: Tensor, h: Tensor | None = None):  # type: ignore[override]
        h = _start(self, x) if h is None else h
        reset, update, new = _heard(self, x).chunk(3, dim=-1)
        reset_h, update_h, new_h = _remembered(self, h).chunk(3, dim=-1)
        kept = (update + update_h).sigmoid()
        h = (1 - kept) * (new + (reset + reset_h).sigmoid() * new_h).tanh() + kept * h
        return h, h


def _start(rnn: nn.RNNBase, x: Tensor) -> Tensor:
    return x.new_zeros(1, 1, rnn.hidden_size)


def _heard(rnn: nn.RNNBase, x: Tensor) -> Tensor:
    return F.linear(x, rnn.weight_ih_l0, rnn.bias_ih_l0)


def _remembered(rnn: nn.RNNBase, h: Tensor) -> Tensor:
    return F.linear(h, rnn.weight_hh_l0, rnn.bias_hh_l0)


class Predict(nn.Module):
    """One more label, (1,), and the prediction network's state as a flat list of tensors, to
    its part of the joint network (1, D) and the new state.
    """

    def __init__(self, model: Transducer):
        super().__init__()
        self.prediction, self.linear = copy.deepcopy(model.prediction), model.joint.prediction_linear
        for module in self.prediction.modules():
            if isinstance(module, nn.RNNBase):
                module.__class__ = StepLSTM if isinstance(module, nn.LSTM) else StepGRU
        _, state = self.prediction.step(torch.zeros(1, dtype=torch.long))
        tensors, self.shape = pytree.tree_flatten(state)
        self.start = [torch.zeros_like(tensor) for tensor in tensors]

    def forward(self, label: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        out, state = self.prediction.step(label.long(), pytree.tree_unflatten(list(state), self.shape))
        return self.linear(out), *pytree.tree_flatten(state)[0]


class Join(nn.Module):
    """The two parts of the joint network, (1, D) each, to the best label, its log probability
    and that of blank, (1,) each.
    """

    def __init__(self, model: Transducer):
        super().__init__()
        self.joint, self.blank = model.joint, model.blank

    def forward(self, hidden: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_probs = self.joint.scores(hidden, predicted).log_softmax(-1)
        best, label = log_probs.max(-1)
        return label.int(), best, log_probs[:, self.blank]


class GreedyTransducer(nn.Module):
    """Signal to labels, with the search as a loop in the graph."""

    def __init__(self, frames: SignalToFrames, model: Transducer, max_symbols: int):
        super().__init__()
        self.frames, self.linear = frames, model.joint.encoder_linear
        self.predict, self.join = Predict(model), Join(model)
        self.max_symbols = max_symbols

    def forward(self, signal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.linear(self.frames(signal)[0][0])
        count = torch.ones_like(hidden[:, 0]).sum(0, keepdim=True).int()
        symbols = torch.arange(self.max_symbols, dtype=torch.int32)
        position = torch.cumsum(torch.ones_like(hidden[:, :1]).int(), 0, dtype=torch.int32) - 1

        def unfinished(frame, *_):
            return (frame < count)[0]

        def advance(frame, emitted, tokens, log_probs, score, last, *state):
            predicted, *after = self.predict(last, *state)
            label, best, blank = self.join(hidden.index_select(0, frame), predicted)
            emits = (label != 0) & (emitted < self.max_symbols)
            here = (position == frame) & (symbols == emitted) & emits
            tokens = torch.where(here, label, tokens)
            log_probs = torch.where(here, best, log_probs)
            score = score + torch.where(emits, best, blank)
            kept = [torch.where(emits, n, o) for n, o in zip([label, *after], [last, *state], strict=True)]
            step = emits.int()
            return frame + 1 - step, (emitted + 1) * step, tokens, log_probs, score, *kept

        zero = torch.zeros(1, dtype=torch.int32)
        grid = torch.zeros_like(hidden[:, :1]).expand(-1, self.max_symbols).clone()
        start = (zero, zero.clone(), grid.int(), grid, torch.zeros(1), zero.clone(), *self.predict.start)
        return torch.while_loop(unfinished, advance, start)[2:5]


# -------------------------------------------------------------------------------- the files


def _onnx_files(
    frames: SignalToFrames, model: Transducer, about: dict[str, Any], int8: bool
) -> dict[str, bytes]:
    onnx = _package("onnx", "onnx")
    if about["head"] == "ctc":
        graph = GreedyCTC(frames, model.ctc_head)
    else:
        if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 11):
            raise InputError(
                f"torch {torch.__version__} cannot write a transducer's loop to ONNX: install torch 2.11 or"
                " later, or set decoding.head to ctc where the model has that head"
            )
        graph = GreedyTransducer(frames, model, about["max_symbols"])
    proto = torch.onnx.export(
        graph.eval(),
        (_example(2 * about["sample_rate"]),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        input_names=["signal"],
        output_names=["tokens", "log_probs", "score"],
        verbose=False,
    ).model_proto
    for node in _nodes(proto.graph):  # which line of which file on this machine each came from
        del node.metadata_props[:]
    onnx.helper.set_model_props(proto, {"asrlib": json.dumps(about, ensure_ascii=False)})
    contents = {"float32": proto.SerializeToString()}
    if int8:
        proto = _int8_onnx(proto)
        contents["int8"] = proto.SerializeToString()
    onnx.checker.check_model(proto)
    return contents


def _example(samples: int) -> Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(0))


def _int8_onnx(proto: Any) -> Any:
    """Large weights as int8 and a scale for each output channel, in front of a standard
    DequantizeLinear node, which any runtime can read.
    """
    onnx = _package("onnx", "onnx")
    graph = proto.graph
    users = {name: node for node in _nodes(graph) for name in node.input}
    weights, nodes = [], []
    for weight in graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.ndim < 2 or values.size < SMALLEST or values.dtype != np.float32:
            continue
        if weight.name not in users or weight.name.startswith("frames.front_end."):
            continue
        user = users[weight.name].op_type
        axis = values.ndim - 1 if user == "MatMul" else 1 if user == "LSTM" else 0
        others = tuple(n for n in range(values.ndim) if n != axis)
        scale = np.abs(values).max(axis=others, keepdims=True).clip(min=1e-12) / 127
        parts = {
            "int8": np.round(values / scale).astype(np.int8),
            "scale": scale.reshape(-1).astype(np.float32),
        }
        weights += [onnx.numpy_helper.from_array(p, f"{weight.name}.{name}") for name, p in parts.items()]
        inputs = [f"{weight.name}.{name}" for name in parts]
        nodes.append(onnx.helper.make_node("DequantizeLinear", inputs, [weight.name], axis=axis))
    replaced = {node.output[0] for node in nodes}
    kept = [weight for weight in graph.initializer if weight.name not in replaced]
    later = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept + weights)
    graph.node.extend(nodes + later)
    return proto


def _nodes(graph: Any) -> Iterator[Any]:
    """Those of a loop's body too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _tflite_files(
    frames: SignalToFrames, model: Transducer, about: dict[str, Any], int8: bool, seconds: Sequence[int]
) -> dict[str, bytes]:
    converter = _package("litert_torch", "tflite").Converter()
    ctc = about["head"] == "ctc"
    graph = GreedyCTC(frames, model.ctc_head) if ctc else TransducerFrames(frames, model.joint)
    outputs = ["tokens", "log_probs", "score"] if ctc else ["hidden", "frames"]
    for number in seconds:
        samples = number * about["sample_rate"]
        inputs = {"signal": _example(samples), "length": torch.tensor([samples], dtype=torch.int32)}
        converter.add_signature(f"seconds_{number}", _Named(graph, outputs).eval(), sample_kwargs=inputs)
    if not ctc:
        predict, join = Predict(model), Join(model)
        state = [f"state_{number}" for number in range(len(predict.start))]
        start = [torch.zeros(1, dtype=torch.int32), *predict.start]
        inputs = dict(zip(["label", *state], start, strict=True))
        converter.add_signature(
            "predict", _Named(predict, ["predicted", *state]).eval(), sample_kwargs=inputs
        )
        hidden = predict(start[0], *start[1:])[0]
        outputs = ["label", "log_prob", "blank_log_prob"]
        inputs = {"hidden": hidden, "predicted": hidden.clone()}
        converter.add_signature("join", _Named(join, outputs).eval(), sample_kwargs=inputs)
    contents = {"float32": converter.convert().model_content()}
    if int8:
        contents["int8"] = _int8_tflite(contents["float32"])
    return {name: _with_description(content, about) for name, content in contents.items()}


def _with_description(content: bytes, about: dict[str, Any]) -> bytes:
    """The interpreter reads from the start of a file, unzip from its end."""
    file = io.BytesIO()
    file.write(content)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("asrlib.json", json.dumps(about, ensure_ascii=False))
    return file.getvalue()


class _Named(nn.Module):
    """Keyword arguments in, in their order, and a dictionary out."""

    def __init__(self, part: nn.Module, outputs: Sequence[str]):
        super().__init__()
        self.part, self.outputs = part, list(outputs)

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.outputs, self.part(*inputs.values()), strict=True))


def _int8_tflite(content: bytes) -> bytes:
    quantizer = _package("ai_edge_quantizer.quantizer", "tflite").Quantizer(content)
    everything = importlib.import_module("ai_edge_quantizer.qtyping").TFLOperationName.ALL_SUPPORTED
    quantizer.add_weight_only_config(f"^(?!.*{TracedFrontEnd.__name__})", everything, num_bits=8)
    return bytes(quantizer.quantize().quantized_model)


def _tokenizer_files(tokenizer: Tokenizer) -> dict[str, str]:
    """Name and content, in base 64, of what the tokenizer saves."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        return {file.name: base64.b64encode(file.read_bytes()).decode() for file in Path(folder).iterdir()}


def _tokenizer(files: dict[str, str]) -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, Path(name).name).write_bytes(base64.b64decode(content))
        return load_tokenizer(folder)


# -------------------------------------------------------------------------------- running them


class Runner:
    """An exported file in its own runtime: ``Runner.load("model.onnx").transcribe(audio)``."""

    def __init__(self, about: dict[str, Any], run: Callable[..., dict[str, np.ndarray]], lengths: list[int]):
        self.about, self._run, self._lengths = about, run, lengths
        self.sample_rate = about["sample_rate"]
        self.tokenizer = _tokenizer(about["tokenizer"])

    @classmethod
    def load(cls, path: str | Path, threads: int = 1) -> Runner:
        """Raises ``InputError`` where the file is missing or was not written by ``export``."""
        path = Path(path)
        check_format(path.suffix.lstrip("."))
        if not path.is_file():
            raise InputError(f"there is no file {path}")
        try:
            return cls.from_bytes(path.read_bytes(), path.suffix.lstrip("."), threads)
        except InputError as error:
            raise InputError(f"{path} {error}") from None

    @classmethod
    def from_bytes(cls, content: bytes, format: str, threads: int = 1) -> Runner:
        """The same from a file's content."""
        return (_open_onnx if format == "onnx" else _open_tflite)(content, threads)

    def transcribe(self, audio: Any, sample_rate: int | None = None) -> Hypothesis:
        """One utterance: a path to an audio file, or mono samples in [-1, 1] with their rate."""
        samples = mono_samples(audio, sample_rate, self.sample_rate)
        samples = np.pad(samples, (0, max(0, self.about["shortest"] - len(samples))))
        return self._hypothesis(**self._search(samples))

    def _search(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        if not self._lengths:
            return self._run(None, signal=samples)
        room = [n for n in self._lengths if len(samples) <= n * self.sample_rate]
        if not room:
            raise InputError(
                f"the audio lasts {len(samples) / self.sample_rate:.1f} s, and the file takes at most"
                f" {self._lengths[-1]} s: export it with a longer --seconds"
            )
        signal = np.pad(samples, (0, room[0] * self.sample_rate - len(samples)))
        length = np.array([len(samples)], dtype=np.int32)
        found = self._run(f"seconds_{room[0]}", signal=signal, length=length)
        return found if self.about["head"] == "ctc" else self._transduce(found["hidden"], found["frames"][0])

    def _transduce(self, hidden: np.ndarray, frames: int) -> dict[str, np.ndarray]:
        """The loop of ``GreedyTransducer``, around two signatures."""
        grid = (frames, self.about["max_symbols"])
        tokens, log_probs = np.zeros(grid, dtype=np.int32), np.zeros(grid, dtype=np.float32)
        score = np.zeros(1)
        state = self._run("predict", **self._start)
        for frame in range(frames):
            for symbol in range(grid[1] + 1):
                found = self._run("join", hidden=hidden[frame : frame + 1], predicted=state["predicted"])
                if found["label"][0] == 0 or symbol == grid[1]:
                    score += found["blank_log_prob"]
                    break
                tokens[frame, symbol], log_probs[frame, symbol] = found["label"][0], found["log_prob"][0]
                score += found["log_prob"]
                del state["predicted"]
                state = self._run("predict", label=found["label"], **state)
        return {"tokens": tokens, "log_probs": log_probs, "score": score}

    def _hypothesis(self, tokens: np.ndarray, log_probs: np.ndarray, score: np.ndarray) -> Hypothesis:
        emitted = tokens > 0
        labels = tokens[emitted].tolist()
        return Hypothesis(
            text=self.tokenizer.decode(labels),
            tokens=[self.tokenizer.labels[label - 1] for label in labels],
            times=[frame * self.about["frame_seconds"] for frame in np.nonzero(emitted)[0].tolist()],
            score=float(score[0]),
            confidences=np.exp(log_probs[emitted]).tolist(),
        )


def mono_samples(audio: Any, sample_rate: int | None, wanted: int) -> np.ndarray:
    """What ``Recognizer.transcribe`` takes, as float32 samples at the rate ``wanted``."""
    if isinstance(audio, (str, Path)):
        from asrlib.corpus import read_audio

        audio, sample_rate = read_audio(audio)
    if sample_rate is None:
        raise InputError("sample_rate is missing: samples alone do not say how fast they are to be played")
    samples = torch.as_tensor(np.asarray(audio, dtype=np.float32))
    if samples.dim() != 1 or samples.numel() == 0:
        raise InputError(
            f"audio has shape {tuple(samples.shape)}; expected one row of mono samples, not empty"
        )
    if sample_rate != wanted:
        samples = torchaudio.functional.resample(samples, sample_rate, wanted)
    return samples.numpy()


def _open_onnx(content: bytes, threads: int) -> Runner:
    runtime = _package("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        about = json.loads(session.get_modelmeta().custom_metadata_map["asrlib"])
    except Exception as error:  # the runtime has a class of its own for each reason
        raise InputError(f"is not an exported model: {error}") from None
    names = [output.name for output in session.get_outputs()]

    def run(_: None, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return Runner(about, run, [])


def _open_tflite(content: bytes, threads: int) -> Runner:
    interpreters = _package("ai_edge_litert.interpreter", "tflite")
    try:
        about = json.loads(zipfile.ZipFile(io.BytesIO(content)).read("asrlib.json"))
        interpreter = interpreters.Interpreter(model_content=content, num_threads=threads)
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"is not an exported model: {error}") from None
    signatures: dict[str, Any] = {}

    def run(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        if name not in signatures:
            signatures[name] = interpreter.get_signature_runner(name)
        return signatures[name](**inputs)

    names = interpreter.get_signature_list()
    lengths = sorted(int(name.partition("_")[2]) for name in names if name.startswith("seconds_"))
    runner = Runner(about, run, lengths)
    if "predict" in names:
        inputs = interpreter.get_signature_runner("predict").get_input_details()
        runner._start = {name: np.zeros(of["shape"], of["dtype"]) for name, of in inputs.items()}
    return runner


# -------------------------------------------------------------------------------- side by side


@dataclass(frozen=True)
class Measured:
    """``seconds``: an utterance, one thread, one utterance at a time; ``factor``: of real time;
    ``same``: utterances whose words are eager's; ``wer``: None without references.
    """

    name: str
    size: int
    seconds: float
    factor: float
    same: int
    utterances: int
    wer: ErrorRate | None


def compare(
    recognizer: Recognizer, size: int, files: dict[str, bytes], format: str, cuts: CutSet, score: bool = True
) -> list[Measured]:
    """Eager (whose weights take ``size`` bytes) and exported files on the same utterances."""
    from asrlib.corpus import cut_audio

    heard = [(torch.from_numpy(cut_audio(cut)), cut.sampling_rate) for cut in cuts]
    rate = recognizer.front_end.sample_rate
    signals = [mono_samples(samples, own, rate) for samples, own in heard]
    references = [recognizer.tokenizer.prepare(cut.supervisions[0].text) for cut in cuts]
    lasted = sum(len(signal) for signal in signals) / rate
    ways = {"eager": (size, recognizer)}
    for name, content in files.items():
        ways[f"{format} {name}"] = (len(content), Runner.from_bytes(content, format))
    rows, eager = [], []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, (bytes_, way) in ways.items():
            for signal in sorted(signals, key=len)[:: max(1, len(signals) // 8)]:  # each TFLite signature
                way.transcribe(signal, rate)
            start = time.perf_counter()
            texts = [way.transcribe(signal, rate).text for signal in signals]
            took = time.perf_counter() - start
            eager = eager or texts
            same = sum(text == other for text, other in zip(texts, eager, strict=True))
            wer = word_error_rate(references, texts) if score else None
            rows.append(Measured(name, bytes_, took / len(texts), took / lasted, same, len(texts), wer))
    finally:
        torch.set_num_threads(threads)
    return rows


def table(rows: Sequence[Measured]) -> str:
    """The rows in columns."""
    lines = [
        f"{'':14} {'size kB':>8} {'ms an utterance':>16} {'real-time factor':>17} {'words as eager':>15}"
    ]
    for row in rows:
        same = f"{row.same}/{row.utterances}"
        line = (
            f"{row.name:14} {row.size / 1000:8.0f} {1000 * row.seconds:16.2f} {row.factor:17.4f} {same:>15}"
        )
        lines.append(line if row.wer is None else f"{line}   WER {row.wer.rate:.2f} %")
    return "\n".join(lines)
