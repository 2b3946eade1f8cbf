"""csr-pytorch's encoders: its outputs, its sizes, and padding that changes nothing unless asked to."""

import json

import numpy as np
import pytest
import torch
from recordings import FIXTURES

from asrlib.config.parse import load_config, parse_config
from asrlib.errors import InputError
from asrlib.export.imports.csr import csr_names
from asrlib.models.build import build_model
from asrlib.models.conv_lstm import ConvLSTMConfig

NAMES = {"csr-convnet2": 14_306_734, "csr-3x-lstm": 18_510_254}


def formula_weights(shapes):
    """The fixtures' weights: element j of the n-th tensor is sin(0.7 j + n), scaled by what it is for."""
    weights, n = {}, 0
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            continue
        size = int(np.prod(shape))
        s = np.sin(0.7 * np.arange(size) + n)
        n += 1
        if name.endswith("running_var"):
            value = 1 + 0.5 * s**2
        elif name.endswith("running_mean"):
            value = 0.1 * s
        elif "bias" in name:
            value = s / 10
        else:
            value = 1 + 0.1 * s if len(shape) == 1 else s / np.sqrt(size / shape[0])
        weights[name] = torch.from_numpy(value.reshape(shape).astype(np.float32))
    return weights


def seeds_network(name, lengths):
    """The network of a configuration with the fixture's weights, and the fixture."""
    shapes = json.loads((FIXTURES / f"{name}.json").read_text())
    config = load_config(name)
    config.encoder.lengths = lengths
    model = build_model(config, vocabulary=46)
    names = csr_names(shapes)
    weights = {names[theirs]: weight for theirs, weight in formula_weights(shapes).items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert all(key.endswith("num_batches_tracked") for key in missing) and not unexpected
    return model.eval(), np.load(FIXTURES / f"{name}.npz")


@pytest.mark.parametrize("name", NAMES)
def test_parameters(name):
    with torch.device("meta"):
        model = build_model(load_config(name), vocabulary=46)
    assert sum(p.numel() for p in model.parameters()) == NAMES[name]


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the folder of other systems' outputs is absent")
@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_the_originals(name):
    model, there = seeds_network(name, "original")
    features = torch.from_numpy(there["x"])[:, 0].transpose(1, 2)
    with torch.no_grad():
        out, lengths = model.encoder(features, torch.from_numpy(there["lengths"]))
        log_probs = model.ctc_head(out).log_softmax(-1).transpose(0, 1)
    assert lengths.tolist() == there["out_lengths"].tolist()
    expected = torch.from_numpy(there["log_probs"])
    for utterance, length in enumerate(lengths.tolist()):
        difference = (log_probs - expected)[:length, utterance].abs().max()
        assert difference < 1e-4


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the folder of other systems' outputs is absent")
def test_only_the_right_lengths_hide_what_is_behind_an_utterance():
    for lengths, same in (("right", True), ("original", False)):
        model, there = seeds_network("csr-convnet2", lengths)
        features = torch.from_numpy(there["x"])[:, 0].transpose(1, 2)
        with torch.no_grad():
            whole, counts = model.encoder(features, torch.from_numpy(there["lengths"]))
            alone, count = model.encoder(features[1:, :80])
        assert counts.tolist() == [25, 20] and count.tolist() == [20]
        assert torch.allclose(whole[1, :20], alone[0], atol=1e-5) == same
        assert not whole[1, 20:].any()
        # the frames before the last are out of reach of the padding, but for the LSTMs' way back
        assert torch.allclose(whole[:1], model.encoder(features[:1])[0], atol=1e-5)


def test_a_quarter_rounded_up_is_what_the_convolutions_leave():
    encoder = ConvLSTMConfig(channels=[2, 2, 2, 2], units=3).build(41).eval()
    for frames in range(1, 42):
        out, count = encoder(torch.randn(1, frames, 41))
        assert out.shape == (1, -(-frames // 4), 3) and count.tolist() == [-(-frames // 4)]


@pytest.mark.parametrize("layers", [2, 3])
def test_padding_does_not_change_a_training_step(layers):
    torch.manual_seed(0)
    encoder = ConvLSTMConfig(channels=[2, 3, 3, 4], units=5, layers=layers).build(45)
    short, long = torch.randn(1, 30, 45), torch.randn(1, 61, 45)
    lengths = torch.tensor([30, 61])
    outputs, statistics = [], []
    for fill in (0.0, 7.0):
        batch = torch.cat([torch.nn.functional.pad(short, (0, 0, 0, 31), value=fill), long])
        out, counts = encoder.train()(batch, lengths)
        outputs.append(out)
        statistics.append(encoder.blocks[0].norm.running_mean.clone())
        encoder.blocks[0].norm.reset_running_stats()
    assert counts.tolist() == [8, 16] and not outputs[0][0, 8:].any()
    assert torch.allclose(*outputs, atol=1e-6) and torch.allclose(*statistics)


def test_equal_lengths_need_no_mask():
    encoder = ConvLSTMConfig(channels=[2, 3, 3, 4], units=5).build(45).eval()
    features = torch.randn(2, 40, 45)
    assert torch.equal(encoder(features)[0], encoder(features, torch.tensor([40, 40]))[0])


def test_what_it_cannot_do_is_said():
    with pytest.raises(InputError, match="36 mel bins are too few.*37"):
        ConvLSTMConfig().build(36)
    assert ConvLSTMConfig(channels=[2, 2, 2, 2], units=3).build(37).lstms[0].input_size == 2
    encoder = ConvLSTMConfig(channels=[2, 2, 2, 2], units=3).build(70)
    assert "does not stream" in encoder.streaming_obstacles()[0]
    with pytest.raises(InputError, match="recompute"):
        encoder.set_checkpointing(True)
    text = "encoder: {kind: conv_lstm, %s}\nfeatures: {mels: 70}\n"
    for key, what in (("lengths: wrong", "right, original"), ("channels: [1, 2]", "four numbers from 1")):
        with pytest.raises(InputError, match=what):
            parse_config(text % key, "a.yml")
