"""asrlib.data.espeak_library: engines, and what can be wrong with the library and its places."""

import re
import subprocess
import sys

import numpy as np
import pytest

from asrlib.data import espeak_library
from asrlib.data.espeak import synthesize
from asrlib.data.espeak_library import engine_of_its_own
from asrlib.errors import InputError

VOICES = ["en-gb-scotland+r7", "en-us+klatt4", "en-gb-x-rp+r175", "en-us+f3", "en-us-nyc+r394"]


def renderings():
    return [synthesize("what is the weather in athens", voice).samples for voice in VOICES]


def test_an_engine_of_its_own_renders_the_same_whatever_was_rendered_before():
    """Noise, phase and even the length of a rendering depend on those before it in the same engine."""
    found = []
    for _ in range(2):
        with engine_of_its_own():
            found.append(renderings())
        before = renderings()
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)
    assert not all(np.array_equal(*pair) for pair in zip(found[0], before, strict=True))


def test_a_new_process_renders_the_same():
    """The noise is not seeded with the time."""
    program = """
from hashlib import sha256
from asrlib.data.espeak import synthesize
print(sha256(synthesize("one two three", "en-us+klatt4").samples.tobytes()).hexdigest())
print(sha256(synthesize("one two three", "en-gb-scotland+r7").samples.tobytes()).hexdigest())
"""
    first, second = (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert first == second and len(first.split()) == 2


def test_a_folder_that_does_not_allow_libraries_is_named(monkeypatch):
    """As on a file system that is mounted noexec: the process's own engine works, a copy does not."""
    whole = espeak_library._Engine

    def load(path):
        if "asrlib-voices-" in str(path):
            raise InputError(f"{path}: the espeak-ng library cannot be loaded")
        return whole(path)

    monkeypatch.setattr(espeak_library, "_Engine", load)
    with pytest.raises(InputError, match="cannot be loaded from this folder; set TMPDIR"):
        with engine_of_its_own():
            raise AssertionError("not reached")


@pytest.mark.parametrize(
    "sabotage, message",
    [
        (
            "sys.modules['espeakng_loader'] = None",
            r'needs espeakng-loader, which is not installed: pip install "asrlib\[synth\]"',
        ),
        (
            "def fail(): raise OSError('lost')\nespeakng_loader.get_data_path = fail",
            r"cannot be found \(lost\)",
        ),
        ("espeakng_loader.get_library_path = lambda: '/nowhere.so'", "/nowhere.so: .*cannot be loaded"),
        ("espeakng_loader.get_data_path = lambda: '/nowhere'", "/nowhere: this folder does not hold"),
    ],
)
def test_without_the_library_there_is_one_clear_line(sabotage, message):
    """In a process of its own, as espeak-ng starts once a process."""
    program = f"""
import sys, espeakng_loader
{sabotage}
from asrlib.data.espeak import synthesize
try:
    synthesize("one")
except ValueError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.strip().splitlines()
    assert len(lines) == 1 and re.search(message, lines[0]), run.stdout


def test_a_long_data_path_and_an_upper_case_temporary_folder_work(tmp_path):
    """espeak-ng has room for 160 characters, and looks for voices in lower case."""
    deep = tmp_path / "/".join(["a-rather-long-name"] * 8)
    deep.mkdir(parents=True)
    (tmp_path / "TMP").mkdir()
    program = f"""
import os, espeakng_loader
os.symlink(espeakng_loader.get_data_path(), {str(deep / "data")!r})
espeakng_loader.get_data_path = lambda: {str(deep / "data")!r}
from asrlib.data.espeak import synthesize
from asrlib.data.espeak_library import engine_of_its_own
print(len(synthesize("one two", "en-us+r5").words))
with engine_of_its_own():
    print(len(synthesize("one", "en-us+r5").words))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"TMPDIR": str(tmp_path / "TMP")}
    )
    assert run.stdout.split() == ["2", "1"], run.stderr
