"""What ``export`` writes down: a recogniser as modules of plain tensor operations.

Each is the same computation as its counterpart's, in a form that ONNX and TFLite can hold:
no Fourier transform but a convolution, no look at lengths to decide what to do, recurrent
networks as matrix products, states as inputs and outputs. One utterance at a time.

Lesson 12.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrlib.models.encoder import Encoder
from asrlib.models.layers.mask import frame_mask
from asrlib.models.transducer import Transducer
from asrlib.signal.features import FrontEnd, frame_count, preemphasize, running_mean, warp_filters


class TracedFrontEnd(nn.Module):
    """``FrontEnd`` as plain operations on tensors that both formats know, for one utterance.

    The taper and the Fourier transform are one convolution, whose kernels are tapered
    cosines and sines and which moves by a hop. ``length``, (1,), None: all of the signal.
    ``sums``: the type of running sums, for TFLite has no 64-bit ones.
    """

    def __init__(self, front_end: FrontEnd, warps: Sequence[float], sums: torch.dtype = torch.float64):
        super().__init__()
        self.settings, self.sums = front_end, sums
        sample = torch.arange(front_end.window, dtype=torch.float64)
        bin = torch.arange(front_end.fft_size // 2 + 1, dtype=torch.float64)
        angle = 2 * torch.pi * bin[:, None] * sample / front_end.fft_size
        waves = torch.cat([angle.cos(), -angle.sin()]) * front_end.taper.double()
        self.register_buffer("waves", waves.float()[:, None])
        filters = [
            front_end.filters if warp == 1 else warp_filters(front_end.filters, torch.tensor([warp]))[0]
            for warp in warps
        ]
        self.register_buffer("filters", torch.stack(filters))

    def log_mels(self, emphasised: Tensor) -> Tensor:
        """(1, samples) to (warps, frames, mels), before normalisation."""
        real, imaginary = F.conv1d(emphasised[:, None], self.waves, stride=self.settings.hop).chunk(2, dim=1)
        power = (real.square() + imaginary.square()).transpose(1, 2)
        return torch.log(power @ self.filters + self.settings.log_floor)

    def forward(self, signal: Tensor, length: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(samples,) to features (warps, frames, mels), and the number of frames within ``length``."""
        settings, signal = self.settings, signal[None]
        inside = 1 if length is None else frame_mask(length, signal.shape[1])
        if settings.normalize_signal:
            signal = signal / (signal * inside).abs().amax(1, keepdim=True).clamp(min=1e-9)
        features = self.log_mels(preemphasize(signal, settings.preemphasis) * inside)
        count = mask = None
        if length is not None:
            count = frame_count(length, settings.window, settings.hop)
            mask = frame_mask(count, features.shape[1])[..., None].float()
        if settings.normalize == "running":
            start = torch.zeros_like(features[:, :1], dtype=self.sums)
            features = features - running_mean(features, start)[0]
        elif settings.normalize != "none":
            dims = (1,) if settings.normalize == "bin" else (1, 2)
            mean = _mean(features, mask, dims)
            variance = _mean((features - mean).square(), mask, dims)
            features = (features - mean) / (variance.sqrt() + 1e-3)
        return features if mask is None else features * mask, count


class SignalToFrames(nn.Module):
    """Front end and encoder: (samples,) to (warps, T, D), and how many of the T frames lie
    within ``length`` (None: all of them).
    """

    def __init__(
        self,
        front_end: FrontEnd,
        encoder: Encoder,
        warps: Sequence[float],
        sums: torch.dtype = torch.float64,
    ):
        super().__init__()
        self.front_end, self.encoder = TracedFrontEnd(front_end, warps, sums), encoder

    def forward(self, signal: Tensor, length: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        features, count = self.front_end(signal, length)
        encoder_out, count_out = self.encoder(features, count)
        return encoder_out, None if count is None else count_out


def _mean(x: Tensor, mask: Tensor | None, dims: tuple[int, ...]) -> Tensor:
    if mask is None:
        return x.mean(dims, keepdim=True)
    count = mask.sum(1, keepdim=True) * (1 if dims == (1,) else x.shape[2])
    return (x * mask).sum(dims, keepdim=True) / count


class GreedyCTC(nn.Module):
    """Signal to labels by CTC heads, their log-probabilities averaged over warps and networks."""

    def __init__(self, frames: Sequence[SignalToFrames], heads: Sequence[nn.Module]):
        super().__init__()
        self.frames, self.heads = nn.ModuleList(frames), nn.ModuleList(heads)

    def forward(self, signal: Tensor, length: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        together = []
        for frames, head in zip(self.frames, self.heads, strict=True):
            encoder_out, count = frames(signal, length)
            together.append(head(encoder_out).log_softmax(-1).mean(0))
        log_probs = torch.stack(together).mean(0).log_softmax(-1)
        best, label = log_probs.max(-1)
        if count is not None:
            inside = frame_mask(count, label.shape[0])[0]
            best, label = best * inside, label * inside
        before = F.pad(label[:-1], (1, 0))
        emits = ((label != before) & (label != 0)).to(best.dtype)
        return (label * emits)[:, None].int(), (best * emits)[:, None], best.sum(0, keepdim=True)


class TransducerFrames(nn.Module):
    """Signal to the frames' part of the joint network, (T, D)."""

    def __init__(self, frames: SignalToFrames, joint: nn.Module):
        super().__init__()
        self.frames, self.linear = frames, joint.encoder_linear

    def forward(self, signal: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        encoder_out, count = self.frames(signal, length)
        return self.linear(encoder_out[0]), count.int()


class StepLSTM(nn.LSTM):
    """One label, (1, 1, D), as matrix products, which every runtime has and 8 bits fit."""

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None):  # type: ignore[override]
        h, c = (_start(self, x), _start(self, x)) if state is None else state
        i, f, g, o = (_heard(self, x) + _remembered(self, h)).chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)


class StepGRU(nn.GRU):
    """One label, (1, 1, D), as matrix products."""

    def forward(self, x: Tensor, h: Tensor | None = None):  # type: ignore[override]
        h = _start(self, x) if h is None else h
        reset, update, new = _heard(self, x).chunk(3, dim=-1)
        reset_h, update_h, new_h = _remembered(self, h).chunk(3, dim=-1)
        kept = (update + update_h).sigmoid()
        h = (1 - kept) * (new + (reset + reset_h).sigmoid() * new_h).tanh() + kept * h
        return h, h


def _start(rnn: nn.RNNBase, x: Tensor) -> Tensor:
    return x.new_zeros(1, 1, rnn.hidden_size)


def _heard(rnn: nn.RNNBase, x: Tensor) -> Tensor:
    return F.linear(x, rnn.weight_ih_l0, rnn.bias_ih_l0)


def _remembered(rnn: nn.RNNBase, h: Tensor) -> Tensor:
    return F.linear(h, rnn.weight_hh_l0, rnn.bias_hh_l0)


class Predict(nn.Module):
    """One more label, (1,), and the prediction network's state, to
    its part of the joint network (1, D) and the new state.
    """

    def __init__(self, model: Transducer):
        super().__init__()
        self.prediction, self.linear = copy.deepcopy(model.prediction), model.joint.prediction_linear
        for module in self.prediction.modules():
            if isinstance(module, nn.RNNBase):
                module.__class__ = StepLSTM if isinstance(module, nn.LSTM) else StepGRU
        _, state = self.prediction.step(torch.zeros(1, dtype=torch.long))
        self.start = [torch.zeros_like(tensor) for tensor in state]

    def forward(self, label: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        out, state = self.prediction.step(label.long(), state)
        return self.linear(out), *state


class Join(nn.Module):
    """The two parts of the joint network, (1, D) each, to the best label, its log probability
    and that of blank, (1,) each.
    """

    def __init__(self, model: Transducer):
        super().__init__()
        self.joint, self.blank = model.joint, model.blank

    def forward(self, hidden: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_probs = self.joint.scores(hidden, predicted).log_softmax(-1)
        best, label = log_probs.max(-1)
        return label.int(), best, log_probs[:, self.blank]


class GreedyTransducer(nn.Module):
    """Signal to labels, with the search as a loop in the graph."""

    def __init__(self, frames: SignalToFrames, model: Transducer, max_symbols: int):
        super().__init__()
        self.frames, self.linear = frames, model.joint.encoder_linear
        self.predict, self.join = Predict(model), Join(model)
        self.max_symbols = max_symbols

    def forward(self, signal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.linear(self.frames(signal)[0][0])
        count = torch.ones_like(hidden[:, 0]).sum(0, keepdim=True).int()
        symbols = torch.arange(self.max_symbols, dtype=torch.int32)
        position = torch.cumsum(torch.ones_like(hidden[:, :1]).int(), 0, dtype=torch.int32) - 1

        def unfinished(frame, *_):
            return (frame < count)[0]

        def advance(frame, emitted, tokens, log_probs, score, last, *state):
            predicted, *after = self.predict(last, *state)
            label, best, blank = self.join(hidden.index_select(0, frame), predicted)
            emits = (label != 0) & (emitted < self.max_symbols)
            here = (position == frame) & (symbols == emitted) & emits
            tokens = torch.where(here, label, tokens)
            log_probs = torch.where(here, best, log_probs)
            score = score + torch.where(emits, best, blank)
            kept = [torch.where(emits, n, o) for n, o in zip([label, *after], [last, *state], strict=True)]
            step = emits.int()
            return frame + 1 - step, (emitted + 1) * step, tokens, log_probs, score, *kept

        zero = torch.zeros(1, dtype=torch.int32)
        grid = torch.zeros_like(hidden[:, :1]).expand(-1, self.max_symbols).clone()
        start = (zero, zero.clone(), grid.int(), grid, torch.zeros(1), zero.clone(), *self.predict.start)
        return torch.while_loop(unfinished, advance, start)[2:5]


class StreamStep(nn.Module):
    """The next encoder frame of a causal model: samples and states to labels and states.

    ``signal`` are ``overlap`` samples that came before (the first time: a zero and the
    first samples of the utterance) and ``chunk`` new ones, so many that one more encoder
    frame can be made. Behind the end of an utterance come zeros: the frame that began inside
    it does not see them. The states begin as ``start``, zeros all of them.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        model: Transducer,
        ctc: bool,
        max_symbols: int,
        sums: torch.dtype = torch.float64,
    ):
        super().__init__()
        self.front_end, self.encoder = TracedFrontEnd(front_end, [1.0]), model.encoder
        self.chunk = front_end.hop * model.encoder.reduction
        self.overlap = 1 + front_end.window - front_end.hop
        self.start = [torch.zeros(1, dtype=torch.int32)]
        if ctc:
            self.head = model.ctc_head
        else:
            self.head, self.max_symbols = None, max_symbols
            self.linear, self.predict, self.join = model.joint.encoder_linear, Predict(model), Join(model)
            self.start += self.predict.start
        self.searched = len(self.start)
        if front_end.normalize == "running":
            self.start += [torch.zeros(1, 1, front_end.filters.shape[1]), torch.zeros(())]
        self.heard = len(self.start)
        self.start += model.encoder.initial_state()
        # sums and numbers of frames: what the running means are made of
        self.start[self.searched : self.heard] = [x.to(sums) for x in self.start[self.searched : self.heard]]
        self.start = [x.to(sums) if x.dtype == torch.float64 else x for x in self.start]

    def forward(self, signal: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        search, sums = state[: self.searched], list(state[self.searched : self.heard])
        emphasised = signal[1:] - self.front_end.settings.preemphasis * signal[:-1]
        features = self.front_end.log_mels(emphasised[None])
        if sums:
            mean, *sums = running_mean(features, *sums)
            features = features - mean
        encoder_out, encoded = self.encoder.step(features, list(state[self.heard :]))
        found, search = (self._transduce if self.head is None else self._collapse)(encoder_out[0], *search)
        return *found, *search, *sums, *encoded

    def _collapse(self, encoder_out: Tensor, last: Tensor) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        best, label = self.head(encoder_out).log_softmax(-1).max(-1)
        emits = ((label != last) & (label != 0)).to(best.dtype)
        return ((label * emits)[:, None].int(), (best * emits)[:, None], best), [label.int()]

    def _transduce(
        self, encoder_out: Tensor, last: Tensor, *state: Tensor
    ) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        hidden, carried = self.linear(encoder_out), [last, *state]
        active, score = torch.ones_like(last) > 0, torch.zeros(1)
        tokens, log_probs = [], []
        for symbol in range(self.max_symbols + 1):
            predicted, *after = self.predict(*carried)
            label, best, blank = self.join(hidden, predicted)
            emits = active & (label != 0) & (symbol < self.max_symbols)
            score = score + torch.where(emits, best, torch.where(active, blank, torch.zeros(1)))
            tokens.append(label * emits.int())
            log_probs.append(best * emits.to(best.dtype))
            carried = [torch.where(emits, n, o) for n, o in zip([label, *after], carried, strict=True)]
            active = emits
        tokens, log_probs = (torch.stack(x[:-1], dim=1) for x in (tokens, log_probs))
        return (tokens, log_probs, score), carried
