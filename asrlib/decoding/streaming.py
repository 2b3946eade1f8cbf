"""Streaming recognition: every stage keeps the state it needs from one chunk to the next.

A model can stream if no output depends on the future: its features are not normalized over the
utterance, and its convolutions and squeeze-and-excitation are causal (lesson 03). The state
carried from chunk to chunk is then small, and the result is exactly the offline one:

===============================  =====================================================
resampling                       the few input samples that the next outputs need
pre-emphasis, framing            the last sample; the samples of incomplete windows
running mean (features, SE)      sum and number of frames
convolution of kernel k          its last k - 1 input frames
convolution of stride s          the number of input frames seen, modulo s
CTC                              the label of the last frame
transducer                       output and state of the prediction network
===============================  =====================================================

Lesson 12.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from asrlib.decoding.greedy import collapse_frames, resume_greedy_rnnt, start_of_text
from asrlib.decoding.hypothesis import Hypothesis, SearchResult
from asrlib.errors import InputError
from asrlib.models.encoder import Encoder
from asrlib.models.transducer import Transducer
from asrlib.signal.features import FrontEnd
from asrlib.signal.resample import check_rate
from asrlib.signal.streaming import StreamingFrontEnd, StreamingResampler, mono_chunk


class Stream:
    """Recognition of one utterance in chunks of any size: call ``feed`` for each chunk, then ``finish``.

    ``Recognizer.stream`` creates streams. A hypothesis equals that of ``Recognizer.transcribe`` on all
    samples so far; with ``features.tail_ms``, only that of ``finish`` does. ``hypothesis`` converts a search
    result to text. ``sample_rate`` is the rate of the samples in Hz; None is the front end's own. ``encoder``
    must be able to stream.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        encoder: Encoder,
        search: StreamingCTC | StreamingTransducer,
        hypothesis: Callable[[SearchResult], Hypothesis],
        sample_rate: int | None = None,
    ):
        rate = front_end.sample_rate if sample_rate is None else check_rate(sample_rate)
        self._resampler = StreamingResampler(rate, front_end.sample_rate)
        self._front_end = StreamingFrontEnd(front_end)
        self._encoder = StreamingEncoder(encoder)
        self._search, self._write = search, hypothesis
        self._hypothesis = hypothesis(search.result)
        self._finished = False

    @property
    def latency_ms(self) -> float:
        """Return the algorithmic latency in milliseconds.

        This is the longest time from the start of a sound until a full window of it has passed
        through the encoder. The encoder emits a frame every ``reduction`` hops, as soon as the newest
        window of that frame is complete. A sound that begins right after the start of a newest window
        waits ``reduction`` hops for the start of the next one, and then for the length of that window.
        Causal convolutions add nothing. Resampling adds half the width of its filter, below 1 ms.
        Chunk length, computing time and the delay that the network has learned are not included.
        """
        front_end, reduction = self._front_end.front_end, self._encoder.encoder.reduction
        samples = reduction * front_end.hop + front_end.window
        return 1000 * (samples / front_end.sample_rate + self._resampler.delay_seconds)

    def feed(self, samples: Any) -> Hypothesis:
        """Process the next samples and return the hypothesis so far.

        ``samples`` is a mono array or tensor of any length, with values in [-1, 1]. Raises
        ``InputError`` for more than one channel, for NaN or infinite samples, and after ``finish``.
        """
        chunk = mono_chunk(samples)
        if self._finished:
            raise InputError("this stream is finished: call Recognizer.stream() for the next utterance")
        device = self._front_end.front_end.taper.device
        return self._advance(self._front_end.feed(self._resampler.feed(chunk.to(device))))

    def finish(self) -> Hypothesis:
        """End the utterance and return the final hypothesis."""
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
    """``greedy_ctc`` on a stream; ``result`` covers all frames so far."""

    def __init__(self, model: Transducer):
        self.model, self.result, self.frames = model, SearchResult(), 0
        self.previous = model.blank

    def feed(self, encoder_out: Float[Tensor, "1 frames D_enc"]) -> None:
        """Search the frames that follow and extend ``result``."""
        self.feed_log_probs(self.model.ctc_head(encoder_out[0]).float().log_softmax(-1))

    def feed_log_probs(self, log_probs: Float[Tensor, "frames V"]) -> None:
        """Take the log-probabilities of the next frames, in place of ``feed``."""
        scores, labels = log_probs.max(-1)
        found = collapse_frames(scores.tolist(), labels.tolist(), self.previous, self.model.blank)
        self.result.extend(found, self.frames)
        self.previous, self.frames = int(labels[-1]), self.frames + len(labels)


class StreamingTransducer:
    """``greedy_rnnt`` on a stream; ``result`` covers all frames so far."""

    @torch.no_grad()
    def __init__(self, model: Transducer, max_symbols: int, device: torch.device | str = "cpu"):
        self.model, self.result, self.frames = model, SearchResult(), 0
        self.max_symbols, self.prediction = max_symbols, start_of_text(model, 1, device)

    def feed(self, encoder_out: Float[Tensor, "1 frames D_enc"]) -> None:
        """Search the frames that follow and extend ``result``."""
        count = encoder_out.shape[1]
        lengths = torch.tensor([count], device=encoder_out.device)
        (found,), self.prediction = resume_greedy_rnnt(
            self.model, encoder_out, lengths, self.prediction, self.max_symbols
        )
        self.result.extend(found, self.frames)
        self.frames += count


class StreamingEncoder:
    """An ``Encoder`` on a stream; it emits a frame as soon as the last input frame it needs arrives."""

    def __init__(self, encoder: Encoder, batch: int = 1):
        self.encoder, self.state, self.seen = encoder, encoder.initial_state(batch), 0

    def feed(self, features: Float[Tensor, "batch frames mels"]) -> Float[Tensor, "batch frames_out D_enc"]:
        """Encode the frames that follow and return the output frames that are complete."""
        out, self.state = self.encoder.step(features, self.state, self.seen % self.encoder.reduction)
        self.seen += features.shape[1]
        return out
