"""Outputs of TensorFlowASR itself, in the folder beside the checkout."""

import numpy as np
import pytest
from recordings import FIXTURES

NETWORKS = ("2.1.0-causal", "2.1.0-same", "2023-causal", "2021-same")
needs_tensorflowasr = pytest.mark.skipif(
    not (FIXTURES / "tensorflowasr-features.npz").is_file(),
    reason=f"needs TensorFlowASR's outputs in {FIXTURES}",
)


def arrays(name):
    """The arrays of a file: "features", "2.1.0-training", or one of ``NETWORKS``."""
    return np.load(FIXTURES / f"tensorflowasr-{name}.npz")


def checkpoint(name):
    return FIXTURES / f"tensorflowasr-{name}.h5"


def configuration(name):
    return FIXTURES / f"tensorflowasr-{name}.yml"


def generation(name):
    """The generation of a network, as ``GENERATIONS`` calls it."""
    return name.split("-")[0].removesuffix(".0")
