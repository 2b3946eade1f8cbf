"""Transcribe recordings of any length piece by piece, with one hypothesis for the whole.

Audio is read in blocks, and memory does not grow with the recording, except for the text. There are two ways
to cut a recording:

=======  =============================================================================================
pauses   cut in pauses into pieces of at most a window, and decode each piece by itself, as an utterance;
         a piece without a pause that is longer than a window is decoded as with ``windows``
windows  decode the whole recording in windows that overlap
=======  =============================================================================================

In windows, the features are normalized over the piece, and the network processes one window at a time. The
search continues over frames that no later window can change. Beam search also keeps the scores of all frames
of the piece, 4 · V bytes per frame of a CTC head. The windows are joined in one of these ways:

========  ============================================================================================
average   average the CTC head's probabilities over all windows that cover a frame
middle    use the middle of each window
whole     compute the same frames as one pass over the recording; the encoder must have a limited
          context, and attention is limited to a window
========  ============================================================================================

A CTC head uses ``average`` by default. A transducer has no probabilities per frame, so its search uses the
encoder's output, joined from the middles of the windows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from asrlib.decoding.beam import BeamOptions, beam_ctc, beam_rnnt
from asrlib.decoding.hypothesis import SearchResult
from asrlib.decoding.streaming import StreamingCTC, StreamingTransducer
from asrlib.decoding.windows import Average, Middle, Slicer, Span
from asrlib.errors import InputError
from asrlib.models.encoder import Encoder
from asrlib.models.transducer import Transducer
from asrlib.signal.features import FrontEnd
from asrlib.signal.pauses import find_cuts
from asrlib.signal.recording import Blocks, RecordingFeatures, measure, pieces

CUTS = ("pauses", "windows")
JOINS = ("average", "middle", "whole")


@dataclass
class LongForm:
    """Settings for recordings of any length: how to cut them into windows and join the results.

    ``window`` is in seconds, and moves by (1 - ``overlap``) of it. ``join`` is one of ``JOINS``, or None for
    the default. With ``whole``, a frame attends to ``window`` seconds, half of them on either side, unless
    the encoder's configuration limits its context; ``overlap`` follows from that. ``cut`` is one of ``CUTS``,
    or None for the default: ``windows`` with ``whole``, and ``pauses`` without.
    """

    window: float = 20.0
    overlap: float = 0.875
    join: str | None = None
    cut: str | None = None

    def __post_init__(self) -> None:
        if not self.window > 0:
            raise InputError(f"window is {self.window} s; it must be positive")
        if not 0 <= self.overlap < 1:
            raise InputError(f"overlap is {self.overlap}; it must be at least 0 and below 1")
        if self.join is not None and self.join not in JOINS:
            raise InputError(f"join is {self.join!r}; use one of {', '.join(JOINS)}")
        if self.cut is not None and self.cut not in CUTS:
            raise InputError(f"cut is {self.cut!r}; use one of {', '.join(CUTS)}")
        if self.cut == "pauses" and self.join == "whole":
            raise InputError("join is whole, which decodes the recording in one piece: set cut to windows")

    @property
    def at_pauses(self) -> bool:
        """Return whether recordings are cut at pauses."""
        return self.cut != "windows" and self.join != "whole"

    def chosen(self, ctc: bool) -> str:
        """Return how windows are joined. Raises ``InputError`` for ``average`` with a transducer."""
        if self.join == "average" and not ctc:
            raise InputError(
                "join is average, and a transducer has no probabilities to average: use middle, or set"
                " decoding.head to ctc where the model has that head"
            )
        return self.join or ("average" if ctc else "middle")


@dataclass
class Listener:
    """A network with its front end and the frequency ``warps`` to average over."""

    front_end: FrontEnd
    model: Transducer
    warps: list[float]


def cut_recording(
    listeners: list[Listener], blocks: Blocks, settings: LongForm
) -> Iterator[tuple[float, Blocks]]:
    """Yield the pieces of a recording to decode by themselves: the start of each in seconds, and its blocks.

    ``blocks`` yields samples at the front ends' rate. A piece must be read before the next one is asked for.
    """
    front_end, cuts = listeners[0].front_end, [0]
    if settings.at_pauses:
        longest = max(front_end.hop, _width(listeners[0], settings) * front_end.hop - front_end.tail)
        cuts += find_cuts(blocks(), front_end.sample_rate, longest)
    for start, piece in zip(cuts, pieces(blocks, cuts[1:]), strict=True):
        yield start / front_end.sample_rate, piece


def scan(listeners: list[Listener], blocks: Blocks, settings: LongForm, ctc: bool) -> Iterator[Tensor]:
    """Yield a piece's frames in order: log-probabilities of the CTC heads, or outputs of an encoder.

    With ``ctc`` these are (frames, V), averaged over listeners and warps; without it, (frames, D_enc) of the
    first listener's encoder. ``blocks`` yields samples at the front ends' rate. Raises ``InputError`` for a
    join that does not fit.
    """
    join = settings.chosen(ctc)
    grid = listeners[0].model.encoder.reduction
    width = _width(listeners[0], settings)
    with contextlib.ExitStack() as stack:
        if join == "whole":
            encoders = [listener.model.encoder for listener in listeners]
            reaches = [stack.enter_context(_limited(each, width // grid // 2)) for each in encoders]
            margin = -(-max(reaches) // grid) * grid
            step = max(width, margin)
            width = step + 2 * margin
        else:
            step = max(1, round(width / grid * (1 - settings.overlap))) * grid
            margin = (width - step) // grid // 2 * grid
        slicer = Slicer(width, step, grid)
        joined = Average() if join == "average" else Middle(margin // grid)
        for span in _windows(slicer, listeners, blocks):
            frames = _log_probs(listeners, span) if ctc else _encoded(listeners[0], span.features[0])
            if join == "average":
                done = joined.add(span.start // grid, frames.exp(), span.last).log()
            else:
                done = joined.add(span.start // grid, frames, span.last)
            if len(done):
                yield done


def _width(listener: Listener, settings: LongForm) -> int:
    """Return a window's width in feature frames, a multiple of the encoder's reduction."""
    front_end, grid = listener.front_end, listener.model.encoder.reduction
    seconds = front_end.hop * grid / front_end.sample_rate
    return max(1, round(settings.window / seconds)) * grid


@contextlib.contextmanager
def _limited(encoder: Encoder, window: int) -> Iterator[int]:
    """Limit the attention of an encoder with unlimited context; yield its reach in feature frames."""
    if encoder.reach is not None:
        yield encoder.reach
        return
    try:
        before = encoder.set_attention_window(max(1, window))
    except InputError as error:
        raise InputError(f"join is whole, but {error}: use average or middle") from None
    try:
        if encoder.reach is None:
            raise InputError(
                "join is whole, but the encoder's positions count from the recording's start: use average or"
                " middle"
            )
        yield encoder.reach
    finally:
        encoder.set_attention_window(before)


def _windows(slicer: Slicer, listeners: list[Listener], blocks: Blocks) -> Iterator[Span]:
    """Yield windows with the features of all listeners and, for each listener, all warps."""
    features = [
        RecordingFeatures(listener.front_end, whole, warp)
        for listener in listeners
        for warp, whole in zip(
            listener.warps, measure(listener.front_end, blocks, listener.warps), strict=True
        )
    ]
    for block in blocks():
        yield from slicer.feed([each.feed(block) for each in features])
    yield from slicer.feed([each.finish() for each in features])
    yield from slicer.finish()


def _encoded(listener: Listener, features: Tensor) -> Tensor:
    return listener.model.encoder(features[None])[0][0]


def _log_probs(listeners: list[Listener], span: Span) -> Tensor:
    """Return (frames, V) log-probabilities of a window, averaged as in `Recognizer.transcribe`."""
    features, members = iter(span.features), []
    for listener in listeners:
        heard = [_encoded(listener, next(features)) for _ in listener.warps]
        scores = [listener.model.ctc_head(each).float().log_softmax(-1) for each in heard]
        members.append(torch.stack(scores).mean(0))
    return torch.stack(members).mean(0).log_softmax(-1)


def search(
    frames: Iterable[Tensor], model: Transducer, ctc: bool, max_symbols: int, beam: BeamOptions | None
) -> SearchResult:
    """Search the frames of ``scan``: greedy search as they come, beam search over all frames at once."""
    device = next(model.parameters()).device
    if beam is None:
        stream = StreamingCTC(model) if ctc else StreamingTransducer(model, max_symbols, device)
        for piece in frames:
            if ctc:
                stream.feed_log_probs(piece)
            else:
                stream.feed(piece[None])
        return stream.result
    together = torch.cat(list(frames))[None]
    lengths = torch.tensor([together.shape[1]], device=device)
    if ctc:
        return beam_ctc(together, lengths, beam)[0][0]
    return beam_rnnt(model, together, lengths, beam, max_symbols)[0][0]
