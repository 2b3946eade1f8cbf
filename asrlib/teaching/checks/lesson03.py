"""Checkers of assignment 03: squeeze-and-excitation."""

from __future__ import annotations

from functools import lru_cache

import torch

from asrlib.models.layers import se
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, normal

LESSON = "lesson 03, "


def draw_padded(g):
    """x (B, T, C) with anything in the padding, and its mask."""
    lengths = torch.tensor([integer(g, 1, 7) for _ in range(integer(g, 1, 3))])
    x = normal(g, len(lengths), int(lengths.max()) + integer(g, 0, 2), integer(g, 1, 3))
    return x, torch.arange(x.shape[1]) < lengths[:, None]


def example():
    x = normal(torch.Generator().manual_seed(1), 2, 5, 3)
    return x, torch.arange(5) < torch.tensor([[5], [3]])


def _squeeze(x, mask):
    return torch.stack([frames[real].mean(0) for frames, real in zip(x, mask, strict=True)])


@task("03.squeeze", LESSON + "'Masked'", _squeeze, draw_padded)
def squeeze(ask: Examiner):
    x, mask = example()
    masked = x * mask[..., None]
    ask(x, mask).equals(
        _squeeze(x, mask),
        suspects={
            "the mean over the padding, too: the mask is not used": x.mean(1),
            "the padding is zeroed, but still counted: divide by the real frames": masked.mean(1),
            "divided by the real frames, but the padding is in the sum": x.sum(1) / mask.sum(1)[:, None],
            "the sum, not the mean": masked.sum(1),
            "one mean for the whole batch": (masked.sum((0, 1)) / mask.sum()).expand(2, -1),
        },
    )


def _gates(mean, down, down_bias, up, up_bias, inside=torch.nn.functional.silu, out=torch.sigmoid):
    hidden = inside(torch.nn.functional.linear(mean, down, down_bias))
    return out(torch.nn.functional.linear(hidden, up, up_bias))


def draw_weights(g):
    C, inside = integer(g, 2, 6), integer(g, 1, 3)
    return (
        normal(g, integer(g, 1, 3), C),
        normal(g, inside, C),
        normal(g, inside),
        normal(g, C, inside),
        normal(g, C),
    )


@task("03.gates", LESSON + "'2 · Squeeze, excite, scale'", _gates, draw_weights)
def gates(ask: Examiner):
    args = draw_weights(torch.Generator().manual_seed(3))
    mean, down, down_bias, up, up_bias = args
    same = lambda x: x  # noqa: E731
    ask(*args).equals(
        _gates(*args),
        suspects={
            "no activation between the two layers: they are then one": _gates(*args, inside=same),
            "relu between the layers; swish is wanted": _gates(*args, inside=torch.relu),
            "a sigmoid between the layers; swish is x · sigmoid(x)": _gates(*args, inside=torch.sigmoid),
            "no sigmoid at the end: gates lie between 0 and 1": _gates(*args, out=same),
            "tanh at the end; sigmoid is wanted": _gates(*args, out=torch.tanh),
            "a softmax over the channels: gates do not compete": _gates(*args, out=lambda x: x.softmax(-1)),
            "the biases are missing": _gates(mean, down, 0 * down_bias, up, 0 * up_bias),
            "the first bias is missing": _gates(mean, down, 0 * down_bias, up, up_bias),
            "the second bias is missing": _gates(mean, down, down_bias, up, 0 * up_bias),
        },
    )


def _parameters(channels):
    return sum(p.numel() for p in se.SqueezeExcite(channels).parameters())


@task("03.parameters", LESSON + "'2 · Squeeze, excite, scale'", _parameters, lambda g: (integer(g, 8, 640),))
def parameters(ask: Examiner):
    ask(128).equals(
        4240,
        suspects={
            "the biases are missing": 4096,
            "the second layer's bias is missing: one a channel": 4112,
            "the first layer's bias is missing: one an inner unit": 4224,
            "one layer of the two": 2064,
            "without a bottleneck": 2 * (128 * 128 + 128),
        },
    )
    ask(100).equals(_parameters(100), "100 // 8 is 12: the bottleneck is rounded down")


def _causal(x, mask):
    rows = []
    for t in range(x.shape[1]):
        seen = mask & (torch.arange(x.shape[1]) <= t)
        rows.append(_squeeze(x, seen))
    return torch.stack(rows, 1)


@task("03.squeeze_causal", LESSON + "'3 · How far is \"the context\"?'", _causal, draw_padded)
def squeeze_causal(ask: Examiner):
    x, mask = example()
    whole = torch.ones_like(mask)
    expected = _causal(x, whole)
    shifted = torch.cat([0 * x[:, :1], expected[:, :-1]], 1)
    ask(x, whole).equals(
        expected,
        suspects={
            "the global mean, which knows the future": x.mean(1, keepdim=True).expand_as(x),
            "the running sum, not the mean": x.cumsum(1),
            "divided by all frames, not by those so far": x.cumsum(1) / 5,
            "frames 0 to t - 1: frame t counts, too": shifted,
            "frames t to the end, the future": _causal(x.flip(1), whole).flip(1),
            "summed over channels, not over time": x.cumsum(2) / torch.arange(1, 4),
            "summed over channels, and divided by frames": x.cumsum(2) / torch.arange(1, 6)[:, None],
            "divided by t, not by t + 1": x.cumsum(1) / torch.arange(5)[:, None],
        },
    )
    ask(x, mask).equals(
        _causal(x, mask),
        suspects={
            "the padding is in the mean": expected,
            "the padding is zeroed, but counted": (x * mask[..., None]).cumsum(1)
            / torch.arange(1, 6)[:, None],
        },
    )


def _window(x, mask, context):
    T = x.shape[1]
    t = torch.arange(T)
    rows = []
    for n in range(T):
        inside = mask & (t >= n - context // 2) & (t < n + (context + 1) // 2)
        rows.append((x * inside[..., None]).sum(1) / inside.sum(1).clamp(min=1)[:, None])
    return torch.stack(rows, 1)


def draw_window(g):
    x, _ = draw_padded(g)
    return x, torch.ones(x.shape[:2], dtype=torch.bool), integer(g, 1, 9)


@task("03.squeeze_window", LESSON + "'3 · How far is \"the context\"?'", _window, draw_window)
def squeeze_window(ask: Examiner):
    x, mask = example()
    whole = torch.ones_like(mask)
    from_end = torch.cat([0 * x[:, :1], _window(x, whole, 3)[:, 1:]], 1)
    ask(x, whole, 3).equals(
        _window(x, whole, 3),
        suspects={
            "divided by `context` at the ends, too: there the window is cut off": _window(x, whole, 3)
            * torch.tensor([2, 3, 3, 3, 2])[:, None]
            / 3,
            "the window lies before frame t; around it is wanted": _late(x, 3),
            "a frame short: frame t + (context + 1) // 2 - 1 counts, too": _late(x, 2),
            "where t - context // 2 is negative it counts from the end: cut it off at 0": from_end,
            "a window of context + 2 frames": _window(x, whole, 5),
            "the global mean: `context` is not used": x.mean(1, keepdim=True).expand_as(x),
            "the sum, not the mean": _window(x, whole, 3) * torch.tensor([2, 3, 3, 3, 2])[:, None],
        },
    )
    ask(x, whole, 4).equals(
        _window(x, whole, 4), "an even window: context // 2 frames before t, one less behind it"
    )
    ask(x, whole, 1).equals(x, "a window of one frame is the frame itself")
    ask(x, whole, 99).equals(
        _window(x, whole, 99), "a window wider than the utterance is the whole utterance"
    )
    got = torch.as_tensor(ask(x, mask, 3).value)
    expected = _window(x, mask, 3)
    if got.shape != expected.shape or not torch.allclose(got[mask].double(), expected[mask], atol=1e-6):
        raise ask.because("with padding behind an utterance, its frames are not what they are without")


def _late(x, context):
    rows = [x[:, max(0, t - context + 1) : t + 1].mean(1) for t in range(x.shape[1])]
    return torch.stack(rows, 1)


def _stream(chunks):
    if not chunks:
        return []
    x = torch.cat(chunks)
    means = x.cumsum(0) / torch.arange(1, len(x) + 1)[:, None]
    return list(means.split([len(chunk) for chunk in chunks]))


def draw_chunks(g):
    C = integer(g, 1, 3)
    return ([normal(g, integer(g, 0, 4), C) for _ in range(integer(g, 0, 5))],)


@task("03.squeeze_stream", LESSON + "'7 · Why it cannot stream'", _stream, draw_chunks, 30)
def squeeze_stream(ask: Examiner):
    g = torch.Generator().manual_seed(4)
    chunks = [normal(g, t, 2) for t in (3, 2, 4)]
    fresh = [_stream([chunk])[0] for chunk in chunks]
    ask(chunks).equals(
        _stream(chunks),
        suspects={
            "each chunk starts from nothing: sum and count must be carried on": fresh,
            "the sum of the chunks before is missing; only their count is carried on": [
                m * torch.arange(1, len(m) + 1)[:, None] / (n + torch.arange(1, len(m) + 1))[:, None]
                for m, n in zip(fresh, (0, 3, 5), strict=True)
            ],
            "one tensor; a list, a chunk each, is wanted": torch.cat(_stream(chunks)),
            "the mean of the chunk's end for all of its frames": [
                m[-1:].expand_as(m) for m in _stream(chunks)
            ],
        },
    )
    ask([chunks[0], chunks[0][:0], chunks[1]]).equals(
        _stream([chunks[0], chunks[0][:0], chunks[1]]), "a chunk of no frames must change nothing"
    )
    ask([]).equals([], "no chunks give no means")
    for size in (1, 7, 1000):
        parts = list(_features().split(size))
        ask(parts).equals(_stream(parts), f"a clip's features in chunks of {size}")
    many = [torch.ones(1, 32)] * 1000
    got = ask.count(many)
    got.equals(_stream(many), "1,000 chunks of one frame")
    advice = "a chunk costs more the later it comes. Keep the sum and the count, not the frames"
    got.does_at_most("1,000 chunks of one frame and 32 channels", advice, 50_000, 50_000, 2_000_000)


@lru_cache
def _features():
    from asrlib.data.audio import cut_audio
    from asrlib.data.corpora import clips
    from asrlib.signal.features import log_mel

    cut = next(c for c in clips() if c.id == "audio/digits-1.flac")
    return log_mel(torch.from_numpy(cut_audio(cut)), cut.sampling_rate, mels=8).double()
