"""asrlib.teaching.memory: the bytes of the tensors alive."""

import torch

import asrlib
from asrlib.teaching.memory import MemoryMeter


def test_peak_and_what_is_left():
    with MemoryMeter() as meter:
        a = torch.ones(1000)
        b = a.view(10, 100).T  # shares a's storage
        c = a + 1
        assert meter.now == meter.peak == 8000
        del c
        assert (meter.now, meter.peak) == (4000, 8000)
        d = torch.ones(500, dtype=torch.float64)
        assert (meter.now, meter.peak) == (8000, 8000)
    assert b.numel() == 1000 and d.numel() == 500


def test_the_joint_loss_in_chunks_takes_a_small_part_of_the_memory():
    """What lesson 07 shows: chunks of the joint, and its gradient by formula, spare most of the logits."""
    B, T, U, V, D = 4, 120, 40, 500, 64
    torch.manual_seed(0)
    frames, prefixes, weight = torch.randn(B, T, D), torch.randn(B, U + 1, D), torch.randn(V, D) / 8
    parameters = [x.requires_grad_() for x in (frames, prefixes, weight, torch.zeros(V))]
    arguments = torch.randint(1, V, (B, U)), torch.full((B,), T), torch.full((B,), U)
    peaks = {}
    for name in ("whole", "chunks"):
        with MemoryMeter() as meter:
            if name == "whole":
                hidden = torch.tanh(frames[:, :, None] + prefixes[:, None])
                loss = asrlib.rnnt_loss(hidden @ weight.T + parameters[3], *arguments, blank=0)
            else:
                loss = asrlib.joint_rnnt_loss(*parameters, *arguments, chunk_frames=8)
            torch.autograd.grad(loss, parameters)
        peaks[name] = meter.peak
    assert peaks["whole"] > 10 * peaks["chunks"] > 0
