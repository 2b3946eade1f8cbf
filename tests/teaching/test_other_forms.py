"""Right answers in another form than the solution's: the checkers take them."""

import pytest
from answers import TASKS, answer

from asrlib.teaching.check import judge

CHOSEN = "[best(scores, w) for scores in test]"
DELAYS = "(each[(n - 1) // 2] + each[n // 2]) / 2, sum(d < 0 for d in each) / n"
PER_WORD = "t * frame_ms + window_ms - 1000 * end"
RATES = "[schedules.one_cycle_schedule(n, 20, steps, 0.4) for n in range(steps)]"
SPEED = "steps, batch / step_ms * 1000, epochs * steps * step_ms / 3.6e6"
ROUNDED = "torch.round(flat / scale[:, None])"

# (task, a piece of the solution, what stands there instead)
FORMS = [
    ("08.choose", CHOSEN, f"torch.tensor({CHOSEN})"),
    ("08.choose", CHOSEN, f"tuple({CHOSEN})"),
    ("08.delay", DELAYS, f"torch.tensor([{DELAYS}])"),
    # in seconds, where rounding makes some other labels come "before" their word's end
    ("08.delay", PER_WORD, "1000 * (t * frame_ms / 1000 + window_ms / 1000 - end)"),
    ("09.train_steps", "torch.zeros_like(x[0, 0])", "torch.zeros(x.shape[-1])"),
    ("09.rates", RATES, f"list(torch.tensor({RATES}))"),
    ("09.plan", "return batches", "return [torch.tensor(batch) for batch in batches]"),
    ("09.plan", "return batches", "return tuple(tuple(batch) for batch in batches)"),
    ("10.running_time", SPEED, f"torch.tensor([{SPEED}], dtype=torch.float64)"),
    # half away from zero, where torch.round takes the even neighbour
    ("12.quantise", ROUNDED, "(flat / scale[:, None] + 0.5).floor()"),
    ("13.interval", "return low, high", "return torch.tensor([low, high])"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(FORMS)), ids=[f"{i}-{f[0]}" for i, f in enumerate(FORMS)])
def test_a_right_answer_in_another_form_is_accepted(number):
    name, piece, other = FORMS[number]
    assert piece in TASKS[name].solution, "the edit no longer fits the solution"
    assert judge(name, answer(name, TASKS[name].solution.replace(piece, other))) is None
