"""Training runs of the tests: short ones here, and the command in a process of its own."""

import os
import subprocess
import sys

import pytest
import tiny
import yaml

# one utterance per batch is intended
ONE_EACH = pytest.mark.filterwarnings("ignore:We have exceeded the max_duration")
PLAIN = {"time_masks": 0, "freq_masks": 0}


class Killed(BaseException):
    """What ends a run in the middle."""


def settings(augment=None, **training):
    """``tiny``'s configuration with some keys of ``augment`` and ``training`` changed."""
    from asrlib.config.parse import parse_config

    content = tiny.settings(**training)
    return parse_config(yaml.safe_dump(content | ({"augment": augment} if augment else {})), "tiny.yml")


def run(config, cuts, out, dev=None, **keywords):
    from asrlib.training.loop import train

    return train(config, cuts, out, dev, show_progress=False, **keywords)


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def last_checkpoint(out):
    """The run's only checkpoint."""
    (folder,) = (out / "checkpoints").iterdir()
    return folder


def train_command(config, corpus, out, *options):
    """``asrlib train`` in a process, its standard error in a pipe."""
    command = [sys.executable, "-m", "asrlib.cli", "train", config, "--corpus", corpus]
    command += ["--out", out, *options]
    return subprocess.Popen(
        [str(word) for word in command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
