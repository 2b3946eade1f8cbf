"""One thread, as several processes share the cores."""

import pytest
import tiny


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield
