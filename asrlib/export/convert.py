"""A trained model as one file that runs without PyTorch: ONNX or TFLite (LiteRT).

Signal in, labels out: framing, spectrum, mel filters and normalization are in the graph, and
so is the search. From float32 mono samples in [-1, 1] at the model's rate come

    tokens     (frames, symbols) int32    labels emitted at each encoder frame, 0 where none
    log_probs  (frames, symbols) float32  natural log of each one's probability
    score      (1,)              float32  natural log of the whole path's probability

so that ``tokens[tokens > 0]`` are the labels of the hypothesis. What one needs to write it as text (labels,
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

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from asrlib.errors import InputError
from asrlib.export.description import describe
from asrlib.export.formats import check_format, quiet
from asrlib.export.onnx_file import write_onnx
from asrlib.export.parts import Network, onnx_parts, stream_part, tflite_parts
from asrlib.export.stream_step import StreamStep
from asrlib.export.tflite_file import write_tflite
from asrlib.files import write_atomically
from asrlib.recognizer import Recognizer

SECONDS = (2, 6, 20)


def export(
    recognizer: Recognizer,
    path: str | Path,
    format: str,
    int8: bool = False,
    seconds: Sequence[int] = SECONDS,
    stream: bool = False,
) -> dict[str, bytes]:
    """Write the model's file; an old one stays until the new one is complete.

    ``int8`` stores large weights in 8 bits, one scale per output channel, and computes in
    float32; the front end keeps its precision. ``seconds``: the lengths of TFLite's
    signatures. ``stream``: the step of a causal model in place of the whole utterance.
    Returns what was written under ``int8`` or ``float32``; with ``int8`` also the float file
    it was made from. Raises ``InputError`` for an unknown format, for packages that are not
    installed, and for a model that cannot stream.
    """
    check_format(format)
    if not seconds or min(seconds) < 1:
        raise InputError(f"seconds is {list(seconds)}; expected whole numbers from 1")
    if stream:
        recognizer.check_streaming()
    ctc, decoding = recognizer.uses_ctc, recognizer.config.decoding
    networks = [_copied(member) for member in (recognizer.ensemble if ctc else [recognizer])]
    if decoding.beam_width:
        warnings.warn(
            f"decoding.beam_width is {decoding.beam_width}; an exported file searches greedily", stacklevel=2
        )
    about = describe(recognizer, stream)
    with quiet(), torch.no_grad():
        if stream:
            sums = torch.float64 if format == "onnx" else torch.float32
            step = StreamStep(*networks[0], ctc, about["max_symbols"], sums)
            about |= {"overlap": step.overlap, "chunk": step.chunk}
            parts = [stream_part(step)]
        elif format == "onnx":
            parts = onnx_parts(networks, ctc, decoding)
        else:
            parts = tflite_parts(networks, ctc, decoding, sorted(set(seconds)))
        contents = (write_onnx if format == "onnx" else write_tflite)(parts, about, int8)
    write_atomically(Path(path), contents["int8" if int8 else "float32"])
    return contents


def _copied(recognizer: Recognizer) -> Network:
    return copy.deepcopy(recognizer.front_end).cpu(), copy.deepcopy(recognizer.model).cpu().eval()
