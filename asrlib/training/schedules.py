"""Learning-rate schedules as pure functions of the step, so that a resumed run continues them. Lesson 09."""

from __future__ import annotations

import math

from asrlib.config.schema import TrainingConfig


def transformer_schedule(
    step: int, width: int, warmup_steps: int, max_lr: float, factor: float = 1.0
) -> float:
    """Return the learning rate of the transformer's schedule, capped at ``max_lr``.

    With s = step + 1 (``step`` counts from 0) it is
    min(max_lr, factor · width^-0.5 · min(s^-0.5, s · warmup_steps^-1.5)): Vaswani et al. 2017, section 5.3,
    with TensorFlowASR's cap. Lesson 10 shows a run in which the cap has no effect: width 640 and 15,000
    warm-up steps peak at 3.23e-4, below the configured 2.5e-3.
    """
    s = step + 1
    return min(max_lr, factor * width**-0.5 * min(s**-0.5, s * max(warmup_steps, 1) ** -1.5))


def inverse_sqrt_schedule(step: int, warmup_steps: int, max_lr: float) -> float:
    """Return the learning rate of the transformer's schedule scaled to a peak of exactly ``max_lr``.

    With s = step + 1 (``step`` counts from 0) it is
    max_lr · min(s / warmup_steps, sqrt(warmup_steps / s)) (ContextNet, section 3.1: 0.0025 after 15,000
    steps).
    """
    s, warmup = step + 1, max(warmup_steps, 1)
    return max_lr * min(s / warmup, (warmup / s) ** 0.5)


def one_cycle_schedule(step: int, warmup_steps: int, total_steps: int, max_lr: float) -> float:
    """Return the learning rate of the one-cycle schedule (Smith 2018); ``step`` counts from 0.

    It rises linearly to ``max_lr`` over ``warmup_steps``, then falls along half a cosine to zero at
    ``total_steps``.
    """
    if step < warmup_steps:
        return max_lr * (step + 1) / warmup_steps
    progress = min((step - warmup_steps) / max(total_steps - warmup_steps, 1), 1.0)
    return max_lr * 0.5 * (1 + math.cos(math.pi * progress))


def learning_rate(config: TrainingConfig, step: int, total_steps: int, width: int) -> float:
    """Return the learning rate of the configured schedule at ``step``, which counts from 0.

    ``width`` is used by the ``transformer`` schedule unless ``schedule_width`` is configured.
    """
    if config.schedule == "one_cycle":
        return one_cycle_schedule(step, config.warmup_steps, total_steps, config.max_lr)
    if config.schedule == "inverse_sqrt":
        return inverse_sqrt_schedule(step, config.warmup_steps, config.max_lr)
    width = config.schedule_width or width
    return transformer_schedule(step, width, config.warmup_steps, config.max_lr, config.schedule_factor)
