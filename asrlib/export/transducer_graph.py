"""A transducer as plain tensor operations: single steps of its networks, and greedy search as a loop.

Lesson 12b.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrlib.export.graph import SignalToFrames
from asrlib.models.transducer import Transducer


class TransducerFrames(nn.Module):
    """Maps a signal, (samples,), to the encoder's part of the joint network, (T, D_joint).

    Also returns how many of the T frames are within ``length``, (1,).
    """

    def __init__(self, frames: SignalToFrames, joint: nn.Module):
        super().__init__()
        self.frames, self.linear = frames, joint.encoder_linear

    def forward(self, signal: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoder's part of the joint network, and the number of valid frames."""
        encoder_out, count = self.frames(signal, length)
        return self.linear(encoder_out[0]), count.int()


class _StepLSTM(nn.LSTM):
    """An LSTM for one label, (1, 1, D), as matrix products, which all runtimes support, also in 8 bits."""

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None):  # type: ignore[override]
        h, c = (_start(self, x), _start(self, x)) if state is None else state
        i, f, g, o = (_from_input(self, x) + _from_state(self, h)).chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)


class _StepGRU(nn.GRU):
    """A GRU for one label, (1, 1, D), as matrix products."""

    def forward(self, x: Tensor, h: Tensor | None = None):  # type: ignore[override]
        h = _start(self, x) if h is None else h
        reset, update, new = _from_input(self, x).chunk(3, dim=-1)
        reset_h, update_h, new_h = _from_state(self, h).chunk(3, dim=-1)
        kept = (update + update_h).sigmoid()
        h = (1 - kept) * (new + (reset + reset_h).sigmoid() * new_h).tanh() + kept * h
        return h, h


def _start(rnn: nn.RNNBase, x: Tensor) -> Tensor:
    return x.new_zeros(1, 1, rnn.hidden_size)


def _from_input(rnn: nn.RNNBase, x: Tensor) -> Tensor:
    return F.linear(x, rnn.weight_ih_l0, rnn.bias_ih_l0)


def _from_state(rnn: nn.RNNBase, h: Tensor) -> Tensor:
    return F.linear(h, rnn.weight_hh_l0, rnn.bias_hh_l0)


class Predict(nn.Module):
    """One step of the prediction network.

    Maps a label, (1,), and the state to the prediction network's part of the joint network, (1, D_joint),
    and the new state. ``start`` has the initial states, all zeros.
    """

    def __init__(self, model: Transducer):
        super().__init__()
        self.prediction, self.linear = copy.deepcopy(model.prediction), model.joint.prediction_linear
        for module in self.prediction.modules():
            if isinstance(module, nn.RNNBase):
                module.__class__ = _StepLSTM if isinstance(module, nn.LSTM) else _StepGRU
        _, state = self.prediction.step(torch.zeros(1, dtype=torch.long))
        self.start = [torch.zeros_like(tensor) for tensor in state]

    def forward(self, label: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Return the prediction network's part of the joint network, and the state after ``label``."""
        out, state = self.prediction.step(label.long(), state)
        return self.linear(out), *state


class Join(nn.Module):
    """The joint network at one (t, u).

    Maps the two parts, (1, D_joint) each, to the best label, its log-probability and the log-probability
    of blank, (1,) each.
    """

    def __init__(self, model: Transducer):
        super().__init__()
        self.joint, self.blank = model.joint, model.blank

    def forward(self, hidden: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the best label, its log-probability, and that of blank."""
        log_probs = self.joint.scores(hidden, predicted).log_softmax(-1)
        best, label = log_probs.max(-1)
        return label.int(), best, log_probs[:, self.blank]


class GreedyTransducer(nn.Module):
    """Greedy transducer search from signal to labels, as a loop in the graph.

    Returns ``tokens`` and ``log_probs``, both (T, max_symbols), and ``score``, (1,).
    """

    def __init__(self, frames: SignalToFrames, model: Transducer, max_symbols: int):
        super().__init__()
        self.frames, self.linear = frames, model.joint.encoder_linear
        self.predict, self.join = Predict(model), Join(model)
        self.max_symbols = max_symbols

    def forward(self, signal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return labels, log-probabilities and score of ``signal``."""
        hidden = self.linear(self.frames(signal)[0][0])
        count = torch.ones_like(hidden[:, 0]).sum(0, keepdim=True).int()
        columns = max(self.max_symbols, 2)  # torch.export refuses a loop over a dimension of 1
        symbols = torch.arange(columns, dtype=torch.int32)
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
        grid = torch.zeros_like(hidden[:, :1]).expand(-1, columns).clone()
        start = (zero, zero.clone(), grid.int(), grid, torch.zeros(1), zero.clone(), *self.predict.start)
        tokens, log_probs, score = torch.while_loop(unfinished, advance, start)[2:5]
        return tokens[:, : self.max_symbols], log_probs[:, : self.max_symbols], score
