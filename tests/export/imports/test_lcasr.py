"""The original code's checkpoint becomes a model directory with its outputs; what it cannot be is said."""

import collections
import sys
import types

import numpy as np
import pytest
import torch
import yaml
from conformers import FIXTURES, needs_fixtures

from asrlib.errors import InputError
from asrlib.export.imports.table import import_checkpoint
from asrlib.recognizer import Recognizer
from asrlib.text.tokenizers import train_tokenizer

pytestmark = needs_fixtures
CHECKPOINT, OUTPUTS = FIXTURES / "lcasr-tiny.pt", FIXTURES / "lcasr-tiny.npz"


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A sentencepiece model of 30 pieces, for the fixture has none."""
    folder = tmp_path_factory.mktemp("pieces")
    texts = ["the quick brown fox jumps over the lazy dog", "pack my box with five dozen liquor jugs"] * 3
    train_tokenizer("wordpieces", texts, vocabulary=31).save(folder)
    return folder / "tokenizer.model"


@pytest.fixture(scope="module")
def folder(pieces, tmp_path_factory):
    """The fixture as a model directory. Not to be changed: copy it."""
    out = tmp_path_factory.mktemp("lcasr") / "model"
    import_checkpoint(CHECKPOINT, "lcasr", out, pieces)
    return out


@pytest.fixture
def content():
    return torch.load(CHECKPOINT, weights_only=True)


def log_probs(recognizer, x, lengths=None):
    """In the original's order of labels, blank last; and the lengths."""
    with torch.no_grad():
        encoder_out, counts = recognizer.model.encoder(x, lengths)
        return recognizer.model.ctc_head(encoder_out).log_softmax(-1).roll(-1, -1), counts


@pytest.mark.parametrize("masked", [True, False])
def test_the_outputs_are_the_originals_alone_and_in_a_batch(folder, tmp_path, masked):
    saved = yaml.safe_load((folder / "config.yml").read_text())
    saved["encoder"]["mask_subsampling"] = masked
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.yml").write_text(yaml.safe_dump(saved))
    recognizer, outputs = Recognizer.load(tmp_path), np.load(OUTPUTS)
    x, lengths = torch.from_numpy(outputs["x"]).mT, torch.from_numpy(outputs["lengths"])
    alone, _ = log_probs(recognizer, x[:1])
    torch.testing.assert_close(alone, torch.from_numpy(outputs["log_probs_first_alone"]), atol=1e-4, rtol=0)
    together, counts = log_probs(recognizer, x, lengths)
    assert counts.tolist() == outputs["lengths_batch"].tolist()
    for row, count in enumerate(counts.tolist()):
        expected = torch.from_numpy(outputs["log_probs_batch"][row, :count])
        torch.testing.assert_close(together[row, :count], expected, atol=1e-4, rtol=0)


def test_features_are_mel_powers_in_centered_windows_normalized_over_the_recording(folder):
    torchaudio = pytest.importorskip("torchaudio")
    recognizer = Recognizer.load(folder)
    signal = 0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
    mel = torchaudio.transforms.MelSpectrogram(win_length=400, hop_length=160, n_fft=512, n_mels=80)(signal)
    expected = (mel - mel.mean(-1, keepdim=True)) / mel.std(-1, keepdim=True)
    features, counts = recognizer.front_end(signal[None], torch.tensor([16000]))
    assert counts.tolist() == [101]
    torch.testing.assert_close(features[0], expected.T, atol=1e-4, rtol=1e-4)


def test_it_transcribes(folder):
    signal = 0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
    hypothesis = Recognizer.load(folder).transcribe(signal, 16000)
    assert all(token in Recognizer.load(folder).tokenizer.labels for token in hypothesis.tokens)


def test_blank_is_the_last_label_there_and_the_first_here(folder, content):
    model = Recognizer.load(folder).model
    theirs = content["model"]["decoder.ff.bias"]
    assert torch.equal(model.ctc_head.linear.bias, torch.cat([theirs[-1:], theirs[:-1]]))
    theirs = content["model"]["decoder.reprojection.weight"]
    assert torch.equal(model.encoder.way_back.weight[:, 0], theirs[:, -1])
    assert torch.equal(model.encoder.way_back.weight[:, 1:], theirs[:, :-1])


def test_it_says_where_it_is_from(folder):
    import json

    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics == {"imported_from": {"system": "lcasr", "checkpoint": "lcasr-tiny.pt"}}


def test_fourier_positions_and_a_plain_head(content, pieces, tmp_path):
    settings, weights = content["config"]["model"], content["model"]
    settings |= {"use_rotary": False, "fourier_pos_enc": True, "self_conditioning": False}
    settings["legasee_double_norm"] = False
    weights["fourier_pos_enc.w_r"] = torch.arange(24.0)[None]
    torch.save(content, tmp_path / "other.pt")
    recognizer = import_checkpoint(tmp_path / "other.pt", "lcasr", tmp_path / "model", pieces)
    encoder = recognizer.model.encoder
    assert torch.equal(encoder.positions.frequencies, torch.arange(24.0)) and encoder.way_back is None
    assert not encoder.config.norm_twice


def test_interpolated_positions(content, pieces, tmp_path):
    content["model"]["rotary_pos_emb.rotary_interpolation_factor"] = torch.tensor(4.0)
    torch.save(content, tmp_path / "other.pt")
    recognizer = import_checkpoint(tmp_path / "other.pt", "lcasr", tmp_path / "model", pieces)
    assert recognizer.model.encoder.config.rotary_interpolation == 4.0


def test_a_configuration_that_omegaconf_saved(content, pieces, tmp_path, monkeypatch):
    """Published files hold OmegaConf's classes; they are read without that package."""

    def node(module, name, **state):
        kind = getattr(sys.modules[module], name)
        made = kind.__new__(kind)
        made.__dict__.update(state)
        return made

    for module, names in (
        ("omegaconf", []),
        ("omegaconf.dictconfig", ["DictConfig"]),
        ("omegaconf.nodes", ["AnyNode"]),
        ("omegaconf.base", ["ContainerMetadata"]),
    ):
        fake = types.ModuleType(module)
        for name in names:
            setattr(fake, name, type(name, (), {"__module__": module}))
        monkeypatch.setitem(sys.modules, module, fake)

    def saved(value):
        if not isinstance(value, dict):
            return node("omegaconf.nodes", "AnyNode", _val=value, _metadata=collections.defaultdict(dict))
        inside = {key: saved(each) for key, each in value.items()}
        metadata = node("omegaconf.base", "ContainerMetadata", element_type=int)
        return node("omegaconf.dictconfig", "DictConfig", _content=inside, _metadata=metadata)

    content["config"] = saved(content["config"])
    torch.save(content, tmp_path / "omega.pt")
    recognizer = import_checkpoint(tmp_path / "omega.pt", "lcasr", tmp_path / "model", pieces)
    assert recognizer.config.encoder.layers == 3


@pytest.mark.parametrize(
    "change, message",
    [
        ({"qk_rms_norm": True}, "its network has qk_rms_norm True, which asrlib cannot build"),
        ({"subsampling": "stacking"}, "its network has subsampling 'stacking', which"),
        ({"bias_in_ff": True}, "its network has bias_in_ff True, which"),
        ({"fourier_pos_enc": True}, "rotary and Fourier positions; asrlib builds one of them"),
        ({"n_layers": 4}, "its weights do not fit its configuration"),
        ({"n_heads": -1}, "key encoder.heads is -1; it must be positive"),
        ({"n_layers": "three"}, "key encoder.layers is 'three'; expected int"),
    ],
)
def test_another_network_is_refused(content, pieces, tmp_path, change, message):
    content["config"]["model"] |= change
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(InputError, match=message):
        import_checkpoint(tmp_path / "other.pt", "lcasr", tmp_path / "model", pieces)
    assert not (tmp_path / "model").exists()


def test_weights_that_nobody_knows_are_refused(content, pieces, tmp_path):
    content["model"]["layers.0.mixer.weight"] = torch.ones(2)
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(InputError, match="its network has layers.0.mixer.weight, which asrlib does not have"):
        import_checkpoint(tmp_path / "other.pt", "lcasr", tmp_path / "model", pieces)


class _Evil:
    def __reduce__(self):
        return print, ("code in a checkpoint runs",)


@pytest.mark.parametrize("spoil", ["text", "cut", "empty", "evil", "no config", "a tensor", "missing"])
def test_a_file_that_is_none_is_one_line(asrlib, content, pieces, tmp_path, spoil, capsys):
    path = tmp_path / "checkpoint.pt"
    if spoil in ("text", "cut", "empty"):
        whole = CHECKPOINT.read_bytes()
        path.write_bytes({"text": b"no checkpoint", "cut": whole[: len(whole) // 2], "empty": b""}[spoil])
    elif spoil != "missing":
        changed = {"evil": content | {"x": _Evil()}, "no config": content | {"config": None}}
        torch.save(changed.get(spoil, torch.ones(3)), path)
    words = ["import", path, "--from", "lcasr", "--out", tmp_path / "model", "--tokenizer", pieces]
    code, printed, err = asrlib(*words)
    assert code == 2 and err.startswith("asrlib: error: ") and err.count("\n") == 1 and str(path) in err
    assert "code in a checkpoint runs" not in printed


def test_the_command(asrlib, fails, pieces, tmp_path):
    words = ["import", CHECKPOINT, "--from", "lcasr", "--out", tmp_path / "model"]
    fails(*words, naming=["has no word pieces", "--tokenizer FILE"])
    fails(*words, "--tokenizer", tmp_path / "no.model", naming=["no.model cannot be read"])
    fails(
        "import", CHECKPOINT, "--from", "nemo", "--out", tmp_path, naming=["--from nemo: use one of", "lcasr"]
    )
    code, printed, err = asrlib(*words, "--tokenizer", pieces)
    assert (code, err) == (0, "") and printed.endswith("long-context-3l-48d, 174,431 parameters, 31 labels\n")
