"""The recursion over lattices of several lengths."""

import math

import torch

from asrlib.losses.rnnt_lattice import forward_backward, new_lattice


def test_flows_through_the_lattices_extension():
    T_b, U_b = torch.tensor([2, 3]), torch.tensor([1, 2])
    log_blank, log_label = new_lattice(T_b, U_b, 3, 3, torch.float64)
    for b in range(2):
        log_blank[b, : T_b[b], : U_b[b] + 1] = -0.5
        log_label[b, : T_b[b], : U_b[b]] = -1.0
    log_p, blank_flow, label_flow = forward_backward(log_blank, log_label, T_b, U_b)
    # paths × (T blanks, U labels): 2 × (2, 1) and 6 × (3, 2)
    expected = torch.tensor([math.log(2) - 2.0, math.log(6) - 3.5], dtype=torch.float64)
    torch.testing.assert_close(log_p, expected)
    torch.testing.assert_close(blank_flow.sum((1, 2)), T_b.double())
    torch.testing.assert_close(label_flow.sum((1, 2)), U_b.double())
