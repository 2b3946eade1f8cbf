"""The graph's front end and encoder against the ones that were trained."""

import dataclasses

import pytest
import torch
from exports import speech

from asrlib.config.parse import parse_config
from asrlib.export.graph import SignalToFrames, TracedFrontEnd
from asrlib.signal.features import NORMALIZATIONS, FrontEnd

# of other systems
CONVENTIONS = [
    {"mel_slopes": "mel", "floor": "max", "log_floor": 1e-10, "log_unit": "db", "top_db": 50.0},
    {"fft_size": 512, "spectrum": "magnitude", "low_hz": 125.0, "epsilon_in": "variance"},
    {"fft_size": 200, "floor": "max", "pad_end": True, "log_unit": "log10", "epsilon": 1e-9},
    {"tail_ms": 170.0},
    {"tail_ms": 170.0, "pad_end": True},
]


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
@pytest.mark.parametrize("peak, preemphasis", [(False, 0.97), (True, 0.0), (True, 0.97)])
@pytest.mark.parametrize("others", [{}, {"logarithm": False, "centered": True}, *CONVENTIONS])
def test_the_front_end_of_the_graph_is_the_front_end(normalize, peak, preemphasis, others):
    options = dict(normalize=normalize, normalize_signal=peak, preemphasis=preemphasis, **others)
    usual = FrontEnd(8000, mels=20, **options)
    warps = [0.9, 1.0, 1.2]
    traced, signal = TracedFrontEnd(usual, warps), speech(0.7)
    expected, counts = usual(
        signal.expand(3, -1), torch.tensor([len(signal)] * 3), torch.tensor(warps, dtype=torch.float32)
    )
    torch.testing.assert_close(traced(signal)[0], expected, atol=2e-4, rtol=1e-4)
    # whatever lies behind the length
    longer = torch.cat([signal, 5 * speech(0.33)])
    found, count = traced(longer, torch.tensor([len(signal)], dtype=torch.int32))
    assert count.tolist() == counts[:1].tolist()
    torch.testing.assert_close(found[:, : int(count)], expected, atol=2e-4, rtol=1e-4)
    assert found[:, int(count) :].abs().max() == 0


@pytest.mark.parametrize(
    "encoder",
    [
        {"variant": "paper", "se": "global", "padding": "same"},
        {"variant": "paper", "se": 64, "padding": "same", "activation": "relu"},
        {"variant": "tensorflowasr", "se": "causal", "padding": "causal"},
        {"variant": "tensorflowasr-2021", "se": "none", "padding": "same"},
    ],
)
def test_the_encoder_of_the_graph_is_the_encoder(encoder):
    torch.manual_seed(0)
    settings = parse_config("{name: t}", "t").encoder
    settings = dataclasses.replace(settings, **encoder, alpha=0.04)
    usual = settings.build(20).eval()
    for name, buffer in usual.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.3)
    front_end = FrontEnd(8000, mels=20, normalize="bin")
    signal = speech(1.1)
    with torch.no_grad():
        expected, _ = usual(*front_end(signal[None], torch.tensor([len(signal)])))
        graph = SignalToFrames(front_end, usual, [1.0])
        torch.testing.assert_close(graph(signal)[0], expected, atol=1e-3, rtol=1e-3)
        found, count = graph(torch.cat([signal, speech(0.4)]), torch.tensor([len(signal)]))
        assert int(count) == expected.shape[1]
        torch.testing.assert_close(found[:, : int(count)], expected, atol=1e-3, rtol=1e-3)
