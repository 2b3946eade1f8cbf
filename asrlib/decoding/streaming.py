"""Speech recognized while it is spoken: every stage carries on where the last chunk left it.

A network can stream if no output depends on the future: features that are not normalized
over the utterance, causal convolutions, causal squeeze-and-excitation (lesson 03). Then what
has to be carried from chunk to chunk is small, and the result is exactly the offline one:

===============================  =====================================================
resampling                       the few input samples that the next outputs still need
pre-emphasis, framing            the last sample; the samples of unfinished windows
running mean (features, SE)      sum and number of frames
convolution of kernel k          its last k - 1 input frames
convolution of stride s          the input frames seen, modulo s
CTC                              the label of the last frame
transducer                       output and state of the prediction network
===============================  =====================================================

Lesson 12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from asrlib.decoding.greedy import collapse_frames, resume_greedy_rnnt, start_of_text
from asrlib.decoding.hypothesis import Hypothesis, SearchResult
from asrlib.errors import InputError
from asrlib.models.contextnet import Block, ContextNetEncoder
from asrlib.models.layers.conv import PointwiseConv, SeparableConv, output_length
from asrlib.models.transducer import Transducer
from asrlib.signal.features import FrontEnd, running_mean
from asrlib.signal.streaming import StreamingFrontEnd, StreamingResampler, mono_chunk


class Stream:
    """One utterance, however long, in chunks of any size: ``feed`` each of them, then ``finish``.

    Made by ``Recognizer.stream``, of parts that do not need the future. The hypotheses are those of
    ``Recognizer.transcribe`` on all samples so far. ``hypothesis`` writes a search's result as text;
    ``sample_rate`` is that of the samples to come, in Hz, the front end's own if None.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        encoder: ContextNetEncoder,
        search: StreamingCTC | StreamingTransducer,
        hypothesis: Callable[[SearchResult], Hypothesis],
        sample_rate: int | None = None,
    ):
        self._resampler = StreamingResampler(sample_rate or front_end.sample_rate, front_end.sample_rate)
        self._front_end = StreamingFrontEnd(front_end)
        self._encoder = StreamingEncoder(encoder)
        self._search, self._write = search, hypothesis
        self._hypothesis = hypothesis(search.result)
        self._finished = False

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency in milliseconds: at most this long after a sound began, a whole
        window of it has gone through the encoder.

        An encoder frame is put out every ``reduction`` hops, as soon as its newest window is
        complete. A sound that begins right after the start of one encoder frame's newest
        window waits ``reduction`` hops for the start of the next one's, and then
        that window's length. Causal convolutions add nothing. Resampling adds its
        filter's half width, below 1 ms. On top come the length of the chunks, the time that
        computing takes, and how long the network has learned to wait before it is sure.
        """
        front_end, reduction = self._front_end.front_end, self._encoder.encoder.reduction
        samples = reduction * front_end.hop + front_end.window
        return 1000 * (samples / front_end.sample_rate + self._resampler.delay_seconds)

    def feed(self, samples: Any) -> Hypothesis:
        """Return the hypothesis so far; ``samples`` are mono, in [-1, 1], any number of them.

        Raises ``InputError`` for several channels, and for samples after ``finish``.
        """
        chunk = mono_chunk(samples)
        if self._finished:
            raise InputError("this stream is finished: call Recognizer.stream() for the next utterance")
        device = self._front_end.front_end.taper.device
        return self._advance(self._front_end.feed(self._resampler.feed(chunk.to(device))))

    def finish(self) -> Hypothesis:
        """Return the final hypothesis: no samples follow."""
        if not self._finished:
            rest = self._front_end.feed(self._resampler.finish())
            self._advance(torch.cat([rest, self._front_end.finish()]))
            self._finished = True
        return self._hypothesis

    @torch.no_grad()
    def _advance(self, features: Float[Tensor, "frames mels"]) -> Hypothesis:
        encoder_out = self._encoder.feed(features[None])
        if encoder_out.shape[1]:
            self._search.feed(encoder_out)
            self._hypothesis = self._write(self._search.result)
        return self._hypothesis


class StreamingCTC:
    """``greedy_ctc`` chunk by chunk; ``result`` is that of all frames so far."""

    def __init__(self, model: Transducer):
        self.model, self.result, self.frames = model, SearchResult(), 0
        self.previous = model.blank

    def feed(self, encoder_out: Float[Tensor, "1 frames D_enc"]) -> None:
        """Search the frames that follow."""
        scores, labels = self.model.ctc_head(encoder_out[0]).float().log_softmax(-1).max(-1)
        found = collapse_frames(scores.tolist(), labels.tolist(), self.previous, self.model.blank)
        self.result.extend(found, self.frames)
        self.previous, self.frames = int(labels[-1]), self.frames + len(labels)


class StreamingTransducer:
    """``greedy_rnnt`` chunk by chunk; ``result`` is that of all frames so far."""

    @torch.no_grad()
    def __init__(self, model: Transducer, max_symbols: int, device: torch.device | str = "cpu"):
        self.model, self.result, self.frames = model, SearchResult(), 0
        self.max_symbols, self.prediction = max_symbols, start_of_text(model, 1, device)

    def feed(self, encoder_out: Float[Tensor, "1 frames D_enc"]) -> None:
        """Search the frames that follow."""
        count = encoder_out.shape[1]
        lengths = torch.tensor([count], device=encoder_out.device)
        (found,), self.prediction = resume_greedy_rnnt(
            self.model, encoder_out, lengths, self.prediction, self.max_symbols
        )
        self.result.extend(found, self.frames)
        self.frames += count


class StreamingEncoder:
    """``ContextNetEncoder`` chunk by chunk; a frame comes out with the input frame that completes it."""

    def __init__(self, encoder: ContextNetEncoder, batch: int = 1):
        self.encoder, self.state, self.seen = encoder, first_state(encoder, batch), 0

    def feed(self, features: Float[Tensor, "batch frames mels"]) -> Float[Tensor, "batch frames_out D_enc"]:
        out, self.state = encoder_step(self.encoder, features, self.state, self.seen % self.encoder.reduction)
        self.seen += features.shape[1]
        return out


def first_state(encoder: ContextNetEncoder, batch: int = 1) -> list[Tensor]:
    """What ``encoder_step`` carries, before the first frame. For every block: the last kernel - 1
    input frames of each of its convolutions; sum and number of the frames that its
    squeeze-and-excitation has seen; the shortcut's last input frames.
    """
    state = []
    for block in encoder.blocks:
        convolutions = [layer.conv for layer in block.layers]
        state += [_no_frames_before(conv, batch) for conv in convolutions]
        if block.se is not None:
            total = block.se.down.weight.new_zeros(batch, 1, block.channels, dtype=torch.float64)
            state += [total, total.new_zeros(())]
        if isinstance(block.shortcut, SeparableConv):
            state.append(_no_frames_before(block.shortcut, batch))
    return state


def encoder_step(
    encoder: ContextNetEncoder,
    features: Float[Tensor, "batch frames mels"],
    state: list[Tensor],
    phase: int = 0,
) -> tuple[Float[Tensor, "batch frames_out D_enc"], list[Tensor]]:
    """The encoder frames that further feature frames, any number of them, complete; and the state after them.

    Encoder frame n needs the feature frames up to n · reduction. ``phase`` is how many
    frames came before, modulo ``reduction``: always 0 if all chunks are multiples of it.
    """
    before, after, x = iter(state), [], features
    for block in encoder.blocks:
        x = _block_step(block, x, before, after, phase)
        phase = output_length(phase, block.stride)
    return x, after


def _block_step(block: Block, x: Tensor, before: Iterator[Tensor], after: list[Tensor], phase: int) -> Tensor:
    """``Block.forward`` on further frames; takes its state from ``before``, adds the new one to ``after``."""
    y, inner_phase = x, phase
    for layer in block.layers:
        y = layer.activation(_norm(layer.norm, _conv_step(layer.conv, y, before, after, inner_phase)))
        inner_phase = output_length(inner_phase, layer.conv.stride)
    if block.se is not None:
        mean, *sums = running_mean(y, next(before), next(before))
        after += sums
        se = block.se
        y = y * se.gate(se.up(se.activation(se.down(mean))))
    shortcut = None
    if block.shortcut is not None:
        if isinstance(block.shortcut, PointwiseConv):
            shortcut = block.shortcut.linear(x[:, -phase % block.stride :: block.stride])
        else:
            shortcut = _conv_step(block.shortcut, x, before, after, phase)
        shortcut = _norm(block.shortcut_norm, shortcut)
    return block.end(y, shortcut)


def _conv_step(
    conv: SeparableConv, x: Tensor, before: Iterator[Tensor], after: list[Tensor], phase: int
) -> Tensor:
    channels, kernel = conv.depthwise.shape
    joined = torch.cat([next(before), x], dim=1)
    after.append(joined[:, joined.shape[1] - kernel + 1 :])
    due = joined[:, -phase % conv.stride :]  # the next output frame is that of input frame -phase % stride
    if due.shape[1] < kernel:
        return x.new_zeros(x.shape[0], 0, conv.pointwise.out_features)
    out = F.conv1d(due.mT, conv.depthwise[:, None], stride=conv.stride, groups=channels)
    return conv.pointwise(out.mT)


def _no_frames_before(conv: SeparableConv, batch: int) -> Tensor:
    channels, kernel = conv.depthwise.shape
    return conv.depthwise.new_zeros(batch, kernel - 1, channels)


def _norm(norm: nn.Module, x: Tensor) -> Tensor:
    return norm(x, None) if x.shape[1] else x
