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
        encoder: Encoder,
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
    """An ``Encoder`` chunk by chunk; a frame comes out with the input frame that completes it."""

    def __init__(self, encoder: Encoder, batch: int = 1):
        self.encoder, self.state, self.seen = encoder, encoder.initial_state(batch), 0

    def feed(self, features: Float[Tensor, "batch frames mels"]) -> Float[Tensor, "batch frames_out D_enc"]:
        out, self.state = self.encoder.step(features, self.state, self.seen % self.encoder.reduction)
        self.seen += features.shape[1]
        return out
