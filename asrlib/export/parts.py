"""The functions in an exported file: modules with named inputs and outputs.

Lesson 12b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asrlib.config.decoding import DecodingConfig
from asrlib.errors import InputError
from asrlib.export.graph import GreedyCTC, LogMels, SignalToFrames
from asrlib.export.stream_step import StreamStep
from asrlib.export.transducer_graph import GreedyTransducer, Join, Predict, TransducerFrames
from asrlib.models.transducer import Transducer
from asrlib.signal.features import FrontEnd

# the exported parts of one recognizer
Network = tuple[FrontEnd, Transducer]
_RESULT = ["tokens", "log_probs", "score"]


@dataclass
class Part:
    """A function of the file: a module, example inputs by name, and the names of its outputs."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: list[str]


def stream_part(step: StreamStep) -> Part:
    """Return the function of a streaming file: one step from samples and states to labels and states."""
    states = {f"state_{number}": tensor for number, tensor in enumerate(step.start)}
    inputs = {"signal": _example(step.overlap + step.chunk), **states}
    return Part("stream", step, inputs, [*_RESULT, *(f"{name}_after" for name in states)])


def features_part(log_mels: LogMels) -> Part:
    """Return the function of a file that maps samples to features."""
    return Part(
        "features", log_mels, {"signal": _example(log_mels.front_end.settings.sample_rate)}, ["features"]
    )


def onnx_parts(networks: Sequence[Network], ctc: bool, decoding: DecodingConfig) -> list[Part]:
    """Return the single function of an ONNX file, which maps a signal of any length to labels.

    Raises ``InputError`` for a transducer if torch is older than 2.11.
    """
    front_end, model = networks[0]
    if not ctc and tuple(map(int, torch.__version__.split(".")[:2])) < (2, 11):
        raise InputError(
            f"torch {torch.__version__} cannot write a transducer's loop to ONNX: install torch 2.11 or"
            " later, or set decoding.head to ctc if the model has that head"
        )
    if ctc:
        module = _greedy_ctc(networks, decoding)
    else:
        frames = SignalToFrames(front_end, model.encoder, [1.0])
        module = GreedyTransducer(frames, model, decoding.max_symbols)
    inputs = {"signal": _example(2 * front_end.sample_rate)}
    return [Part("offline", module, inputs, _RESULT)]


def _greedy_ctc(
    networks: Sequence[Network], decoding: DecodingConfig, sums: torch.dtype = torch.float64
) -> GreedyCTC:
    warps = decoding.warps or [1.0]
    frames = [SignalToFrames(front_end, model.encoder, warps, sums) for front_end, model in networks]
    return GreedyCTC(frames, [model.ctc_head for _, model in networks])


def tflite_parts(
    networks: Sequence[Network], ctc: bool, decoding: DecodingConfig, seconds: Sequence[int]
) -> list[Part]:
    """Return the signatures of a TFLite file: one per length in ``seconds``, and a transducer's networks."""
    front_end, model = networks[0]
    if ctc:
        module = _greedy_ctc(networks, decoding, torch.float32)
    else:
        module = TransducerFrames(SignalToFrames(front_end, model.encoder, [1.0], torch.float32), model.joint)
    outputs = _RESULT if ctc else ["hidden", "frames"]
    parts = []
    for number in seconds:
        samples = number * front_end.sample_rate
        inputs = {"signal": _example(samples), "length": torch.tensor([samples], dtype=torch.int32)}
        parts.append(Part(f"seconds_{number}", module, inputs, outputs))
    return parts if ctc else parts + _search_parts(model)


def _search_parts(model: Transducer) -> list[Part]:
    """Return the prediction and joint networks, which the loop of the search calls."""
    predict = Predict(model)
    state = {f"state_{number}": tensor for number, tensor in enumerate(predict.start)}
    inputs = {"label": torch.zeros(1, dtype=torch.int32), **state}
    hidden = predict(*inputs.values())[0]
    both = {"hidden": hidden, "predicted": hidden.clone()}
    return [
        Part("predict", predict, inputs, ["predicted", *state]),
        Part("join", Join(model), both, ["label", "log_prob", "blank_log_prob"]),
    ]


def _example(samples: int) -> Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(0))
