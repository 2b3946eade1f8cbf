"""The features of each generation are those that TensorFlowASR's own code computes."""

import pytest
import tensorflowasr
import torch

from asrlib.config.parse import parse_config
from asrlib.config.tensorflowasr_generations import GENERATIONS
from asrlib.signal.features import FrontEnd
from asrlib.signal.mel import mel_filters

pytestmark = tensorflowasr.needs_tensorflowasr

# what the configurations behind the outputs say, in asrlib's keys
SAID = {
    "2020/seed": {"preemphasis": 0.97},
    "2020/raw": {"preemphasis": 0.97, "normalize": "none"},
    "2020/bin": {"preemphasis": 0.97, "normalize": "bin"},
    "2021/seed": {"preemphasis": 0.97},
    "2021/raw": {"preemphasis": 0.97, "normalize": "none"},
    "2021/bin": {"preemphasis": 0.97, "normalize": "bin"},
    "2023/default": {},
    "2023/raw": {"normalize": "none"},
    "2023/raw-energy": {"normalize": "none", "spectrum": "power", "fft_size": 512, "low_hz": 0.0},
    "2.1.0/default": {},
    "2.1.0/nfft512": {"fft_size": 512},
    "2.1.0/nfft512-nopad": {"fft_size": 512, "pad_end": False},
    "2.1.0/nopre-nfft512-nopad": {"fft_size": 512, "pad_end": False, "preemphasis": 0.0},
    "2.1.0/normalized": {"normalize_signal": True, "normalize": "bin"},
}


def front_end(kind, **options):
    generation = GENERATIONS[kind.split("/")[0].removesuffix(".0")]
    return FrontEnd(**(generation.features | SAID[kind] | options))


def difference(found, expected):
    """The largest difference over the largest value."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


def outputs_of(kind, name, **options):
    """Our features and theirs."""
    outputs = tensorflowasr.arrays("features")
    waveform, theirs = (torch.from_numpy(outputs[key]) for key in (f"waveform/{name}", f"{kind}/{name}"))
    return front_end(kind, **options)(waveform[None], torch.tensor([len(waveform)]))[0][0], theirs


@pytest.mark.parametrize("kind", SAID)
@pytest.mark.parametrize("name", ["noise", "tone"])
def test_features_are_tensorflowasrs(kind, name):
    assert difference(*outputs_of(kind, name)) < 1e-4


@pytest.mark.parametrize("kind", SAID)
def test_features_of_a_chirp_are_tensorflowasrs_as_far_as_32_bits_reach(kind):
    """A chirp fills few bins of a frame. Far below them, an FFT of 32 bits returns its own rounding."""
    ours, theirs = outputs_of(kind, "chirp")
    if kind.startswith("202") and "2023" not in kind:  # raises all that is 80 dB below the top
        assert difference(ours, theirs) < 1e-4
        return
    power, _ = outputs_of(kind, "chirp", spectrum="power", logarithm=False, normalize="none")
    heard = power > 1e-8 * power.amax(1, keepdim=True)
    assert heard.float().mean() > 0.15
    # the rounding of the other cells moves mean and variance
    normalized = front_end(kind).normalize != "none"
    assert difference(ours * heard, theirs * heard) < (1e-2 if normalized else 1e-4)


@pytest.mark.parametrize("kind", SAID)
def test_padding_is_invisible_in_every_generation(kind):
    outputs, usual = tensorflowasr.arrays("features"), front_end(kind)
    signals = [torch.from_numpy(outputs[f"waveform/{name}"]) for name in ("noise", "tone")]
    signals += [signals[0][:150]]
    batch = torch.full((3, 17000), 0.7)
    for row, signal in zip(batch, signals, strict=True):
        row[: len(signal)] = signal
    features, counts = usual(batch, torch.tensor([len(signal) for signal in signals]))
    for signal, row, count in zip(signals, features, counts, strict=True):
        alone = usual(signal[None], torch.tensor([len(signal)]))[0][0]
        torch.testing.assert_close(row[:count], alone, atol=1e-4, rtol=1e-4)
        assert not row[count:].any()


@pytest.mark.parametrize("fft_size, low, high", [(512, 0, 8000), (400, 0, 8000), (1024, 125, 8000)])
def test_slopes_in_mel_are_tensorflows(fft_size, low, high):
    theirs = torch.from_numpy(tensorflowasr.arrays("features")[f"mel/{fft_size}/{low}-{high}"])
    ours = mel_filters(16000, fft_size, 80, low, high, "mel")
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)
    assert (mel_filters(16000, fft_size, 80, low, high) - theirs).abs().max() > 0.003


def test_every_key_of_a_generation_is_a_key_of_the_schema():
    for name, generation in GENERATIONS.items():
        text = f"features: {generation.features!r}"
        config = parse_config(text.replace("True", "true").replace("False", "false"), name)
        assert {key: getattr(config.features, key) for key in generation.features} == generation.features
