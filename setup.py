"""The packages of asrlib; all else that setuptools needs is in pyproject.toml."""

from setuptools import find_packages, setup

# data/ becomes asrlib.assets, in a wheel and in an editable installation: pyproject.toml has no words for
# packages that are found and one that is not
setup(
    packages=[*find_packages(include=["asrlib", "asrlib.*"]), "asrlib.assets"],
    package_dir={"asrlib.assets": "data"},
)
