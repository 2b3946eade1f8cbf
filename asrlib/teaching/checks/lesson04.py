"""Checkers of assignment 04: ContextNet."""

from __future__ import annotations

import math

import torch

from asrlib.models.contextnet import Block, BlockConfig, ContextNetEncoder, standard_blocks
from asrlib.models.layers.batch_norm import MaskedBatchNorm
from asrlib.models.parameters import count_parameters
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, normal

LESSON = "lesson 04, "


def _frames(frames, strides):
    step = math.prod(strides)
    return [math.ceil(frames / step), step]


def draw_strides(g):
    return integer(g, 0, 3000), [integer(g, 1, 2) for _ in range(integer(g, 0, 6))]


@task("04.encoder_frames", LESSON + "'2 · Twenty-three of them'", _frames, draw_strides)
def encoder_frames(ask: Examiner):
    ask(1000, [1, 2, 1, 2, 2]).equals(
        [125, 8],
        "three halvings make one frame of eight",
        {"steps multiply, they do not add": [125, 9], "the step first; frames, then step": [8, 125]},
    )
    ask(2972, [2, 2, 2]).equals(
        [372, 8],
        suspects={
            "rounded down: the last frames are lost": [371, 8],
            "a fraction; there are whole frames only, rounded up": [371.5, 8],
        },
    )
    ask(7, []).equals([7, 1], "without a block nothing changes")


def _count(c, d, layers, residual, alpha):
    with torch.device("meta"):
        block = Block(c, BlockConfig(d, layers=layers, residual=residual), alpha, "paper", 1)
    return list(count_parameters(block))


def draw_block(g):
    return (
        integer(g, 1, 60),
        integer(g, 8, 90),
        integer(g, 1, 4),
        bool(integer(g, 0, 1)),
        integer(g, 2, 8) / 4,
    )


@task("04.count_block", "lesson 04b, '1 · Counting to the last parameter'", _count, draw_block)
def count_block(ask: Examiner):
    trained, running = _count(80, 256, 1, False, 0.5)
    ask(80, 256, 1, False, 0.5).equals(
        [trained, running],
        suspects={
            "α is not used": _count(80, 256, 1, False, 1.0),
            "α scales the width that comes in, too; it has been scaled before": _count(
                40, 256, 1, False, 0.5
            ),
            "both numbers count the running statistics": [trained + running, running],
            "batch norm's gain and bias are trained, and missing": [trained - 256, running],
            "batch norm has two running statistics a channel": [trained, 128],
            "squeeze-and-excitation is missing": [trained - 4240, running],
            "squeeze-and-excitation's biases are missing": [trained - 144, running],
            "the depthwise half has no bias": [trained + 80, running],
            "the pointwise half's bias is missing": [trained - 128, running],
            "TensorFlowASR's block, which has one more convolution": _tensorflowasr(80, 256, 1, False, 0.5),
        },
    )
    trained, running = _count(128, 256, 5, True, 0.5)
    ask(128, 256, 5, True, 0.5).equals(
        [trained, running],
        suspects={
            "all layers but the first read the block's own width": _count(128, 256, 5, False, 0.5),
            "the shortcut's batch norm is missing": [trained - 256, running - 256],
            "the shortcut's batch norm has a gain and a bias, too": [trained - 256, running],
            "the shortcut's bias is missing": [trained - 128, running],
            "the shortcut's batch norm has running statistics, too": [trained, running - 256],
            "the shortcut is pointwise: it has no depthwise half": [trained + 640, running],
            "TensorFlowASR's block; the paper's is asked for": _tensorflowasr(128, 256, 5, True, 0.5),
        },
    )
    trained, running = _count(100, 256, 2, True, 0.3)  # from 100 to 76 channels
    ask(100, 256, 2, True, 0.3).equals(
        [trained, running],
        "widths are cut to whole numbers",
        {
            "layers behind the first read the block's own width, not the one that comes in": [
                trained + (100 - 76) * (5 + 76),
                running,
            ]
        },
    )
    ask(4, 8, 1, False, 0.5).equals(_count(4, 8, 1, False, 0.5), "the bottleneck is at least 1")


def _tensorflowasr(c, d, layers, residual, alpha):
    with torch.device("meta"):
        block = Block(c, BlockConfig(d, layers=layers, residual=residual), alpha, "tensorflowasr", 1)
    return list(count_parameters(block))


def _norm(x, mask, gain, bias):
    norm = MaskedBatchNorm(x.shape[2]).double()
    with torch.no_grad():
        norm.weight.copy_(gain)
        norm.bias.copy_(bias)
        if mask.sum() > 1:
            return norm(x, mask)
        # PyTorch refuses one frame: its variance is 0
        return bias.expand_as(x) * mask[..., None]


def draw_norm(g):
    B, T, C = integer(g, 1, 3), integer(g, 1, 5), integer(g, 1, 3)
    mask = torch.arange(T) < torch.tensor([[integer(g, 1, T)] for _ in range(B)])
    return 2 * normal(g, B, T, C) + 1, mask, normal(g, C), normal(g, C)


@task("04.norm", LESSON + "'1 · The block' and lesson 02, '8 · Batches'", _norm, draw_norm)
def norm(ask: Examiner):
    g = torch.Generator().manual_seed(1)
    x, gain, bias = 2 * normal(g, 2, 4, 3) + 1, normal(g, 3), normal(g, 3)
    whole = torch.ones(2, 4, dtype=torch.bool)
    expected = _norm(x, whole, gain, bias)
    centred = x - x.mean((0, 1))
    variance = x.var((0, 1), correction=0)
    each = x - x.mean(1, keepdim=True)
    ask(x, whole, gain, bias).equals(
        expected,
        suspects={
            "each utterance by itself; the mean is over all frames of the batch": each
            / (x.var(1, correction=0, keepdim=True) + 1e-3).sqrt()
            * gain
            + bias,
            "each frame by itself, over channels: that is layer norm": (x - x.mean(2, keepdim=True))
            / (x.var(2, correction=0, keepdim=True) + 1e-3).sqrt()
            * gain
            + bias,
            "divided by the variance; by its root is wanted": centred / (variance + 1e-3) * gain + bias,
            "the variance over one frame less": centred / (x.var((0, 1)) + 1e-3).sqrt() * gain + bias,
            "1e-3 is missing inside the root": centred / variance.sqrt() * gain + bias,
            "1e-3 is added to the root; it belongs inside": centred / (variance.sqrt() + 1e-3) * gain + bias,
            "gain and bias are missing": centred / (variance + 1e-3).sqrt(),
            "gain and bias are exchanged": centred / (variance + 1e-3).sqrt() * bias + gain,
        },
    )
    mask = torch.arange(4) < torch.tensor([[4], [2]])
    right = _norm(x, mask, gain, bias)
    real = x[mask]
    unmasked = (x - real.mean(0)) / (real.var(0, correction=0) + 1e-3).sqrt() * gain + bias
    ask(x, mask, gain, bias).equals(
        right,
        suspects={
            "the padding counts in mean and variance": expected * mask[..., None],
            "the padding counts in mean and variance, and is not set to 0": expected,
            "the padding must come out as 0": unmasked,
        },
    )
    same = torch.full((1, 3, 2), 4.0, dtype=torch.float64)
    ask(same, whole[:1, :3], gain[:2], bias[:2]).equals(
        bias[:2].expand(1, 3, 2), "a channel that never changes: 1e-3, inside the root, keeps 0 / 0 away"
    )


def _end(y, x, gates, weight, bias, stride):
    return torch.nn.functional.silu(y * gates + torch.nn.functional.linear(x[::stride], weight, bias))


def draw_end(g):
    T, stride, C, D = integer(g, 1, 7), integer(g, 1, 3), integer(g, 1, 3), integer(g, 1, 3)
    y = normal(g, -(-T // stride), D)
    return y, normal(g, T, C), torch.rand(D, generator=g).double(), normal(g, D, C), normal(g, D), stride


@task("04.end_block", LESSON + "'1 · The block'", _end, draw_end)
def end_block(ask: Examiner):
    g = torch.Generator().manual_seed(2)
    y, x, weight, bias = normal(g, 4, 2), normal(g, 4, 2), normal(g, 2, 2), normal(g, 2)
    gates = torch.tensor([0.2, 0.9], dtype=torch.float64)
    swish = torch.nn.functional.silu
    shortcut = x @ weight.T + bias
    ask(y, x, gates, weight, bias, 1).equals(
        swish(y * gates + shortcut),
        suspects={
            "swish before the addition; it comes after": swish(y * gates) + shortcut,
            "no activation": y * gates + shortcut,
            "relu; swish is wanted": torch.relu(y * gates + shortcut),
            "a sigmoid; swish is x · sigmoid(x)": torch.sigmoid(y * gates + shortcut),
            "the gates multiply the shortcut, too": swish((y + shortcut) * gates),
            "the gates are not used": swish(y + shortcut),
            "the gates are added; they multiply": swish(y + gates + shortcut),
            "the shortcut's bias is missing": swish(y * gates + x @ weight.T),
            "the weight is (outputs, inputs): its transpose is needed": swish(y * gates + x @ weight + bias),
            "without the shortcut": swish(y * gates),
            "the plain input; the shortcut is a convolution": swish(y * gates + x),
        },
    )
    longer = normal(g, 7, 2)
    ask(y, longer, gates, weight, bias, 2).equals(
        _end(y, longer, gates, weight, bias, 2),
        "with a stride, the shortcut takes every second frame from the first",
    )


def _size(alpha, blocks, mels, chained=True):
    c, total = mels, 0
    for filters, layers, residual in blocks:
        d = int(filters * alpha)
        b = max(d // 8, 1)
        separable = 5 * c + (c + 1) * d + (layers - 1) * (5 + d + 1) * d
        total += (
            separable + 4 * d * (layers + bool(residual)) + (2 * d + 1) * b + d + bool(residual) * (c + 1) * d
        )
        c = d if chained else c
    return total


def _alpha(budget, blocks, mels):
    fits = [h / 100 for h in range(1, 401) if _size(h / 100, blocks, mels) <= budget]
    return max(fits, default=None)


PAPER = [(b.filters, b.layers, b.residual) for b in standard_blocks()]


def draw_budget(g):
    blocks = [
        (integer(g, 100, 300), integer(g, 1, 3), bool(integer(g, 0, 1))) for _ in range(integer(g, 1, 4))
    ]
    return integer(g, 500, 300_000), blocks, integer(g, 1, 80)


@task("04.largest_alpha", LESSON + "'3 · α: one knob for the size', and lesson 04b", _alpha, draw_budget)
def largest_alpha(ask: Examiner):
    with torch.device("meta"):
        small = sum(count_parameters(ContextNetEncoder(80, standard_blocks(), 0.5, "paper")))
    got = ask(small, PAPER, 80)
    got.equals(
        0.5,
        suspects={
            "just too small: a network of exactly the budget fits": 0.49,
            "in hundredths; α itself is wanted": 50,
            "each block reads what the one before it puts out, not the mel bins": max(
                h / 100 for h in range(1, 401) if _size(h / 100, PAPER, 80, chained=False) <= small
            ),
            "the size of that network; α is wanted": small,
        },
    )
    if got.longer_than(2):
        raise ask.because(f"right, but it took {got.seconds:.1f} s; two will do. Count, do not build")
    ask(small - 1, PAPER, 80).equals(
        0.49, "one number too many does not fit; batch norm's running statistics count among them"
    )
    narrow = [(100, 1, False)]
    ask(_size(0.1, narrow, 4), narrow, 4).equals(
        0.1,
        "the bottleneck of a narrow block is one unit, max(d // 8, 1)",
        suspects={"hundredths that are added up drift: α is h / 100, for h = 1, 2, … 400": 0.11},
    )
    ask(10**12, PAPER, 80).equals(4.0, "4.00 is the largest α that is tried, and it is tried")
    ask(100, PAPER, 80).equals(None, "not even 0.01 fits: None")
