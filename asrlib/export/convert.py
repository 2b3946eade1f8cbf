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

``stream=True`` writes the step of a causal model in place of the whole utterance's graph:
``signal`` (samples of one encoder frame, behind the ``overlap`` samples before them) and
``state_N`` to the three outputs above, of one frame, and ``state_N_after``. States begin as zeros.
An end shorter than a window (25 ms) is padded with zeros before its pre-emphasis, not behind it.

Lesson 12.
"""

from __future__ import annotations

import base64
import copy
import importlib
import io
import json
import tempfile
import time
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from asrlib.config.schema import DecodingConfig
from asrlib.decoding.streaming import obstacles
from asrlib.errors import InputError
from asrlib.export.graph import (
    GreedyCTC,
    GreedyTransducer,
    Join,
    Predict,
    SignalToFrames,
    StreamStep,
    TracedFrontEnd,
    TransducerFrames,
)
from asrlib.export.runner import FORMATS, Runner, check_format, mono_samples, package, quiet
from asrlib.metrics import ErrorRate, word_error_rate
from asrlib.models.transducer import Transducer
from asrlib.recognizer import Recognizer, write_atomically
from asrlib.signal.features import FrontEnd
from asrlib.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from lhotse import CutSet

__all__ = ["FORMATS", "SECONDS", "Measured", "Runner", "check_format", "compare", "export", "table"]
SECONDS = (2, 6, 20)
# what is exported of one recogniser
_Network = tuple[FrontEnd, Transducer]
# smaller weights stay as they are: their scales and the node would eat what 8 bits save
SMALLEST = 1024


def export(
    recognizer: Recognizer,
    path: str | Path,
    format: str,
    int8: bool = False,
    seconds: Sequence[int] = SECONDS,
    stream: bool = False,
) -> dict[str, bytes]:
    """Write the model's file; an old one stays until the new one is complete.

    ``int8`` stores large weights in 8 bits, one scale an output channel, and computes in
    float32; the front end keeps its precision. ``seconds``: the lengths of TFLite's
    signatures. ``stream``: the step of a causal model in place of the whole utterance.
    Returns what was written under ``int8`` or ``float32``; with ``int8`` also the float file
    it was made from. Raises ``InputError`` for an unknown format, for packages that are not
    installed, and for a model that cannot stream.
    """
    check_format(format)
    if not seconds or min(seconds) < 1:
        raise InputError(f"seconds is {list(seconds)}; expected whole numbers from 1")
    if stream and (found := obstacles(recognizer)):
        raise InputError(f"this model cannot stream, it needs the whole utterance: {'; '.join(found)}")
    ctc, decoding = recognizer.uses_ctc, recognizer.config.decoding
    networks = [_copy(listener) for listener in (recognizer.listeners if ctc else [recognizer])]
    front_end, model = networks[0]
    if decoding.beam_width:
        warnings.warn(
            f"decoding.beam_width is {decoding.beam_width}; an exported file searches greedily", stacklevel=2
        )
    max_symbols = 1 if ctc else decoding.max_symbols
    about = {
        "format": 1,
        "name": recognizer.config.name,
        "head": "ctc" if ctc else "transducer",
        "stream": stream,
        "sample_rate": front_end.sample_rate,
        "shortest": front_end.window,
        "hop": front_end.hop,
        "frame_seconds": recognizer.frame_seconds,
        "max_symbols": max_symbols,
        "labels": ["", *recognizer.tokenizer.labels],
        "tokenizer": _tokenizer_files(recognizer.tokenizer),
    }
    with quiet(), torch.no_grad():
        if stream:
            sums = torch.float64 if format == "onnx" else torch.float32
            step = StreamStep(front_end, model, ctc, max_symbols, sums)
            about |= {"overlap": step.overlap, "chunk": step.chunk}
            parts = [_Part("stream", step, *_stream_names(step))]
        elif format == "onnx":
            parts = _onnx_parts(networks, ctc, decoding)
        else:
            parts = _tflite_parts(networks, ctc, decoding, sorted(set(seconds)))
        contents = (_onnx_files if format == "onnx" else _tflite_files)(parts, about, int8)
    write_atomically(Path(path), contents["int8" if int8 else "float32"])
    return contents


def _copy(recognizer: Recognizer) -> _Network:
    return copy.deepcopy(recognizer.front_end).cpu(), copy.deepcopy(recognizer.model).cpu().eval()


@dataclass
class _Part:
    """A function of the file, with its inputs by name and the names of its outputs."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: list[str]


def _stream_names(step: StreamStep) -> tuple[dict[str, Tensor], list[str]]:
    inputs = {f"state_{number}": tensor for number, tensor in enumerate(step.start)}
    outputs = ["tokens", "log_probs", "score", *(f"{name}_after" for name in inputs)]
    return {"signal": _example(step.overlap + step.chunk), **inputs}, outputs


def _onnx_parts(networks: Sequence[_Network], ctc: bool, decoding: DecodingConfig) -> list[_Part]:
    front_end, model = networks[0]
    if not ctc and tuple(map(int, torch.__version__.split(".")[:2])) < (2, 11):
        raise InputError(
            f"torch {torch.__version__} cannot write a transducer's loop to ONNX: install torch 2.11 or"
            " later, or set decoding.head to ctc where the model has that head"
        )
    if ctc:
        module = _greedy_ctc(networks, decoding)
    else:
        frames = SignalToFrames(front_end, model.encoder, [1.0])
        module = GreedyTransducer(frames, model, decoding.max_symbols)
    inputs = {"signal": _example(2 * front_end.sample_rate)}
    return [_Part("offline", module, inputs, ["tokens", "log_probs", "score"])]


def _greedy_ctc(
    networks: Sequence[_Network], decoding: DecodingConfig, sums: torch.dtype = torch.float64
) -> GreedyCTC:
    warps = decoding.warps or [1.0]
    frames = [SignalToFrames(front_end, model.encoder, warps, sums) for front_end, model in networks]
    return GreedyCTC(frames, [model.ctc_head for _, model in networks])


def _tflite_parts(
    networks: Sequence[_Network], ctc: bool, decoding: DecodingConfig, seconds: Sequence[int]
) -> list[_Part]:
    front_end, model = networks[0]
    if ctc:
        module = _greedy_ctc(networks, decoding, torch.float32)
    else:
        module = TransducerFrames(SignalToFrames(front_end, model.encoder, [1.0], torch.float32), model.joint)
    outputs = ["tokens", "log_probs", "score"] if ctc else ["hidden", "frames"]
    parts = []
    for number in seconds:
        samples = number * front_end.sample_rate
        inputs = {"signal": _example(samples), "length": torch.tensor([samples], dtype=torch.int32)}
        parts.append(_Part(f"seconds_{number}", module, inputs, outputs))
    if not ctc:
        predict = Predict(model)
        state = {f"state_{number}": tensor for number, tensor in enumerate(predict.start)}
        inputs = {"label": torch.zeros(1, dtype=torch.int32), **state}
        parts.append(_Part("predict", predict, inputs, ["predicted", *state]))
        hidden = predict(*inputs.values())[0]
        inputs = {"hidden": hidden, "predicted": hidden.clone()}
        parts.append(_Part("join", Join(model), inputs, ["label", "log_prob", "blank_log_prob"]))
    return parts


# -------------------------------------------------------------------------------- the files


def _onnx_files(parts: list[_Part], about: dict[str, Any], int8: bool) -> dict[str, bytes]:
    onnx = package("onnx", "onnx")
    (part,) = parts
    proto = torch.onnx.export(
        part.module.eval(),
        tuple(part.inputs.values()),
        dynamo=True,
        dynamic_shapes=None if about["stream"] else ({0: torch.export.Dim.DYNAMIC},),
        input_names=list(part.inputs),
        output_names=part.outputs,
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
    onnx = package("onnx", "onnx")
    graph = proto.graph
    users = {name: node for node in _nodes(graph) for name in node.input}
    weights, nodes = [], []
    for weight in graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.ndim < 2 or values.size < SMALLEST or values.dtype != np.float32:
            continue
        if weight.name not in users or "front_end." in weight.name:
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


def _tflite_files(parts: list[_Part], about: dict[str, Any], int8: bool) -> dict[str, bytes]:
    converter = package("litert_torch", "tflite").Converter()
    for part in parts:
        module = _Named(part.module, part.outputs).eval()
        converter.add_signature(part.name, module, sample_kwargs=part.inputs)
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
    quantizer = package("ai_edge_quantizer.quantizer", "tflite").Quantizer(content)
    everything = importlib.import_module("ai_edge_quantizer.qtyping").TFLOperationName.ALL_SUPPORTED
    quantizer.add_weight_only_config(f"^(?!.*{TracedFrontEnd.__name__})", everything, num_bits=8)
    return bytes(quantizer.quantize().quantized_model)


def _tokenizer_files(tokenizer: Tokenizer) -> dict[str, str]:
    """Name and content, in base 64, of what the tokenizer saves."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        return {file.name: base64.b64encode(file.read_bytes()).decode() for file in Path(folder).iterdir()}


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
    from asrlib.data.audio import cut_audio

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
