"""Random models that stream, and the results that a stream must return."""

import copy

import pytest
import torch
import yaml

from asrlib.config.parse import parse_config
from asrlib.models.build import build_model
from asrlib.recognizer import Recognizer
from asrlib.text.tokenizers import Tokenizer

BLOCK = {"padding": "causal", "se": "causal"}
CONFIG = {
    "features": {"sample_rate": 8000, "mels": 20, "normalize": "running"},
    "tokenizer": {"kind": "words", "vocabulary": 9},
    "encoder": {
        "variant": "paper",
        "blocks": [
            {"filters": 16, "layers": 1, "stride": 2, "residual": False, **BLOCK},
            {"filters": 16, "layers": 2, "stride": 2, **BLOCK, "kernel": 3},
            {"filters": 24, "layers": 3, "stride": 2, **BLOCK},
            {"filters": 24, "layers": 2, **BLOCK, "kernel": 4},
            {"filters": 24, "layers": 1, "residual": False, "padding": "causal", "se": "none"},
        ],
    },
    "prediction": {"embed_dim": 8, "units": 12, "layers": 2},
    "joint": {"dim": 16},
    "training": {"ctc_weight": 0.5},
    "decoding": {"max_symbols": 3},
}


def config(**sections):
    content = copy.deepcopy(CONFIG)
    for name, section in sections.items():
        content[name] = {**content[name], **section}
    return parse_config(yaml.safe_dump(content), "streaming.yml")


def recognizer(seed=0, **sections):
    """Return a model with random weights, nontrivial batch norms, and labels on some of the frames."""
    torch.manual_seed(seed)
    tokenizer = Tokenizer("words", [f"w{n}" for n in range(8)])
    settings = config(**sections)
    model = build_model(settings, tokenizer.vocabulary)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.2, 2)
            torch.nn.init.uniform_(module.weight, 0.7, 1.8)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    with torch.no_grad():
        for output in (model.joint.output, model.ctc_head):
            output.weight.mul_(8)
        model.joint.output.bias[0] += 3
    return Recognizer(settings, model, tokenizer)


def chunks(samples, sizes):
    """Cut samples into pieces, cycling through these sizes."""
    start, number = 0, 0
    while start < len(samples):
        yield samples[start : start + sizes[number % len(sizes)]]
        start, number = start + sizes[number % len(sizes)], number + 1


def assert_same(found, expected):
    assert (found.text, found.tokens, found.times) == (expected.text, expected.tokens, expected.times)
    assert found.confidences == pytest.approx(expected.confidences, abs=1e-5)
    assert found.score == pytest.approx(expected.score, rel=1e-5, abs=1e-4)


def streamed(causal, samples, rate, sizes):
    stream = causal.stream(rate)
    for chunk in chunks(samples, sizes):
        partial = stream.feed(chunk)
    found = stream.finish()
    assert found.text.startswith(partial.text) and stream.finish() == found
    return found
