"""Figures are closed after each test: matplotlib warns of more than 20 open ones, and warnings are errors."""

import pytest


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")
