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
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor

from asrlib.decoding.greedy import Path, collapse, resume_greedy_rnnt, start_of_text
from asrlib.errors import InputError
from asrlib.models.encoder import Encoder
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
    features, decoding = config.features, config.decoding
    if features.normalize_signal:
        found.append("features.normalize_signal is true (use false)")
    if features.normalize not in ("none", "running"):
        found.append(f"features.normalize is {features.normalize} (use none or running)")
    found += recognizer.model.encoder.streaming_obstacles()
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
    """An ``Encoder`` chunk by chunk; a frame comes out with the input frame that completes it."""

    def __init__(self, encoder: Encoder, batch: int = 1):
        self.encoder, self.state, self.seen = encoder, encoder.initial_state(batch), 0

    def feed(self, features: Float[Tensor, "batch frames mels"]) -> Float[Tensor, "batch frames_out D_enc"]:
        out, self.state = self.encoder.step(features, self.state, self.seen % self.encoder.reduction)
        self.seen += features.shape[1]
        return out


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
