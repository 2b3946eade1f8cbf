"""The shapes in annotations are enforced in every package: a wrong one is an error while tests run."""

import importlib
import pkgutil

import conftest
import pytest
import torch
from jaxtyping import TypeCheckError

import asrlib
from asrlib.decoding.greedy import greedy_ctc
from asrlib.losses.ctc import ctc_loss
from asrlib.models.layers.se import squeeze
from asrlib.signal.framing import frame

ROW = torch.zeros(3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: squeeze(ROW),
        lambda: ctc_loss(ROW, *[ROW.long()] * 3),
        lambda: greedy_ctc(ROW, ROW.long()),
        lambda: frame(ROW.long(), 2, 1),
    ],
    ids=["models.layers", "losses", "decoding", "signal"],
)
def test_a_wrong_shape_in_a_subpackage_raises(call):
    with pytest.raises(TypeCheckError):
        call()


def test_every_module_but_kernels_is_checked():
    found = {module.name for module in pkgutil.walk_packages(asrlib.__path__, "asrlib.") if not module.ispkg}
    unchecked = {name for name in found if ".kernels." in name} | {"asrlib.data.clip"}
    assert found - set(conftest.CHECKED) == unchecked
    assert importlib.import_module("asrlib.losses.ctc").__spec__.loader.__class__.__module__.startswith(
        "jaxtyping"
    )
