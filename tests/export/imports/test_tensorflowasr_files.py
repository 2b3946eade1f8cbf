"""``asrlib import`` with TensorFlowASR's own configuration, which does not always tell its generation."""

import pytest
import tensorflowasr
from commandline import program

from asrlib.recognizer import Recognizer

pytest.importorskip("h5py")
pytestmark = tensorflowasr.needs_tensorflowasr
LABELS = "abcdefghijk"


def words(name, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(LABELS) + "\n")
    own = ["--config", tensorflowasr.configuration(name), "--tokenizer", labels, "--out", tmp_path / "out"]
    return ["import", tensorflowasr.checkpoint(name), "--from", "tensorflowasr", *own]


def test_the_command_takes_the_generation_that_a_file_does_not_tell(asrlib, tmp_path):
    assert asrlib(*words("2.1.0-same", tmp_path), "--generation", "2.1")[0] == 0
    recognizer, outputs = Recognizer.load(tmp_path / "out"), tensorflowasr.arrays("2.1.0-same")
    theirs = [LABELS[label - 1] for label in outputs["greedy_wave_noise"].tolist() if label]
    waveform = tensorflowasr.arrays("features")["waveform/noise"]
    assert recognizer.transcribe(waveform, 16000).tokens == theirs and len(theirs) > 5


def test_without_it_the_keys_tell_and_a_line_says_so(tmp_path):
    done = program(*words("2023-causal", tmp_path))
    assert done.returncode == 0 and done.stderr.count("\n") == 1
    assert "read as a configuration of TensorFlowASR 2023; keys without effect: " in done.stderr
    assert Recognizer.load(tmp_path / "out").config.features.spectrum == "magnitude"


def test_a_generation_that_is_none_is_one_line(fails, tmp_path):
    fails(*words("2023-causal", tmp_path), "--generation", "3", naming=["no generation '3'", "2.1"])
    lcasr = tensorflowasr.FIXTURES / "lcasr-tiny.pt"
    command = ["import", lcasr, "--from", "lcasr", "--out", tmp_path / "out", "--generation", "2.1"]
    fails(*command, naming=["--generation 2.1: a checkpoint of lcasr needs none"])
