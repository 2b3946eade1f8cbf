"""Checkpoints of csr-pytorch become model directories; what is none is refused in one line."""

import json

import numpy as np
import pytest
import torch
from recordings import FIXTURES

from asrlib.config.parse import load_config
from asrlib.errors import InputError
from asrlib.export.imports.csr import csr_names
from asrlib.export.imports.table import import_checkpoint
from asrlib.models.build import build_model
from asrlib.recognizer import Recognizer

SMALL = {"channels": [2, 3, 3, 4], "units": 5}
LABELS = ["space", "AA", "B", "K"]


def small_checkpoint(layers):
    """A state dict under csr-pytorch's names, of a network that is small in every direction."""
    config = load_config("csr-3x-lstm" if layers == 3 else "csr-convnet2")
    for key, value in {**SMALL, "layers": layers}.items():
        setattr(config.encoder, key, value)
    model = build_model(config, vocabulary=len(LABELS) + 1)
    theirs = [f"layer{n}.{part}" for n in range(1, 5) for part in (0, 1)]
    theirs += ["rnn.0", "rnn2.0", "rnn3.0", "batchNorm.module", "fc.0"]
    weights = {}
    for name, weight in model.state_dict().items():
        part, _, leaf = name.rpartition(".")
        other = next(other for other in theirs if csr_names([f"{other}.x"])[f"{other}.x"] == f"{part}.x")
        weights[f"{other}.{leaf}"] = weight
    assert len(weights) == len(model.state_dict())
    return weights, model.eval()


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "phones.txt"
    path.write_text("\n".join(LABELS) + "\n")
    return path


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_checkpoint_becomes_a_model_directory(tmp_path, labels, layers, wrapped):
    weights, model = small_checkpoint(layers)
    parallel = {"epoch": 3, "state_dict": {f"module.{name}": weight for name, weight in weights.items()}}
    torch.save(parallel if wrapped else weights, tmp_path / "c.pt")
    import_checkpoint(tmp_path / "c.pt", "csr", tmp_path / "model", labels)
    recognizer = Recognizer.load(tmp_path / "model")
    assert recognizer.config.encoder.layers == layers and recognizer.tokenizer.labels == LABELS
    features, lengths = torch.randn(2, 40, 70), torch.tensor([40, 33])
    model.encoder.masked = False  # imported networks do what the original does
    with torch.no_grad():
        ours, counts = recognizer.model.encoder(features, lengths)
        theirs, _ = model.encoder(features, lengths)
    assert counts.tolist() == [10, 9] and torch.allclose(ours, theirs, atol=1e-6)
    assert isinstance(recognizer.transcribe(np.zeros(8000, dtype=np.float32), 16000).text, str)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the folder of other systems' outputs is absent")
@pytest.mark.parametrize("name", ["csr-convnet2", "csr-3x-lstm"])
def test_all_of_the_originals_names_are_known(name):
    shapes = json.loads((FIXTURES / f"{name}.json").read_text())
    with torch.device("meta"):
        ours = build_model(load_config(name), vocabulary=46).state_dict()
    translated = csr_names(shapes)
    assert set(translated) == set(shapes) and set(translated.values()) == set(ours)
    assert all(list(ours[translated[theirs]].shape) == shape for theirs, shape in shapes.items())


def test_what_is_no_such_checkpoint(tmp_path, labels):
    def refused(content, match, phones=labels):
        torch.save(content, tmp_path / "c.pt")
        with pytest.raises(InputError, match=match):
            import_checkpoint(tmp_path / "c.pt", "csr", tmp_path / "model", phones)
        assert not (tmp_path / "model").exists()

    weights, _ = small_checkpoint(2)
    refused({"a": 1}, "not a dictionary of weights")
    refused({"a": torch.zeros(1)}, "no layer1.0")
    refused(weights | {"attention.0.weight": torch.zeros(1)}, "attention.0.weight")
    refused(weights, "list the 4 of them with --tokenizer", None)
    refused({k: v for k, v in weights.items() if not k.startswith("layer2")}, "four numbers from 1 to 10,000")
    refused(weights | {"layer2.0.weight": torch.zeros(3, 7, 5, 5)}, "do not fit")
    (tmp_path / "few.txt").write_text("AA\nB\n")
    refused(weights, "3 labels", tmp_path / "few.txt")
    (tmp_path / "c.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="read safely"):
        import_checkpoint(tmp_path / "c.pt", "csr", tmp_path / "model", labels)
    with pytest.raises(InputError, match="no such checkpoint"):
        import_checkpoint(tmp_path / "d.pt", "csr", tmp_path / "model", labels)
    with pytest.raises(InputError, match="--from other"):
        import_checkpoint(tmp_path / "d.pt", "other", tmp_path / "model", labels)
