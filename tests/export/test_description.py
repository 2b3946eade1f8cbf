"""An exported file says what one needs to write its outputs as text."""

import json
import os
import zipfile

import tiny
import torch

import asrlib


def test_a_file_describes_itself_and_names_no_folder_of_this_machine(exported):
    eager, path, _ = exported
    if path.suffix == ".onnx":
        import onnx

        (entry,) = onnx.load(path).metadata_props
        about = json.loads(entry.value)
    else:
        about = json.loads(zipfile.ZipFile(path).read("asrlib.json"))
    assert about["labels"] == ["", *eager.tokenizer.labels] and about["sample_rate"] == tiny.RATE
    assert about["frame_seconds"] == eager.frame_seconds
    for folder in (asrlib.__file__, torch.__file__):
        assert os.path.dirname(folder).encode() not in path.read_bytes()
