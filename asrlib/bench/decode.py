"""Compare the speed of greedy and beam search with torchaudio's on the same encoder output. Lesson 11.

``asrlib bench decode`` calls `bench_decode`. The network is ContextNet-S with random weights, which needs the
same arithmetic as a trained one. The duration of a search depends on the number of labels that it emits. So
`_like_a_trained_one` makes the joint network confident and sensitive to the encoder, and sets the bias of
blank to get some 40 labels in 10 s, as with word pieces of English speech.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from asrlib.bench.measure import PATIENCE_S, describe_machine, optional_module, timed
from asrlib.config.parse import load_config, override
from asrlib.data.audio import cut_audio
from asrlib.data.corpora import clips
from asrlib.decoding.beam import BeamOptions, beam_rnnt
from asrlib.decoding.greedy import greedy_rnnt
from asrlib.models.build import build_model
from asrlib.models.transducer import Transducer
from asrlib.recognizer import Recognizer
from asrlib.signal.features import FrontEnd
from asrlib.signal.resample import resample

SECONDS, UTTERANCES, LABELS = 10.0, 100, 40
MAX_SYMBOLS = 5
# torchaudio's search at beam 5 is timed on this many utterances and scaled to all
FEW = 10
THEIRS, OURS = "torchaudio RNNTBeamSearch, beam {}", "asrlib beam_rnnt, batched, beam {}"
GREEDY = "asrlib greedy_rnnt, batched"


class Row(NamedTuple):
    """One row of the table: seconds for all utterances, and the mean number of labels per utterance."""

    name: str
    seconds: float
    labels: float


def bench_decode(*, repeats: int = 3, quick: bool = False) -> list[Row]:
    """Print a table of searches and return its rows.

    The columns are seconds for all utterances, the speed relative to torchaudio's beam 1, the real-time
    factor including the encoder, and labels per utterance. Times are medians of ``repeats`` runs; a search
    that takes more than 10 s runs once. ``quick`` decodes 4 utterances of 1 s with a small network.

    torchaudio's beam of 1 is not greedy search: it takes a label if label *and* following blank are more
    probable than blank alone. With a trained, confident network the transcripts are mostly the same. The
    last line says for how many of the shipped clips they are with the digit recognizer's transducer. With
    random weights they differ.
    """
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    count, seconds, few = (4, 1.0, 2) if quick else (UTTERANCES, SECONDS, FEW)
    model, front_end = _model(quick)
    with torch.no_grad():
        waveforms, samples = _signals(count, int(seconds * front_end.sample_rate))
        _like_a_trained_one(model, front_end, waveforms[:8], samples[:8], LABELS * seconds / SECONDS)
        seconds_of: dict[str, float] = {}
        with timed(seconds_of, "encoder"):
            chunks = [front_end(w, n) for w, n in zip(waveforms.split(10), samples.split(10), strict=True)]
            encoded = [model.encoder(*chunk) for chunk in chunks]
        encoder_out, lengths = (torch.cat(parts) for parts in zip(*encoded, strict=True))
        found = {
            name: _timed(search, few if name == THEIRS.format(5) else count, count, repeats)
            for name, search in _searches(model, encoder_out, lengths).items()
        }
    reference = found.get(THEIRS.format(1))
    print(describe_machine("cpu"))
    print(f"{count} utterances of {seconds:g} s; at most {MAX_SYMBOLS} labels per frame")
    print(f"features and encoder, in batches of 10: {seconds_of['encoder']:.2f} s")
    print(f"{'search':42}{'s':>8}{'faster':>9}{'RTF':>9}{'labels':>9}")
    rows = []
    for name, (taken, texts) in found.items():
        rows.append(Row(name, taken, sum(map(len, texts)) / len(texts)))
        faster = "-" if reference is None else f"{reference[0] / taken:.1f}x"
        factor = (seconds_of["encoder"] + taken) / (count * seconds)
        print(f"{name:42}{taken:8.2f}{faster:>9}{factor:9.4f}{rows[-1].labels:9.1f}")
    if reference is not None:
        print(f"{THEIRS.format(5)}: {few} utterances, times {count // few}")
        alike, of = _agreement()
        print(
            f"digit recognizer's transducer, greedy_rnnt and torchaudio's beam 1: {alike} of {of} clips alike"
        )
    return rows


def _agreement() -> tuple[int, int]:
    """Return the number of clips for which torchaudio's beam 1 and greedy search agree, and of all clips."""
    recognizer = Recognizer.load()
    alike, cuts = 0, clips()
    with torch.no_grad():
        for cut in cuts:
            wave = resample(
                torch.from_numpy(cut_audio(cut)), cut.sampling_rate, recognizer.front_end.sample_rate
            )
            features = recognizer.front_end(wave[None], torch.tensor([len(wave)]))
            searches = _searches(recognizer.model, *recognizer.model.encoder(*features))
            alike += searches[THEIRS.format(1)](1) == searches[GREEDY](1)
    return alike, len(cuts)


def _model(quick: bool) -> tuple[Transducer, FrontEnd]:
    toy = ["encoder.alpha=0.1", "prediction.units=32", "joint.dim=32", "tokenizer.vocabulary=50"]
    config = override(load_config("contextnet-s"), toy if quick else [])
    return build_model(config).eval(), FrontEnd(**vars(config.features))


def _signals(count: int, samples: int) -> tuple[Tensor, Tensor]:
    """Return noise modulated about four times per second, like syllables, and its lengths in samples."""
    second = torch.arange(samples) / 16000
    swell = torch.sin(2 * torch.pi * (3 + 2 * torch.rand(count, 1)) * second) + 1.1
    return 0.05 * swell * torch.randn(count, samples), torch.full((count,), samples)


def _like_a_trained_one(
    model: Transducer, front_end: FrontEnd, waveforms: Tensor, samples: Tensor, labels: float
) -> None:
    """Make ``model`` decode like a trained one, in place.

    Batch norms take their statistics from the signals. Scores become sharper and depend more on the encoder
    than on the prediction network. The bias of blank is chosen so that an utterance has about ``labels``
    labels.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 1.0  # use the statistics of this batch only
    features = front_end(waveforms, samples)
    model.encoder.train()(*features)
    encoder_out, lengths = model.encoder.eval()(*features)
    linear = model.joint.encoder_linear
    linear.weight.mul_(30)
    linear.bias.sub_(linear(encoder_out).mean((0, 1)))
    model.joint.output.weight.mul_(16)
    low, high = 0.0, 60.0
    for _ in range(10):
        model.joint.output.bias[model.blank] = (low + high) / 2
        found = greedy_rnnt(model, encoder_out, lengths, MAX_SYMBOLS)
        if sum(len(path.labels) for path in found) > labels * len(found):
            low = (low + high) / 2
        else:
            high = (low + high) / 2


def _searches(
    model: Transducer, encoder_out: Tensor, lengths: Tensor
) -> dict[str, Callable[[int], list[list[int]]]]:
    """Return the searches by name, as functions from a number of utterances to their labels."""
    searches = {}
    models = optional_module("torchaudio.models")
    if models is not None:
        # sort by score alone: the default divides by length at every frame, which adds labels at beam 1
        search = models.RNNTBeamSearch(
            ForTorchaudio(model),
            model.joint.output.out_features - 1,
            hypo_sort_key=lambda hypothesis: hypothesis[3],
            step_max_tokens=MAX_SYMBOLS,
        )

        def theirs(width: int, count: int) -> list[list[int]]:
            best = [search(encoder_out[i], lengths[i], width)[0] for i in range(count)]
            return [[token + 1 for token in tokens[1:]] for tokens, *_ in best]

        searches[THEIRS.format(1)] = partial(theirs, 1)

    def ours(width: int, count: int) -> list[list[int]]:
        found = beam_rnnt(
            model, encoder_out[:count], lengths[:count], BeamOptions(width, norm_score=False), MAX_SYMBOLS
        )
        return [paths[0].labels for paths in found]

    def greedy(count: int) -> list[list[int]]:
        return [path.labels for path in greedy_rnnt(model, encoder_out[:count], lengths[:count], MAX_SYMBOLS)]

    searches[GREEDY] = greedy
    searches[OURS.format(1)] = partial(ours, 1)
    if models is not None:
        searches[THEIRS.format(5)] = partial(theirs, 5)
    searches[OURS.format(5)] = partial(ours, 5)
    return searches


def _timed(
    search: Callable[[int], list[list[int]]], count: int, of: int, repeats: int
) -> tuple[float, list[list[int]]]:
    """Return median seconds, scaled from ``count`` utterances to all ``of`` them, and the labels found."""
    search(1)  # warm up
    taken: list[float] = []
    seconds: dict[str, float] = {}
    for turn in range(repeats):
        if turn and taken[0] > PATIENCE_S:
            break
        with timed(seconds, "search"):
            found = search(count)
        taken.append(seconds["search"] * of / count)
    return statistics.median(taken), found


class ForTorchaudio(nn.Module):
    """A transducer with the interface that ``torchaudio.models.RNNTBeamSearch`` calls.

    Its input is encoder output. Blank is the last label instead of label 0, so label l becomes l - 1.
    """

    def __init__(self, model: Transducer):
        super().__init__()
        self.model = model

    def transcribe(self, encoder_out: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the input, which is encoder output already."""
        return encoder_out, lengths

    def predict(
        self, tokens: Tensor, lengths: Tensor, state: list[list[Tensor]] | None
    ) -> tuple[Tensor, Tensor, list[list[Tensor]]]:
        """Return the prediction network's output, (batch, 1, D_pred), the lengths, and the new state."""
        # torchaudio's states have the batch axis first
        ours = None if state is None else tuple(part.transpose(0, 1) for part in state[0])
        V = self.model.joint.output.out_features
        out, after = self.model.prediction.step((tokens[:, 0] + 1) % V, ours)
        return out[:, None], lengths, [[part.transpose(0, 1) for part in after]]

    def join(
        self, encoder_out: Tensor, lengths: Tensor, prediction_out: Tensor, prediction_lengths: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scores, (batch, T, U, V) with blank last, and both lengths."""
        scores = self.model.joint(encoder_out[:, :, None], prediction_out[:, None])
        return scores.roll(-1, dims=-1), lengths, prediction_lengths
