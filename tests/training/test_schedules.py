"""Learning rates: values by hand, and the peak at which TensorFlowASR's run of 2023 stayed."""

import math

import pytest

from asrlib.config.parse import load_config
from asrlib.config.schema import TrainingConfig
from asrlib.training.schedules import (
    inverse_sqrt_schedule,
    learning_rate,
    one_cycle_schedule,
    transformer_schedule,
)


def peak(*arguments):
    rates = [transformer_schedule(step, *arguments) for step in range(0, 40000)]
    return max(rates), rates.index(max(rates))


def test_the_run_of_2023_never_reached_its_max_lr():
    highest, step = peak(640, 15000, 2.5e-3)
    assert highest == pytest.approx(3.23e-4, rel=1e-3)
    assert highest == pytest.approx(1 / math.sqrt(640 * 15000))
    assert step + 1 == 15000


def test_the_cap_binds_when_the_factor_is_large():
    highest, step = peak(640, 15000, 2.5e-3, 10.0)
    assert highest == 2.5e-3
    assert step < 15000
    assert peak(640, 15000, 1.0, 10.0)[0] == pytest.approx(3.23e-3, rel=1e-3)


def test_transformer_schedule_by_hand():
    """Width 4, warm-up 4: 0.5 · min(s^-0.5, s / 8)."""
    rates = [transformer_schedule(step, 4, 4, 1.0) for step in (0, 1, 3, 8, 15)]
    assert rates == pytest.approx([0.5 / 8, 0.5 / 4, 0.5 / 2, 0.5 / 3, 0.5 / 4])


def test_no_warm_up_starts_at_the_peak():
    assert transformer_schedule(0, 4, 0, 1.0) == 0.5
    assert transformer_schedule(3, 4, 0, 1.0) == 0.25
    assert one_cycle_schedule(0, 0, 10, 0.3) == pytest.approx(0.3)


def test_inverse_sqrt_by_hand():
    rates = [inverse_sqrt_schedule(step, 4, 0.8) for step in (0, 1, 3, 8, 15)]
    assert rates == pytest.approx([0.2, 0.4, 0.8, 0.8 * 2 / 3, 0.4])
    assert inverse_sqrt_schedule(0, 0, 0.3) == 0.3
    assert inverse_sqrt_schedule(3, 0, 0.3) == pytest.approx(0.15)


@pytest.mark.parametrize("name", ["contextnet-s", "contextnet-m", "contextnet-l"])
def test_the_papers_models_reach_its_peak_exactly(name):
    """0.0025 after 15,000 steps (section 3.1)."""
    config = load_config(name).training
    rates = [learning_rate(config, step, 100_000, 640) for step in range(0, 40_000)]
    assert max(rates) == 0.0025 == rates[14_999]
    assert rates[0] == pytest.approx(0.0025 / 15_000)


def test_the_configuration_knows_the_width_of_its_schedule():
    config = TrainingConfig(schedule="transformer", max_lr=1.0, warmup_steps=100, schedule_width=16)
    assert learning_rate(config, 99, 1000, 640) == transformer_schedule(99, 16, 100, 1.0)


def test_one_cycle_by_hand():
    rates = [one_cycle_schedule(step, 4, 12, 0.8) for step in range(13)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    assert rates[8] == pytest.approx(0.4)
    assert rates[6] == pytest.approx(0.4 * (1 + math.sqrt(0.5)))
    assert rates[12] == pytest.approx(0.0)
    assert one_cycle_schedule(20, 4, 12, 0.8) == pytest.approx(0.0)  # it does not rise again
    assert one_cycle_schedule(4, 4, 4, 0.8) == pytest.approx(0.8)  # a run of nothing but warm-up


def test_a_configuration_chooses_its_schedule():
    transformer = TrainingConfig(schedule="transformer", max_lr=0.1, warmup_steps=100, schedule_factor=2.0)
    assert learning_rate(transformer, 49, 1000, 16) == transformer_schedule(49, 16, 100, 0.1, 2.0)
    assert learning_rate(transformer, 99, 1000, 16) == pytest.approx(2 * 0.25 * 0.1)
    one_cycle = TrainingConfig(schedule="one_cycle", max_lr=0.1, warmup_steps=100)
    assert learning_rate(one_cycle, 49, 1000, 16) == pytest.approx(0.05)
    assert learning_rate(one_cycle, 550, 1000, 16) == pytest.approx(0.05)
