"""A layer run again in the backward pass: the same gradients, random numbers and running statistics."""

import copy
import functools

import torch
from torch import nn

from asrlib.models.layers.batch_renorm import MaskedBatchRenorm
from asrlib.models.layers.recompute import recomputed


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.norm, self.dropout = nn.Linear(5, 5), MaskedBatchRenorm(5), nn.Dropout(0.3)
        self.norm.num_batches_tracked.fill_(20000)  # so that running statistics change what it computes
        self.runs = 0

    def forward(self, x):
        self.runs += 1
        return self.dropout(self.norm(self.linear(x), None)).sin()


def test_gradients_and_statistics_are_those_of_one_run():
    torch.manual_seed(0)
    usual, x = Layer(), torch.randn(3, 8, 5)
    again, results = copy.deepcopy(usual), []
    for layer, call in ((usual, nn.Module.__call__), (again, functools.partial(recomputed, random=True))):
        torch.manual_seed(1)
        leaf = x.clone().requires_grad_()
        first = call(layer, leaf)
        second = call(layer, first)  # the statistics have moved between the two
        second.sum().backward()
        results.append([second, leaf.grad, *(p.grad for p in layer.parameters()), *layer.buffers()])
    torch.testing.assert_close(*results)
    assert (usual.runs, again.runs) == (2, 4)
    assert int(again.norm.num_batches_tracked) == 20002
