"""Speed of greedy and beam search beside torchaudio's search, on the same encoder output (Lesson 11).

`asrlib bench decode` calls `bench_decode`. The network is ContextNet-S with random weights: its arithmetic
is that of a trained one. So that it decodes like one, the joint network is made sensitive to the encoder and
sure of itself (`_like_a_trained_one`), and blank is favoured until some 40 labels come out of 10 s, as
word pieces of English speech do; how long a search takes depends on how much it has to say.
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
# torchaudio's search at beam 5 is timed on the first of the utterances, and scaled to all
FEW = 10
THEIRS, OURS = "torchaudio RNNTBeamSearch, beam {}", "asrlib beam_rnnt, batched, beam {}"
GREEDY = "asrlib greedy_rnnt, batched"


class Row(NamedTuple):
    """A line of the table: the time for all utterances, and the labels found in one, on average."""

    name: str
    seconds: float
    labels: float


def bench_decode(*, repeats: int = 3, quick: bool = False) -> list[Row]:
    """Print seconds for all utterances, how many times faster than torchaudio's beam 1, the real-time
    factor with the encoder's time (seconds of computing for a second of speech), and how many
    labels each search finds. Medians of ``repeats``; one run only of what takes more than 10 s.
    ``quick`` decodes 4 utterances of 1 s with a small network.

    torchaudio's beam of 1 is not greedy search: it takes a label if label *and* blank behind it are
    more probable than blank alone. Of a trained network, which is sure of itself, the
    transcripts are mostly the same: the last line says of how many of the clips that come with the
    kit, decoded by the digit recogniser's transducer. Those of random weights are not.
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
    print(f"{count} utterances of {seconds:g} s; at most {MAX_SYMBOLS} labels a frame")
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
            f"digit recogniser's transducer, greedy_rnnt and torchaudio's beam 1: {alike} of {of} clips alike"
        )
    return rows


def _agreement() -> tuple[int, int]:
    """Return for how many clips, of how many, torchaudio's beam 1 finds the labels of greedy search."""
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
    """Return noise that swells some four times per second, as syllables do, and its lengths in samples."""
    second = torch.arange(samples) / 16000
    swell = torch.sin(2 * torch.pi * (3 + 2 * torch.rand(count, 1)) * second) + 1.1
    return 0.05 * swell * torch.randn(count, samples), torch.full((count,), samples)


def _like_a_trained_one(
    model: Transducer, front_end: FrontEnd, waveforms: Tensor, samples: Tensor, labels: float
) -> None:
    """Make ``model`` decode as if it were trained, in place.

    Batch norms take their statistics from the signals; scores become sharper and depend more on the encoder
    than on the prediction network; the bias of blank is the one with which an utterance has about ``labels``
    labels.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 1.0  # this batch's statistics, none from before
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
    """Return name -> function of a number of utterances that returns their labels."""
    searches = {}
    models = optional_module("torchaudio.models")
    if models is not None:
        # by score alone: its default also divides by length at every frame, which at beam 1 adds labels
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
    search(1)  # once in the small first
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
    """A transducer as ``torchaudio.models.RNNTBeamSearch`` calls one: what it is given is encoder
    output already, and blank is the last label instead of ours (label l becomes l - 1, for blank 0).
    """

    def __init__(self, model: Transducer):
        super().__init__()
        self.model = model

    def transcribe(self, encoder_out: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return encoder_out, lengths

    def predict(
        self, tokens: Tensor, lengths: Tensor, state: list[list[Tensor]] | None
    ) -> tuple[Tensor, Tensor, list[list[Tensor]]]:
        # torchaudio's states have the batch first
        ours = None if state is None else tuple(part.transpose(0, 1) for part in state[0])
        V = self.model.joint.output.out_features
        out, after = self.model.prediction.step((tokens[:, 0] + 1) % V, ours)
        return out[:, None], lengths, [[part.transpose(0, 1) for part in after]]

    def join(
        self, encoder_out: Tensor, lengths: Tensor, prediction_out: Tensor, prediction_lengths: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        scores = self.model.joint(encoder_out[:, :, None], prediction_out[:, None])
        return scores.roll(-1, dims=-1), lengths, prediction_lengths
