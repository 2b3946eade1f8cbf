"""Export a trained model to one file that runs without PyTorch: ONNX or TFLite (LiteRT).

The file maps a signal to labels. Framing, spectrum, mel filters, normalization and search are all in
the graph. The input is float32 mono samples in [-1, 1] at the model's sample rate; the outputs are

    tokens     (frames, symbols) int32    labels emitted at each encoder frame, 0 where there is none
    log_probs  (frames, symbols) float32  natural log of the probability of each label
    score      (1,)              float32  natural log of the probability of the whole alignment

so that ``tokens[tokens > 0]`` are the labels of the hypothesis. What is needed to turn them into text
(labels, sample rate, seconds per frame) is in the file as JSON: in ONNX under the metadata key
``asrlib``, in TFLite as an associated file that ``unzip model.tflite asrlib.json`` extracts.

The formats differ in two ways:

- ONNX takes a ``signal`` of any length of at least one window, and contains the transducer's search as
  a loop.
- TFLite has tensors of fixed sizes. A signature ``seconds_N`` for each requested length takes ``signal``,
  padded to N seconds, and ``length`` in samples. For a transducer, these signatures return ``hidden``
  (the encoder's part of the joint network) and ``frames``, the number of frames. The signatures
  ``predict`` and ``join`` are the other parts, and ``Runner`` performs the loop.

``stream=True`` writes one step of a causal model instead of the graph of a whole utterance. It takes
``signal`` (the ``overlap`` previous samples followed by the samples of one encoder frame) and
``state_N``, and returns the three outputs above for one frame and ``state_N_after``. All states start
as zeros. At the end, feed as many zeros as the description's ``tail`` says. A final part shorter than a
window (25 ms) is padded with zeros before pre-emphasis, not after it.

Lesson 12b.
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
    """Export ``recognizer`` to the file ``path``; an existing file is replaced only by a complete one.

    ``format`` is "onnx" or "tflite". ``int8`` stores large weights in 8 bits with one scale per output
    channel; computation stays in float32, and the front end keeps its precision. ``seconds`` are the
    lengths, in seconds, that a TFLite file accepts. ``stream`` exports one step of a causal model instead
    of the whole utterance. Warns if a beam search or a closed list of words is configured, as exported
    search is greedy.

    Returns the contents of the file under ``int8`` or ``float32``; with ``int8``, also the float32 file
    that it was made from. Raises ``InputError`` for an unknown format, missing packages, lengths below
    1 s, and, with ``stream``, a model that cannot stream.
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
            f"decoding.beam_width is {decoding.beam_width}; an exported file uses greedy search", stacklevel=2
        )
    if decoding.words is not None:
        warnings.warn("decoding.words is set; an exported file writes phones, not words", stacklevel=2)
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
