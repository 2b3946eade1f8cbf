import pytest
from dialects import FILES, load, read


@pytest.fixture(scope="module")
def loaded():
    return {year: load(year) for year in FILES}


@pytest.fixture(scope="module")
def small():
    return read()
