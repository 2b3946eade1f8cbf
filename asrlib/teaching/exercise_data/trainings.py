"""Small trainings to look at and to plan, for assignments 09 and 10."""

from __future__ import annotations

from functools import lru_cache

import torch

from asrlib.teaching.exercise_data.draws import integer, normal, number


def noisy_training(rates: list[float]) -> float:
    """Return how far above the lowest possible loss a linear regression ends (assignment 09).

    It is trained with one of these learning rates per step, on two noisy examples per step, with 12 features
    of sizes between 1 and 0.03. The result is the mean of four trainings from zero, and infinite if they
    diverge.
    """
    size = torch.logspace(0, -1.5, 12, dtype=torch.float64).sqrt()
    ends = []
    for seed in range(4):
        g = torch.Generator().manual_seed(seed)
        right = normal(g, 12) / size
        x = normal(g, len(rates), 2, 12) * size
        y = x @ right + normal(g, len(rates), 2)
        w = torch.zeros_like(right)
        for rate, some, wanted in zip(rates, x, y, strict=True):
            w = w - rate * some.T @ (some @ w - wanted) / 2
        ends.append(float(((w - right) * size).square().sum()))
    value = sum(ends) / 4
    return value if value < 1e6 else float("inf")


ILLNESSES = ("fine", "rate too low", "rate too high", "overfitting", "wrong labels", "nan")


@lru_cache
def training_runs(seed: int, each: int = 4) -> list[tuple[str, list[float], list[float]]]:
    """Train a small classifier ``each`` times with every one of ``ILLNESSES`` (assignment 10).

    Returns, in random order, (illness, training loss at 200 steps, dev loss after every tenth step), in nats.
    """
    g = torch.Generator().manual_seed(seed)
    runs = [(illness, *_training_run(illness, g)) for illness in ILLNESSES for _ in range(each)]
    return [runs[n] for n in torch.randperm(len(runs), generator=g).tolist()]


def _training_run(illness: str, g: torch.Generator) -> tuple[list[float], list[float]]:
    classes, dims, units, steps = integer(g, 5, 10), 16, 48, 200
    centres = number(g, 0.7, 1) * torch.randn(classes, dims, generator=g)
    count = integer(g, 40, 70) if illness in ("overfitting", "wrong labels") else 3000
    labels = torch.randint(0, classes, (count + 500,), generator=g)
    inputs = centres[labels] + torch.randn(count + 500, dims, generator=g)
    x, y, dev = inputs[:count], labels[:count], (inputs[count:], labels[count:])
    if illness == "wrong labels":
        y = y.roll(1)
    if illness == "overfitting":  # a few labels are wrong, as in every small corpus
        y = torch.where(torch.rand(count, generator=g) < 0.15, y.roll(1), y)
    rate = number(g, *{"rate too low": (2e-4, 1e-3), "rate too high": (15, 40)}.get(illness, (0.15, 0.4)))
    broken = integer(g, 20, steps - 1) if illness == "nan" else -1
    hidden = torch.randn(dims, units, generator=g) / dims**0.5
    top = torch.randn(units, classes, generator=g) / units**0.5
    weights = [w.requires_grad_() for w in (hidden, torch.zeros(units), top, torch.zeros(classes))]

    def loss_of(x, y):
        inside = torch.tanh(x @ weights[0] + weights[1])
        return torch.nn.functional.cross_entropy(inside @ weights[2] + weights[3], y)

    losses, dev_losses = [], []
    for step in range(steps):
        some = torch.randint(0, count, (16,), generator=g)
        loss = loss_of(x[some] / (step != broken), y[some])  # broken: divided by a level of 0
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= rate * gradient
            losses.append(float(loss))
            if step % 10 == 9:
                dev_losses.append(float(loss_of(*dev)))
    return losses, dev_losses
