"""Speech recognised while it is spoken: every stage carries on where the last chunk left it.

A network can stream if no output depends on the future: features that are not normalised
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

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor, nn

from asrlib.decoding.greedy import Path, collapse, resume_greedy_rnnt, start_of_text
from asrlib.errors import InputError
from asrlib.models.contextnet import Block, ContextNetEncoder
from asrlib.models.layers.conv import PointwiseConv, SeparableConv, output_length
from asrlib.signal.features import FrontEnd, preemphasize, running_mean

if TYPE_CHECKING:
    from asrlib.recognizer import Hypothesis, Recognizer


class Stream:
    """One utterance, however long, in chunks of any size: ``feed`` each of them, then ``finish``.

    Made by ``Recognizer.stream``. Greedy search; the hypotheses are those of
    ``Recognizer.transcribe`` on all samples so far. Raises ``InputError`` for a model that
    needs the future, naming the keys of its configuration that make it so.
    """

    def __init__(self, recognizer: Recognizer, sample_rate: int | None = None):
        if found := obstacles(recognizer):
            raise InputError(f"this model cannot stream, it needs the whole utterance: {'; '.join(found)}")
        front_end, encoder = recognizer.front_end, recognizer.model.encoder
        self.recognizer = recognizer
        self._resampler = StreamingResampler(sample_rate or front_end.sample_rate, front_end.sample_rate)
        self._front_end = StreamingFrontEnd(front_end)
        self._encoder = StreamingEncoder(encoder)
        self._search = (_StreamingCTC if recognizer.uses_ctc else _StreamingTransducer)(recognizer)
        self._hypothesis = recognizer._hypothesis(self._search.path)
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
        """What is heard up to here; ``samples`` are mono, in [-1, 1], as many as there are."""
        chunk = torch.as_tensor(np.asarray(samples, dtype=np.float32))
        if chunk.dim() != 1:
            raise InputError(f"audio has shape {tuple(chunk.shape)}; expected one row of mono samples")
        if self._finished:
            raise InputError("this stream is finished: call Recognizer.stream() for the next utterance")
        return self._advance(self._front_end.feed(self._resampler.feed(chunk.to(self.recognizer.device))))

    def finish(self) -> Hypothesis:
        """What was heard, nothing more being to come."""
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
            self._hypothesis = self.recognizer._hypothesis(self._search.path)
        return self._hypothesis


def obstacles(recognizer: Recognizer) -> list[str]:
    """The keys of its configuration because of which it needs the future, each with its value."""
    config, found = recognizer.config, []
    features, encoder, decoding = config.features, config.encoder, config.decoding
    if features.normalize_signal:
        found.append("features.normalize_signal is true (use false)")
    if features.normalize not in ("none", "running"):
        found.append(f"features.normalize is {features.normalize} (use none or running)")
    sections = {f"encoder.blocks[{i}]": block for i, block in enumerate(encoder.blocks or [])}
    for name, section in (sections or {"encoder": encoder}).items():
        if section.kernel > 1 and section.padding != "causal":
            found.append(f"{name}.padding is {section.padding} (use causal)")
        if section.se not in ("none", "causal"):
            found.append(f"{name}.se is {section.se} (use causal or none)")
    if decoding.warps is not None:
        found.append("decoding.warps is set (use null)")
    if recognizer.uses_ctc and recognizer.members:
        found.append(f"{', '.join(recognizer.members)} listens along (clear recognizer.members)")
    if decoding.beam_width:
        found.append(f"decoding.beam_width is {decoding.beam_width} (use 0: streams are searched greedily)")
    return found


class StreamingResampler:
    """``torchaudio.functional.resample`` with its defaults, chunk by chunk."""

    def __init__(self, rate: int, new_rate: int):
        shared = math.gcd(rate, new_rate)
        self.rate, self.new_rate = rate, new_rate
        self.old, self.new = rate // shared, new_rate // shared
        # input samples on either side of an output sample that it depends on: six zero crossings
        # of a sinc at 0.99 of the lower rate, which are torchaudio's defaults
        self.reach = 0 if rate == new_rate else math.ceil(6 * self.old / (0.99 * min(self.old, self.new)))
        self.buffer = torch.zeros(0)
        self.dropped = 0  # input samples, in whole periods, that no output needs any more
        self.given = 0  # output samples

    @property
    def delay_seconds(self) -> float:
        return self.reach / self.rate

    def feed(self, samples: Float[Tensor, "n"]) -> Float[Tensor, "m"]:
        """All output samples that do not depend on input still to come."""
        if not self.reach:
            return samples
        self.buffer = torch.cat([self.buffer.to(samples.device), samples])
        known = self.dropped + len(self.buffer) - self.reach  # input samples with all they need
        return self._give(max(0, (known - 1) * self.new // self.old + 1 if known > 0 else 0))

    def finish(self) -> Float[Tensor, "m"]:
        """The rest; behind the end there is silence."""
        return self._give(-(-(self.dropped + len(self.buffer)) * self.new // self.old))

    def _give(self, until: int) -> Tensor:
        """Output samples up to number ``until``."""
        if until <= self.given:
            return self.buffer[:0]
        start = self.dropped // self.old * self.new
        resampled = torchaudio.functional.resample(self.buffer, self.old, self.new)
        out = resampled[self.given - start : until - start]
        self.given = until
        # the input sample from which the next output is made, in whole periods
        periods = max(0, (until * self.old // self.new - self.reach) // self.old) - self.dropped // self.old
        if periods > 0:
            self.buffer = self.buffer[periods * self.old :]
            self.dropped += periods * self.old
        return out


class StreamingFrontEnd:
    """``FrontEnd`` chunk by chunk: each window as soon as it is complete."""

    def __init__(self, front_end: FrontEnd):
        self.front_end = front_end
        self.last: Tensor | None = None
        self.buffer = front_end.taper.new_zeros(0)
        self.sums: tuple[Tensor, ...] = ()
        self.frames = 0

    def feed(self, samples: Float[Tensor, "n"]) -> Float[Tensor, "frames mels"]:
        if not len(samples):
            return self._features(self.buffer[:0])
        joined = samples if self.last is None else torch.cat([self.last, samples])
        emphasised = preemphasize(joined, self.front_end.preemphasis)
        self.buffer = torch.cat([self.buffer, emphasised[len(joined) - len(samples) :]])
        self.last = samples[-1:]
        return self._features(self.buffer)

    def finish(self) -> Float[Tensor, "frames mels"]:
        """An utterance shorter than a window is one frame; else nothing is left."""
        if self.frames or not len(self.buffer):
            return self._features(self.buffer[:0])
        return self._features(F.pad(self.buffer, (0, self.front_end.window - len(self.buffer))))

    def _features(self, samples: Tensor) -> Tensor:
        window, hop = self.front_end.window, self.front_end.hop
        if len(samples) < window:
            return self.front_end.filters.new_zeros(0, self.front_end.filters.shape[1])
        frames = samples.unfold(0, window, hop)
        self.buffer = samples[len(frames) * hop :]
        self.frames += len(frames)
        features = self.front_end.log_mels(frames[None])
        if self.front_end.normalize == "running":
            mean, *self.sums = running_mean(features, *self.sums)
            features = features - mean
        return features[0]


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


class _StreamingCTC:
    """``greedy_ctc`` of frames as they come."""

    def __init__(self, recognizer: Recognizer):
        self.model, self.path, self.frames = recognizer.model, Path(), 0
        self.previous = self.model.blank

    def feed(self, encoder_out: Tensor) -> None:
        scores, labels = self.model.ctc_head(encoder_out[0]).float().log_softmax(-1).max(-1)
        _append(
            self.path,
            collapse(scores.tolist(), labels.tolist(), self.previous, self.model.blank),
            self.frames,
        )
        self.previous, self.frames = int(labels[-1]), self.frames + len(labels)


class _StreamingTransducer:
    """``greedy_rnnt`` of frames as they come."""

    def __init__(self, recognizer: Recognizer):
        self.model, self.path, self.frames = recognizer.model, Path(), 0
        self.max_symbols = recognizer.config.decoding.max_symbols
        with torch.no_grad():
            self.spoken = start_of_text(self.model, 1, recognizer.device)

    def feed(self, encoder_out: Tensor) -> None:
        count = encoder_out.shape[1]
        lengths = torch.tensor([count], device=encoder_out.device)
        found, self.spoken = resume_greedy_rnnt(
            self.model, encoder_out, lengths, self.spoken, self.max_symbols
        )
        _append(self.path, found[0], self.frames)
        self.frames += count


def _append(path: Path, more: Path, frames_before: int) -> None:
    path.labels += more.labels
    path.frames += [frames_before + frame for frame in more.frames]
    path.log_probs += more.log_probs
    path.score += more.score
