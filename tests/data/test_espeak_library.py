"""asrlib.data.espeak_library: what can be wrong with the library and the places it reads from."""

import re
import subprocess
import sys

import pytest


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
print(len(synthesize("one two", "en-us+r5").words))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"TMPDIR": str(tmp_path / "TMP")}
    )
    assert run.stdout.strip() == "2", run.stderr
