"""Train a transducer's prediction network on texts alone, as a language model, before it hears speech.

Without the encoder, the joint network gives P(next label | labels so far). That is what a language model
learns from text, of which there is more than of speech (Rao, Sak & Prabhavalkar 2017, arXiv 1801.00841). A
CTC head has no part that could learn it. Lesson 07.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import islice

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from asrlib.errors import InputError
from asrlib.models.transducer import Transducer
from asrlib.training.schedules import one_cycle_schedule

HELD_OUT = 500  # texts whose perplexity is reported


def train_prediction(
    model: Transducer,
    texts: Sequence[Sequence[int]],
    steps: int = 1000,
    batch: int = 64,
    max_lr: float = 4e-3,
    seed: int = 0,
) -> float:
    """Train prediction and joint network of ``model``, in place, to predict each label of ``texts``.

    ``texts`` are label numbers (``Tokenizer.encode``). The last ``HELD_OUT`` of them, or a tenth if that is
    less, are held out. The weights of the encoder and of the joint network's encoder side do not change.

    Returns the perplexity per label on the texts held out. Raises ``InputError`` for a model without a
    transducer, and if there are fewer than two texts.
    """
    if model.prediction is None or model.joint is None:
        raise InputError("the model has no prediction network to train on texts: it is a pure CTC model")
    if len(texts) < 2:
        raise InputError(f"there are {len(texts)} texts to train a prediction network on; give at least 2")
    held_out = min(HELD_OUT, max(1, len(texts) // 10))
    known, unseen = list(texts[:-held_out]), list(texts[-held_out:])
    joint = model.joint
    parts = model.prediction, joint.prediction_linear, joint.post_linear, joint.output
    weights = [weight for part in parts for weight in part.parameters()]
    optimizer = torch.optim.Adam(weights, betas=(0.9, 0.98))
    draw = random.Random(seed)
    torch.manual_seed(seed)
    usual = [weight.requires_grad for weight in weights]
    for weight in weights:  # training with CTC alone turns it off
        weight.requires_grad_(True)
    model.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = one_cycle_schedule(step, steps // 10, steps, max_lr)
        loss, labels = _cross_entropy(model, draw.choices(known, k=batch))
        optimizer.zero_grad()
        (loss / labels).backward()
        torch.nn.utils.clip_grad_norm_(weights, 5.0)
        optimizer.step()
    for weight, needed in zip(weights, usual, strict=True):
        weight.requires_grad_(needed)
    model.eval()
    return _perplexity(model, unseen, batch)


@torch.no_grad()
def _perplexity(model: Transducer, texts: list[Sequence[int]], batch: int) -> float:
    remaining = iter(texts)
    total, labels = torch.zeros(()), 0
    while part := list(islice(remaining, batch)):
        loss, count = _cross_entropy(model, part)
        total, labels = total + loss, labels + count
    return float((total / labels).exp())


def _cross_entropy(model: Transducer, texts: list[Sequence[int]]) -> tuple[Float[Tensor, ""], int]:
    """Return -ln P(labels) summed over the texts, without blank and encoder, and the number of labels."""
    assert model.prediction is not None and model.joint is not None
    lengths = torch.tensor([len(text) for text in texts])
    targets = torch.zeros(len(texts), int(lengths.max()), dtype=torch.long)
    for row, text in zip(targets, texts, strict=True):
        row[: len(text)] = torch.tensor(text, dtype=torch.long)
    outputs = model.prediction(targets)[:, :-1]  # after the last label, only blank can follow
    nothing = outputs.new_zeros(1, 1, model.encoder.dim)
    scores = model.joint(nothing, outputs)
    scores[..., model.blank] = -torch.inf
    inside = torch.arange(targets.shape[1]) < lengths[:, None]
    return F.cross_entropy(scores[inside], targets[inside], reduction="sum"), int(lengths.sum())
