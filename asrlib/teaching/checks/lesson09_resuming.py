"""Checkers of assignment 09, train ContextNet: a training that is killed and resumed."""

from __future__ import annotations

import torch
from torch import nn

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import normal

LESSON = "lesson 09, "


def _steps(x, y, count, weights=None, velocity=None, step=0, place=0):
    """(weights, velocity) after ``count`` steps of torch's own SGD, the first of them number ``step``."""
    w = nn.Parameter(torch.zeros_like(x[0, 0]) if weights is None else weights.clone())
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9)
    if velocity is not None:
        optimizer.state[w]["momentum_buffer"] = velocity.clone()
    for n in range(count):
        optimizer.param_groups[0]["lr"] = 0.1 * min(1, (step + n + 1) / 8)
        batch = (place + n) % len(x)
        optimizer.zero_grad()
        (x[batch] @ w - y[batch]).square().mean().backward()
        optimizer.step()
    return w.detach(), optimizer.state[w]["momentum_buffer"]


def _weights(got):
    return got.entry("weights", 'a dictionary must be returned, with the weights under "weights"')


@task("09.train_steps", LESSON + "'Killed, and resumed'")
def train_steps(ask: Examiner):
    for first in (True, False):
        # in 32 bits, as torch.zeros gives the weights: products of two precisions are an error
        x, y = normal(ask.generator, 4, 3, 2).float(), normal(ask.generator, 4, 3).float()
        right = _steps(x, y, 5)[0]
        slow = _steps(x, y, 1)[0]
        if first:
            _weights(ask(None, x, y, 1)).equals(
                slow,
                suspects={
                    "the gradient of the sum; the loss is the mean over the batch's rows": 3 * slow,
                    "the gradient without its factor 2": slow / 2,
                    "uphill: the step goes against the gradient": -slow,
                    "no warm-up: the rate of step 0 is 0.1 / 8": 8 * slow,
                    "a rate of 0: the warm-up's first step has 1/8 of the rate": 0 * slow,
                },
            )
        plain = _steps(x, y, 1)[0]
        for n in range(1, 5):
            plain = _steps(x, y, 1, plain, None, n, n)[0]
        held = _steps(x[:1].expand(4, 3, 2), y[:1].expand(4, 3), 5)[0]
        _weights(ask(None, x, y, 5)).equals(
            right,
            suspects={
                "no momentum: velocity is 0.9 times itself plus the gradient": plain,
                "the first batch in every step: step n takes batch n, and begins again after the last": held,
            },
        )
        _resumed(ask, x, y, 6, 6)
    _resumed(ask, x, y, 3, 10)


def _resumed(ask, x, y, before, after):
    whole = _weights(ask(None, x, y, before + after)).equals(_steps(x, y, before + after)[0])
    half = ask(None, x, y, before).value
    w, v = _steps(x, y, before)
    lost = {
        "everything but the weights": (None, 0, 0),
        "the velocity (the optimiser's state)": (None, before, before),
        "the number of the step, so that the warm-up starts again": (v, 0, before),
        "the place in the data, so that the first batches come again": (v, before, 0),
        "the number of the step, on which both the warm-up and the place in the data depend": (v, 0, 0),
        "velocity and number of the step: only the place in the data goes on": (None, 0, before),
        "velocity and place in the data: only the warm-up goes on": (None, before, 0),
    }
    suspects = {f"resumed without {what}": _steps(x, y, after, w, *kept)[0] for what, kept in lost.items()}
    suspects |= {
        f"the result of {after} steps from the beginning: `state` is not used, or `steps` is taken for the"
        " number to stop at": _steps(x, y, after)[0],
    }
    got = _weights(ask(half, x, y, after))
    resumed = got.equals(_steps(x, y, before + after)[0], suspects=suspects)
    got.satisfies(
        torch.equal(torch.as_tensor(resumed), torch.as_tensor(whole)),
        f"bit for bit the weights of {before + after} steps without interruption",
        "nearly the same: is something rounded on its way through the state?",
    )
