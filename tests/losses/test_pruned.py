"""Pruned RNN-T: exact where nothing is pruned, exact on the band where something is."""

import math

import pytest
import torch
from lattices import draw_targets

from asrlib.losses.pruned import prune_prediction, pruned_rnnt_loss, pruning_bounds, simple_rnnt_loss
from asrlib.losses.rnnt import rnnt_loss, rnnt_posteriors
from asrlib.losses.textbook import rnnt_brute_force, rnnt_scores

pytestmark = pytest.mark.usefixtures("seed")


def draw(B=4, T=6, U=4, V=7, blank=0):
    """Encoder and prediction of V dimensions, targets without blank, lengths, the first the longest."""
    encoder = torch.randn(B, T, V, dtype=torch.float64, requires_grad=True)
    prediction = torch.randn(B, U + 1, V, dtype=torch.float64, requires_grad=True)
    return encoder, prediction, *draw_targets(B, T, U, V, blank, shortest=2)


def joint(encoder, prediction):
    """Some joint that is not a sum."""
    return 3 * torch.tanh(encoder[:, :, None] + prediction)


@pytest.mark.parametrize("blank", [0, 3, 6])
def test_simple_loss_is_the_loss_of_the_added_logits(blank):
    encoder, prediction, *rest = draw(blank=blank)
    simple, occupancy = simple_rnnt_loss(encoder, prediction, *rest, blank=blank)
    logits = encoder[:, :, None] + prediction[:, None]
    full = rnnt_loss(logits, *rest, blank=blank)
    torch.testing.assert_close(simple, full)
    torch.testing.assert_close(occupancy, rnnt_posteriors(logits.detach(), *rest, blank=blank))
    inputs = encoder, prediction
    torch.testing.assert_close(torch.autograd.grad(simple, inputs), torch.autograd.grad(full, inputs))


def test_simple_gradient_by_finite_differences():
    encoder, prediction, *rest = draw(B=2, T=3, U=2, V=4)

    def loss(x, y):
        return simple_rnnt_loss(x, y, *rest, reduction="none")[0]

    assert torch.autograd.gradcheck(loss, (encoder, prediction), eps=1e-5, atol=1e-8, rtol=1e-8)


def test_simple_loss_stays_finite_where_the_product_underflows():
    encoder, prediction = torch.zeros(1, 2, 3), torch.zeros(1, 2, 3)
    encoder[..., 0], prediction[..., 2] = 200, 200
    one = torch.tensor([1])
    loss, _ = simple_rnnt_loss(encoder, prediction, torch.tensor([[1]]), one * 2, one)
    assert loss.isfinite()


@pytest.mark.parametrize("width", [5, 8])
def test_a_window_of_all_labels_prunes_nothing(width):
    encoder, prediction, *rest = draw()
    bounds = torch.zeros(4, 6, dtype=torch.long)
    pruned = pruned_rnnt_loss(joint(encoder, prune_prediction(prediction, bounds, width)), bounds, *rest)
    full = rnnt_loss(joint(encoder, prediction[:, None]), *rest, blank=0)
    torch.testing.assert_close(pruned, full)
    inputs = encoder, prediction
    torch.testing.assert_close(torch.autograd.grad(pruned, inputs), torch.autograd.grad(full, inputs))


@pytest.mark.parametrize("width", [2, 3, 4])
@pytest.mark.parametrize("blank", [0, 6])
def test_the_loss_is_the_sum_over_the_paths_in_the_band(width, blank):
    encoder, prediction, targets, T_b, U_b = draw(T=7, blank=blank)
    T_b = torch.maximum(T_b, U_b)
    _, occupancy = simple_rnnt_loss(encoder, prediction, targets, T_b, U_b, blank=blank)
    bounds = pruning_bounds(occupancy, T_b, U_b, width)
    logits = joint(encoder, prune_prediction(prediction, bounds, width))
    pruned = pruned_rnnt_loss(logits, bounds, targets, T_b, U_b, blank=blank, reduction="none")
    full = joint(encoder, prediction[:, None]).detach()
    for b, (T, U) in enumerate(zip(T_b.tolist(), U_b.tolist(), strict=True)):
        log_blank, log_label = rnnt_scores(full[b, :T, : U + 1], targets[b, :U], blank)
        u = torch.arange(U + 1)
        band = (u >= bounds[b, :T, None]) & (u < bounds[b, :T, None] + width)
        log_blank[~band], log_label[~band[:, :-1]] = -math.inf, -math.inf
        torch.testing.assert_close(pruned[b].detach(), -rnnt_brute_force(log_blank, log_label))
    assert (pruned >= rnnt_loss(full, targets, T_b, U_b, blank=blank, reduction="none") - 1e-9).all()


def test_pruned_gradient_by_finite_differences():
    _, _, targets, _, U_b = draw(B=2, T=4, U=3, V=4)
    bounds = torch.tensor([[0, 1, 2, 2], [0, 0, 1, 2]])
    T_b = torch.tensor([4, 4])
    logits = torch.randn(2, 4, 2, 4, dtype=torch.float64, requires_grad=True)

    def loss(x):
        return pruned_rnnt_loss(x, bounds, targets, T_b, U_b, reduction="none")

    assert torch.autograd.gradcheck(loss, logits, eps=1e-5, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("width", [2, 3, 5, 9])
def test_bounds_let_a_path_through(width):
    for _ in range(50):
        T_b, U_b = torch.randint(1, 30, (6,)), torch.randint(0, 20, (6,))
        T_b = torch.maximum(T_b, -(-U_b // (width - 1)))
        T_b[0] = 30
        occupancy = torch.rand(6, 30, 21) ** 4
        bounds = pruning_bounds(occupancy, T_b, U_b, width)
        for p, T, U in zip(bounds, T_b, U_b, strict=True):
            p = p[:T]
            assert p[0] == 0 and p[-1] <= U < p[-1] + width
            assert ((p.diff() >= 0) & (p.diff() < width)).all()


def test_bounds_follow_a_clear_path_and_lose_nothing():
    T, U = 20, 10
    occupancy = torch.zeros(1, T, U + 1)
    occupancy[0, torch.arange(T), torch.arange(T) // 2] = 1
    bounds = pruning_bounds(occupancy, torch.tensor([T]), torch.tensor([U]), 3)
    u = torch.arange(T) // 2
    assert ((bounds[0] <= u) & (u < bounds[0] + 3)).all()


def test_nan_in_the_padding_does_not_leak():
    encoder, prediction, targets, T_b, U_b = draw()
    results = []
    for filler in 0.0, math.nan:
        x, y = encoder.detach().clone(), prediction.detach().clone()
        for b in range(4):
            x[b, T_b[b] :], y[b, U_b[b] + 1 :] = filler, filler
        x.requires_grad_(), y.requires_grad_()
        simple, occupancy = simple_rnnt_loss(x, y, targets, T_b, U_b)
        bounds = pruning_bounds(occupancy, T_b, U_b, 4)
        pruned = pruned_rnnt_loss(joint(x, prune_prediction(y, bounds, 4)), bounds, targets, T_b, U_b)
        results.append((simple.detach(), pruned.detach(), torch.autograd.grad(simple, (x, y))))
    torch.testing.assert_close(*results)
    logits = torch.full((4, 6, 4, 7), math.nan, dtype=torch.float64)
    u = bounds[..., None] + torch.arange(4)
    inside = (torch.arange(6) < T_b[:, None])[..., None] & (u <= U_b[:, None, None])
    logits[inside] = 0.5
    logits.requires_grad_()
    loss = pruned_rnnt_loss(logits, bounds, targets, T_b, U_b)
    assert torch.autograd.grad(loss, logits)[0].isfinite().all()


def test_errors(unchecked_shapes):
    encoder, prediction, targets, T_b, U_b = draw()
    bounds = torch.zeros(4, 6, dtype=torch.long)
    logits = torch.zeros(4, 6, 5, 7)
    cases = [
        (r"width is 1", lambda: pruning_bounds(torch.ones(4, 6, 5), T_b, U_b, 1)),
        (r"width is 2, but utterance 1 has 4 labels in 2", lambda: pruning_bounds(
            torch.ones(2, 6, 5), torch.tensor([6, 2]), torch.tensor([4, 4]), 2)),
        (r"bounds is \(4, 5\)", lambda: pruned_rnnt_loss(logits, bounds[:, :5], targets, T_b, U_b)),
        (r"bounds\[0, 0\] is -1", lambda: pruned_rnnt_loss(logits, bounds - 1, targets, T_b, U_b)),
        (r"logits\[0, 0, 0, 0\] is nan", lambda: pruned_rnnt_loss(
            logits * math.nan, bounds, targets, T_b, U_b)),
        (r"frame_lengths\[0\] is 7", lambda: pruned_rnnt_loss(logits, bounds, targets, T_b + 1, U_b)),
        (r"encoder_logits\[0, 0, 0\] is inf", lambda: simple_rnnt_loss(
            encoder.abs() * math.inf, prediction, targets, T_b, U_b)),
        (r"targets is \(3, 4\)", lambda: simple_rnnt_loss(encoder, prediction, targets[:3], T_b, U_b)),
    ]  # fmt: skip
    for message, call in cases:
        with pytest.raises(ValueError, match=message):
            call()
