"""These tests need torch_xla; `make test-xla` builds an environment that has it and runs them on the CPU."""

import importlib.util
import os
from pathlib import Path

import pytest

HAVE_XLA = importlib.util.find_spec("torch_xla") is not None


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xla)
            if not HAVE_XLA:
                item.add_marker(pytest.mark.skip(reason="needs torch_xla: make test-xla"))


@pytest.fixture
def device():
    """An XLA device with nothing to do."""
    os.environ.setdefault("PJRT_DEVICE", "CPU")
    import torch_xla

    torch_xla.sync(wait=True)
    return torch_xla.device()


@pytest.fixture
def compilations(device):
    """A function that says how many programs were compiled since it was last called."""
    import torch_xla.debug.metrics as metrics

    def count():
        return metrics.counter_value("UncachedCompile") or 0

    seen = count()

    def since():
        nonlocal seen
        new, seen = count() - seen, count()
        return new

    return since
