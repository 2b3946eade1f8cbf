"""Random utterances for the tests of the losses, and torchaudio's loss as a reference."""

import warnings

import torch


def draw_targets(B, T, U, V, blank=0, shortest=1, device=None):
    """Draw targets (B, U) without blank, and lengths, of which the first are the longest."""
    targets = torch.randint(0, V - 1, (B, U), device=device)
    targets += targets >= blank % V
    T_b = torch.randint(shortest, T + 1, (B,), device=device)
    U_b = torch.randint(0, U + 1, (B,), device=device)
    T_b[0], U_b[0] = T, U
    return targets, T_b, U_b


def draw(B=4, T=6, U=4, V=7, blank=0, dtype=torch.float64, device=None):
    """Draw logits (B, T, U+1, V), targets and lengths."""
    logits = torch.randn(B, T, U + 1, V, dtype=dtype, device=device)
    return logits, *draw_targets(B, T, U, V, blank, device=device)


def draw_ctc(B=5, T=6, U=3, V=4, blank=0, dtype=torch.float64):
    """Draw logits (T, B, V), targets with repeats, and lengths."""
    return torch.randn(T, B, V, dtype=dtype), *draw_targets(B, T, U, V, blank)


def feasible(targets, T_b, U_b):
    """Lengthen T_b where CTC needs it: repeated labels need a blank between them."""
    repeats = (targets[:, 1:] == targets[:, :-1]) & (torch.arange(1, targets.shape[1]) < U_b[:, None])
    return torch.maximum(T_b, U_b + repeats.sum(1))


def joint_parts(D=5, B=4, T=6, U=4, V=7, blank=0, dtype=torch.float64):
    """Draw encoder and prediction outputs, the joint's last layer, targets and lengths."""
    shapes = (B, T, D), (B, U + 1, D), (V, D), (V,)
    parts = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]
    return parts, *draw_targets(B, T, U, V, blank)


def plain_joint(encoder, prediction, weight, bias, activation="tanh"):
    from asrlib.losses.joint import SLOPES

    hidden = SLOPES[activation][0](encoder[:, :, None] + prediction[:, None])
    return torch.nn.functional.linear(hidden, weight, bias)


def gradients(loss, inputs):
    return torch.autograd.grad(loss, [x for x in inputs if x is not None])


def torchaudio_loss(*args, **kwargs):
    with warnings.catch_warnings():
        # torchaudio announces the end of its loss; as a witness it still serves
        warnings.filterwarnings("ignore", category=UserWarning, module="torchaudio")
        warnings.filterwarnings("ignore", category=FutureWarning, module="torchaudio")
        from torchaudio.functional import rnnt_loss as loss

        return loss(*args, **kwargs)
