import matplotlib
import pytest

import asrlib

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def recognizer():
    return asrlib.Recognizer.load("lessons-model")


@pytest.fixture(scope="module")
def cut():
    return next(iter(asrlib.clips()))
