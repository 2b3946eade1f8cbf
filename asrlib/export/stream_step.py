"""One step of a causal model, from one encoder frame to the next, as plain tensor operations.

Lesson 12.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrlib.export.graph import TracedFrontEnd
from asrlib.export.transducer_graph import Join, Predict
from asrlib.models.transducer import Transducer
from asrlib.signal.features import FrontEnd
from asrlib.signal.running import running_mean


class StreamStep(nn.Module):
    """One encoder frame of a causal model: maps samples and states to labels and states.

    ``signal`` is the ``overlap`` previous samples followed by ``chunk`` new ones, exactly enough for one
    more encoder frame. In the first step, the previous samples are a zero and the first samples of the
    utterance. Zeros follow the end of an utterance; a frame that began before the end does not depend on
    them. ``start`` has the initial states, all zeros. ``sums`` is the dtype of running sums.
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
        self._search_end = len(self.start)
        if front_end.normalize == "running":
            self.start += [torch.zeros(1, 1, front_end.filters.shape[1]), torch.zeros(())]
        self._sums_end = len(self.start)
        self.start += model.encoder.initial_state()
        # sums and frame counts of the running means
        counts = slice(self._search_end, self._sums_end)
        self.start[counts] = [x.to(sums) for x in self.start[counts]]
        self.start = [x.to(sums) if x.dtype == torch.float64 else x for x in self.start]

    def forward(self, signal: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Return labels, log-probabilities and score of one frame, and the states after it."""
        search, sums = state[: self._search_end], list(state[self._search_end : self._sums_end])
        emphasized = signal[1:] - self.front_end.settings.preemphasis * signal[:-1]
        features = self.front_end.log_mels(emphasized[None])
        if sums:
            mean, *sums = running_mean(features, *sums, memory=self.front_end.settings.running_memory)
            features = features - mean
        encoder_out, encoded = self.encoder.step(features, list(state[self._sums_end :]))
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
