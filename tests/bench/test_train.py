"""The benchmark's plain network is asrlib's, and its table says what was measured."""

import pytest
import tiny
import torch
import yaml

from asrlib.bench import train
from asrlib.config.parse import load_config
from asrlib.errors import InputError
from asrlib.losses.rnnt import rnnt_loss
from asrlib.models.build import build_model


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@pytest.fixture
def narrow(tmp_path):
    """ContextNet of the paper, a sixteenth as wide as S; the file and the configuration."""
    content = load_config("contextnet-s").to_dict()
    content["encoder"]["alpha"] = 0.0625
    content["tokenizer"]["vocabulary"] = 30
    path = tmp_path / "narrow.yml"
    path.write_text(yaml.safe_dump(content))
    return path, load_config(path)


def test_in_float64_both_networks_give_the_same_loss_and_gradients(narrow):
    """To 1e-5 of each parameter's largest gradient; what is left is float64's own rounding."""
    _, config = narrow
    torch.manual_seed(0)
    model = build_model(config).double().train()
    plain = train.plain_of(model, config).double().train()
    features, counts = torch.randn(2, 64, 80, dtype=torch.float64), torch.full((2,), 64)
    targets = torch.randint(1, 30, (2, 4))
    ours = model(features, counts, targets, torch.full((2,), 4))
    theirs = plain.loss(plain.encoder(features), targets, rnnt_loss)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    ours.backward()
    theirs.backward()
    for (name, p), q in zip(model.named_parameters(), plain.parameters(), strict=True):
        mine, other = p.grad.flatten(), q.grad.flatten()
        assert (mine - other).abs().max() <= 1e-5 * other.abs().max() + 1e-12, name


def test_the_table_has_every_part_of_every_implementation(narrow, monkeypatch, capsys):
    pytest.importorskip("torchaudio")
    path, _ = narrow

    def here(names, make_step, turns, device):
        """As ``take_turns``, but all in this process, where that takes no time to start."""
        found = []
        for name in names:
            steps = [make_step(name)(turn) for turn in range(turns)]
            assert all(set(seconds) == set(train.PARTS) and seconds["backward"] > 0 for seconds, _ in steps)
            assert [first is not None for _, first in steps] == [turn == 0 for turn in range(turns)]
            found.append((steps, 123.0))
        return found

    monkeypatch.setattr(train, "take_turns", here)
    results = train.bench_train(str(path), repeats=1, device="cpu", quick=True)
    printed = capsys.readouterr().out
    assert [result.name for result in results] == [train.ASRLIB, train.FLUSHED, train.PLAIN]
    for result in results:
        assert printed.count(result.name) >= 2
        assert result.loss_error < 1e-5 and result.gradient_error < 1e-2
        assert result.step == pytest.approx(sum(result.parts.values()) - result.parts["data"])
    assert all(part in printed for part in train.PARTS)
    assert results[0].gradient_error < 2 * results[1].gradient_error  # rounding, no more than plain


def test_all_train_on_the_same_batch(narrow):
    _, config = narrow
    front_end = train.FrontEnd(**vars(config.features))
    waveforms = train.make_waveforms(config, train.QUICK)
    once, again = (train.make_batch(config, train.QUICK, front_end, waveforms) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert [tuple(x.shape) for x in once] == [(2, 98, 80), (2,), (2, 4)]


def test_only_the_papers_network_has_a_plain_twin():
    assert train.has_plain_twin(load_config("contextnet-l"))
    assert not train.has_plain_twin(load_config("tensorflowasr-2023"))


def test_a_model_with_a_ctc_head_is_refused():
    with pytest.raises(InputError, match="contextnet-digits: bench train needs a transducer without CTC"):
        train.bench_train("contextnet-digits", repeats=1, device="cpu", quick=True)
